#!/usr/bin/env python3
"""Takes the command line of `server_side`. Gives the matrix's server on PyPI `fastmcp`. Never guesses."""

import pathlib
import sys

from pydantic import BaseModel

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_http_headers

sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

import server_side

server = FastMCP("matrix-fastmcp", version="1.0.0")


class Colour(BaseModel):
    colour: str


@server.tool
def echo(text: str) -> str:
    """Give the text back."""
    return text


@server.tool
def add(a: int, b: int) -> int:
    """Give the sum."""
    return a + b


@server.tool
def fail(message: str) -> str:
    """Answer with a result whose isError is true."""
    raise ToolError(message)


@server.tool
async def progress(n: int, ctx: Context) -> str:
    """Report progress n times, then answer."""
    for i in range(n):
        await ctx.report_progress(i + 1, n)
    return f"reported {n}"


@server.tool
def trace(ctx: Context) -> str:
    """Give the trace context that came with the call."""
    return server_side.trace_seen(ctx.request_context.meta, get_http_headers(include_all=True))


@server.tool
async def ask(ctx: Context) -> str:
    """Ask the client for a colour."""
    answer = await ctx.elicit("Which colour?", Colour)
    return f"{answer.action} {answer.data.colour}"


@server.resource("fixture://note")
def note() -> str:
    """One resource."""
    return "a note"


@server.prompt
def greet(name: str) -> str:
    """One prompt."""
    return f"Say hello to {name}."


def main():
    args = server_side.arguments()
    if args.transport == "stdio":
        server.run("stdio", show_banner=False)
    else:
        server_side.serve(server.http_app(transport=args.transport), args.port_file)


main()
