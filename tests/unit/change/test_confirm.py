"""What is read at the end of a change, and what somebody did meanwhile."""

from typing import Any

import pytest

from provisioner.change.confirm import Confirmed, confirm_change
from provisioner.errors import ChangeRefused, KeySetIncomplete
from tests.support.key_sets import REQUEST, KeySet

HOME, EUROPE, WEST = "us-east-1", "eu-west-1", "us-west-2"
OFF = {"region": EUROPE, "enabled": False}
WITH_EUROPE_OFF = {**REQUEST, "replicas": [OFF, {"region": WEST}]}


@pytest.fixture
def key_set() -> KeySet:
    return KeySet()


def confirm(key_set: KeySet, *words: str, **changed: Any) -> Confirmed:
    request: Any = {**REQUEST, **changed, "confirm": [*words]}
    known: Confirmed = {"keys": [], "keyMetadata": None, "removed": {}}
    to_read = [HOME, EUROPE, WEST]
    return confirm_change(request, known, key_set.arn, to_read, kms_for=key_set.kms_for)


def test_keys_that_are_as_declared_are_returned_with_their_states(key_set: KeySet) -> None:
    found = confirm(key_set)

    states = {key["region"]: key["keyState"] for key in found["keys"]}
    assert states == dict.fromkeys((HOME, EUROPE, WEST), "Enabled")
    assert found["keyMetadata"]
    assert found["removed"] == {}


def test_a_promotion_by_hand_is_no_state_that_this_revision_can_complete(key_set: KeySet) -> None:
    key_set.aws.kms.promote(key_set.key(HOME).key_id, EUROPE)

    with pytest.raises(ChangeRefused) as refused:
        confirm(key_set)

    assert f"declare primaryRegion {EUROPE} and {HOME} as a replica" in str(refused.value)
    assert f"add PROMOTE:{HOME}" in str(refused.value)
    # With the word it may be about to be moved.
    with pytest.raises(KeySetIncomplete, match=f"is in {EUROPE}, and is to be in {HOME}"):
        confirm(key_set, f"PROMOTE:{HOME}")


def test_a_key_that_somebody_lets_go_is_kept_by_its_word_alone(key_set: KeySet) -> None:
    key = key_set.key(EUROPE)
    key.leaving, key.leaving_since = True, key_set.aws.time

    with pytest.raises(ChangeRefused, match=f"Add RESTORE:{EUROPE} to keep it, or leave"):
        confirm(key_set)
    with pytest.raises(KeySetIncomplete, match="is PendingDeletion, and is to be Enabled"):
        confirm(key_set, f"RESTORE:{EUROPE}")


def test_a_key_that_somebody_enables_is_disabled_by_its_word_alone(key_set: KeySet) -> None:
    with pytest.raises(ChangeRefused, match=f"Add DISABLE:{EUROPE} to disable it, or declare"):
        confirm(key_set, **WITH_EUROPE_OFF)
    with pytest.raises(KeySetIncomplete, match="is Enabled, and is to be Disabled"):
        confirm(key_set, f"DISABLE:{EUROPE}", **WITH_EUROPE_OFF)


def test_a_key_that_somebody_disables_is_enabled_without_a_word(key_set: KeySet) -> None:
    key_set.key(EUROPE).disabled = True

    with pytest.raises(KeySetIncomplete, match="is Disabled, and is to be Enabled"):
        confirm(key_set)
