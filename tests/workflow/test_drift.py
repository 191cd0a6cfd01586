"""What is changed by hand is found within a minute, published once, and repaired on demand.

The key sets of all tests are made side by side, and changed by hand all at once: the events about
them come together, as in a storm, and each has to lead to what was done to its own key.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.changes import Document, revised
from tests.support.stack.drifting import (
    deploy_further_regions,
    drifts,
    one_batch_of_events,
    wait_for_drift,
)
from tests.support.stack.reading import ADMIN, USER, new_request

HOME, EUROPE, WEST = "us-east-1", "eu-west-1", "us-west-2"
REGIONS = (HOME, EUROPE, WEST)
FINISHED = "Multi-Region Key Operation Finished"
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


def _rewrite(kms: Any, arn: str, _: Document) -> None:
    """Write the same key policy otherwise: in another order, a list of one as a text."""
    policy = json.loads(kms.get_key_policy(KeyId=arn)["Policy"])
    statements = [_otherwise(statement) for statement in reversed(policy["Statement"])]
    kms.put_key_policy(KeyId=arn, Policy=json.dumps({**policy, "Statement": statements}))


def _otherwise(statement: Document) -> Document:
    found = {name: _listed_otherwise(value) for name, value in reversed(statement.items())}
    principal = {name: _listed_otherwise(who) for name, who in statement["Principal"].items()}
    return {**found, "Principal": principal}


def _listed_otherwise(value: Any) -> Any:
    match value:
        case [alone]:
            return alone
        case [*several]:
            return several[::-1]
        case str():
            return [value] if value.startswith(("kms:", "arn:")) else value
        case _:
            return value


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


type Case = tuple[ByHand, str, str, tuple[str, ...]]
# By key set: what is done by hand, the property and the event that are named, and the Regions.
BY_HAND: dict[str, list[Case]] = {
    "settings": [
        (_describe, "description", "UpdateKeyDescription", REGIONS),
        (_open, "policy", "PutKeyPolicy", REGIONS),
        (_tag, "tags.team", "TagResource", REGIONS),
        (_delete_alias, "alias", "DeleteAlias", REGIONS),
        (_stop_rotation, "rotation", "DisableKeyRotation", (HOME,)),
        (_disable, "keyState", "DisableKey", REGIONS),
    ],
    "ours": [
        (_untag_ours, "tags.mrk:stack", "UntagResource", REGIONS),
        (_move_alias, "alias", "UpdateAlias", REGIONS),
        (_rotate_otherwise, "rotation", "EnableKeyRotation", (HOME,)),
        (_replicate, "region", "ReplicateKey", (HOME,)),
    ],
    "deleted": [(_schedule_deletion, "keyState", "ScheduleKeyDeletion", REGIONS)],
    "promoted": [(_promote, "primaryRegion", "UpdatePrimaryRegion", (HOME,))],
    "shut-out": [(_shut_out, "policy", "PutKeyPolicy", (EUROPE,))],
    # Its key policies are written otherwise as well, and have the same meaning.
    "repaired": [(_describe, "description", "UpdateKeyDescription", (EUROPE,))],
}
CASES = [
    (of, how, what, name, region)
    for of, cases in BY_HAND.items()
    for how, what, name, regions in cases
    for region in regions
]
type Sets = dict[str, Document]


@pytest.fixture(scope="module")
def watching(stack: Stack) -> Iterator[Stack]:
    """Return the stack with its further Regions, where a trail reports calls of KMS."""
    deploy_further_regions(stack, EUROPE, WEST)
    # A replica key that is still Creating would put the look at its set off by 30 seconds.
    with stack.changed_kms_settings(event_copies=1, creating_seconds=0):
        yield stack


@pytest.fixture(scope="module")
def sets(watching: Stack) -> Sets:
    """Create a key set for each kind of change; the one to be repaired has a second revision."""
    policy = {"administrators": [ADMIN], "users": [USER]}
    replicas = [{"region": EUROPE}, {"region": WEST}]
    fields = {"rotation": ROTATION, "tags": {"team": "cards"}, "policy": policy}
    made = {of: new_request(of, replicas=replicas, **fields) for of in BY_HAND}
    carry_out(watching, [*made.values()], "CREATED")
    users = {"administrators": [ADMIN], "users": [USER, ADMIN]}
    further = {"rotation": {"periodInDays": 180}, "policy": users, "description": "second"}
    made["repaired"] = revised(made["repaired"], **further)
    carry_out(watching, [made["repaired"]], "UPDATED")
    return made


@pytest.fixture(scope="module")
def changed(watching: Stack, sets: Sets) -> Sets:
    """Change the key sets by hand, all at once."""
    arns = {of: arns_of(watching, document) for of, document in sets.items()}
    kms = {region: watching.client("kms", region) for region in REGIONS}
    with one_batch_of_events(watching, len(CASES) + len(REGIONS)):
        for region in REGIONS:
            _rewrite(kms[region], arns["repaired"][region], sets["repaired"])
        for of, how, _, _, region in CASES:
            how(kms[region], arns[of][region], sets[of])
    return sets


def carry_out(stack: Stack, documents: list[Document], status: str) -> None:
    """Send declarations side by side, and wait until all are carried out."""
    for document in documents:
        assert stack.api("POST", "/keys", json=document).status_code == 202
    for document in documents:
        count = document.get("revision", 1)
        outcome = stack.wait_for_outcomes(document["requestId"], count)[-1]
        assert outcome["detail"]["status"] == status, outcome


def arns_of(stack: Stack, document: Document) -> dict[str, str]:
    key = stack.api("GET", f"/keys/{document['requestId']}").json()["key"]
    return {one["region"]: one["arn"] for one in (key["primary"], *key["replicas"])}


@pytest.mark.parametrize(
    ("of", "how", "what", "event", "region"),
    CASES,
    ids=[f"{how.__name__}-{of}-{region}" for of, how, _, _, region in CASES],
)
def test_what_is_changed_by_hand_is_found_within_a_minute(  # noqa: PLR0917
    watching: Stack, changed: Sets, of: str, how: ByHand, what: str, event: str, region: str
) -> None:
    where = "ap-south-1" if how is _replicate else region
    found = wait_for_drift(watching, changed[of]["requestId"], where, what)
    assert found["by"]["eventName"] == event
    assert found["by"]["arn"]
    assert found["from"] != found["to"]


@pytest.mark.parametrize("of", BY_HAND)
def test_each_difference_is_published_once_and_nothing_else_is(
    watching: Stack, changed: Sets, of: str
) -> None:
    """Nothing is published of what the stack did itself, nor where a policy was only rewritten."""
    cases = [case for case in CASES if case[0] == of]
    places = ["ap-south-1" if how is _replicate else region for _, how, _, _, region in cases]
    expected = {(where, case[2]) for where, case in zip(places, cases, strict=True)}
    name = changed[of]["requestId"]
    for where, what in expected:
        wait_for_drift(watching, name, where, what)
    found = [(one["region"], one["property"]) for one in drifts(watching, name)]
    assert sorted(found) == sorted(expected)


def test_a_key_policy_that_shuts_the_stack_out_is_found(watching: Stack, changed: Sets) -> None:
    found = wait_for_drift(watching, changed["shut-out"]["requestId"], EUROPE, "policy")
    assert found["to"] == "the key policy keeps the stack's role out"
    assert found["repair"]["operation"] is None


def test_what_is_repaired_is_found_again_when_it_is_changed_again(
    watching: Stack, changed: Sets
) -> None:
    """The same change, and without a look in between: nothing has seen the repair."""
    name, arn = changed["repaired"]["requestId"], arns_of(watching, changed["repaired"])[EUROPE]
    wait_for_drift(watching, name, EUROPE, "description")
    kms = watching.client("kms", EUROPE)
    operation = {"operationId": f"repair-{uuid.uuid4().hex[:8]}", "operation": "REPAIR"}
    asked = watching.api("POST", f"/keys/{name}/operations", json=operation)
    assert asked.status_code == 202, asked.text

    def repaired() -> bool | None:
        is_published = any(one["detail-type"] == FINISHED for one in watching.events(name))
        return is_published or None

    wait_for(repaired, "the repair", timeout=60)
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["Description"] == "second"
    assert len(drifts(watching, name)) == 1
    _describe(kms, arn, changed["repaired"])
    again = wait_for_drift(watching, name, EUROPE, "description", count=2)
    assert (again["from"], again["to"]) == ("second", "by hand")
    assert again["by"]["eventName"] == "UpdateKeyDescription"
    assert len(drifts(watching, name)) == 2
