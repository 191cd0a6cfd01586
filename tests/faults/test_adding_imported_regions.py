"""Further Regions for a key set with imported key material, which is asked for in these alone."""

from functools import partial
from typing import Any

import pytest

from tests.support.faults.aws import Aws, Holder, WaitingTask, nobody
from tests.support.faults.change_kinds import ADD_WITH_MATERIAL, EUROPE, OWN_MATERIAL, WEST
from tests.support.faults.changes import ChangeScenario, Document, is_changed, revised
from tests.support.faults.holder import (
    MATERIAL,
    OTHER_MATERIAL,
    answer,
    answer_new,
    answer_promptly,
    asked_for,
    give,
    wrapped_for,
)
from tests.support.faults.kms import KmsInRegion
from tests.support.faults.rotations import RotationScenario
from tests.support.faults.scenario import REQUEST_ID

ADDED, ALSO_ADDED = "us-west-2", "ap-south-1"
ADD_TWO = revised(OWN_MATERIAL, replicas=[EUROPE, WEST, {"region": ALSO_ADDED}])
ADD_AND_PROMOTE = revised(
    OWN_MATERIAL,
    f"PROMOTE:{ADDED}",
    primaryRegion=ADDED,
    replicas=[EUROPE, {"region": "us-east-1"}],
)

adding = partial(ChangeScenario, before=(OWN_MATERIAL,), document=ADD_WITH_MATERIAL)


def questions(aws: Aws) -> list[dict[str, Any]]:
    return [e.detail for e in aws.events if e.detail_type == "Multi-Region Key Material Required"]


def asked_in(aws: Aws) -> list[list[str]]:
    """List the Regions of each question."""
    return [[one["region"] for one in question["materials"]] for question in questions(aws)]


def outcomes(aws: Aws) -> list[tuple[str, list[tuple[str, str]]]]:
    """List the outcomes, each with the paths and the codes of its errors."""
    return [
        (e.detail["status"], [(one["path"], one["code"]) for one in e.detail["errors"]])
        for e in aws.events
        if "status" in e.detail
    ]


def done(scenario: ChangeScenario, *operations: str) -> list[str]:
    return [str(call) for call in scenario.aws.done if call.operation in operations]


def in_turn(*acts: Holder) -> Holder:
    """Act as the first says at the first question, and so on; leave all others unanswered."""
    coming = iter(acts)

    def act(aws: Aws, task: WaitingTask) -> None:
        next(coming, nobody)(aws, task)

    return act


def for_one_region(aws: Aws, task: WaitingTask) -> None:
    """Answer for one of the Regions that are asked for."""
    asked = [one for one in asked_for(aws, REQUEST_ID) if one["region"] == ADDED]
    give(aws, answer(REQUEST_ID, asked), task.execution)


def test_the_material_of_the_new_region_alone_is_asked_for_and_imported() -> None:
    scenario = adding()

    report = scenario.play()

    assert report.problems == []
    assert asked_in(scenario.aws) == [[ADDED]]
    materials = [str(call) for call in report.calls if call.operation == "ListKeyRotations"]
    assert materials == ["kms ListKeyRotations in us-east-1"]
    assert "operation" not in questions(scenario.aws)[0]
    assert [str(call) for call in scenario.aws.done] == [
        "kms ReplicateKey in us-east-1",
        "kms ImportKeyMaterial in us-west-2",
        "kms CreateAlias in us-west-2",
    ]
    [(status, _)] = outcomes(scenario.aws)
    assert status == "UPDATED"


def test_a_key_that_is_creating_for_long_is_waited_for() -> None:
    scenario = adding()
    scenario.aws.kms.creating_seconds = 1_500

    assert scenario.play().problems == []

    assert outcomes(scenario.aws) == [("UPDATED", [])]


def test_other_material_than_that_of_the_primary_key_is_asked_for_again_and_says_why() -> None:
    def both(aws: Aws, task: WaitingTask) -> None:
        answers = [
            wrapped_for(one, MATERIAL if one["region"] == ADDED else OTHER_MATERIAL)
            for one in asked_for(aws, REQUEST_ID)
        ]
        give(aws, {"requestId": REQUEST_ID, "materials": answers}, task.execution)

    holder = in_turn(both, answer_promptly)
    scenario = adding(document=ADD_TWO, holder=holder)

    assert scenario.play().problems == []

    [_, second] = questions(scenario.aws)
    assert asked_in(scenario.aws) == [[ALSO_ADDED, ADDED], [ALSO_ADDED]]
    [error] = second["errors"]
    assert (error["path"], error["code"]) == ("replicas[2].region", "INCORRECT_KEY_MATERIAL")
    assert "takes only the key material that this key set has" in error["message"]


def test_a_region_that_was_answered_for_is_not_asked_again() -> None:
    scenario = adding(document=ADD_TWO, holder=in_turn(for_one_region, answer_promptly))

    assert scenario.play().problems == []

    assert asked_in(scenario.aws) == [[ALSO_ADDED, ADDED], [ALSO_ADDED]]
    assert len(done(scenario, "ImportKeyMaterial")) == 2


