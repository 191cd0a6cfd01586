"""What is changed by hand is found within a minute, published once, and repaired on demand."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.changes import Document, created
from tests.support.stack.drifting import deploy_further_regions, drifts, wait_for_drift
from tests.support.stack.reading import ADMIN

HOME, EUROPE, WEST = "us-east-1", "eu-west-1", "us-west-2"
REGIONS = (HOME, EUROPE, WEST)
ROTATION = {"periodInDays": 365}
type ByHand = Callable[[Any, str, Document], None]


def _disable(kms: Any, arn: str, _: Document) -> None:
    kms.disable_key(KeyId=arn)


def _schedule_deletion(kms: Any, arn: str, _: Document) -> None:
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)


def _describe(kms: Any, arn: str, _: Document) -> None:
    kms.update_key_description(KeyId=arn, Description="by hand")


def _open(kms: Any, arn: str, _: Document) -> None:
    policy = json.loads(kms.get_key_policy(KeyId=arn)["Policy"])
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*"}
    )
    kms.put_key_policy(KeyId=arn, Policy=json.dumps(policy))


def _shut_out(kms: Any, arn: str, _: Document) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ADMIN},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = {"Version": "2012-10-17", "Statement": statement}
    kms.put_key_policy(KeyId=arn, Policy=json.dumps(policy), BypassPolicyLockoutSafetyCheck=True)


def _tag(kms: Any, arn: str, _: Document) -> None:
    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "team", "TagValue": "by hand"}])


def _untag_ours(kms: Any, arn: str, _: Document) -> None:
    kms.untag_resource(KeyId=arn, TagKeys=["mrk:stack"])


def _delete_alias(kms: Any, _: str, document: Document) -> None:
    kms.delete_alias(AliasName=document["alias"])


def _move_alias(kms: Any, _: str, document: Document) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=document["alias"], TargetKeyId=other)


def _stop_rotation(kms: Any, arn: str, _: Document) -> None:
    kms.disable_key_rotation(KeyId=arn)


def _rotate_otherwise(kms: Any, arn: str, _: Document) -> None:
    kms.enable_key_rotation(KeyId=arn, RotationPeriodInDays=90)


def _replicate(kms: Any, arn: str, _: Document) -> None:
    kms.replicate_key(KeyId=arn, ReplicaRegion="ap-south-1")


def _promote(kms: Any, arn: str, _: Document) -> None:
    kms.update_primary_region(KeyId=arn, PrimaryRegion=EUROPE)


# What is done by hand, the property and the event that are named, and the Regions.
BY_HAND: list[tuple[ByHand, str, str, tuple[str, ...]]] = [
    (_disable, "keyState", "DisableKey", REGIONS),
    (_schedule_deletion, "keyState", "ScheduleKeyDeletion", REGIONS),
    (_describe, "description", "UpdateKeyDescription", REGIONS),
    (_open, "policy", "PutKeyPolicy", REGIONS),
    (_tag, "tags.team", "TagResource", REGIONS),
    (_untag_ours, "tags.mrk:stack", "UntagResource", REGIONS),
    (_delete_alias, "alias", "DeleteAlias", REGIONS),
    (_move_alias, "alias", "UpdateAlias", REGIONS),
    (_stop_rotation, "rotation", "DisableKeyRotation", (HOME,)),
    (_rotate_otherwise, "rotation", "EnableKeyRotation", (HOME,)),
    (_replicate, "region", "ReplicateKey", (HOME,)),
    (_promote, "primaryRegion", "UpdatePrimaryRegion", (HOME,)),
]
CASES = [(how, what, name, region) for how, what, name, places in BY_HAND for region in places]


@pytest.fixture(scope="module")
def watching(stack: Stack) -> Iterator[Stack]:
    """Return the stack with its further Regions, where a trail reports calls of KMS."""
    deploy_further_regions(stack, EUROPE, WEST)
    with stack.changed_kms_settings(event_copies=1):
        yield stack


def declared(stack: Stack) -> Document:
    return created(stack, "drift", EUROPE, WEST, rotation=ROTATION, tags={"team": "cards"})


def arn_of(stack: Stack, document: Document, region: str) -> str:
    key = stack.api("GET", f"/keys/{document['requestId']}").json()["key"]
    found = [one["arn"] for one in (key["primary"], *key["replicas"]) if one["region"] == region]
    return str(found[0])


@pytest.fixture(scope="module")
def changed(watching: Stack) -> dict[tuple[str, str], str]:
    """Change a key set by hand for each case; return their requests."""
    sets = [declared(watching) for _ in CASES]
    names = {}
    for document, (how, _, _, region) in zip(sets, CASES, strict=True):
        arn = arn_of(watching, document, region)
        how(watching.client("kms", region), arn, document)
        names[how.__name__, region] = document["requestId"]
    return names


@pytest.mark.parametrize(
    ("how", "what", "event", "region"),
    CASES,
    ids=[f"{how.__name__}-{region}" for how, _, _, region in CASES],
)
def test_what_is_changed_by_hand_is_found_within_a_minute_and_published_once(  # noqa: PLR0917
    watching: Stack,
    changed: dict[tuple[str, str], str],
    how: ByHand,
    what: str,
    event: str,
    region: str,
) -> None:
    name = changed[how.__name__, region]
    found = wait_for_drift(watching, name, 1)
    where = "ap-south-1" if how is _replicate else region
    assert (found["region"], found["property"]) == (where, what)
    assert found["by"]["eventName"] == event
    assert found["by"]["arn"]
    assert found["from"] != found["to"]
    assert len(drifts(watching, name)) == 1


def test_a_key_policy_that_shuts_the_stack_out_is_found(watching: Stack) -> None:
    document = declared(watching)
    _shut_out(watching.client("kms", EUROPE), arn_of(watching, document, EUROPE), document)
    found = wait_for_drift(watching, document["requestId"], 1)
    assert (found["region"], found["property"]) == (EUROPE, "policy")
    assert found["to"] == "the key policy keeps the stack's role out"


def test_what_is_repaired_is_found_again_when_it_is_changed_again(watching: Stack) -> None:
    document = declared(watching)
    name, arn = document["requestId"], arn_of(watching, document, EUROPE)
    kms = watching.client("kms", EUROPE)
    kms.update_key_description(KeyId=arn, Description="by hand")
    wait_for_drift(watching, name, 1)
    operation = {"operationId": f"repair-{uuid.uuid4().hex[:8]}", "operation": "REPAIR"}
    asked = watching.api("POST", f"/keys/{name}/operations", json=operation)
    assert asked.status_code == 202, asked.text

    def repaired() -> bool | None:
        return kms.describe_key(KeyId=arn)["KeyMetadata"]["Description"] == "" or None

    wait_for(repaired, "the repair", timeout=60)
    kms.update_key_description(KeyId=arn, Description="by hand again")
    found = wait_for_drift(watching, name, 2)
    assert (found["property"], found["to"]) == ("description", "by hand again")
