"""Somebody who has the key material: looks at where the request stands, wraps it, and answers."""

import base64
import json
from typing import Any

from tests.support.faults.aws import Aws, Execution, Holder, WaitingTask
from tests.support.faults.kms import wrap
from tests.support.faults.workflow import StateFailed, functions

MATERIAL = b"the key material of this key set"
NEW_MATERIAL = b"what the key set is rotated to.."
OTHER_MATERIAL = b"something that is not the key's."
_TRIES = 3
_PATIENCE = 60


def answer_promptly(aws: Aws, task: WaitingTask) -> None:
    """Answer what the status asks for; where it still asks a minute later, answer again."""
    for _ in range(_TRIES):
        request_id = task.execution.document["requestId"]
        if materials := asked_for(aws, request_id):
            give(aws, answer(request_id, materials), task.execution)
            aws.sleep(_PATIENCE)


def answer_new(material: bytes = NEW_MATERIAL) -> Holder:
    """Return a holder who answers an operation that asks for new material."""

    def answer_promptly(aws: Aws, task: WaitingTask) -> None:
        for _ in range(_TRIES):
            request_id = task.execution.document["request"]["requestId"]
            if materials := asked_for(aws, request_id):
                give(aws, answer(request_id, materials, material), task.execution)
                aws.sleep(_PATIENCE)

    return answer_promptly


def asked_for(aws: Aws, request_id: str) -> list[dict[str, str]]:
    """Return what the request's status asks for; that is nothing where it does not wait."""
    item = aws.dynamodb.tables["requests"].get(request_id, {})
    if item.get("status") != {"S": "WAITING_FOR_MATERIAL"}:
        return []
    materials: list[dict[str, str]] = json.loads(item["materials"]["S"])
    return materials


def answer(
    request_id: str, asked: list[dict[str, str]], material: bytes = MATERIAL
) -> dict[str, Any]:
    """Wrap key material for every Region that is asked for."""
    return {"requestId": request_id, "materials": [wrapped_for(one, material) for one in asked]}


def wrapped_for(asked: dict[str, str], material: bytes = MATERIAL) -> dict[str, str]:
    """Wrap key material for one Region."""
    encrypted = wrap(base64.b64decode(asked["publicKey"]), material)
    return {
        "region": asked["region"],
        "importToken": asked["importToken"],
        "encryptedKeyMaterial": base64.b64encode(encrypted).decode(),
    }


def give(aws: Aws, document: dict[str, Any], execution: Execution | None = None) -> bool:
    """Send an answer over the bus; False where the function that takes it did not end well.

    Parameters
    ----------
    execution
        The one that waits for it: a fault that stops an execution stops this one.
    """
    name = "ReceiveKeyMaterialFunction"
    try:
        functions()[name].invoke(aws, name, document, execution)
    except StateFailed:
        return False
    return True
