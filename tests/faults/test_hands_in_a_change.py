"""What somebody does to a key set by hand while a change of it is under way is understood.

It is done right before each call of KMS in turn. Whatever the change ends with, nothing is undone
without its word, and the next revision declares the set as it is to be from then on.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.change_kinds import ADD, DISABLE, REMOVE, SETTINGS, TAG, WITHOUT_ROTATION
from tests.support.faults.changes import (
    ROTATING,
    ChangeScenario,
    Declared,
    Document,
    is_changed,
    revised,
)
from tests.support.faults.errors import refusal
from tests.support.faults.next_steps import ended_with, last
from tests.support.faults.scenario import REQUEST_ID
from tests.support.faults.workflow import INVOCATION
from tests.support.walks import walks

HOME, EUROPE, WEST, ADDED = "us-east-1", "eu-west-1", "us-west-2", "ap-south-1"
KINDS = {
    "a tag": TAG,
    "every setting": SETTINGS,
    "no rotation any more": WITHOUT_ROTATION,
    "a Region more": ADD,
    "a Region less": REMOVE,
    "a key disabled": DISABLE,
}


class Meanwhile(Network):
    """Lets somebody act right before a call of KMS, counted from zero, and before no other one."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left, self._act = number, act
        self.has_acted = False

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.service == "kms" and not self.has_acted:
            self.has_acted = self._left == 0
            self._left -= 1
            if self.has_acted:
                self._act()
        return effect()


def promote(aws: Aws) -> None:
    (primary,) = (key for key in aws.kms.primaries() if key.region == HOME)
    aws.kms.promote(primary.key_id, EUROPE)


def met(document: Document, number: int, act: Callable[[Aws], object]) -> ChangeScenario | None:
    """Return a change that somebody met at a call; None where it made fewer calls."""
    scenario = ChangeScenario(before=(ROTATING,), document=document)
    network = Meanwhile(number, lambda: act(scenario.aws))
    scenario.aws.network = network
    scenario.deliver()
    scenario.aws.network = scenario.network
    return scenario if network.has_acted else None


def send_next(scenario: ChangeScenario, *words: str, **changed: Any) -> None:
    """Send the next revision, and see the set as that declares it."""
    record = scenario.aws.dynamodb.tables["requests"][REQUEST_ID]
    revision = int(record["revision"]["N"]) + 1
    scenario.document = {**scenario.document, "confirm": [*words], **changed, "revision": revision}
    scenario.deliver()
    assert is_changed(scenario.aws, scenario.document), last(scenario.aws)
    assert Declared(scenario.aws, scenario.document, scenario.key_id).problems() == []
    assert scenario.aws.violations == []


def replicate(scenario: ChangeScenario) -> None:
    """Make the replica key by hand that the change is about to make, with another key policy."""
    kms = scenario.aws.kms
    (primary,) = kms.primaries()
    kms.replicate(primary, ADDED)
    arn = primary.arn.replace(HOME, ADDED)
    kms.keys[arn].policy = json.dumps({**json.loads(primary.policy), "Statement": []})
    kms.keys[arn].description = "By hand"


def test_a_replica_key_that_was_made_by_hand_meanwhile_becomes_as_declared() -> None:
    calls = ChangeScenario(before=(ROTATING,), document=ADD).play().calls
    scenario = ChangeScenario(before=(ROTATING,), document=ADD)
    number = [c.operation for c in calls if c.service == "kms"].index("ReplicateKey")
    scenario.aws.network = Meanwhile(number, lambda: replicate(scenario))

    scenario.deliver()

    assert is_changed(scenario.aws, ADD)
    assert Declared(scenario.aws, ADD, scenario.key_id).problems() == []


class HiddenFromThePlan(Network):
    """A KMS that never shows the plan a key which it refuses to make again."""

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        by_the_plan = INVOCATION.get().function_name == "PlanChangeFunction"
        if by_the_plan and (call.operation, call.region) == ("DescribeKey", ADDED):
            raise refusal("NotFoundException", call.operation)
        return effect()


def test_a_change_that_never_sees_a_replica_key_plans_again_for_five_minutes_alone() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=ADD)
    replicate(scenario)
    scenario.aws.network = HiddenFromThePlan()
    began = scenario.aws.time

    scenario.deliver()

    assert last(scenario.aws)["status"] == "UPDATED"
    assert 300 <= scenario.aws.time - began < 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_promotion_by_hand_in_the_middle_of_a_change_is_understood(kind: str) -> None:
    document, number, ends = KINDS[kind], 0, set()
    while scenario := met(document, number, promote):
        number += 1
        outcome = last(scenario.aws)
        ends.add((outcome["status"], *(error["code"] for error in outcome["errors"])))
        assert [str(c) for c in scenario.aws.done if c.operation == "UpdatePrimaryRegion"] == []

        words = [] if outcome["status"] == "UPDATED" else document["confirm"]
        others = [one for one in document["replicas"] if one["region"] != EUROPE]
        send_next(scenario, *words, primaryRegion=EUROPE, replicas=[{"region": HOME}, *others])
    print(f"{kind}: met at {number} calls; {sorted(ends)}")
    assert number > 6


def last_call(document: Document, act: Callable[[Aws], object]) -> ChangeScenario:
    """Return a change that somebody met at the last call at which that made it fail."""
    failing, number = [], 0
    while scenario := met(document, number, act):
        if last(scenario.aws)["status"] == "UPDATE_FAILED":
            failing.append(number)
        number += 1
    # Clients talk to the newest AWS.
    found = met(document, failing[-1], act)
    assert found
    return found


@pytest.mark.parametrize("way", ["leave it there", "move it back"])
@walks("ChangeRefused")
def test_a_primary_key_that_was_moved_at_the_end_of_a_change_stays_or_is_moved_back(
    way: str,
) -> None:
    scenario = last_call(ADD, promote)
    outcome = ended_with(scenario, "ChangeRefused", "UPDATE_FAILED")
    message = outcome["errors"][0]["message"]
    assert f"declare primaryRegion {EUROPE} and {HOME} as a replica" in message
    assert f"add PROMOTE:{HOME}" in message

    if way == "move it back":
        send_next(scenario, f"PROMOTE:{HOME}")
    else:
        others = [one for one in ADD["replicas"] if one["region"] != EUROPE]
        send_next(scenario, primaryRegion=EUROPE, replicas=[{"region": HOME}, *others])


PROMOTE_WEST = revised(
    ROTATING,
    f"PROMOTE:{WEST}",
    primaryRegion=WEST,
    replicas=[{"region": HOME}, {"region": EUROPE}],
)


def schedule_deletion(aws: Aws) -> None:
    (key,) = (key for key in aws.kms.keys.values() if key.region == EUROPE)
    key.leaving, key.leaving_since, key.window_days = True, aws.time, 7


@walks("ChangeRefused")
def test_a_key_whose_deletion_somebody_schedules_at_the_end_of_a_promotion_is_restored() -> None:
    scenario = last_call(PROMOTE_WEST, schedule_deletion)
    message = ended_with(scenario, "ChangeRefused", "UPDATE_FAILED")["errors"][0]["message"]
    assert f"Add RESTORE:{EUROPE} to keep it" in message

    send_next(scenario, f"RESTORE:{EUROPE}")
