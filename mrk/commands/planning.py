"""`mrk plan`: what declarations would change."""

from typing import TYPE_CHECKING, Any

import click

from mrk.commands.caller import Caller, calls_the_stack
from mrk.declarations import Declaration, is_directory, read_declarations
from mrk.errors import Problem, Refused

if TYPE_CHECKING:
    from rich.console import Console

    from mrk.api import Api

WORDS = ("CONFIRMATION_REQUIRED", "CONFIRMATION_UNUSED")
"""Warnings of a plan for which the request itself is refused."""


@click.command("plan")
@click.argument("declarations", metavar="FILE")
@calls_the_stack
def plan_command(caller: Caller, declarations: str) -> None:
    """Show what FILE would change, Region by Region; nothing is changed.

    FILE is a declaration as JSON or YAML, - for standard input, or a directory, whose declarations
    are planned as one. Ends with exit code 1 where the stack would refuse one of them, also for a
    word that `confirm` has to hold.
    """
    read = read_declarations(declarations)
    planned = [planned_by(caller.api, one) for one in read]
    document: object = {"plans": planned}
    if not is_directory(declarations) and len(planned) == 1:
        document = planned[0].get("plan") or {"errors": planned[0]["errors"]}
    caller.answer(document, lambda console: _show(console, planned))
    if any(refusals(one) for one in planned):
        raise SystemExit(1)


def planned_by(api: "Api", declaration: Declaration) -> dict[str, Any]:
    """Plan a declaration.

    Returns
    -------
    dict
        `source`, `requestId`, and either `plan`, as the API answers it, or `errors`.
    """
    shown: dict[str, Any] = {"source": declaration.source, "requestId": declaration.request_id}
    try:
        answer = api.post("keys", query={"plan": "true"}, body=declaration.document)
    except Refused as refused:
        return shown | {"errors": refused.problems}
    return shown | {"plan": answer}


def refusals(planned: dict[str, Any]) -> list[Problem]:
    """List what the stack would refuse the declaration for."""
    if "errors" in planned:
        found: list[Problem] = planned["errors"]
        return found
    return [one for one in planned["plan"].get("warnings", []) if one["code"] in WORDS]


def _show(console: "Console", planned: list[dict[str, Any]]) -> None:
    from mrk import plan_text  # noqa: PLC0415 - imports rich

    for one in planned:
        plan_text.print_plan(console, one, refusals(one))
    plan_text.print_summary(console, planned)
