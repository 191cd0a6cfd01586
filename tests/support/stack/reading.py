"""What the workflow tests read back from KMS, and how they name their requests."""

import json
import uuid
from typing import Any

from local.stack.endpoint import is_read
from local.stack.stack import Stack
from provisioner.domain.policy_meaning import canonical

ACCOUNT = "111122223333"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"
USER = f"arn:aws:iam::{ACCOUNT}:role/CardService"
OWN_TAGS = {"mrk:request-id", "mrk:stack", "mrk:attempt"}
WRITES = {
    "CreateKey",
    "ReplicateKey",
    "CreateAlias",
    "DeleteAlias",
    "UpdateAlias",
    "EnableKeyRotation",
    "PutKeyPolicy",
    "TagResource",
    "UntagResource",
    "UpdateKeyDescription",
    "EnableKey",
    "DisableKey",
    "CancelKeyDeletion",
    "ScheduleKeyDeletion",
}
_UPKEEP = ("-LookAtKeysFunctionRole-", "-SweepRegionFunctionRole-")


def new_request(name: str, **fields: Any) -> dict[str, Any]:
    """Return a request whose ID and alias no other test uses."""
    unique = f"{name}-{uuid.uuid4().hex[:8]}"
    return {"requestId": unique, "alias": f"alias/{unique}", **fields}


def calls_since(stack: Stack, number: int) -> list[dict[str, Any]]:
    """List the calls of KMS after the first `number`, but for reads that nobody asked for.

    Looks and sweeps begin on their own, for keys of whichever test made some.
    """
    return [
        call
        for call in stack.kms_calls(since=number)
        if not (is_read(call) and any(function in call["caller"] for function in _UPKEEP))
    ]


def operations_since(stack: Stack, number: int) -> list[tuple[str, str]]:
    """List the operation and the Region of what `calls_since` lists."""
    return [(call["operation"], call["region"]) for call in calls_since(stack, number)]


def read_key(stack: Stack, region: str, arn: str) -> dict[str, Any]:
    """Read everything that a request can ask of one Region's key."""
    kms = stack.client("kms", region)
    metadata = kms.describe_key(KeyId=arn)["KeyMetadata"]
    aliases = kms.list_aliases(KeyId=arn)["Aliases"]
    tags = kms.list_resource_tags(KeyId=arn)["Tags"]
    return {
        "state": metadata["KeyState"],
        "type": metadata["MultiRegionConfiguration"]["MultiRegionKeyType"],
        "spec": metadata["KeySpec"],
        "usage": metadata["KeyUsage"],
        "origin": metadata["Origin"],
        "description": metadata["Description"],
        "aliases": [alias["AliasName"] for alias in aliases],
        "tags": {t["TagKey"]: t["TagValue"] for t in tags if t["TagKey"] not in OWN_TAGS},
        "ownTags": {t["TagKey"]: t["TagValue"] for t in tags if t["TagKey"] in OWN_TAGS},
        "policy": meaning(json.loads(kms.get_key_policy(KeyId=arn)["Policy"])),
    }


def meaning(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy in the one form for all that mean the same."""
    form: dict[str, Any] = json.loads(canonical(policy, partition="aws"))
    return form


def keys_of_request(stack: Stack, request_id: str, region: str) -> list[str]:
    """Find every key in a Region that carries the request's tag."""
    tagging = stack.client("resourcegroupstaggingapi", region)
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": "mrk:request-id", "Values": [request_id]}],
        ResourceTypeFilters=["kms:key"],
    )
    return [found["ResourceARN"] for page in pages for found in page["ResourceTagMappingList"]]


def root_alone(policy: dict[str, Any]) -> str:
    """Write what is left of a key policy when only the account's root is in it."""
    left = [one for one in policy["Statement"] if one["Sid"] == "Enable IAM User Permissions"]
    return json.dumps({**policy, "Statement": left})


def sids(policy: dict[str, Any]) -> set[str]:
    """Name the statements of a key policy."""
    return {statement["Sid"] for statement in policy["Statement"]}
