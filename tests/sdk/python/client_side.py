"""Takes the command line every client program of the matrix has. Gives one JSON line for each step of a script.

Never prints what differs from run to run: no times, no ids, no ports.

    client.py --transport stdio|http|sse|ws --era legacy|modern --traceparent T --script JSON (--url URL | -- COMMAND ARG...)

Each step is an object: {"do": "tools"}, {"do": "call", "name": N, "arguments": {...}},
{"do": "resource", "uri": U} or {"do": "prompt", "name": N, "arguments": {...}}.
"""

import argparse
import asyncio
import json
import logging


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=["stdio", "http", "sse", "ws"], required=True)
    parser.add_argument("--era", choices=["legacy", "modern"], required=True)
    parser.add_argument("--traceparent", required=True)
    parser.add_argument("--script", type=json.loads, required=True)
    parser.add_argument("--url")
    parser.add_argument("command", nargs="*")
    # The answers are compared; what an SDK logs about itself is not.
    logging.disable(logging.CRITICAL)
    return parser.parse_args()


def say(step, **what):
    print(json.dumps({"step": step} | what, sort_keys=True), flush=True)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def run_steps(script, do, refused):
    """Run each step by `do(step, progress)`; `refused` is the class of the peer's errors."""
    for step in script:
        name = " ".join([step["do"], step.get("name") or step.get("uri") or ""]).strip()
        progress = []
        try:
            result = plain(await do(step, progress))
        except refused as error:
            say(name, error=plain(error.error))
            continue
        say(name, result=result, **({"progress": progress} if progress else {}))


def note(progress):
    """A callback that notes each report; giving one is what makes a client ask for progress."""

    async def callback(done, total=None, message=None):
        progress.append([done, total])

    return callback


def main(run):
    asyncio.run(run(arguments()))
