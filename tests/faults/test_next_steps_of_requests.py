"""Errors of a request as such: what each message says to do is done, and ends as it says."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from provisioner import errors
from tests.support.faults.api import ask, post
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.corrections import with_an_open_attempt
from tests.support.faults.holder import answer, asked_for, give
from tests.support.faults.next_steps import Full, ended_with, last, send
from tests.support.faults.scenario import (
    IMPORTED,
    REQUEST,
    REQUEST_ID,
    Scenario,
    imported,
    is_created,
    problems,
)
from tests.support.faults.stepping import SteppedAws, Stepper
from tests.support.faults.wiring import QUIET_SECONDS
from tests.support.walks import walks

ANOTHER: dict[str, Any] = {
    **REQUEST,
    "requestId": "CHG0031338",
    "alias": "alias/other",
    "replicas": REQUEST["replicas"][:1],
}


def create_another(scenario: Scenario) -> None:
    """Choose another requestId, as the message says."""
    send(scenario, **ANOTHER)
    assert (last(scenario.aws)["requestId"], last(scenario.aws)["status"]) == (
        ANOTHER["requestId"],
        "CREATED",
    )


@walks("RequestRejected")
def test_a_refused_request_is_taken_once_its_fields_are_corrected() -> None:
    scenario = Scenario(document={**REQUEST, "keySpec": "DES", "alias": "alias/no blanks"})
    scenario.deliver()
    status, body = post(scenario.aws, scenario.document)
    assert (last(scenario.aws)["status"], status) == ("REJECTED", 400)
    for refused in (last(scenario.aws), body):
        assert {error["path"] for error in refused["errors"]} == {"keySpec", "alias"}
    assert scenario.aws.kms.keys == {}

    send(scenario, keySpec="SYMMETRIC_DEFAULT", alias=REQUEST["alias"])

    assert is_created(scenario.aws)


@walks("RequestConflict")
def test_whoever_used_an_id_again_sees_what_it_has_and_takes_another() -> None:
    scenario = Scenario()
    scenario.deliver()
    send(scenario, description="other")
    ended_with(scenario, "RequestConflict", "REJECTED")
    assert post(scenario.aws, scenario.document)[0] == 409

    status, body = ask(scenario.aws, "GET", REQUEST_ID)

    assert (status, body["status"]) == (200, "CREATED")
    assert body["key"]["primary"]["alias"] == REQUEST["alias"]
    create_another(scenario)


@walks("RevisionSkipped")
def test_a_revision_is_taken_in_its_order() -> None:
    scenario = Scenario(document={**REQUEST, "revision": 2})
    scenario.deliver()
    ended_with(scenario, "RevisionSkipped", "REJECTED")

    send(scenario, revision=1)

    assert is_created(scenario.aws)


class Without(Network):
    """An account in which one operation is denied."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == self.operation:
            raise errors.KmsAccessDenied(f"KMS refused {self.operation}.")
        return effect()


def failed_with_a_key() -> Scenario:
    """Return a request that failed after its primary key was created, in a sound account."""
    scenario = Scenario()
    orderly, scenario.aws.network = scenario.aws.network, Without("CreateAlias")
    scenario.deliver()
    scenario.aws.network = orderly
    return scenario


@walks("Immutable")
def test_what_a_key_keeps_is_sent_as_before() -> None:
    scenario = failed_with_a_key()
    send(scenario, keySpec="HMAC_256")
    assert {e["code"] for e in last(scenario.aws)["errors"]} == {"IMMUTABLE"}
    assert errors.Immutable.next_step in last(scenario.aws)["errors"][0]["message"]

    scenario.document = REQUEST
    scenario.deliver()

    assert is_created(scenario.aws)


class AtThe(Network):
    """Carries everything, and has something else done before the first call of an operation."""

    def __init__(self, aws: Aws, operation: str, act: Callable[[], Any]) -> None:
        self.aws, self.operation, self.act = aws, operation, act
        self.answer: Any = None

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == self.operation and self.answer is None:
            self.aws.network = self.aws
            self.answer = self.act()
            self.aws.network = self
        return effect()


@walks("RequestBeingFinished")
def test_a_request_that_is_about_to_fail_is_taken_in_a_moment() -> None:
    scenario = Scenario()
    aws = scenario.aws

    def put_the_failure_off() -> tuple[int, dict[str, Any]]:
        return post(aws, REQUEST)

    at_the_event = AtThe(aws, "PutEvents", put_the_failure_off)
    denied = Without("CreateAlias")

    class Both(Network):
        def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
            if call.operation == denied.operation:
                return denied.carry(call, effect)
            return at_the_event.carry(call, effect)

    aws.network = Both()
    scenario.deliver()
    status, body = at_the_event.answer
    assert (status, body["errors"][0]["code"]) == (503, "REQUEST_BEING_FINISHED")
    assert "again in a moment" in body["errors"][0]["message"]
    aws.network = aws

    assert post(aws, REQUEST)[0] == 202
    while aws.to_run:
        scenario.run(aws.to_run.pop())

    assert is_created(aws)


@walks("RequestNotFound")
def test_an_id_that_was_misspelt_is_found_once_it_is_right() -> None:
    scenario = Scenario()
    scenario.deliver()
    status, body = ask(scenario.aws, "GET", "CHG003I337")
    assert (status, body["errors"][0]["code"]) == (404, "NOT_FOUND")
    assert errors.RequestNotFound.next_step in body["errors"][0]["message"]

    assert ask(scenario.aws, "GET", REQUEST_ID)[0] == 200


