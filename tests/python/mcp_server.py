#!/usr/bin/env python3
"""Takes MCP requests over stdio or Streamable HTTP, both wires. Gives answers of every kind a call can have.

Never guesses: each tool does what its name says. Its own spans go where OTEL_EXPORTER_OTLP_ENDPOINT points.

    mcp_server.py stdio
    mcp_server.py http [--json | --resumable] [--port-file FILE]     ends when standard input closes
    mcp_server.py sse [--port-file FILE]               the same over HTTP+SSE
"""

import argparse
import asyncio
import logging
import os
import pathlib
import socket
import sys
import threading

from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventMessage, EventStore

from tracing_setup import start_tracing

RPC_ERROR_CODE = -32055

server = MCPServer("fixture", version="1.0.0", log_level="ERROR")


@server.tool()
def echo(text: str) -> str:
    """Give the text back."""
    return text


@server.tool()
def add(a: int, b: int) -> int:
    """Give the sum of two integers."""
    return a + b


@server.tool()
async def slow(seconds: float) -> str:
    """Answer after this many seconds."""
    await asyncio.sleep(seconds)
    return f"slept {seconds}"


@server.tool()
def tool_error(message: str = "no such order") -> str:
    """Answer with a result whose isError is true."""
    raise ToolError(message)


@server.tool()
def rpc_error(code: int = RPC_ERROR_CODE, message: str = "backend says no") -> str:
    """Answer with a JSON-RPC error."""
    raise MCPError(code=code, message=message)


@server.tool()
def big(bytes: int) -> str:
    """Answer with a text of this many bytes."""
    return "x" * bytes


@server.tool()
async def progress(n: int, ctx: Context) -> str:
    """Report progress n times, then answer."""
    for i in range(n):
        await ctx.report_progress(i + 1, n)
    return f"reported {n}"


@server.tool()
async def polled(ctx: Context) -> str:
    """End the stream of this call first: the client must come back for the answer."""
    await ctx.close_sse_stream()
    return "polled"


@server.tool()
def crash(code: int = 3) -> str:
    """End the server's process at once, without an answer."""
    os._exit(code)


@server.resource("fixture://note")
def note() -> str:
    """One resource."""
    return "a note"


@server.prompt()
def greet(name: str = "you") -> str:
    """One prompt."""
    return f"Say hello to {name}."


class Events(EventStore):
    """Keeps every event of every stream, for clients that come back."""

    def __init__(self):
        self.kept = []

    async def store_event(self, stream_id, message):
        self.kept.append((stream_id, message))
        return str(len(self.kept))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        stream = self.kept[last - 1][0]
        for number, (stream_id, message) in enumerate(self.kept[last:], last + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def serve_app(app, port_file):
    """Serve on a port of our own until standard input closes."""
    import uvicorn

    # asyncio switches Nagle's algorithm off only on sockets that name their protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    web = uvicorn.Server(config)

    def stop_at_end_of_input():
        sys.stdin.buffer.read()
        web.should_exit = True

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    write_port(listener.getsockname()[1], port_file)
    await web.serve(sockets=[listener])


def write_port(port, port_file):
    """Say where we listen; connections wait in the socket's backlog until the server accepts."""
    if port_file is None:
        print(f"port {port}", flush=True)
        return
    scratch = port_file.with_suffix(".new")
    scratch.write_text(f"127.0.0.1:{port}\n")
    scratch.rename(port_file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transport", choices=["stdio", "http", "sse"])
    parser.add_argument("--json", action="store_true", help="answer with JSON instead of SSE")
    parser.add_argument("--resumable", action="store_true", help="keep events, so that streams can be resumed")
    parser.add_argument("--port-file", type=pathlib.Path)
    parser.add_argument("--service-name", default="fixture-server")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    provider = start_tracing(args.service_name)
    try:
        if args.transport == "stdio":
            server.run("stdio")
        elif args.transport == "sse":
            asyncio.run(serve_app(server.sse_app(), args.port_file))
        else:
            events = Events() if args.resumable else None
            app = server.streamable_http_app(json_response=args.json, event_store=events, retry_interval=50)
            asyncio.run(serve_app(app, args.port_file))
    finally:
        if provider is not None:
            provider.shutdown()


if __name__ == "__main__":
    main()
