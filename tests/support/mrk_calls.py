"""Calls of `mrk` as pages and scripts write them, parsed and not run."""

import re
import shlex
from typing import Any

import click

from mrk import cli

# What follows belongs to the shell, or is a comment.
_CALL = re.compile(r"^\s*(mrk [^|>;&#\n]+)", re.MULTILINE)


def calls_in(text: str) -> list[list[str]]:
    """List the arguments of each `mrk` that begins a line."""
    return [shlex.split(line)[1:] for line in _CALL.findall(text)]


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the command of a call, and its options and arguments by name.

    Raises
    ------
    click.UsageError
        `mrk` does not take the call.
    """
    context = click.Context(cli.main, info_name="mrk")
    name, command, rest = cli.main.resolve_command(context, arguments)
    assert name
    assert command
    return name, command.make_context(name, rest, parent=context).params
