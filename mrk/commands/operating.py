"""`mrk rotate`, `repair` and `release`: what is done with a key set as it is declared."""

import uuid
from typing import Any

import click

from mrk.commands.caller import (
    Caller,
    Option,
    calls_the_stack,
    confirm,
    on_interrupt,
    say,
    with_options,
)
from mrk.commands.following import Followed, timeout_option, watch

_FINISHED, _FAILED = "FINISHED", "FAILED"


_operation_options = with_options(
    click.option("--follow", is_flag=True, help="Watch until the outcome is there."),
    click.option("--confirm", "words", multiple=True, help="A word that it takes, as REMOVE:…"),
    click.option(
        "--operation-id",
        help="Its identity: the same again is the same operation. A new one by default.",
    ),
    click.argument("request_id", metavar="REQUEST_ID"),
)


@click.command("rotate")
@_operation_options
@click.option("--material", is_flag=True, help="Import new key material, then rotate to it.")
@timeout_option
@calls_the_stack
def rotate_command(caller: Caller, request_id: str, *, material: bool, **asked: Option) -> None:
    """Rotate a key set's material on demand, exactly once."""
    operate(caller, request_id, "ROTATE_MATERIAL" if material else "ROTATE", **asked)


@click.command("repair")
@_operation_options
@timeout_option
@calls_the_stack
def repair_command(caller: Caller, request_id: str, **asked: Option) -> None:
    """Make a key set in KMS as it is declared again."""
    operate(caller, request_id, "REPAIR", **asked)


@click.command("release")
@_operation_options
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@timeout_option
@calls_the_stack
def release_command(caller: Caller, request_id: str, *, yes: bool, **asked: Option) -> None:
    """Stop managing a key set: the stack's tags go, and nothing else."""
    confirm(f"Stop managing the keys of {request_id}?", yes=yes)
    operate(caller, request_id, "RELEASE", **asked)


def operate(
    caller: Caller,
    request_id: str,
    operation: str,
    *,
    operation_id: str | None,
    words: tuple[str, ...],
    follow: bool,
    timeout: float,
) -> None:
    """Ask for an operation; print that it is accepted, or watch it to its end."""
    name = operation_id or f"{operation.lower().replace('_', '-')}-{uuid.uuid4()}"
    on_interrupt(
        f"Interrupted. Whether {name} was taken is not known; repeat the command with "
        f"--operation-id {name}, which does nothing twice."
    )
    body: dict[str, Any] = {"operationId": name, "operation": operation}
    if words:
        body["confirm"] = [*words]
    answer = caller.api.post("keys", request_id, "operations", body=body)
    follow_operation(caller, answer, follow=follow, timeout=timeout)


def follow_operation(
    caller: Caller, answer: dict[str, Any], *, follow: bool, timeout: float
) -> None:
    """Watch an operation that was accepted, or only print that it was."""
    request_id, name, status = (answer[one] for one in ("requestId", "operationId", "status"))
    say(f"{answer['operation']} {name} of {request_id} is accepted.")
    if follow:
        followed = Followed(request_id, operation_id=name)
        raise SystemExit(watch(caller, [followed], timeout=timeout))
    caller.answer(
        answer,
        lambda _: click.echo(
            f"{name}: {status}. To watch it: {caller.repeat(f'follow {request_id}')}"
        ),
    )
    if status == _FAILED:
        raise SystemExit(1)
