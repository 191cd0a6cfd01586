"""Taking the provisioner's tags away, and nothing else, on the stand-in for KMS."""

from dataclasses import replace
from typing import Any

import pytest

from provisioner.change.observe import observe
from provisioner.errors import Cancelled, KeyStateConflict
from provisioner.operation.releasing import release_key, release_work
from tests.support.faults.errors import refusal
from tests.support.key_sets import REQUEST, KeySet
from tests.support.samples import SETTINGS

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
STACK = replace(SETTINGS, stack_name="mrk")
DECLARED: Any = REQUEST


@pytest.fixture
def key_set() -> KeySet:
    return KeySet()


def release(key_set: KeySet, region: str = "eu-west-1", **more: Any) -> None:
    release_key(
        key_set.kms_for(region),
        {"region": region, "arn": key_set.key(region).arn, "calls": {}},
        "CHG0031337",
        check_wanted=more.get("check_wanted", lambda: None),
        settings=STACK,
    )


def test_every_declared_key_is_released_that_does_not_wait_for_its_deletion(
    key_set: KeySet,
) -> None:
    key_set.key("us-west-2").leaving = True
    observed = observe(
        DECLARED,
        DECLARED,
        key_set.arn,
        superseded={},
        kms_for=key_set.kms_for,
        tagging_for=key_set.tagging_for,
    )

    work = release_work(observed, DECLARED)

    assert [one["region"] for one in work] == ["us-east-1", "eu-west-1"]
    assert work[0]["calls"] == {"UntagResource": ["mrk:request-id", "mrk:stack", "mrk:attempt"]}


def test_our_tags_go_and_those_of_others_stay(key_set: KeySet) -> None:
    key_set.key("us-east-1").tags |= {"mrk:attempt": "1", "owner": "finance"}

    for region in REGIONS:
        release(key_set, region)

    assert key_set.writes() == [f"UntagResource {region}" for region in REGIONS]
    assert key_set.key("us-east-1").tags == {"team": "payments", "owner": "finance"}
    assert key_set.key("eu-west-1").tags == {"team": "payments"}


def test_what_is_released_already_is_left_alone(key_set: KeySet) -> None:
    release(key_set)
    release(key_set)

    assert key_set.writes() == ["UntagResource eu-west-1"]


@pytest.mark.parametrize(
    "theirs", [{"mrk:stack": "another"}, {"mrk:request-id": "CHG2"}, {"mrk:stack": ""}]
)
def test_tags_of_whoever_has_adopted_the_key_since_stay(
    key_set: KeySet, theirs: dict[str, str]
) -> None:
    key_set.key("eu-west-1").tags |= theirs

    release(key_set)

    assert key_set.writes() == []


def test_a_key_that_waits_for_its_deletion_keeps_its_tags(key_set: KeySet) -> None:
    key_set.key("eu-west-1").leaving = True

    release(key_set)

    assert "mrk:stack" in key_set.key("eu-west-1").tags


def test_another_state_that_does_not_allow_it_is_reported(key_set: KeySet) -> None:
    key_set.refused["eu-west-1", "UntagResource"] = refusal(
        "KMSInvalidStateException", "UntagResource"
    )

    with pytest.raises(KeyStateConflict):
        release(key_set)


def test_nothing_is_untagged_once_the_release_is_cancelled(key_set: KeySet) -> None:
    def check_wanted() -> None:
        raise Cancelled("CHG0031337")

    with pytest.raises(Cancelled):
        release(key_set, check_wanted=check_wanted)
    assert key_set.writes() == []
