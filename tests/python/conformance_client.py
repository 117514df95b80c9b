#!/usr/bin/env python3
"""Takes scenarios of the official conformance suite over a Unix socket, many at once. Gives how each one ended.

Never knows what the suite thinks of it. One line of JSON a connection: scenario, version, context, url, connect;
one line back, `ok` or the names of what was raised. Ends when standard input closes.

    conformance_client.py SOCKET
"""

import asyncio
import json
import logging
import os
import sys
import warnings

import httpx2
import mcp.client.session
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

from conformance_auth import credentials

MODERN = "2026-07-28"
PATIENCE = 110.0
# The suite plays all its scenarios at once; one process serves a few of them at a time.
TOGETHER = asyncio.Semaphore(4)


class Redirected(httpx2.AsyncBaseTransport):
    """Connects to another address wherever the request goes to `origin`, as a rule of a pod's network does.

    The request stays as it is, Host included, so that what a server says of its own origin stays true.
    """

    def __init__(self, origin, address):
        self.origin = httpx2.URL(origin)
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        url = request.url
        if (url.host, url.port) == (self.origin.host, self.origin.port):
            url = url.copy_with(host=self.host, port=self.port)
        moved = httpx2.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return await self.inner.handle_async_request(moved)

    async def aclose(self):
        await self.inner.aclose()


def http_client(given):
    options = {"timeout": httpx2.Timeout(PATIENCE)}
    if given.get("connect"):
        options["transport"] = Redirected(given["url"], given["connect"])
    if given["scenario"].startswith("auth/"):
        options["auth"] = credentials(given["scenario"], given["url"], given["context"])
    return httpx2.AsyncClient(**options)


async def answer_with_defaults(ctx, params):
    """Accept what a server asks for: its defaults, else a yes."""
    schema = getattr(params, "requested_schema", None) or {}
    properties = schema.get("properties", {})
    content = {name: it["default"] for name, it in properties.items() if "default" in it}
    content |= {name: True for name, it in properties.items() if it.get("type") == "boolean" and "default" not in it}
    return types.ElicitResult(action="accept", content=content)


async def call_every_tool(client, context):
    for tool in (await client.list_tools()).tools:
        await client.call_tool(tool.name, {"region": "eu"} if tool.name == "valid_tool" else {})


async def add_numbers(client, context):
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def use_everything(client, context):
    await call_every_tool(client, context)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def call_as_told(client, context):
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def ask_and_answer(client, context):
    await client.list_tools()
    await asyncio.gather(client.call_tool("test_mrtr_echo_state", {}), client.call_tool("test_mrtr_unrelated", {}))
    await client.call_tool("test_mrtr_no_state", {})
    await client.call_tool("test_mrtr_no_result_type", {})


async def echo_schema(client, context):
    schemas = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    await client.call_tool("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})


async def list_tools(client, context):
    await client.list_tools()


async def list_and_call_twice(client, context):
    """Once with what the first registration gave, once after the server has moved to another."""
    for _ in range(2):
        await call_every_tool(client, context)


STEPS = {
    "initialize": list_tools,
    "tools_call": add_numbers,
    "http-standard-headers": use_everything,
    "http-custom-headers": call_as_told,
    "sep-2322-client-request-state": ask_and_answer,
    "json-schema-2020-12-preservation": echo_schema,
    "json-schema-ref-no-deref": list_tools,
    "request-metadata": list_tools,
    "auth/authorization-server-migration": list_and_call_twice,
}


async def play(given):
    mode = "auto" if given["version"] == MODERN else "legacy"
    steps = STEPS.get(given["scenario"], call_every_tool)
    async with http_client(given) as http:
        transport = streamable_http_client(given["url"], http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=answer_with_defaults) as client:
            await steps(client, given["context"])


def names(error):
    """What was raised, by its names: addresses and ids would differ from run to run."""
    if isinstance(error, BaseExceptionGroup):
        return ",".join(sorted({names(inner) for inner in error.exceptions}))
    return type(error).__name__


async def serve(reader, writer):
    given = json.loads(await reader.readline())
    try:
        async with TOGETHER, asyncio.timeout(PATIENCE):
            await play(given)
        ended, detail = "ok", ""
    except Exception as error:
        ended, detail = names(error), repr(error)
    writer.write(json.dumps({"ended": ended, "detail": detail}).encode() + b"\n")
    await writer.drain()
    writer.close()


async def main(path):
    await asyncio.start_unix_server(serve, path + ".new")
    os.rename(path + ".new", path)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    # The deprecated parts are what one of the two wires is made of.
    warnings.simplefilter("ignore")
    # A probe that took too long would change the wire, which is right for a client and wrong for a comparison.
    mcp.client.session.DISCOVER_TIMEOUT_SECONDS = PATIENCE
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1]))
