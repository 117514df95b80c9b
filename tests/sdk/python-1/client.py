#!/usr/bin/env python3
"""Takes the command line of `client_side`. Gives the matrix's client on PyPI `mcp` 1. Never hides an error."""

import contextlib
import os
import pathlib
import sys
import warnings

from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import ElicitResult

sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

import client_side


async def answer(_context, _params):
    return ElicitResult(action="accept", content={"colour": "blue"})


@contextlib.asynccontextmanager
async def connect(args):
    headers = {"traceparent": args.traceparent}
    if args.transport == "stdio":
        environment = os.environ | headers_as_environment(headers)
        command = StdioServerParameters(command=args.command[0], args=args.command[1:], env=environment)
        async with stdio_client(command) as streams:
            yield streams
    elif args.transport == "sse":
        async with sse_client(args.url, headers=headers) as streams:
            yield streams
    elif args.transport == "ws":
        from mcp.client.websocket import websocket_client

        async with websocket_client(args.url) as streams:
            yield streams
    else:
        http = create_mcp_http_client(headers=headers)
        async with http, streamable_http_client(args.url, http_client=http) as (read, write, _session):
            yield read, write


def headers_as_environment(headers):
    return {name.upper(): value for name, value in headers.items()}


async def run(args):
    warnings.simplefilter("ignore")
    async with connect(args) as (read, write), ClientSession(read, write, elicitation_callback=answer) as client:
        opened = await client.initialize()
        client_side.say("connect", version=opened.protocolVersion, server=opened.serverInfo.name)

        async def do(step, progress):
            if step["do"] == "tools":
                return await client.list_tools()
            if step["do"] == "resource":
                return await client.read_resource(step["uri"])
            if step["do"] == "prompt":
                return await client.get_prompt(step["name"], step["arguments"])
            return await client.call_tool(
                step["name"],
                step["arguments"],
                progress_callback=client_side.note(progress),
                meta={"traceparent": args.traceparent},
            )

        await client_side.run_steps(args.script, do, McpError)


client_side.main(run)
