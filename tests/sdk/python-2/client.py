#!/usr/bin/env python3
"""Takes the command line of `client_side`. Gives the matrix's client on PyPI `mcp` 2. Never hides an error."""

import os
import pathlib
import sys

from opentelemetry import context
from opentelemetry.propagate import extract

from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import ElicitResult

sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

import client_side


async def answer(_context, _params):
    return ElicitResult(action="accept", content={"colour": "blue"})


def transport(args):
    if args.transport == "stdio":
        environment = os.environ | {"TRACEPARENT": args.traceparent}
        command = StdioServerParameters(command=args.command[0], args=args.command[1:], env=environment)
        return stdio_client(command)
    headers = {"traceparent": args.traceparent}
    if args.transport == "sse":
        return sse_client(args.url, headers=headers)
    return streamable_http_client(args.url, http_client=create_mcp_http_client(headers=headers))


async def run(args):
    # This SDK writes the ambient context into every request.
    context.attach(extract({"traceparent": args.traceparent}))
    mode = "legacy" if args.era == "legacy" else "auto"
    async with Client(transport(args), mode=mode, elicitation_callback=answer) as client:
        client_side.say("connect", version=client.protocol_version, server=client.server_info.name)

        async def do(step, progress):
            if step["do"] == "tools":
                return await client.list_tools(cache_mode="bypass")
            if step["do"] == "resource":
                return await client.read_resource(step["uri"], cache_mode="bypass")
            if step["do"] == "prompt":
                return await client.get_prompt(step["name"], step["arguments"])
            callback = client_side.note(progress)
            return await client.call_tool(step["name"], step["arguments"], progress_callback=callback)

        await client_side.run_steps(args.script, do, MCPError)


client_side.main(run)
