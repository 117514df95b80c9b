#!/usr/bin/env python3
"""Takes the requests of the official conformance suite, both wires. Gives the answers its scenarios ask for.

Never works around the package it is built on: what that cannot do fails here, and fails the same behind a proxy.

    conformance_server.py socket PATH                  each connection is standard input and output
    conformance_server.py http [--port-file FILE]     ends when standard input closes
"""

import argparse
import asyncio
import logging
import pathlib
import socket
import warnings

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.caching import CACHEABLE_METHODS, CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged

import conformance_content as content
from mcp_server import serve_app

INVALID_PARAMS = -32602
MISSING_CAPABILITY = -32021
PAUSE = 0.05
MOST_CONNECTIONS = 200

bus = InMemorySubscriptionBus()


class Events(EventStore):
    """Every event of every stream, numbered, so that a client can come back for what it missed."""

    def __init__(self):
        self.kept = []

    async def store_event(self, stream_id, message):
        self.kept.append((stream_id, message))
        return str(len(self.kept))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        if not 0 < last <= len(self.kept):
            return None
        stream = self.kept[last - 1][0]
        for number, (stream_id, message) in enumerate(self.kept[last:], last + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def said(value):
    return {"content": [content.text(value)]}


async def with_logging(ctx, given):
    for step in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await ctx.session.send_log_message("info", step, related_request_id=ctx.request_id)
        await asyncio.sleep(PAUSE)
    return said("logged")


async def with_progress(ctx, given):
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(PAUSE)
    return said("reported")


async def sampling(ctx, given):
    question = types.SamplingMessage.model_validate(content.message(content.text(given["prompt"])))
    answer = await ctx.session.create_message([question], max_tokens=100, related_request_id=ctx.request_id)
    return said(f"LLM response: {answer.content.text}")


def elicitation(question, form, answer_is):
    async def tool(ctx, given):
        answer = await ctx.session.elicit_form(question or given["message"], form, related_request_id=ctx.request_id)
        return said(f"{answer_is}action={answer.action}, content={answer.content}")

    return tool


async def failing(ctx, given):
    return said("This tool intentionally returns an error for testing") | {"isError": True}


async def reconnection(ctx, given):
    if ctx.close_sse_stream:
        await ctx.close_sse_stream()
    await asyncio.sleep(2 * PAUSE)
    return said("Reconnection test completed")


async def missing_capability(ctx, given):
    if not ctx.session.client_capabilities.sampling:
        raise MCPError(MISSING_CAPABILITY, "sampling is needed", {"requiredCapabilities": {"sampling": {}}})
    return said("sampling is there")


async def capabilities(ctx, given):
    declared = ctx.session.client_capabilities
    wanted = {"greeting": content.sample("Generate a greeting", 50)} if declared.sampling else {}
    if declared.elicitation:
        wanted |= content.NAME
    return {"resultType": "input_required", "inputRequests": wanted} if wanted else said("nothing to ask with")


def publishing(event):
    async def tool(ctx, given):
        await bus.publish(event)
        return said("published")

    return tool


def fixed(blocks):
    async def tool(ctx, given):
        return {"content": blocks}

    return tool


TOOLS = {name: fixed(blocks) for name, blocks in content.FIXED_TOOLS.items()} | {
    "test_tool_with_logging": with_logging,
    "test_logging_tool": with_logging,
    "test_tool_with_progress": with_progress,
    "test_error_handling": failing,
    "test_sampling": sampling,
    "test_elicitation": elicitation(None, content.USER_FORM, "User response: "),
    "test_elicitation_sep1034_defaults": elicitation("Defaults", content.DEFAULTS_FORM, "Elicitation completed: "),
    "test_elicitation_sep1330_enums": elicitation("Enums", content.ENUMS_FORM, "Elicitation completed: "),
    "test_reconnection": reconnection,
    "test_missing_capability": missing_capability,
    "test_input_required_result_capabilities": capabilities,
    "test_trigger_tool_change": publishing(ToolsListChanged()),
    "test_trigger_prompt_change": publishing(PromptsListChanged()),
}
ASKING_TOOLS = [name for name in content.ROUNDS if not name.endswith("_prompt")]


def ask_the_client(name, params):
    """The question of the next round, or None when the client has answered all of them."""
    rounds, with_state = content.ROUNDS[name]
    answered = params.input_responses or {}
    done = int(params.request_state or 0) if with_state else 0
    if answered.keys() >= rounds[done].keys():
        done += 1
    if done == len(rounds):
        return None
    asked = {"resultType": "input_required", "inputRequests": rounds[done]}
    return asked | ({"requestState": str(done)} if with_state else {})


def asking(result):
    """The result as the question it is, or None."""
    return types.InputRequiredResult.model_validate(result) if "resultType" in result else None


async def list_tools(ctx, params):
    names = sorted([*TOOLS, *ASKING_TOOLS])
    return types.ListToolsResult.model_validate(
        {"tools": [{"name": name, "description": f"The suite's {name}", "inputSchema": schema(name)} for name in names]}
    )


def schema(name):
    return content.INPUT_SCHEMAS.get(name, content.NO_ARGUMENTS)


async def call_tool(ctx, params):
    if params.name in ASKING_TOOLS:
        # The word that one scenario looks for says that the state came back as it was sealed.
        result = ask_the_client(params.name, params) or said(f"Hello, state-ok: {sorted(params.input_responses)}")
    elif params.name in TOOLS:
        result = await TOOLS[params.name](ctx, params.arguments or {})
    else:
        result = said(f"unknown tool {params.name}") | {"isError": True}
    return asking(result) or types.CallToolResult.model_validate(result)


async def list_resources(ctx, params):
    return types.ListResourcesResult.model_validate(
        {
            "resources": [
                {"uri": uri, "name": uri.rsplit("/")[-1], "description": f"The suite's {uri}", "mimeType": it["mimeType"]}
                for uri, it in content.RESOURCES.items()
            ]
        }
    )


async def list_templates(ctx, params):
    template = {"uriTemplate": content.TEMPLATE, "name": "template", "description": "One parameter"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [template]})


