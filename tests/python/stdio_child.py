#!/usr/bin/env python3
"""Takes JSON-RPC lines. Gives what each asks for; knows no SDK, so every byte it says is its own.

A `tools/call` says by its name what happens:
    line        answer with the very line that came
    progress    three notifications under the request's token, then the answer
    log         one `notifications/message`, then the answer
    ask         ask the client (`sampling/createMessage`, with our arguments), answer with what it says
    hold        no answer, but one notification if there is a token; a cancel of it is noted
    cancelled   answer with the notes of the cancels so far
    refused     answer with the errors that our own requests were answered with
    pid         answer with this process's id
    exit        end without an answer
    big         answer with a text of `arguments.bytes` bytes
    say         write `arguments.lines` as they are, with the request's id for `{id}` and `arguments.bytes` letters for `{pad}`
    flood       `arguments.count` notifications of 64 KiB under the request's token, then the answer
`subscriptions/listen` is acknowledged and stays open; `change` tells every listener that the tools have changed.
Whatever else is a request is answered with its method.
"""

import json
import os
import sys

listening, cancelled, asked, refused = [], [], {}, []


def say(message):
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def answer(request_id, result):
    say({"jsonrpc": "2.0", "id": request_id, "result": result})


def notify(method, params):
    say({"jsonrpc": "2.0", "method": method, "params": params})


def subscription(request_id):
    return {"_meta": {"io.modelcontextprotocol/subscriptionId": request_id}}


def call(message, line):
    request_id, params = message["id"], message["params"]
    arguments = params.get("arguments") or {}
    token = (params.get("_meta") or {}).get("progressToken")
    match params["name"]:
        case "line":
            answer(request_id, {"line": line})
        case "progress":
            for i in range(3):
                notify("notifications/progress", {"progressToken": token, "progress": i + 1})
            answer(request_id, {"reported": 3})
        case "log":
            notify("notifications/message", {"level": "info", "data": "working"})
            answer(request_id, {})
        case "ask":
            asked["ask-1"] = request_id
            say({"jsonrpc": "2.0", "id": "ask-1", "method": "sampling/createMessage", "params": {"maxTokens": 5, **arguments}})
        case "hold":
            if token is not None:
                notify("notifications/progress", {"progressToken": token, "progress": 1})
        case "cancelled":
            answer(request_id, {"cancelled": cancelled})
        case "refused":
            answer(request_id, {"refused": refused})
        case "pid":
            answer(request_id, {"pid": os.getpid()})
        case "exit":
            os._exit(3)
        case "big":
            answer(request_id, {"text": "x" * arguments["bytes"]})
        case "say":
            for text in arguments["lines"]:
                text = text.replace("{id}", json.dumps(request_id)).replace("{pad}", "x" * arguments.get("bytes", 0))
                sys.stdout.write(text + "\n")
            sys.stdout.flush()
        case "flood":
            for i in range(arguments["count"]):
                notify("notifications/progress", {"progressToken": token, "progress": i, "message": "x" * 65536})
            answer(request_id, {})
        case "change":
            for listener in listening:
                notify("notifications/tools/list_changed", subscription(listener))
            answer(request_id, {})
        case name:
            say({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32602, "message": f"no tool {name}"}})


def hear(line):
    message = json.loads(line)
    method, request_id = message.get("method"), message.get("id")
    if method is None and "error" in message:
        refused.append(message)
    elif method is None:
        answer(asked.pop(request_id), {"said": message.get("result")})
    elif method == "notifications/cancelled":
        cancelled.append(message["params"]["requestId"])
    elif request_id is None:
        pass
    elif method == "initialize":
        version = message["params"]["protocolVersion"]
        answer(request_id, {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "child", "version": "1"}})
    elif method == "tools/call":
        call(message, line)
    elif method == "subscriptions/listen":
        listening.append(request_id)
        notify("notifications/subscriptions/acknowledged", subscription(request_id))
    elif method == "unknown/method":
        say({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32601, "message": "Method not found"}})
    else:
        answer(request_id, {"method": method})


for text in sys.stdin:
    hear(text.rstrip("\n"))
