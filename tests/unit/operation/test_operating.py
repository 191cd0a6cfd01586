"""Operations on finished key sets: asked for, approved, claimed, resumed, refused, published."""

import json
from typing import Any

import pytest

from provisioner.settings import approval_settings
from tests.support.faults import wiring
from tests.support.faults.api import ask, operate
from tests.support.faults.approving import approved_by, cancelled, refused_by
from tests.support.faults.changes import ROTATING, revised
from tests.support.faults.next_steps import Full, Refusing
from tests.support.faults.operations import REQUESTER, OperationScenario, drifted
from tests.support.faults.scenario import REQUEST_ID

pytestmark = pytest.mark.usefixtures("wired")
ALICE, BOB = (f"arn:aws:sts::111122223333:assumed-role/Platform/{n}" for n in ("alice", "bob"))
REPAIR = {"operationId": "op-1", "operation": "REPAIR"}
UPDATED = revised(ROTATING, description="Cards")


def repair(**more: Any) -> OperationScenario:
    scenario = OperationScenario(**{"before": (ROTATING,), "operation": "REPAIR", **more})
    wiring.use(scenario.aws)
    return scenario


def record(scenario: OperationScenario) -> dict[str, Any]:
    found: dict[str, Any] = scenario.aws.dynamodb.tables["requests"][REQUEST_ID]
    return found


def ends(scenario: OperationScenario) -> list[tuple[str, list[str]]]:
    return [
        (event.detail["status"], [error["code"] for error in event.detail["errors"]])
        for event in scenario.aws.events
        if event.detail_type.startswith("Multi-Region Key Operation")
    ]


def die(scenario: OperationScenario) -> None:
    """Stop every execution where it stands."""
    for execution in scenario.aws.executions.values():
        if execution.status == "RUNNING":
            execution.status = "ABORTED"


def test_an_operation_is_shown_while_it_runs_and_after_it_has_ended() -> None:
    scenario = repair(act=drifted)
    accepted = operate(scenario.aws, REQUEST_ID, REPAIR, caller=REQUESTER)
    assert accepted[0] == 202
    assert accepted[1] | {"executionArn": ""} == {
        "requestId": REQUEST_ID,
        "operationId": "op-1",
        "operation": "REPAIR",
        "executionArn": "",
        "status": "IN_PROGRESS",
    }
    scenario.run_started()

    status = ask(scenario.aws, "GET", REQUEST_ID)[1]
    assert (status["status"], status["lastOperation"]["status"]) == ("CREATED", "FINISHED")
    assert "operation" not in status
    (event,) = scenario.aws.events
    assert event.detail["requester"] == REQUESTER
    history = ask(scenario.aws, "GET", f"{REQUEST_ID}/history")[1]["outcomes"]
    assert [(one.get("operation"), one["status"]) for one in history] == [
        (None, "CREATED"),
        ("REPAIR", "FINISHED"),
    ]
    assert scenario.problems() == []


def test_an_outcome_that_could_not_be_published_is_published_by_the_next_execution() -> None:
    scenario = repair(act=drifted)
    scenario.aws.network = Full()
    scenario.deliver()
    assert json.loads(record(scenario)["operation"]["S"])["ended"] == "FINISHED"
    assert ask(scenario.aws, "GET", REQUEST_ID)[1]["operation"]["operationId"] == "op-1"
    done = len(scenario.aws.done)

    scenario.aws.network = scenario.aws
    drifted(scenario.aws, scenario.key_id)
    scenario.deliver()

    assert ends(scenario) == [("FINISHED", [])]
    assert len(scenario.aws.done) == done
    assert "operation" not in record(scenario)


def test_a_failure_is_published_as_it_was_recorded() -> None:
    scenario = repair(act=drifted)
    scenario.aws.network = FullAndRefusing()
    scenario.deliver()
    assert json.loads(record(scenario)["operation"]["S"])["ended"] == "FAILED"

    scenario.aws.network = scenario.aws
    scenario.aws.time += wiring.QUIET_SECONDS + 1
    scenario.sweep()

    ((status, codes),) = ends(scenario)
    assert (status, {*codes}) == ("FAILED", {"KMS_ACCESS_DENIED"})
    last = json.loads(record(scenario)["lastOperation"]["S"])
    assert last["errors"][0]["message"].endswith("again, with a new operationId.")
    assert last["status"] == "FAILED"


class FullAndRefusing(Full):
    def carry(self, call: Any, effect: Any) -> Any:
        refusing = Refusing("TagResource", "AccessDeniedException")
        return super().carry(call, lambda: refusing.carry(call, effect))


def test_an_operation_waits_for_a_change_that_is_under_way() -> None:
    scenario = repair()
    scenario.aws.network = Full()
    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()
    scenario.aws.network = scenario.aws

    status, body = operate(scenario.aws, REQUEST_ID, REPAIR)

    assert (status, body["errors"][0]["code"]) == (409, "OPERATION_REFUSED")