def test_after_the_deadline_the_revision_sent_again_asks_only_where_material_is_missing() -> None:
    holder = in_turn(for_one_region)
    scenario = adding(document=ADD_TWO, holder=holder)
    scenario.deliver()
    aws = scenario.aws
    assert outcomes(aws) == [
        ("UPDATE_FAILED", [("replicas[2].region", "KEY_MATERIAL_NOT_PROVIDED")])
    ]
    asked = len(questions(aws))

    aws.holder = answer_promptly
    scenario.deliver()

    assert asked_in(aws)[asked:] == [[ALSO_ADDED]]
    assert is_changed(aws, ADD_TWO)
    assert scenario.problems() == []
    assert len(done(scenario, "ReplicateKey")) == 2


def test_a_new_key_that_is_declared_disabled_gets_its_material_first() -> None:
    off = {**WEST, "enabled": False}
    document = revised(OWN_MATERIAL, f"DISABLE:{ADDED}", replicas=[EUROPE, off])
    scenario = adding(document=document, holder=nobody)
    scenario.deliver()

    scenario.aws.holder = answer_promptly
    assert scenario.play().problems == []

    assert done(scenario, "ReplicateKey", "ImportKeyMaterial", "DisableKey") == [
        "kms ReplicateKey in us-east-1",
        "kms ImportKeyMaterial in us-west-2",
        "kms DisableKey in us-west-2",
    ]


def test_a_new_key_can_become_the_primary_key_once_it_has_its_material() -> None:
    scenario = adding(document=ADD_AND_PROMOTE, holder=nobody)
    scenario.deliver()

    scenario.aws.holder = answer_promptly
    assert scenario.play().problems == []

    assert done(scenario, "ReplicateKey", "ImportKeyMaterial", "UpdatePrimaryRegion") == [
        "kms ReplicateKey in us-east-1",
        "kms ImportKeyMaterial in us-west-2",
        "kms UpdatePrimaryRegion in us-east-1",
    ]


@pytest.mark.parametrize("document", [ADD_WITH_MATERIAL, ADD_AND_PROMOTE], ids=["add", "promote"])
def test_an_answer_whose_receiver_dies_before_it_is_noted_is_gone_on_with(
    document: Document,
) -> None:
    def answer_and_die(aws: Aws, task: WaitingTask) -> None:
        task.output = answer(REQUEST_ID, asked_for(aws, REQUEST_ID))
        aws.wake(task)

    scenario = adding(document=document, holder=answer_and_die)

    assert scenario.play().problems == []

    assert outcomes(scenario.aws) == [("UPDATED", [])]


def test_a_new_key_that_somebody_schedules_for_deletion_meanwhile_ends_the_change() -> None:
    def schedule(aws: Aws, _task: WaitingTask) -> None:
        [key] = [one for one in aws.kms.keys.values() if one.region == ADDED]
        KmsInRegion(aws.kms, ADDED).schedule_key_deletion(KeyId=key.arn, PendingWindowInDays=7)

    scenario = adding(holder=in_turn(schedule))

    scenario.deliver()

    [(status, errors)] = outcomes(scenario.aws)
    assert (status, errors) == ("UPDATE_FAILED", [("replicas[1].region", "KEY_STATE_CONFLICT")])


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    def twice(aws: Aws, task: WaitingTask) -> None:
        document = answer(REQUEST_ID, asked_for(aws, REQUEST_ID))
        assert give(aws, document, task.execution)
        assert give(aws, document, task.execution)

    scenario = adding(holder=twice)

    assert scenario.play().problems == []

    assert done(scenario, "ImportKeyMaterial") == ["kms ImportKeyMaterial in us-west-2"]


def test_a_set_that_was_rotated_gets_no_further_region() -> None:
    rotated = RotationScenario(
        before=(OWN_MATERIAL,), kind="ROTATE_MATERIAL", is_used=False, holder=answer_new()
    )
    assert rotated.play().problems == []
    rotated.aws.events.clear()
    rotated.aws.done.clear()
    rotated.document = ADD_WITH_MATERIAL

    super(RotationScenario, rotated).deliver()

    assert outcomes(rotated.aws) == [("REJECTED", [("replicas[1].region", "CHANGE_NOT_SUPPORTED")])]
    [message] = [one["message"] for one in rotated.aws.events[-1].detail["errors"]]
    assert rotated.aws.kms.primaries()[0].arn in message
    assert rotated.aws.done == []


def test_a_set_is_restored_first_and_gets_its_further_region_after_that() -> None:
    gone = revised(OWN_MATERIAL, "DECOMMISSION", desiredState="DECOMMISSIONED")
    words = [f"RESTORE:{region}" for region in ("us-east-1", EUROPE["region"])]
    back = revised(gone, *words, desiredState="ACTIVE", replicas=[EUROPE, WEST])
    scenario = adding(before=(OWN_MATERIAL, gone), document=back)
    scenario.deliver()
    assert outcomes(scenario.aws) == [
        ("REJECTED", [("replicas[1].region", "CHANGE_NOT_SUPPORTED")])
    ]

    for document in ({**back, "replicas": [EUROPE]}, revised(back, replicas=[EUROPE, WEST])):
        scenario.document = document
        scenario.deliver()

    assert is_changed(scenario.aws, scenario.document)
    assert asked_in(scenario.aws) == [[ADDED]]


def test_material_that_is_missing_where_the_set_was_before_is_not_asked_for() -> None:
    scenario = adding()
    [key] = [one for one in scenario.aws.kms.keys.values() if one.region == EUROPE["region"]]
    key.material = None

    scenario.deliver()

    assert asked_in(scenario.aws) == [[ADDED]]
    assert is_changed(scenario.aws, ADD_WITH_MATERIAL)
