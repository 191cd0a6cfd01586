"""`make run`: sends one request, shows its progress and the key set that KMS then has."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console

from local.commands.execution_steps import Steps
from local.errors import LocalStackError
from local.polling import wait_for
from local.progress import Progress
from local.stack.endpoint import is_read
from local.stack.stack import REQUESTED, Stack

_START_TIMEOUT = 30
_RUN_TIMEOUT = 1800
_OUTCOME_TIMEOUT = 15
_WAITS_FOR_MATERIAL = "WAITING_FOR_MATERIAL"
_UNDER_WAY = ("IN_PROGRESS", _WAITS_FOR_MATERIAL)
_DONE = ("CREATED", "UPDATED", "DECOMMISSIONED")


@dataclass(frozen=True)
class Event:
    """An EventBridge event to send."""

    source: str
    detail_type: str
    detail: dict[str, Any]

    @property
    def request_id(self) -> Any:
        """The request's own ID: a string, unless the request is to be rejected."""
        return self.detail.get("requestId")


def read_event(path: Path) -> Event:
    """Read an EventBridge event from a file.

    Raises
    ------
    LocalStackError
        The file cannot be read or is no such event.
    """
    try:
        event = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LocalStackError(f"EVENT={path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise LocalStackError(f"EVENT={path} is not JSON: {error}.") from error
    try:
        read = Event(event["source"], event["detail-type"], event["detail"])
    except (KeyError, TypeError) as error:
        raise LocalStackError(
            f"EVENT={path} is not an EventBridge event: it needs the fields source, detail-type "
            "and detail. See events/key-requested.json."
        ) from error
    if not isinstance(read.detail, dict):
        raise LocalStackError(f"EVENT={path}: detail must be an object, the request.")
    if read.detail_type != REQUESTED:
        raise LocalStackError(
            f"EVENT={path}: nothing listens to detail-type '{read.detail_type}'. "
            f"It must be '{REQUESTED}'."
        )
    return read


def run(described: dict[str, Any], event: Event, console: Console) -> int:
    """Send the event and follow its request to the end.

    Returns
    -------
    int
        The exit code: 0 if the key set is as the request says, else 1.

    Raises
    ------
    LocalStackError
        The request could not be followed.
    """
    with Stack.listening(described) as stack:
        calls_before = len(stack.kms_calls())
        began = time.monotonic()
        with Progress(console) as progress:
            execution, detail = _follow_to_outcome(stack, event, progress)
        seconds = time.monotonic() - began
        calls = _calls_of(event, detail, stack.kms_calls(since=calls_before))
        reads = sum(is_read(call) for call in calls)
        done = detail["status"] in _DONE
        colour = "green" if done else "red"
        console.print(f"[bold {colour}]{detail['status']}[/] request {event.request_id}")
        for one in [*(detail.get("errors") or []), *(detail.get("warnings") or [])]:
            console.print(f"  {one['path']}: {one['code']}: {one['message']}", markup=False)
        if detail.get("key"):
            _print_key_set(stack, detail["key"]["primary"], console)
        console.print(
            f"{len(calls) - reads} KMS writes and {reads} reads in {seconds:.1f} s; "
            f"execution {execution}"
        )
    return 0 if done else 1


def _follow_to_outcome(
    stack: Stack, event: Event, progress: Progress
) -> tuple[str, dict[str, Any]]:
    """Send the event; return the execution that ended with the request's outcome, and that."""
    with progress.step("Send the request"):
        execution = _send(stack, event)
    while True:
        while started := _follow(stack, execution, event, progress):
            execution = started
        with progress.step("Receive the outcome"):
            detail = _outcome(stack, event, execution)
        if detail is not None:
            return execution, detail
        execution = _holder(stack, event, execution)
        progress.say(f"Another execution works on the request: {execution}")


def _send(stack: Stack, event: Event) -> str:
    """Send the event; return the ARN of its execution."""
    before = stack.executions(event.request_id)

    def started() -> str | None:
        return next((arn for arn in stack.executions(event.request_id) if arn not in before), None)

    stack.send(event.detail, event.detail_type, event.source)
    return wait_for(started, "an execution to start", timeout=_START_TIMEOUT)


def _follow(stack: Stack, execution: str, event: Event, progress: Progress) -> str | None:
    """Show each step of an execution, until it ends; return the one that goes on with its work."""
    show = progress.below()
    asked = False

    def ended() -> Steps | None:
        nonlocal asked
        # Asked before the history is read, so that nothing comes after what is shown last.
        running = stack.is_running(execution)
        steps = Steps(stack.history(execution))
        show(steps.lines)
        if not steps.waits_for_answer:
            asked = False
        elif not asked and _waits_for_material(stack, event):
            asked = True
            hint = f"make provide REQUEST={event.request_id} MATERIAL=<file>"
            progress.say(f"The request waits for key material: {hint}")
        return None if running else steps

    steps = wait_for(ended, f"execution {execution} to end", timeout=_RUN_TIMEOUT, interval=0.2)
    return steps.started


def _waits_for_material(stack: Stack, event: Event) -> bool:
    record = _record(stack, event)
    return bool(record and record["status"] == _WAITS_FOR_MATERIAL)


def _outcome(stack: Stack, event: Event, execution: str) -> dict[str, Any] | None:
    """Return the outcome of a request, once one of its executions has ended.

    That is what the execution published, or what the API answers: a request that is sent again
    after its key set was finished ends without another event. None where another execution works on
    the request.
    """

    def published() -> list[dict[str, Any] | None] | None:
        for outcome in stack.outcomes(event.request_id):
            detail: dict[str, Any] = outcome["detail"]
            if detail["executionArn"] == execution:
                return [detail]
        record = _record(stack, event)
        if record and record["status"] in _DONE:
            return [record]
        if record and record["executionArn"] != execution and record["status"] in _UNDER_WAY:
            return [None]
        return None

    try:
        return wait_for(published, "the outcome", timeout=_OUTCOME_TIMEOUT)[0]
    except LocalStackError as error:
        raise LocalStackError(
            f"The execution ended and published no outcome. Its history says why: {execution}"
        ) from error


def _holder(stack: Stack, event: Event, execution: str) -> str:
    record = _record(stack, event)
    return str(record["executionArn"]) if record else execution


def _record(stack: Stack, event: Event) -> dict[str, Any] | None:
    if not isinstance(event.request_id, str):
        return None
    answer = stack.api("GET", f"/keys/{quote(event.request_id, safe='')}")
    if answer.status_code != HTTPStatus.OK:
        return None
    record: dict[str, Any] = answer.json()
    return record


def _calls_of(
    event: Event, detail: dict[str, Any], calls: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Select the calls about a request: others may have run beside it."""
    replicas = event.detail.get("replicas")
    members = [event.detail, *(replicas if isinstance(replicas, list) else [])]
    named = [one.get("alias") for one in members if isinstance(one, dict)]
    names = {name for name in (event.request_id, *named) if isinstance(name, str)}
    key_id = detail["key"]["keyId"] if detail.get("key") else None
    return [
        call
        for call in calls
        if any(name in names or (key_id and name.endswith(key_id)) for name in call["subjects"])
    ]


def _print_key_set(stack: Stack, primary: dict[str, Any], console: Console) -> None:
    """Print what KMS has, in every Region that KMS says the key set is in."""
    key = _describe(stack, primary["region"], primary["arn"])
    config = key["MultiRegionConfiguration"]
    console.print(f"{key['KeyId']}  {key['KeySpec']}  {key['KeyUsage']}  {key['Origin']}")
    for member in [config["PrimaryKey"], *config["ReplicaKeys"]]:
        region, arn = member["Region"], member["Arn"]
        found = _describe(stack, region, arn)
        kind = found["MultiRegionConfiguration"]["MultiRegionKeyType"]
        console.print(f"[bold]{region}[/]  {kind}  {found['KeyState']}")
        kms = stack.client("kms", region)
        aliases = kms.list_aliases(KeyId=arn)["Aliases"]
        tags = kms.list_resource_tags(KeyId=arn)["Tags"]
        policy = json.loads(kms.get_key_policy(KeyId=arn)["Policy"])
        for name, value in (
            ("ARN", arn),
            ("alias", ", ".join(alias["AliasName"] for alias in aliases) or "none"),
            ("description", found["Description"] or "none"),
            ("tags", ", ".join(f"{t['TagKey']}={t['TagValue']}" for t in tags) or "none"),
            *(("policy", line) for line in _policy_digest(policy)),
        ):
            console.print(f"  {name:<12} {value}", markup=False)


def _describe(stack: Stack, region: str, arn: str) -> dict[str, Any]:
    answer = stack.client("kms", region).describe_key(KeyId=arn)
    metadata: dict[str, Any] = answer["KeyMetadata"]
    return metadata


def _policy_digest(policy: dict[str, Any]) -> Iterator[str]:
    """Return a line for each statement: its name and whom it is about."""
    statements = policy["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", "")
        named = principal.values() if isinstance(principal, dict) else [principal]
        names = ", ".join(
            name.split(":")[-1]
            for value in named
            for name in (value if isinstance(value, list) else [value])
        )
        yield f"{statement.get('Sid', statement['Effect'])}: {names}"
