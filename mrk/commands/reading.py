"""`mrk get`, `list`, `follow` and `history`: what the stack knows of requests."""

from typing import TYPE_CHECKING, Any

import click

from mrk.commands.caller import Caller, calls_the_stack
from mrk.commands.following import TIMEOUT, follow, timeout_option

if TYPE_CHECKING:
    from rich.console import Console

STATUSES = (
    "IN_PROGRESS",
    "WAITING_FOR_MATERIAL",
    "WAITING_FOR_APPROVAL",
    "CREATED",
    "REJECTED",
    "FAILED",
    "UPDATED",
    "UPDATE_FAILED",
    "DECOMMISSIONED",
)


@click.command("get")
@click.argument("request_id", metavar="REQUEST_ID")
@calls_the_stack
def get_command(caller: Caller, request_id: str) -> None:
    """Show a request's status and its key set."""
    status = caller.api.get("keys", request_id)
    caller.answer(status, lambda console: _show_status(console, status))


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@click.option("--next", "page", help="Where the next page begins, as the page before says.")
@click.option("--all", "everything", is_flag=True, help="Every page.")
@calls_the_stack
def list_command(
    caller: Caller, *, status: str | None, limit: int, page: str | None, everything: bool
) -> None:
    """List requests, a page at a time."""
    listed: dict[str, Any] = {"requests": [], "next": page}
    while True:
        query = {"status": status, "limit": str(limit), "next": listed["next"]}
        given = {name: value for name, value in query.items() if value}
        answer = caller.api.get("keys", query=given)
        listed = {"requests": listed["requests"] + answer["requests"], "next": answer["next"]}
        if not (everything and listed["next"]):
            break
    caller.answer(listed, lambda console: _show_list(console, listed, caller))


@click.command("follow")
@click.argument("request_id", metavar="REQUEST_ID")
@timeout_option
@calls_the_stack
def follow_command(caller: Caller, request_id: str, timeout: float = TIMEOUT) -> None:
    """Watch a request until it has ended, Region by Region.

    Ends with exit code 0 where the key set is as it was declared, else 1.
    """
    raise SystemExit(follow(caller, [request_id], timeout=timeout))


@click.command("history")
@click.argument("request_id", metavar="REQUEST_ID")
@calls_the_stack
def history_command(caller: Caller, request_id: str) -> None:
    """Show what became of a request so far, oldest first."""
    history = caller.api.get("keys", request_id, "history")
    caller.answer(history, lambda console: _show_history(console, history))


def _show_status(console: "Console", status: dict[str, Any]) -> None:
    from mrk import status_text  # noqa: PLC0415 - imports rich

    status_text.print_status(console, status)


def _show_list(console: "Console", listed: dict[str, Any], caller: Caller) -> None:
    from mrk import status_text  # noqa: PLC0415

    status_text.print_list(console, listed["requests"])
    if listed["next"]:
        console.print(f"There are more: {caller.repeat(f'list --next {listed["next"]}')}")


def _show_history(console: "Console", history: dict[str, Any]) -> None:
    from mrk import status_text  # noqa: PLC0415

    status_text.print_history(console, history["outcomes"])
