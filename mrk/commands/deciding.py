"""`mrk approve`, `refuse` and `cancel`: what is done with requests that wait or are under way."""

from typing import Any

import click

from mrk.commands.caller import Caller, Option, calls_the_stack, confirm, say, with_options
from mrk.errors import MrkError

_decision_options = with_options(
    click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
    click.option("--comment", help="Kept with the decision."),
    click.option(
        "--content-hash",
        help="Decide only if this waits; needed with --yes, so that nobody decides unseen.",
    ),
    click.argument("request_id", metavar="REQUEST_ID"),
)


@click.command("approve")
@_decision_options
@calls_the_stack
def approve_command(caller: Caller, request_id: str, **options: Option) -> None:
    """Approve what a request waits with, after showing it."""
    _decide(caller, request_id, "APPROVE", **options)


@click.command("refuse")
@_decision_options
@calls_the_stack
def refuse_command(caller: Caller, request_id: str, **options: Option) -> None:
    """Refuse what a request waits with, after showing it."""
    _decide(caller, request_id, "REFUSE", **options)


@click.command("cancel")
@click.argument("request_id", metavar="REQUEST_ID")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@calls_the_stack
def cancel_command(caller: Caller, request_id: str, *, yes: bool) -> None:
    """Cancel a request that is under way; what exists is kept or rolled back as it asked."""
    confirm(f"Cancel {request_id}?", yes=yes)
    answer = caller.api.delete("keys", request_id)
    follow = caller.repeat(f"follow {request_id}")
    caller.answer(
        answer, lambda _: click.echo(f"{request_id} is being cancelled. To watch it: {follow}")
    )


def _decide(
    caller: Caller,
    request_id: str,
    decision: str,
    *,
    content_hash: str | None,
    comment: str | None,
    yes: bool,
) -> None:
    if yes and not content_hash:
        raise click.UsageError("--yes needs --content-hash: nobody is to decide unseen.")
    status = caller.api.get("keys", request_id)
    approval = status.get("approval")
    if status["status"] != "WAITING_FOR_APPROVAL" or not approval:
        raise MrkError(f"{request_id} waits for no approval; it is {status['status']}.")
    _show(status, approval)
    if content_hash and content_hash != approval["contentHash"]:
        raise MrkError(
            f"Not decided: {request_id} waits with {approval['contentHash']}, and not with what "
            "--content-hash names. Look at what waits now."
        )
    confirm(f"{decision.capitalize()} this?", yes=yes)
    body = {"decision": decision, "contentHash": approval["contentHash"]}
    if comment:
        body["comment"] = comment
    answer = caller.api.post("keys", request_id, "approval", body=body)
    follow = caller.repeat(f"follow {request_id}")
    done = "approved" if decision == "APPROVE" else "refused"
    caller.answer(answer, lambda _: click.echo(f"{request_id} is {done}. To watch it: {follow}"))


def _show(status: dict[str, Any], approval: dict[str, Any]) -> None:
    """Show what is decided, beside standard output, which is for the answer."""
    from mrk import plan_text  # noqa: PLC0415 - imports rich
    from mrk.commands.caller import new_console  # noqa: PLC0415

    say(f"{status['requestId']}, revision {status['revision']}, waits for approval:")
    plan_text.print_approval(new_console(stderr=True), approval)
