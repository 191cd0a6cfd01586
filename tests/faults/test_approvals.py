"""Every single fault at every call of a request, or a change, that has to be approved.

`GuardedNetwork` holds that nothing is written in KMS before two people have approved it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from provisioner.settings import approval_settings
from tests.support.faults import api
from tests.support.faults.approving import (
    ALICE,
    ASKED,
    BOB,
    CAROL,
    ITEM,
    ApprovalScenario,
    ApprovedChange,
    approved_by,
    cancelled,
    decide,
    enveloped,
    refused_by,
)
from tests.support.faults.aws import Aws, Call, WaitingTask, nobody
from tests.support.faults.change_kinds import REMOVE
from tests.support.faults.changes import ROTATING
from tests.support.faults.enumeration import singles_played
from tests.support.faults.errors import refusal
from tests.support.faults.faults import Schedule, kinds_at
from tests.support.faults.scenario import REQUEST, REQUEST_ID, Scenario

_CREATED = "Multi-Region Key Created"
_DAY = 86_400


def codes(aws: Aws) -> list[str]:
    """List the codes of the outcomes that were published, each outcome once."""
    published = {e.detail["outcomeId"]: e.detail for e in aws.events if "errors" in e.detail}
    return [error["code"] for detail in published.values() for error in detail["errors"]]


def too_late(aws: Aws, _task: WaitingTask) -> None:
    """Let a week go by in which nobody decides."""
    aws.sleep(7 * _DAY - 1_800)


def test_an_approved_request_is_created_once_after_any_fault() -> None:
    assert ApprovalScenario().play().problems == []
    played = 0
    for report in singles_played(ApprovalScenario):
        played += 1

        assert report.problems == [], str(report)
    print(f"an approved request: {played} single faults")
    assert played > 400


def test_an_approved_change_is_made_once_after_any_fault() -> None:
    make = partial(ApprovedChange, before=(ROTATING,), document=REMOVE)
    assert make().play().problems == []
    played = 0
    for report in singles_played(make):
        played += 1

        assert report.problems == [], str(report)
    print(f"an approved change: {played} single faults")
    assert played > 500


@pytest.mark.parametrize(
    ("holder", "code"),
    [
        (refused_by(BOB), "APPROVAL_REFUSED"),
        (cancelled, "CANCELLED"),
        (too_late, "APPROVAL_EXPIRED"),
    ],
    ids=["refused", "cancelled", "expired"],
)
@pytest.mark.parametrize("kind", ["new", "change"])
def test_what_is_not_approved_ends_so_and_nothing_is_written_after_any_fault(
    kind: str, holder: Callable[[Aws, WaitingTask], None], code: str
) -> None:
    def make(schedule: Schedule = ()) -> ApprovalScenario | ApprovedChange:
        if kind == "new":
            return ApprovalScenario(schedule, holder=holder)
        return ApprovedChange(schedule, before=(ROTATING,), document=REMOVE, holder=holder)

    def play(schedule: Schedule = ()) -> ApprovalScenario | ApprovedChange:
        scenario = make(schedule)
        scenario.deliver()
        scenario.network.end_faults()
        for _ in range(2):
            scenario.aws.time += 3_700
            scenario.sweep()
        return scenario

    calls = play().network.calls
    played = 0
    for place, call in enumerate(calls):
        # What a plan reads of KMS is read before anybody is asked.
        for fault in () if call.service == "kms" else kinds_at(call):
            scenario = play(((place, fault),))
            played += 1
            where, aws = f"call {place} ({call}) {fault}", scenario.aws

            assert aws.violations == [], where
            assert aws.done == [], where
            assert ITEM not in aws.dynamodb.tables["requests"], where
            assert code in codes(aws), where
            assert {execution.status for execution in aws.executions.values()} <= {
                "SUCCEEDED",
                "FAILED",
                "ABORTED",
            }, where
    print(f"{kind}, {code}: {played} single faults")
    assert played > 100


def test_a_request_that_was_cancelled_while_nobody_waited_asks_nobody_again() -> None:
    def stop_and_cancel(aws: Aws, task: WaitingTask) -> None:
        task.execution.status = "ABORTED"
        cancelled(aws, task)

    scenario = ApprovalScenario(holder=stop_and_cancel)
    scenario.deliver()
    for _ in range(3):
        scenario.aws.time += 3_700
        scenario.sweep()

    assert codes(scenario.aws) == ["CANCELLED"]
    assert sum(event.detail_type == ASKED for event in scenario.aws.events) == 1
    assert ITEM not in scenario.aws.dynamodb.tables["requests"]


def test_what_came_through_a_webhook_and_could_not_ask_is_not_resumed_without_approval() -> None:
    scenario = ApprovalScenario(holder=nobody)
    aws, carry = scenario.aws, scenario.network.carry
    repaired = aws.time + 1_800

    def without_a_bus(call: Call, effect: Callable[[], object]) -> object:
        if call.service == "events" and aws.time < repaired:
            raise refusal("AccessDeniedException", "PutEvents")
        return carry(call, effect)

    scenario.network.carry = without_a_bus  # type: ignore[method-assign]
    scenario.deliver()
    for _ in range(3):
        aws.time += 3_700
        scenario.sweep()

    assert aws.violations == []
    assert aws.done == []
    assert any(event.detail_type == ASKED for event in aws.events)


@pytest.fixture
def all_wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("APPROVAL", "all,7,true")
    approval_settings.cache_clear()
    yield
    approval_settings.cache_clear()


def waits(scenario: Scenario) -> bool:
    status, body = api.ask(scenario.aws, "GET", REQUEST_ID)
    return status == 200 and body["status"] == "WAITING_FOR_APPROVAL"


@pytest.mark.usefixtures("all_wait")
def test_no_other_door_is_open_while_a_request_waits() -> None:
    answers: list[int | None] = []

    def try_everything(aws: Aws, _task: WaitingTask) -> None:
        if answers:
            return
        answers.append(None)
        mallory = ALICE.replace("/alice", "/mallory")
        # By event, by start-execution and by a batch, which start the same execution.
        scenario.run(aws.new_execution(REQUEST))
        # With a requester, or an approval, of the sender's own making.
        for extra in ({"requester": BOB}, {"approvals": [{"approver": BOB}]}):
            scenario.run(aws.new_execution({**enveloped(REQUEST), **extra}))
            scenario.run(aws.new_execution({**REQUEST, **extra}))
        answers.append(api.post(aws, REQUEST, caller=BOB)[0])
        answers.append(api.post(aws, {**REQUEST, "description": "Other"}, caller=BOB)[0])
        # Alice as herself, and in another session of her role.
        answers.append(decide(aws, ALICE))
        answers.append(decide(aws, mallory))
        body = {"decision": "APPROVE", "contentHash": "0" * 64}
        answers.append(api.decide(aws, REQUEST_ID, body, "arn:aws:iam::111122223333:user/dave")[0])

    scenario = Scenario(holder=try_everything)
    assert api.post(scenario.aws, REQUEST, caller=ALICE)[0] == 202
    scenario.run_started()

    assert answers == [None, 202, 409, 403, 403, 409]
    assert scenario.aws.done == []
    assert _CREATED not in [event.detail_type for event in scenario.aws.events]


def test_an_approval_is_used_once() -> None:
    scenario = ApprovalScenario(document={**REQUEST, "alias": "alias/taken"})
    scenario.aws.kms.take_alias("us-east-1", "alias/taken")
    scenario.deliver()
    assert "ALIAS_IN_USE" in codes(scenario.aws)
    scenario.aws.holder = nobody

    scenario.aws.time += _DAY
    asked_before = sum(event.detail_type == ASKED for event in scenario.aws.events)
    scenario.deliver()

    assert sum(event.detail_type == ASKED for event in scenario.aws.events) == asked_before + 1
    assert codes(scenario.aws)[-1] == "APPROVAL_EXPIRED"


def test_the_approval_of_one_revision_is_none_of_the_next() -> None:
    scenario = ApprovedChange(before=(ROTATING,), document=REMOVE)
    assert scenario.play().problems == []
    scenario.aws.holder, scenario.document = nobody, {**REMOVE, "revision": 3, "confirm": []}
    scenario.document["description"] = "Another revision"
    scenario.aws.done.clear()

    scenario.deliver()

    assert codes(scenario.aws)[-1] == "APPROVAL_EXPIRED"
    assert scenario.aws.done == []


def test_a_change_that_has_become_another_one_is_asked_for_anew() -> None:
    approve = approved_by(BOB, CAROL)

    def meddle_then_approve(aws: Aws, task: WaitingTask) -> None:
        asked = [event for event in aws.events if event.detail_type == ASKED]
        if len(asked) == 1:
            # The key set changes between the question and the decision.
            key = next(k for k in aws.kms.keys.values() if k.region == "eu-west-1")
            key.description = "Changed by hand"
        approve(aws, task)

    scenario = ApprovedChange(before=(ROTATING,), document=REMOVE)
    scenario.aws.holder = meddle_then_approve
    report = scenario.play()

    assert report.problems == []
    questions = [e.detail for e in scenario.aws.events if e.detail_type == ASKED]
    assert len({question["contentHash"] for question in questions}) == 2
    rows = {(row["region"], row["property"]) for row in questions[-1]["plan"]}
    assert ("eu-west-1", "description") in rows


def test_a_decision_whose_wake_up_is_lost_is_found_within_the_hour() -> None:
    shown = []

    def approve_and_ask(aws: Aws, task: WaitingTask) -> None:
        approved_by(BOB, CAROL)(aws, task)
        shown.append(api.ask(aws, "GET", REQUEST_ID)[1]["status"])

    scenario = ApprovalScenario(holder=approve_and_ask)
    carry = scenario.network.carry

    def without_wake_up(call: Call, effect: Callable[[], object]) -> object:
        if call.operation == "SendTaskSuccess":
            raise refusal("AccessDeniedException", "SendTaskSuccess")
        return carry(call, effect)

    scenario.network.carry = without_wake_up  # type: ignore[method-assign]
    began = scenario.aws.time
    scenario.deliver()

    (created,) = [event for event in scenario.aws.events if event.detail_type == _CREATED]
    assert shown == ["IN_PROGRESS"]
    assert 3_000 < created.at - began < 3_900


def test_an_approval_that_nothing_needs_any_more_is_forgotten_by_the_sweep() -> None:
    left: dict[str, Any] = {}

    def approve_and_keep(aws: Aws, task: WaitingTask) -> None:
        approved_by(BOB, CAROL)(aws, task)
        left.update(aws.dynamodb.tables["requests"][ITEM])

    scenario = ApprovalScenario(holder=approve_and_keep)
    aws = scenario.aws
    scenario.deliver()
    aws.dynamodb.tables["requests"][ITEM] = left
    executions = len(aws.executions)
    aws.time += 3_700

    scenario.sweep()

    assert ITEM not in aws.dynamodb.tables["requests"]
    assert len(aws.executions) == executions
