"""The API of the stack, as its callers see it."""

import json
from pathlib import Path
from typing import Any

from tests.support.faults.aws import Aws, Execution
from tests.support.faults.workflow import functions

_FUNCTION = "KeysApiFunction"


def ask(aws: Aws, method: str, request_id: str) -> tuple[int, dict[str, Any]]:
    """Send GET or DELETE for a request; return status and body of the answer."""
    return _call(aws, {**_sample(f"{method.lower()}-keys"), "path": f"/keys/{request_id}"})


def post(
    aws: Aws, document: dict[str, Any], *, caller: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a request; return status and body of the answer."""
    event = {**_sample("post-keys"), "body": json.dumps(document)}
    return _call(aws, _by(caller, event) if caller else event)


def decide(
    aws: Aws, request_id: str, body: dict[str, Any], caller: str, execution: Execution | None = None
) -> tuple[int, dict[str, Any]]:
    """Approve or refuse a request; return status and body of the answer.

    Parameters
    ----------
    execution
        The one that waits for it: a fault that stops an execution stops this one.
    """
    path = f"/keys/{request_id}/approval"
    event = {**_sample("post-keys"), "path": path, "body": json.dumps(body)}
    return _call(aws, _by(caller, event), execution)


def operate(
    aws: Aws, request_id: str, body: dict[str, Any], *, caller: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Ask for an operation on a key set; return status and body of the answer."""
    path = f"/keys/{request_id}/operations"
    event = {**_sample("post-keys"), "path": path, "body": json.dumps(body)}
    return _call(aws, _by(caller, event) if caller else event)


def _by(caller: str, event: dict[str, Any]) -> dict[str, Any]:
    identity = {"userArn": caller, "sourceIp": "192.0.2.1"}
    return {**event, "requestContext": {**event["requestContext"], "identity": identity}}


def _sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(Path(f"events/api-{name}.json").read_text())
    return event


def _call(
    aws: Aws, event: dict[str, Any], execution: Execution | None = None
) -> tuple[int, dict[str, Any]]:
    answer = functions()[_FUNCTION].invoke(aws, _FUNCTION, event, execution)
    return int(answer["statusCode"]), json.loads(answer["body"])
