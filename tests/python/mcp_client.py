#!/usr/bin/env python3
"""Takes a script of calls. Gives one JSON line for each request that the official client sent.

Never hides a failure: each line says how the request ended and which span the client gave it.

    mcp_client.py --mode legacy|modern|auto --url URL            [--header NAME=VALUE]... < script.json
    mcp_client.py --mode legacy             --url URL --sse                               < script.json
    mcp_client.py --mode legacy|modern|auto [--env NAME=VALUE]... -- COMMAND ARG...       < script.json

The script is a JSON array of steps, each an object:
    {"call": TOOL, "arguments": {...}}     tools/call
    {"resource": URI}                      resources/read
    {"prompt": NAME, "arguments": {...}}   prompts/get
    {"list": "tools"}                      tools/list
with optional members: "times" (repeat), "together" (how many at once), "timeout" (seconds, then cancel),
"meta" (object for params._meta), "progress" (true: ask for
progress notifications), "die_after" (seconds, then the client kills itself with SIGKILL).
"""

import argparse
import asyncio
import contextlib
import contextvars
import json
import os
import signal
import sys
import time

from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from opentelemetry.sdk.trace import SpanProcessor

from tracing_setup import start_tracing

MODERN = "2026-07-28"
REQUEST_TIMEOUT = -32001
CONNECTION_CLOSED = -32000

spans_of_step = contextvars.ContextVar("spans_of_step", default=None)


class Collect(SpanProcessor):
    """Notes the spans that the SDK starts for the requests of the running step."""

    def on_start(self, span, parent_context=None):
        spans = spans_of_step.get()
        if spans is not None and span.name.startswith("MCP send "):
            spans.append(span)


def say(spans, step, outcome, seconds, detail=None):
    """Print one line for each request; only the last of a step's requests is the step's own."""
    for i, span in enumerate(spans):
        last = i == len(spans) - 1
        context = span.get_span_context()
        line = {
            "method": span.attributes["mcp.method.name"],
            "request_id": span.attributes["jsonrpc.request.id"],
            "target": step.get("call") or step.get("prompt") or step.get("resource") if last else None,
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "outcome": outcome if last else outcome_of_span(span),
            "seconds": seconds,
            "detail": detail if last else None,
        }
        print(json.dumps(line), flush=True)


def outcome_of_span(span):
    """How a request of the handshake ended, or one that the client sent before a step's own."""
    code = span.attributes.get("rpc.response.status_code")
    return f"rpc_error:{code}" if code else "ok"


async def ignore_progress(progress, total, message):
    """Having a callback is what makes the client ask for progress."""


async def send(client, step):
    timeout = step.get("timeout")
    meta = step.get("meta")
    if "call" in step:
        result = await client.call_tool(
            step["call"],
            step.get("arguments") or {},
            read_timeout_seconds=timeout,
            progress_callback=ignore_progress if step.get("progress") else None,
            meta=meta,
        )
        text = "".join(getattr(block, "text", "") for block in result.content)
        return ("tool_error" if result.is_error else "ok"), text
    if "resource" in step:
        result = await client.read_resource(step["resource"], meta=meta)
        return "ok", result.contents[0].text
    if "prompt" in step:
        result = await client.get_prompt(step["prompt"], step.get("arguments"), meta=meta)
        return "ok", result.messages[0].content.text
    if step.get("list") == "tools":
        result = await client.list_tools(cache_mode="bypass")
        return "ok", ",".join(tool.name for tool in result.tools)
    raise ValueError(f"unknown step {step}")


def outcome_of(error):
    if error.code == REQUEST_TIMEOUT:
        return "timed_out"
    if error.code == CONNECTION_CLOSED:
        return "gone"
    return f"rpc_error:{error.code}"


async def run_step(client, step):
    spans = []
    spans_of_step.set(spans)
    if "die_after" in step:
        asyncio.create_task(die(step["die_after"], spans, step))
    started = time.monotonic()
    try:
        outcome, detail = await send(client, step)
    except MCPError as error:
        outcome, detail = outcome_of(error), error.message
    except Exception as error:
        outcome, detail = "failed", f"{type(error).__name__}: {error}"
    detail = detail if detail is None or len(detail) <= 200 else f"{len(detail)} characters"
    say(spans, step, outcome, time.monotonic() - started, detail)


async def die(seconds, spans, step):
    await asyncio.sleep(seconds)
    say(spans, step, "died", seconds)
    os.kill(os.getpid(), signal.SIGKILL)


async def run_repeated(client, step):
    times, together = step.get("times", 1), step.get("together", 1)
    for first in range(0, times, together):
        count = min(together, times - first)
        # A task has a context of its own, so each request finds its own list of spans.
        await asyncio.gather(*(asyncio.create_task(run_step(client, step)) for _ in range(count)))


@contextlib.asynccontextmanager
async def connect(args):
    mode = MODERN if args.mode == "modern" else args.mode
    if args.sse:
        async with Client(sse_client(args.url), mode=mode) as client:
            yield client
        return
    if args.url:
        http = create_mcp_http_client(headers=dict(pair.split("=", 1) for pair in args.header))
        async with http, Client(streamable_http_client(args.url, http_client=http), mode=mode) as client:
            yield client
        return
    # The whole environment, because the sidecar and the server read OTEL_* and TOOLSPAN_*.
    env = os.environ | dict(pair.split("=", 1) for pair in args.env)
    server = StdioServerParameters(command=args.command[0], args=args.command[1:], env=dict(env))
    async with Client(stdio_client(server), mode=mode) as client:
        yield client


async def run(args, steps):
    handshake = []
    spans_of_step.set(handshake)
    started = time.monotonic()
    async with connect(args) as client:
        seconds = time.monotonic() - started
        for span in handshake:
            say([span], {}, outcome_of_span(span), seconds, client.protocol_version)
        for step in steps:
            await run_repeated(client, step)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["legacy", "modern", "auto"], default="auto")
    parser.add_argument("--url")
    parser.add_argument("--sse", action="store_true", help="the HTTP+SSE transport")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the spawned command")
    parser.add_argument("--service-name", default="fixture-client")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    if bool(args.url) == bool(args.command):
        parser.error("give either --url or a command")
    provider = start_tracing(args.service_name, [Collect()])
    try:
        asyncio.run(run(args, json.load(sys.stdin)))
    finally:
        provider.shutdown()


if __name__ == "__main__":
    main()