async def read_resource(ctx, params):
    found = content.resource_content(str(params.uri))
    if found is None:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": str(params.uri)})
    return types.ReadResourceResult.model_validate({"contents": [found]})


async def list_prompts(ctx, params):
    return types.ListPromptsResult.model_validate(
        {
            "prompts": [
                {
                    "name": name,
                    "description": f"The suite's {name}",
                    "arguments": [{"name": needed, "description": needed, "required": True} for needed in given],
                }
                for name, given in content.PROMPTS.items()
            ]
        }
    )


async def get_prompt(ctx, params):
    if params.name not in content.PROMPTS:
        raise MCPError(INVALID_PARAMS, f"unknown prompt {params.name}")
    asked = ask_the_client(params.name, params) if params.name in content.ROUNDS else None
    if asked:
        return asking(asked)
    messages = content.prompt_messages(params.name, params.arguments or {})
    return types.GetPromptResult.model_validate({"messages": messages})


async def complete(ctx, params):
    values = [word for word in ["paris", "park", "party"] if word.startswith(params.argument.value)]
    return types.CompleteResult.model_validate({"completion": {"values": values, "total": len(values)}})


async def accept(ctx, params):
    return types.EmptyResult()


def make_server():
    # The deprecated parts are what one of the two wires is made of.
    warnings.simplefilter("ignore")
    server = Server(
        "conformance-fixture",
        version="1.0.0",
        cache_hints={method: CacheHint(ttl_ms=1000, scope="public") for method in CACHEABLE_METHODS},
        get_tool_input_schema=schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=accept,
        on_unsubscribe_resource=accept,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=accept,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


async def serve_connection(connection):
    connection.setblocking(True)
    with (
        connection,
        connection.makefile("r", encoding="utf-8") as lines_in,
        connection.makefile("w", encoding="utf-8") as lines_out,
    ):
        async with stdio_server(anyio.wrap_file(lines_in), anyio.wrap_file(lines_out)) as (incoming, outgoing):
            server = make_server()
            await server.run(incoming, outgoing, server.create_initialization_options(NotificationOptions()))


async def serve_socket(path):
    """A server of its own for each connection, all in one process: the start of another costs a second."""
    # Each connection waits for its next line in a thread.
    anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_CONNECTIONS
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        listener.setblocking(False)
        path.with_name(f"{path.name}.new").rename(path)
        async with anyio.create_task_group() as connections:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                connections.start_soon(serve_connection, connection)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    transports = parser.add_subparsers(dest="transport", required=True)
    transports.add_parser("socket").add_argument("path", type=pathlib.Path)
    transports.add_parser("http").add_argument("--port-file", type=pathlib.Path)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if args.transport == "socket":
        asyncio.run(serve_socket(args.path))
    else:
        app = make_server().streamable_http_app(event_store=Events(), retry_interval=100)
        asyncio.run(serve_app(app, args.port_file))


if __name__ == "__main__":
    main()
