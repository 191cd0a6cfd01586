"""The API of the stack, as its callers see it."""

import json
from pathlib import Path
from typing import Any

from tests.support.faults.aws import Aws
from tests.support.faults.workflow import functions

_FUNCTION = "KeysApiFunction"


def ask(aws: Aws, method: str, request_id: str) -> tuple[int, dict[str, Any]]:
    """Send GET or DELETE for a request; return status and body of the answer."""
    return _call(aws, {**_sample(f"{method.lower()}-keys"), "path": f"/keys/{request_id}"})


def post(aws: Aws, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Send a request; return status and body of the answer."""
    return _call(aws, {**_sample("post-keys"), "body": json.dumps(document)})


def _sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(Path(f"events/api-{name}.json").read_text())
    return event


def _call(aws: Aws, event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = functions()[_FUNCTION].invoke(aws, _FUNCTION, event)
    return int(answer["statusCode"]), json.loads(answer["body"])
