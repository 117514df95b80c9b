"""Takes the command line every server program of the matrix has. Gives its HTTP application a port.

Never outlives its input: the program ends when standard input closes.

    server.py stdio
    server.py http|sse|ws --port-file FILE
"""

import argparse
import asyncio
import json
import logging
import pathlib
import socket
import sys
import threading


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transport", choices=["stdio", "http", "sse", "ws"])
    parser.add_argument("--port-file", type=pathlib.Path)
    logging.disable(logging.CRITICAL)
    return parser.parse_args()


def trace_seen(meta, headers):
    """The answer of the tool `trace`: the context as it arrived."""
    meta, headers = meta or {}, headers or {}
    return json.dumps(
        {
            "meta": meta.get("traceparent"),
            "state": meta.get("tracestate"),
            "header": headers.get("traceparent"),
        }
    )


def serve(app, port_file):
    asyncio.run(serve_until_end_of_input(app, port_file))


async def serve_until_end_of_input(app, port_file):
    import uvicorn

    # asyncio switches Nagle's algorithm off only on sockets that name their protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    web = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))

    def stop_at_end_of_input():
        sys.stdin.buffer.read()
        web.should_exit = True

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    # Connections wait in the socket's backlog until the server accepts.
    scratch = port_file.with_suffix(".new")
    scratch.write_text(f"127.0.0.1:{listener.getsockname()[1]}\n")
    scratch.rename(port_file)
    await web.serve(sockets=[listener])