def test_a_revision_waits_for_an_operation_that_is_under_way() -> None:
    scenario = repair(act=drifted)
    scenario.aws.network = Full()
    scenario.deliver()
    scenario.aws.network = scenario.aws

    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()

    (event,) = scenario.aws.events
    assert event.detail["errors"][0]["code"] == "REQUEST_CONFLICT"
    other = operate(scenario.aws, REQUEST_ID, {**REPAIR, "operationId": "op-2"})
    assert (other[0], other[1]["errors"][0]["code"]) == (409, "OPERATION_REFUSED")


def test_an_operation_for_an_earlier_declaration_is_refused() -> None:
    scenario = repair(act=drifted)
    operate(scenario.aws, REQUEST_ID, REPAIR)
    operation, scenario.aws.to_run = scenario.aws.to_run, []
    scenario.run(scenario.aws.new_execution(UPDATED))
    scenario.run_started()
    scenario.aws.events.clear()

    scenario.aws.to_run = operation
    scenario.run_started()

    assert ends(scenario) == [("FAILED", ["OPERATION_REFUSED"])]
    assert scenario.outcome() == "FAILED"


def test_a_primary_key_that_was_moved_by_hand_is_left_where_it_is() -> None:
    scenario = repair()
    scenario.aws.kms.promote(scenario.key_id, "eu-west-1")
    scenario.aws.time += 60

    scenario.deliver()

    (event,) = scenario.aws.events
    assert [error["code"] for error in event.detail["errors"]] == ["OPERATION_REFUSED"]
    assert "PROMOTE:us-east-1 it moves back" in event.detail["errors"][0]["message"]
    assert scenario.aws.done == []


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (approved_by(ALICE), [("FINISHED", [])]),
        (refused_by(ALICE), [("FAILED", ["APPROVAL_REFUSED"])]),
        (cancelled, [("FAILED", ["CANCELLED"])]),
    ],
    ids=["approved", "refused", "cancelled"],
)
def test_where_everything_needs_approval_an_operation_does(
    monkeypatch: pytest.MonkeyPatch, people: Any, expected: Any
) -> None:
    monkeypatch.setenv("APPROVAL", "all,7,false")
    approval_settings.cache_clear()
    scenario = repair(act=drifted)
    scenario.aws.holder = people

    status, body = operate(scenario.aws, REQUEST_ID, REPAIR, caller=REQUESTER)
    assert (status, body["status"]) == (202, "WAITING_FOR_APPROVAL")
    assert operate(scenario.aws, REQUEST_ID, REPAIR)[1]["status"] == "WAITING_FOR_APPROVAL"
    waiting = ask(scenario.aws, "GET", REQUEST_ID)[1]
    assert waiting["operation"]["operation"] == "REPAIR"
    assert {row["to"] for row in waiting["approval"]["plan"]} == {"REPAIR"}
    other = operate(scenario.aws, REQUEST_ID, {**REPAIR, "operationId": "op-2"})
    assert other[1]["errors"][0]["code"] == "REQUEST_CONFLICT"
    assert scenario.aws.done == []

    scenario.run_started()

    assert ends(scenario) == expected
    errors = scenario.aws.events[-1].detail.get("errors", [])
    again = "ask for the operation again, with a new operationId"
    assert all(again in error["message"] for error in errors)
    assert f"approval/{REQUEST_ID}" not in scenario.aws.dynamodb.tables["requests"]


def test_an_operation_that_waits_for_approval_goes_on_in_the_place_of_one_that_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APPROVAL", "all,7,false")
    approval_settings.cache_clear()
    scenario = repair(act=drifted)
    scenario.aws.holder = approved_by(ALICE)
    operate(scenario.aws, REQUEST_ID, REPAIR, caller=REQUESTER)
    scenario.aws.to_run.clear()
    die(scenario)

    scenario.aws.time += wiring.QUIET_SECONDS + 1
    scenario.sweep()

    assert ends(scenario) == [("FINISHED", [])]


def test_an_operation_whose_execution_died_goes_on_when_it_is_asked_for_again() -> None:
    scenario = repair(act=drifted)
    operate(scenario.aws, REQUEST_ID, REPAIR)
    scenario.aws.to_run.clear()
    die(scenario)

    scenario.deliver()

    assert ends(scenario) == [("FINISHED", [])]
    assert scenario.problems() == []


def test_an_operation_of_an_unknown_request_is_not_found() -> None:
    scenario = repair()

    assert operate(scenario.aws, "CHG0", REPAIR)[0] == 404
    assert operate(scenario.aws, "no id", REPAIR)[0] == 404


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "DECOMMISSIONED", "IN_PROGRESS"])
def test_a_set_that_is_not_finished_takes_no_operation(status: str) -> None:
    scenario = repair()
    record(scenario)["status"] = {"S": status}

    answer = operate(scenario.aws, REQUEST_ID, REPAIR)

    assert (answer[0], answer[1]["errors"][0]["code"]) == (409, "OPERATION_REFUSED")
