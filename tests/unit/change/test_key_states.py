"""Keys are disabled and removed by one call each, and only while the revision is still held."""

from collections.abc import Callable
from typing import Any

import pytest

from provisioner.change.key_states import restore_key, retire_key
from provisioner.errors import (
    Cancelled,
    KeyStateConflict,
    KmsUnavailable,
    ReplicaKeyNotEnabled,
    RequestTakenOver,
)
from tests.support.faults.errors import refusal
from tests.support.key_sets import KeySet

WEST = "us-west-2"


@pytest.fixture
def key_set() -> KeySet:
    return KeySet()


def retire(key_set: KeySet, call: str, **more: Any) -> None:
    retire_key(
        key_set.kms_for(WEST),
        {"region": WEST, "arn": key_set.key(WEST).arn, "calls": {call: []}},
        **{"send_once": key_set.send_once, "check_wanted": lambda: None, "days": 9, **more},
    )


def taken_over() -> None:
    raise RequestTakenOver("Another execution holds the request.")


def cancelled() -> None:
    raise Cancelled("CHG1")


@pytest.mark.parametrize(
    ("call", "state"), [("DisableKey", "Disabled"), ("ScheduleKeyDeletion", "PendingDeletion")]
)
def test_a_key_is_retired_by_a_call_that_is_sent_once_and_not_again(
    key_set: KeySet, call: str, state: str
) -> None:
    retire(key_set, call)
    retire(key_set, call)

    assert key_set.aws.kms.state_of(key_set.key(WEST)) == state
    assert key_set.writes() == [f"{call} {WEST}"]
    assert [one.is_sent_once for one in key_set.calls if not one.is_read] == [True]


def test_a_key_waits_as_long_as_the_request_says(key_set: KeySet) -> None:
    retire(key_set, "ScheduleKeyDeletion")

    assert key_set.key(WEST).window_days == 9


@pytest.mark.parametrize("check", [taken_over, cancelled])
@pytest.mark.parametrize("call", ["DisableKey", "ScheduleKeyDeletion"])
def test_nothing_is_retired_for_a_revision_that_was_taken_over_or_cancelled(
    key_set: KeySet, call: str, check: Callable[[], None]
) -> None:
    with pytest.raises((RequestTakenOver, Cancelled)):
        retire(key_set, call, check_wanted=check)

    assert key_set.writes() == []


@pytest.mark.parametrize("call", ["DisableKey", "ScheduleKeyDeletion"])
def test_a_key_that_is_being_made_is_waited_for(key_set: KeySet, call: str) -> None:
    key_set.key(WEST).enabled_at = key_set.aws.time + 1

    with pytest.raises(ReplicaKeyNotEnabled, match="Creating"):
        retire(key_set, call)


def test_a_key_that_leaves_is_not_disabled(key_set: KeySet) -> None:
    key_set.key(WEST).leaving = True

    with pytest.raises(KeyStateConflict, match="PendingDeletion"):
        retire(key_set, "DisableKey")


def test_a_lost_answer_is_not_followed_by_a_second_call(key_set: KeySet) -> None:
    key_set.refused[WEST, "DisableKey"] = refusal("KMSInternalException", "DisableKey", status=500)

    with pytest.raises(KmsUnavailable):
        retire(key_set, "DisableKey")

    assert key_set.writes() == [f"DisableKey {WEST}"]


def test_a_deletion_is_canceled_and_the_key_enabled(key_set: KeySet) -> None:
    key_set.key(WEST).leaving = True
    calls: dict[str, list[str]] = {"CancelKeyDeletion": [], "EnableKey": []}

    for _ in range(2):
        restore_key(
            key_set.kms_for(WEST), {"region": WEST, "arn": key_set.key(WEST).arn, "calls": calls}
        )

    assert key_set.aws.kms.state_of(key_set.key(WEST)) == "Enabled"


def test_a_key_that_lost_its_material_is_restored_and_waits_for_it(key_set: KeySet) -> None:
    key = key_set.key(WEST)
    key.leaving = True
    key.facts["origin"] = "EXTERNAL"

    restore_key(
        key_set.kms_for(WEST),
        {"region": WEST, "arn": key.arn, "calls": {"CancelKeyDeletion": [], "EnableKey": []}},
    )

    assert key_set.aws.kms.state_of(key) == "PendingImport"


def test_a_key_that_cannot_be_enabled_for_another_reason_is_a_conflict(key_set: KeySet) -> None:
    key_set.key(WEST).enabled_at = key_set.aws.time + 1

    with pytest.raises(KeyStateConflict):
        restore_key(
            key_set.kms_for(WEST),
            {"region": WEST, "arn": key_set.key(WEST).arn, "calls": {"EnableKey": []}},
        )


def test_a_key_that_is_to_stay_disabled_is_only_restored(key_set: KeySet) -> None:
    key_set.key(WEST).leaving = True

    restore_key(
        key_set.kms_for(WEST),
        {"region": WEST, "arn": key_set.key(WEST).arn, "calls": {"CancelKeyDeletion": []}},
    )

    assert key_set.aws.kms.state_of(key_set.key(WEST)) == "Disabled"
