"""Every fault at every call of an operation on a finished key set, and pairs of them.

`OperationScenario.problems` has the invariants: KMS is as declared, the record is as it was before,
each operation ends once, and nothing that hurts was done without its word.
"""

import os
from functools import partial

import pytest

from tests.support.faults.api import ask, operate
from tests.support.faults.aws import Aws
from tests.support.faults.changes import ROTATING, revised
from tests.support.faults.enumeration import play_all, singles_played
from tests.support.faults.next_steps import Refusing
from tests.support.faults.operations import OperationScenario, drifted, remaking
from tests.support.faults.scenario import REQUEST_ID
from tests.support.walks import walks

ONE_IN = 1 if os.environ.get("FAULTS_PAIRS") == "all" else 150
UPDATED = revised(ROTATING, description="Cards")
REPAIR = {"operationId": "op-1", "operation": "REPAIR"}


def test_what_was_changed_by_hand_is_repaired_after_pairs_of_faults() -> None:
    make = partial(OperationScenario, before=(ROTATING, UPDATED), operation="REPAIR", act=drifted)
    assert make(()).play().problems == []

    tally = play_all(make, one_in=ONE_IN)

    print(f"REPAIR: {tally.singles} single faults, {tally.pairs} pairs, {tally.seconds:.0f} s")
    assert tally.failures[:10] == []
    assert tally.singles > 300


def test_a_replica_key_that_is_gone_is_made_again_once_after_any_fault() -> None:
    played = 0
    for report in singles_played(remaking):
        played += 1

        assert report.problems == [], str(report)
    print(f"REPAIR of a replica key: {played} single faults")
    assert played > 200


def test_a_set_that_is_as_declared_is_repaired_without_a_write() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR")

    assert scenario.play().problems == []
    assert scenario.aws.done == []


def test_an_operation_that_has_ended_is_never_carried_out_again() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR")
    scenario.deliver()
    drifted(scenario.aws, scenario.key_id)

    status, body = operate(scenario.aws, REQUEST_ID, REPAIR)
    scenario.run_started()

    assert (status, body["status"]) == (202, "FINISHED")
    assert scenario.aws.done == []


def test_a_leaving_key_is_restored_with_its_word_alone() -> None:
    def leave(aws: Aws, key_id: str) -> None:
        (key,) = (
            key
            for key in aws.kms.keys.values()
            if (key.region, key.key_id) == ("us-west-2", key_id)
        )
        key.leaving, key.leaving_since = True, aws.time

    refused = OperationScenario(before=(ROTATING,), operation="REPAIR", act=leave)
    refused.deliver()
    (event,) = refused.aws.events
    assert event.detail_type == "Multi-Region Key Operation Failed"
    assert [error["code"] for error in event.detail["errors"]] == ["CONFIRMATION_REQUIRED"]
    assert refused.aws.done == []

    words = ("RESTORE:us-west-2",)
    meant = OperationScenario(before=(ROTATING,), operation="REPAIR", words=words, act=leave)
    assert meant.play().problems == []


def test_a_cancelled_operation_ends_and_leaves_the_set_to_the_next_one() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR", act=drifted)
    scenario.aws.network = Refusing("PutKeyPolicy", "ThrottlingException")
    scenario.deliver()
    assert scenario.outcome() == "FAILED"
    scenario.aws.network = scenario.network

    assert ask(scenario.aws, "DELETE", REQUEST_ID)[0] == 409
    scenario.operation = {**scenario.operation, "operationId": "op-2"}
    scenario.deliver()

    assert scenario.problems() == []


def test_a_revision_goes_on_after_an_operation() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR", act=drifted)
    scenario.deliver()

    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()

    record = scenario.aws.dynamodb.tables["requests"][REQUEST_ID]
    assert record["status"] == {"S": "UPDATED"}


@walks("OperationConflict")
def test_an_operation_id_is_that_of_one_operation() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR")
    scenario.deliver()

    other = {**REPAIR, "confirm": ["RESTORE:us-west-2"]}
    status, body = operate(scenario.aws, REQUEST_ID, other)
    assert (status, body["errors"][0]["code"]) == (409, "OPERATION_CONFLICT")

    assert operate(scenario.aws, REQUEST_ID, {**REPAIR, "operationId": "op-2"})[0] == 202
    scenario.run_started()
    assert scenario.aws.events[-1].detail["operationId"] == "op-2"


@walks("OperationRefused")
def test_a_set_whose_change_has_failed_is_repaired_once_that_is_finished() -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR")
    scenario.aws.network = Refusing("UpdateKeyDescription", "AccessDeniedException")
    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()
    scenario.aws.network = scenario.network

    status, body = operate(scenario.aws, REQUEST_ID, REPAIR)
    assert (status, body["errors"][0]["code"]) == (409, "OPERATION_REFUSED")
    assert "send the same revision again" in body["errors"][0]["message"]

    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()
    status, _ = operate(scenario.aws, REQUEST_ID, {**REPAIR, "operationId": "op-2"})
    scenario.run_started()
    assert status == 202
    assert scenario.aws.events[-1].detail_type == "Multi-Region Key Operation Finished"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operationId": "op-1", "operation": "ROTATE_MATERIAL"}, "OPERATION_NOT_SUPPORTED"),
        ({"operationId": "op 1", "operation": "REPAIR"}, "BAD_FORMAT"),
        ({"operationId": "op-1", "operation": "DESTROY"}, "NOT_ONE_OF"),
        ({"operationId": "op-1"}, "REQUIRED"),
        ({**REPAIR, "force": True}, "UNKNOWN_FIELD"),
        ({**REPAIR, "operation": "ROTATE", "confirm": ["REMOVE:x"]}, "CONFIRMATION_UNUSED"),
    ],
)
def test_what_is_no_operation_of_the_set_is_refused_and_nothing_is_claimed(
    body: dict[str, object], code: str
) -> None:
    scenario = OperationScenario(before=(ROTATING,), operation="REPAIR")
    before = dict(scenario.aws.dynamodb.tables["requests"])

    status, answer = operate(scenario.aws, REQUEST_ID, body)

    assert (status, answer["errors"][0]["code"]) == (400, code)
    assert scenario.aws.dynamodb.tables["requests"] == before
    assert scenario.aws.events == []
