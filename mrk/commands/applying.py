"""`mrk apply`: makes key sets as they are declared."""

from typing import Any

import click

from mrk.commands.caller import Caller, calls_the_stack, on_interrupt, say
from mrk.commands.following import FINISHED, Followed, outcomes_of, timeout_option, watch
from mrk.commands.planning import planned_by, refusals
from mrk.declarations import Declaration, is_directory, read_declarations
from mrk.errors import Problem, Refused


@click.command("apply")
@click.argument("declarations", metavar="FILE")
@click.option("--plan-id", help="Apply only if the plan is still this one, as `mrk plan` says it.")
@click.option("--follow", is_flag=True, help="Watch until the outcome is there.")
@timeout_option
@calls_the_stack
def apply_command(
    caller: Caller, declarations: str, *, plan_id: str | None, follow: bool, timeout: float
) -> None:
    """Make key sets as FILE declares them.

    FILE is a declaration as JSON or YAML, - for standard input, or a directory, whose declarations
    are applied as one: where the stack would refuse one of them, none is sent. The same
    declaration again changes nothing.
    """
    read = read_declarations(declarations)
    if plan_id and len(read) > 1:
        raise click.UsageError("A plan is of one declaration; leave --plan-id out.")
    plan_ids = [plan_id]
    if is_directory(declarations) or len(read) > 1:
        plan_ids = _plan_all(caller, read)
    sent = [_send(caller, *both, follow=follow) for both in zip(read, plan_ids, strict=True)]
    followed = [one for _, one in sent if follow and one]
    answers = [answer for answer, _ in sent]
    if followed:
        raise SystemExit(watch(caller, followed, timeout=timeout))
    document = answers[0] if len(answers) == 1 else {"requests": answers}
    caller.answer(document, lambda _: _print_accepted(caller, answers))


def _plan_all(caller: Caller, read: list[Declaration]) -> list[str | None]:
    """Plan every declaration; return the IDs of their plans. Raise Refused for any refusal."""
    planned = [planned_by(caller.api, one) for one in read]
    problems = [
        Problem(
            path=f"{one['source']}{': ' if problem['path'] else ''}{problem['path']}",
            code=problem["code"],
            message=problem["message"],
        )
        for one in planned
        for problem in refusals(one)
    ]
    if problems:
        raise Refused("Nothing was sent, since the stack would refuse this:", problems)
    return [one["plan"].get("planId") for one in planned]


def _send(
    caller: Caller, declaration: Declaration, plan_id: str | None, *, follow: bool
) -> tuple[dict[str, Any], Followed | None]:
    """Send a declaration; return the API's answer, and what is to be followed of it."""
    request_id = declaration.request_id
    known = frozenset[str]()
    if follow and request_id:
        known = frozenset(one["outcomeId"] for one in outcomes_of(caller.api, request_id))
    on_interrupt(
        f"Interrupted. Whether {request_id} was taken is not known; the same command again does "
        "nothing twice."
    )
    query = {"planId": plan_id} if plan_id else None
    answer: dict[str, Any] = caller.api.post("keys", query=query, body=declaration.document)
    say(f"{answer['requestId']} is accepted.")
    if answer["status"] in FINISHED:
        # It is as it is declared, so nothing is to come.
        return answer, Followed(request_id)
    return answer, Followed(request_id, declaration.regions, known)


def _print_accepted(caller: Caller, answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        request_id, status = answer["requestId"], answer["status"]
        follow = caller.repeat(f"follow {request_id}")
        click.echo(f"{request_id}: {status}. To watch it: {follow}")
