"""The commands behind `make up`, `down`, `run`, `batch`, `provide`, `hook` and others."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError
from rich.console import Console

from local.commands.batch import batch
from local.commands.console import console
from local.commands.hook import hook
from local.commands.invoke import invoke
from local.commands.mrk import mrk
from local.commands.provide import provide
from local.commands.run import read_event, run
from local.commands.up import up
from local.commands.verify import verify
from local.errors import LocalStackError
from local.settings import STATE
from local.stack import server
from local.stack.stack import Stack

_CONSOLE = Console(highlight=False, soft_wrap=True)
_INTERRUPTED = 130
"""What a shell returns for a command that was interrupted from the keyboard."""

_AGAIN = {
    "up": "go on with the deployment",
    "run": "follow the request to its end",
    "batch": "follow what is left of the file",
}
"""What a command does when it is run again after an interrupt."""


def main() -> int:
    """Run a command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the local stack, or bring it up to date")
    commands.add_parser("down", help="stop the local stack")
    sending = commands.add_parser(
        "run", help="send an event to the local stack, start it if needed"
    )
    sending.add_argument("event", type=Path, help="file with an EventBridge event")
    batching = commands.add_parser("batch", help="send a file of requests to the local stack")
    batching.add_argument("file", type=Path, help="JSON Lines or CSV")
    providing = commands.add_parser("provide", help="answer a request that waits for key material")
    providing.add_argument("request", help="the requestId")
    providing.add_argument("material", type=Path, help="file with the key material")
    hooking = commands.add_parser("hook", help="deliver a ticket system's sample, signed")
    hooking.add_argument("source", help="the name of a file in events/hooks/")
    commands.add_parser("verify", help="run `mrk verify` against the local stack")
    calling = commands.add_parser("mrk", help="run the command `mrk` against the local stack")
    calling.add_argument("arguments", nargs="*", help="its arguments")
    commands.add_parser("console", help="serve `mrk console` for the local stack")
    invoking = commands.add_parser(
        "invoke", help="run one function in a container against the local stack"
    )
    invoking.add_argument("function", help="the function's name in template.yaml")
    invoking.add_argument("event", type=Path, help="file with the function's own input")
    invoking.add_argument("options", nargs="*", help="more options for `sam local invoke`")
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except LocalStackError as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, httpx.TransportError) as error:
        # One that is being stopped takes no connections any more, and lives a moment longer.
        emulator = server.running(STATE)
        if emulator and server.listens(emulator):
            raise
        print(f"The local stack was stopped meanwhile: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(_interrupted(arguments.command), file=sys.stderr)
        return _INTERRUPTED


def _interrupted(command: str) -> str:
    """Say what goes on although the command was interrupted, and how the person goes on."""
    again = _AGAIN.get(command)
    return " ".join(
        [
            "Interrupted. What was sent goes on while the local stack is up.",
            *([f"To {again}, run the same command again."] if again else []),
            "To stop the stack: make down",
        ]
    )


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "down":
            code = _down()
        case "run":
            event = read_event(arguments.event)
            code = run(_up(), event, _CONSOLE)
        case "batch":
            code = batch(Stack.of(_up()), arguments.file, _CONSOLE)
        case "hook":
            code = hook(Stack.of(_up()), arguments.source, _CONSOLE)
        case "invoke":
            code = invoke(_up(), arguments.function, arguments.event, arguments.options)
        case "verify" | "mrk" | "console":
            code = _mrk(arguments)
        case "provide":
            provide(Stack.of(_up()), arguments.request, arguments.material, _CONSOLE)
            code = 0
        case _:
            _up()
            code = 0
    return code


def _up() -> dict[str, Any]:
    """Start and deploy; return what stack.json holds."""
    return up(_CONSOLE)


def _mrk(arguments: argparse.Namespace) -> int:
    """Run a command of `mrk` on the local stack."""
    if arguments.command == "console":
        return console(_up())
    if arguments.command == "verify":
        return verify(_up(), STATE / "verify.json")
    return mrk(_up_quietly(), arguments.arguments)


def _up_quietly() -> dict[str, Any]:
    """Return what stack.json holds; start and deploy beside standard output, unless it is up."""
    described = STATE / "stack.json"
    if server.running(STATE) and described.exists():
        found: dict[str, Any] = json.loads(described.read_text())
        return found
    return up(Console(highlight=False, soft_wrap=True, stderr=True))


def _down() -> int:
    emulator = server.running(STATE)
    if emulator:
        server.stop(emulator)
    (STATE / "stack.json").unlink(missing_ok=True)
    _CONSOLE.print(
        "The local stack is stopped." if emulator else "The local stack was not running."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
