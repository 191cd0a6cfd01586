"""Every single fault at every call of each kind of change of a finished key set.

The set is in use: others have tagged its keys, named them and replicated them to a Region of their
own, none of which the declarations mention. `ChangeScenario.problems` has the invariants.
"""

from functools import partial
from typing import Any

import pytest

from tests.support.faults.changes import ROTATING, ChangeScenario, Document, revised
from tests.support.faults.enumeration import singles
from tests.support.faults.scenario import policy_of

EUROPE, WEST = ROTATING["replicas"]


def promoted(*words: str, **changed: Any) -> Document:
    return revised(ROTATING, "PROMOTE:eu-west-1", *words, primaryRegion="eu-west-1", **changed)


TAG = revised(ROTATING, replicas=[EUROPE, {**WEST, "tags": {"team": "cards"}}])
SETTINGS = revised(
    ROTATING,
    alias="alias/payments/new",
    description="New",
    tags={"stage": "production"},
    policy={"document": policy_of("Other")},
    rotation={"periodInDays": 180},
)
WITHOUT_ROTATION = revised(ROTATING, rotation=None)
ADD = revised(ROTATING, replicas=[EUROPE, WEST, {"region": "ap-south-1"}])
PROMOTE = promoted(replicas=[{"region": "us-east-1"}, WEST])
LEAVE_THE_PRIMARY = promoted("REMOVE:us-east-1", replicas=[WEST])
REMOVE = revised(ROTATING, "REMOVE:us-west-2", replicas=[EUROPE])
DISABLE = revised(ROTATING, "DISABLE:us-west-2", replicas=[EUROPE, {**WEST, "enabled": False}])
DECOMMISSION = revised(ROTATING, "DECOMMISSION", desiredState="DECOMMISSIONED")
ALL_WORDS = [f"RESTORE:{region}" for region in ("us-east-1", "eu-west-1", "us-west-2")]
KINDS: dict[str, tuple[tuple[Document, ...], Document]] = {
    "a tag in one Region": ((ROTATING,), TAG),
    "every setting": ((ROTATING,), SETTINGS),
    "no rotation any more": ((ROTATING,), WITHOUT_ROTATION),
    "a Region more": ((ROTATING,), ADD),
    "a promotion": ((ROTATING,), PROMOTE),
    "a promotion, and the earlier primary's Region removed": ((ROTATING,), LEAVE_THE_PRIMARY),
    "a Region less": ((ROTATING,), REMOVE),
    "a key disabled": ((ROTATING,), DISABLE),
    "all decommissioned": ((ROTATING,), DECOMMISSION),
    "a removed Region restored": (
        (ROTATING, REMOVE),
        revised(REMOVE, "RESTORE:us-west-2", replicas=[EUROPE, WEST]),
    ),
    "all restored": (
        (ROTATING, DECOMMISSION),
        revised(DECOMMISSION, *ALL_WORDS, desiredState="ACTIVE"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_made_once_and_nothing_else_is_touched_after_any_fault(kind: str) -> None:
    before, document = KINDS[kind]
    make = partial(ChangeScenario, before=before, document=document)
    assert make(()).play().problems == []
    played = 0
    for single in singles(make):
        report = make((single,)).play()
        played += 1

        assert report.problems == [], str(report)
    print(f"{kind}: {played} single faults")
    assert played > 150


def test_a_change_of_one_tag_is_one_write_and_two_reads_a_key_and_one_a_set() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=TAG)

    report = scenario.play()

    calls = [str(call) for call in report.calls if call.service == "kms"]
    # Of the key that was made by hand, the state alone.
    calls.remove("kms DescribeKey in sa-east-1")
    assert [str(call) for call in scenario.aws.done] == ["kms TagResource in us-west-2"]
    reads = [call for call in calls if call not in map(str, scenario.aws.done)]
    assert len(reads) == 2 * 3 + 1


def test_nothing_is_written_where_nothing_differs() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=revised(ROTATING))

    assert scenario.play().problems == []
    assert scenario.aws.done == []


@pytest.mark.parametrize(
    "document",
    [DISABLE, REMOVE, PROMOTE, DECOMMISSION],
    ids=["disable", "remove", "promote", "decommission"],
)
def test_without_its_word_nothing_is_done_or_claimed(document: Document) -> None:
    scenario = ChangeScenario(before=(ROTATING,), document={**document, "confirm": []})
    before = dict(scenario.aws.dynamodb.tables["requests"]["CHG0031337"])

    scenario.deliver()

    (event,) = scenario.aws.events
    assert event.detail_type == "Multi-Region Key Request Rejected"
    assert {problem["code"] for problem in event.detail["errors"]} == {"CONFIRMATION_REQUIRED"}
    assert scenario.aws.done == []
    after = scenario.aws.dynamodb.tables["requests"]["CHG0031337"]
    assert (after["revision"], after["status"]) == (before.get("revision"), before["status"])
