"""What is asked about the use of keys before a change stops them."""

from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.change.last_use import LastUses, read_last_uses, unknown_use_warnings
from provisioner.domain.change import ObservedSet
from tests.support.key_sets import KeySet

EUROPE, WEST = "eu-west-1", "us-west-2"


@pytest.fixture
def key_set() -> KeySet:
    return KeySet()


def stop(*calls: tuple[str, str]) -> Any:
    return [{"region": region, "call": call} for region, call in calls]


def observed(key_set: KeySet) -> ObservedSet:
    keys: Any = {r: {"arn": key_set.key(r).arn} for r in ("us-east-1", EUROPE, WEST)}
    return {"primaryRegion": "us-east-1", "keys": keys}


def test_each_key_that_is_stopped_takes_one_call_in_its_region(key_set: KeySet) -> None:
    changes = stop(
        (EUROPE, "DisableKey"), (WEST, "ScheduleKeyDeletion"), ("us-east-1", "TagResource")
    )

    uses = read_last_uses(changes, observed(key_set), key_set.kms_for)

    assert sorted(key_set.kms_calls()) == [f"GetKeyLastUsage {EUROPE}", f"GetKeyLastUsage {WEST}"]
    assert (sorted(uses.known), uses.unknown) == ([EUROPE, WEST], {})


def test_a_key_that_the_same_change_adds_was_never_used(key_set: KeySet) -> None:
    added = stop(("ap-south-1", "ReplicateKey"), ("ap-south-1", "DisableKey"))

    assert read_last_uses(added, observed(key_set), key_set.kms_for) == LastUses({}, {})
    assert key_set.kms_calls() == []


def test_an_sdk_without_the_call_leaves_it_unknown_and_the_plan_says_so(key_set: KeySet) -> None:
    old: Any = SimpleNamespace()

    uses = read_last_uses(stop((EUROPE, "DisableKey")), observed(key_set), lambda _: old)
    (warning,) = unknown_use_warnings(uses)

    assert (uses.known, [*uses.unknown]) == ({}, [EUROPE])
    assert warning["code"] == "LAST_USE_NOT_KNOWN"
    assert EUROPE in warning["message"]
    assert "SDK" in warning["message"]
