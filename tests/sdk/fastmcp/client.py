#!/usr/bin/env python3
"""Takes the command line of `client_side`. Gives the matrix's client on PyPI `fastmcp`. Never hides an error."""

import os
import pathlib
import sys

from opentelemetry import context
from opentelemetry.propagate import extract

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import MCPError

sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

import client_side


async def answer(_message, _type, _params, _context):
    return {"colour": "blue"}


def transport(args):
    if args.transport == "stdio":
        environment = os.environ | {"TRACEPARENT": args.traceparent}
        return StdioTransport(args.command[0], args.command[1:], env=dict(environment), keep_alive=False)
    kind = SSETransport if args.transport == "sse" else StreamableHttpTransport
    return kind(args.url, headers={"traceparent": args.traceparent})


async def run(args):
    # This SDK writes the ambient context into every request.
    context.attach(extract({"traceparent": args.traceparent}))
    mode = "legacy" if args.era == "legacy" else "auto"
    async with Client(transport(args), mode=mode, elicitation_handler=answer) as client:
        client_side.say("connect", version=client.protocol_version, server=client.server_info.name)

        async def do(step, progress):
            if step["do"] == "tools":
                return await client.list_tools_mcp(cache_mode="bypass")
            if step["do"] == "resource":
                return await client.read_resource_mcp(step["uri"])
            if step["do"] == "prompt":
                return await client.get_prompt_mcp(step["name"], step["arguments"])
            callback = client_side.note(progress)
            return await client.call_tool_mcp(step["name"], step["arguments"], progress_handler=callback)

        await client_side.run_steps(args.script, do, MCPError)


client_side.main(run)