@walks("RequestTakenOver")
def test_an_execution_that_lost_its_request_leaves_it_to_the_other_one() -> None:
    aws = SteppedAws()
    scenario = imported(aws=aws)
    aws.network = aws
    first, other = Stepper("first", scenario.deliver), Stepper("other", scenario.deliver)
    try:
        run_to_its_question(aws, first)
        stopped = next(iter(aws.executions.values()))
        stopped.status = "ABORTED"
        run_to_its_question(aws, other)
        stopped.status = "RUNNING"  # as after a redrive

        while not first.is_done:
            first.step()
        assert not is_created(aws)

        while not other.is_done:
            answer_what_is_asked(aws)
            aws.time = max(aws.time, other.wakes_at or 0)
            other.step()
    finally:
        first.abandon()
        other.abandon()
    assert is_created(aws)
    assert problems(aws, IMPORTED) == []
    assert [e.detail["status"] for e in aws.events if "status" in e.detail] == ["CREATED"]


def run_to_its_question(aws: SteppedAws, stepper: Stepper) -> None:
    """Let an execution get to where it waits for key material."""
    asked = len(aws.tasks)
    while len(aws.tasks) == asked or stepper.wakes_at is None:
        aws.time = max(aws.time, stepper.wakes_at or 0)
        stepper.step()


def answer_what_is_asked(aws: SteppedAws) -> None:
    """Send the key material that the request's status asks for, if any."""
    materials = asked_for(aws, REQUEST_ID)

    def send_it() -> None:
        assert not materials or give(aws, answer(REQUEST_ID, materials))

    holder = Stepper("holder", send_it)
    while not holder.is_done:
        holder.step()


@walks("Cancelled", "NotUnderWay")
def test_a_cancelled_request_is_taken_up_again_and_cannot_be_cancelled_once_it_has_ended() -> None:
    scenario = Scenario()
    at_the_key = AtThe(scenario.aws, "CreateAlias", lambda: ask(scenario.aws, "DELETE", REQUEST_ID))
    scenario.aws.network = at_the_key
    scenario.deliver()
    assert at_the_key.answer[0] == 202
    ended_with(scenario, "Cancelled")
    scenario.aws.network = scenario.aws

    scenario.deliver()

    assert is_created(scenario.aws)
    status, body = ask(scenario.aws, "DELETE", REQUEST_ID)
    assert (status, body["errors"][0]["code"]) == (409, "NOT_UNDER_WAY")
    assert errors.NotUnderWay.next_step in body["errors"][0]["message"]
    assert ask(scenario.aws, "GET", REQUEST_ID)[1]["status"] == "CREATED"


@walks("PrimaryKeyUnconfirmed")
def test_the_key_of_an_unanswered_call_is_found_when_the_request_is_sent_again() -> None:
    scenario = with_an_open_attempt()
    [unconfirmed] = [
        error
        for error in last(scenario.aws)["errors"]
        if error["code"] == "PRIMARY_KEY_UNCONFIRMED"
    ]
    assert errors.PrimaryKeyUnconfirmed.next_step in unconfirmed["message"]

    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@pytest.mark.parametrize("is_ours", [True, False])
@walks("KeyOfEarlierDeployment")
def test_a_key_of_an_earlier_deployment_is_known_with_its_table(*, is_ours: bool) -> None:
    scenario = Scenario()
    scenario.deliver()
    scenario.aws.time += QUIET_SECONDS
    tables = scenario.aws.dynamodb.tables
    earlier, tables["requests"] = copy.deepcopy(tables["requests"]), {}
    scenario.deliver()
    ended_with(scenario, "KeyOfEarlierDeployment")

    if is_ours:
        tables["requests"] = earlier
        scenario.deliver()
        assert is_created(scenario.aws)
        assert len(scenario.aws.kms.primaries()) == 1
    else:
        create_another(scenario)


class Forgetful(Network):
    """Shows the primary key without its replicas."""

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        answer = effect()
        if call.operation == "DescribeKey":
            answer["KeyMetadata"]["MultiRegionConfiguration"]["ReplicaKeys"] = []
        return answer


@walks("KeySetIncomplete")
def test_a_key_set_that_kms_did_not_show_whole_is_finished() -> None:
    scenario = Scenario()
    scenario.aws.network = Forgetful()
    scenario.deliver()
    ended_with(scenario, "KeySetIncomplete")
    scenario.aws.network = scenario.aws

    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@walks("KmsKeyNotFound")
def test_a_request_whose_key_was_deleted_is_sent_under_another_id() -> None:
    scenario = failed_with_a_key()
    scenario.aws.kms.keys.clear()
    scenario.deliver()
    ended_with(scenario, "KmsKeyNotFound")

    create_another(scenario)


@walks("KeyTagsNotInEffect")
def test_a_request_is_finished_once_the_tags_of_its_key_count() -> None:
    scenario = Scenario()
    scenario.aws.kms.authorization_seconds = 3_600
    scenario.deliver()
    ended_with(scenario, "KeyTagsNotInEffect")

    scenario.aws.time += 3_600
    scenario.aws.kms.authorization_seconds = 0
    scenario.deliver()

    assert is_created(scenario.aws)


@walks("EventNotPublished")
def test_an_outcome_that_the_bus_did_not_take_is_published_by_the_sweep() -> None:
    scenario = Scenario()
    scenario.aws.network = Full()
    scenario.deliver()
    assert scenario.aws.events == []
    scenario.aws.network = scenario.aws

    scenario.aws.time += QUIET_SECONDS + 1
    scenario.sweep()

    assert "sweep" in errors.EventNotPublished.next_step
    assert is_created(scenario.aws)
    assert last(scenario.aws)["status"] == "CREATED"
