"""`mrk adopt`: manages a key set that exists."""

from typing import TYPE_CHECKING, Any

import click

from mrk.commands.caller import Caller, calls_the_stack, on_interrupt
from mrk.commands.following import timeout_option
from mrk.commands.operating import follow_operation
from mrk.declarations import read_declarations
from mrk.errors import MrkError

if TYPE_CHECKING:
    from rich.console import Console


@click.command("adopt")
@click.argument("declaration", metavar="FILE")
@click.option("--key-arn", help="Any key of the set, instead of `keyArn` in FILE.")
@click.option("--unmanaged", multiple=True, metavar="REGION", help="A replica that stays outside.")
@click.option("--plan", "planning", is_flag=True, help="Only show what differs; change nothing.")
@click.option("--take-over", is_flag=True, help="Also what another stack or tool manages.")
@click.option("--follow", is_flag=True, help="Watch until the outcome is there.")
@timeout_option
@calls_the_stack
def adopt_command(
    caller: Caller,
    declaration: str,
    *,
    key_arn: str | None,
    unmanaged: tuple[str, ...],
    planning: bool,
    take_over: bool,
    follow: bool,
    timeout: float,
) -> None:
    """Manage a key set that exists as FILE declares it.

    FILE is a declaration as JSON or YAML, or - for standard input. With --plan, one that has only
    requestId (and the key's ARN) is answered with the complete declaration, as KMS has it.
    """
    read = read_declarations(declaration)
    if len(read) != 1:
        raise MrkError("One key set is adopted at a time; name one declaration.")
    body = dict(read[0].document)
    if key_arn:
        body["keyArn"] = key_arn
    if unmanaged:
        body["unmanaged"] = [*unmanaged]
    if take_over:
        body["takeOver"] = True
    if planning:
        plan = caller.api.post("keys", query={"adopt": "true", "plan": "true"}, body=body)
        caller.answer(plan, lambda console: _show(console, plan))
        if plan["errors"] or plan["differences"]:
            raise SystemExit(1)
        return
    on_interrupt("Interrupted. Whether the adoption was taken is not known; repeat the command.")
    answer = caller.api.post("keys", query={"adopt": "true"}, body=body)
    follow_operation(caller, answer, follow=follow, timeout=timeout)


def _show(console: "Console", plan: dict[str, Any]) -> None:
    from mrk import plan_text  # noqa: PLC0415 - imports rich

    plan_text.print_adoption(console, plan)
