"""Key sets that somebody makes with KMS's own calls, and their way to the stack and back."""

import json
from functools import partial
from typing import Any

from local.polling import wait_for
from local.stack.stack import Stack
from provisioner.domain.key_policy import default_policy
from tests.support.stack.changes import EUROPE, HOME, WEST, WRITES_OF_CHANGES
from tests.support.stack.reading import new_request, operations_since

FINISHED = "Multi-Region Key Operation Finished"
FAILED = "Multi-Region Key Operation Failed"
_ACCOUNT = "111122223333"

type Document = dict[str, Any]


def made_by_hand(stack: Stack, name: str, *replicas: str, **more: Any) -> tuple[Document, str]:
    """Make a key set as people do; return its declaration and the primary key's ARN."""
    document = new_request(
        name,
        primaryRegion=HOME,
        description="By hand",
        tags={"team": "payments"},
        replicas=[{"region": one} for one in replicas],
        **more,
    )
    settings: Any = {
        "Description": "By hand",
        "Policy": json.dumps(default_policy("aws", _ACCOUNT)),
        "Tags": [{"TagKey": "team", "TagValue": "payments"}],
    }
    home = stack.client("kms", HOME)
    arn: str = home.create_key(MultiRegion=True, **settings)["KeyMetadata"]["Arn"]
    for region in replicas:
        home.replicate_key(KeyId=arn, ReplicaRegion=region, **settings)
    for region in (HOME, *replicas):
        there = arn.replace(HOME, region)
        enabled = partial(_is_enabled, stack, region, there)
        wait_for(enabled, f"the key in {region} to be enabled", timeout=30)
        stack.client("kms", region).create_alias(AliasName=document["alias"], TargetKeyId=there)
    return document, arn


def _is_enabled(stack: Stack, region: str, arn: str) -> bool | None:
    found = stack.client("kms", region).describe_key(KeyId=arn)["KeyMetadata"]
    return found["KeyState"] == "Enabled" or None


def asked(stack: Stack, document: Document, *, plan: bool = False) -> Any:
    """Ask for an adoption, or for its plan only."""
    return stack.api("POST", f"/keys?adopt=true{'&plan=true' if plan else ''}", json=document)


def ended(stack: Stack, request_id: str, operation_id: str) -> Document:
    """Return the event that says how an operation has ended."""

    def found() -> Document | None:
        events = stack.events(request_id)
        ends = [e for e in events if e["detail-type"] in (FINISHED, FAILED)]
        mine = [e["detail"] for e in ends if e["detail"]["operationId"] == operation_id]
        return mine[-1] if mine else None

    return wait_for(found, f"{operation_id} of {request_id} to end", timeout=90)


def adopted(stack: Stack, document: Document) -> Document:
    """Adopt a key set; return the event that says so."""
    answer = asked(stack, document)
    assert answer.status_code == 202, answer.text
    detail = ended(stack, document["requestId"], answer.json()["operationId"])
    assert (detail["status"], detail["errors"]) == ("FINISHED", []), detail
    return detail


def released(stack: Stack, request_id: str, operation_id: str = "release") -> Document:
    """Release a key set; return the event that says so."""
    body = {"operationId": operation_id, "operation": "RELEASE"}
    answer = stack.api("POST", f"/keys/{request_id}/operations", json=body)
    assert answer.status_code == 202, answer.text
    detail = ended(stack, request_id, operation_id)
    assert (detail["status"], detail["errors"]) == ("FINISHED", []), detail
    return detail


def writes_since(stack: Stack, number: int) -> list[tuple[str, str]]:
    """List the writes in KMS after the first so many calls."""
    calls = operations_since(stack, number)
    return sorted(call for call in calls if call[0] in WRITES_OF_CHANGES)


ALL = (HOME, EUROPE, WEST)
