"""Imported key material: who is asked for it and when, and what becomes of each kind of answer."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from provisioner.errors import KeyMaterialNotProvided
from tests.support.faults.aws import Aws, Event, Holder, WaitingTask, nobody
from tests.support.faults.changes import ChangeScenario, revised
from tests.support.faults.faults import Fault
from tests.support.faults.holder import (
    MATERIAL,
    OTHER_MATERIAL,
    answer,
    answer_promptly,
    asked_for,
    give,
    wrapped_for,
)
from tests.support.faults.kms import Key
from tests.support.faults.scenario import (
    IMPORTED,
    RENEWED,
    REQUEST,
    REQUEST_ID,
    Scenario,
    imported,
    is_created,
    problems,
    renewed,
)
from tests.support.faults.wiring import QUIET_SECONDS
from tests.support.walks import walks

DAY = 86_400
GOOD_FOR = 84_600
"""How long a question stays: half an hour less than its import parameters."""
HOUR = 3_600
PRIMARY, REPLICA, OTHER_REPLICA = "us-east-1", "eu-west-1", "us-west-2"
TWO_REPLICAS: dict[str, Any] = {**IMPORTED, "replicas": REQUEST["replicas"]}
WAYS = ["RETAIN", "ROLL_BACK"]


def script(*acts: Holder) -> Holder:
    """Act as the first says at the first question, and so on; leave all others unanswered."""
    coming = iter(acts)

    def act(aws: Aws, task: WaitingTask) -> None:
        next(coming, nobody)(aws, task)

    return act


@pytest.mark.parametrize(
    ("words", "changed"),
    [((), {"description": "Cards"}), ((f"REMOVE:{REPLICA}",), {"replicas": []})],
)
def test_a_change_says_when_the_material_expires(
    words: tuple[str, ...], changed: dict[str, Any]
) -> None:
    document = revised(IMPORTED, *words, **changed)
    scenario = ChangeScenario(before=(IMPORTED,), document=document)

    assert scenario.play().problems == []

    key = told(scenario.aws, "Updated")[-1].detail["key"]
    expiries = [one["validTo"] for one in (key["primary"], *key["replicas"])]
    assert expiries == [IMPORTED["keyMaterial"]["validTo"]] * (1 + len(document["replicas"]))


def told(aws: Aws, kind: str) -> list[Event]:
    return [event for event in aws.events if event.detail_type == f"Multi-Region Key {kind}"]


def questions(aws: Aws) -> list[list[str]]:
    """List the Regions of each question."""
    return [regions_of(event) for event in told(aws, "Material Required")]


def regions_of(question: Event) -> list[str]:
    return [material["region"] for material in question.detail["materials"]]


def errors_of(event: Event) -> list[tuple[str, str]]:
    return [(error["path"], error["code"]) for error in event.detail["errors"]]


def refused(aws: Aws) -> list[str]:
    return [code for event in told(aws, "Material Refused") for _, code in errors_of(event)]


def key_in(aws: Aws, region: str) -> Key:
    [key] = [key for key in aws.kms.keys.values() if key.region == region]
    return key


def state_in(aws: Aws, region: str) -> str:
    return aws.kms.state_of(key_in(aws, region))


def calls_of(scenario: Scenario, operation: str) -> int:
    return sum(call.operation == operation for call in scenario.network.calls)


@pytest.mark.parametrize(("days", "times"), [(1, 2), (2, 3), (7, 8), (30, 31)])
def test_a_question_that_nobody_answers_is_asked_anew_until_the_deadline(
    days: int, times: int
) -> None:
    material = {**IMPORTED["keyMaterial"], "deadlineInDays": days}
    scenario = imported(document={**IMPORTED, "keyMaterial": material}, holder=nobody)

    scenario.deliver()

    asked = told(scenario.aws, "Material Required")
    assert [question.at - asked[0].at for question in asked] == [GOOD_FOR * n for n in range(times)]
    assert {tuple(regions_of(question)) for question in asked} == {(PRIMARY,)}
    assert len({question.detail["materials"][0]["importToken"] for question in asked}) == times
    for question in asked:
        valid_until = datetime.fromisoformat(question.detail["materials"][0]["validUntil"])
        assert valid_until.timestamp() == question.at + DAY
    [failed] = told(scenario.aws, "Creation Failed")
    assert errors_of(failed) == [("primaryRegion", "KEY_MATERIAL_NOT_PROVIDED")]
    assert failed.at == asked[0].at + days * DAY


@pytest.mark.parametrize("on_failure", WAYS)
@walks("KeyMaterialNotProvided")
def test_after_the_deadline_the_request_can_be_sent_again(on_failure: str) -> None:
    scenario = imported(document={**IMPORTED, "onFailure": on_failure}, holder=nobody)
    scenario.deliver()
    aws = scenario.aws

    is_retained = on_failure == "RETAIN"
    assert state_in(aws, PRIMARY) == ("PendingImport" if is_retained else "PendingDeletion")
    assert bool(aws.kms.aliases) == is_retained
    [failed] = told(aws, "Creation Failed")
    assert failed.detail["key"]["primary"]["keyState"] == state_in(aws, PRIMARY)
    assert KeyMaterialNotProvided.next_step in failed.detail["errors"][0]["message"]
    assert asked_for(aws, REQUEST_ID) == []

    asked_before = len(questions(aws))
    aws.holder = answer_promptly
    report = scenario.play()

    assert report.problems == []
    assert questions(aws)[asked_before:] == [[PRIMARY], [REPLICA]]
    assert calls_of(scenario, "CreateKey") == 1


def test_only_the_regions_that_wait_are_blamed_and_asked_again() -> None:
    def answer_for_one(aws: Aws, _task: WaitingTask) -> None:
        materials = asked_for(aws, REQUEST_ID)
        give(aws, answer(REQUEST_ID, [m for m in materials if m["region"] == OTHER_REPLICA]))

    holder = script(answer_promptly, answer_for_one)
    scenario = imported(document=TWO_REPLICAS, holder=holder)
    scenario.deliver()
    aws = scenario.aws

    assert questions(aws) == [[PRIMARY], [REPLICA, OTHER_REPLICA], [REPLICA], [REPLICA], [REPLICA]]
    [failed] = told(aws, "Creation Failed")
    assert errors_of(failed) == [("replicas[0].region", "KEY_MATERIAL_NOT_PROVIDED")]
    states = [state_in(aws, region) for region in (PRIMARY, REPLICA, OTHER_REPLICA)]
    assert states == ["Enabled", "PendingImport", "Enabled"]

    aws.holder = answer_promptly
    report = scenario.play()

    assert report.problems == []
    assert questions(aws)[5:] == [[REPLICA]]
    assert calls_of(scenario, "ImportKeyMaterial") == 3


def test_the_replicas_have_a_deadline_of_their_own() -> None:
    def answer_late(aws: Aws, task: WaitingTask) -> None:
        aws.sleep(GOOD_FOR - HOUR)
        answer_promptly(aws, task)

    scenario = imported(holder=script(nobody, answer_late))

    scenario.deliver()

    asked = told(scenario.aws, "Material Required")
    assert [regions_of(question) for question in asked[:3]] == [[PRIMARY], [PRIMARY], [REPLICA]]
    [failed] = told(scenario.aws, "Creation Failed")
    assert failed.at == pytest.approx(asked[2].at + IMPORTED["keyMaterial"]["deadlineInDays"] * DAY)


@walks("ImportTokenExpired")
def test_an_answer_with_parameters_that_expired_is_asked_for_again() -> None:
    earlier: list[dict[str, str]] = []

    def keep(aws: Aws, _task: WaitingTask) -> None:
        earlier.extend(asked_for(aws, REQUEST_ID))

    def answer_the_earlier(aws: Aws, _task: WaitingTask) -> None:
        aws.sleep(HOUR)
        assert give(aws, answer(REQUEST_ID, earlier))

    holder = script(keep, answer_the_earlier, answer_promptly, answer_promptly)
    scenario = imported(holder=holder)
    report = scenario.play()

    assert report.problems == []
    assert questions(scenario.aws) == [[PRIMARY], [PRIMARY], [PRIMARY], [REPLICA]]
    errors = [errors_of(question) for question in told(scenario.aws, "Material Required")]
    assert errors == [[], [], [("primaryRegion", "IMPORT_TOKEN_EXPIRED")], []]


def test_parameters_of_an_earlier_question_are_taken_while_they_are_good() -> None:
    earlier: list[dict[str, str]] = []

    def keep(aws: Aws, _task: WaitingTask) -> None:
        earlier.extend(asked_for(aws, REQUEST_ID))

    def answer_the_earlier(aws: Aws, _task: WaitingTask) -> None:
        give(aws, answer(REQUEST_ID, earlier))

    scenario = imported(holder=script(keep, answer_the_earlier, answer_promptly))

    assert scenario.play().problems == []
    assert questions(scenario.aws) == [[PRIMARY], [PRIMARY], [REPLICA]]


@walks("IncorrectKeyMaterial")
def test_wrong_material_for_one_replica_is_asked_for_again_there_and_nowhere_else() -> None:
    states: list[list[str]] = []

    def confuse(aws: Aws, _task: WaitingTask) -> None:
        one, other = asked_for(aws, REQUEST_ID)
        materials = [wrapped_for(one, OTHER_MATERIAL), wrapped_for(other)]
        give(aws, {"requestId": REQUEST_ID, "materials": materials})

    def look_and_answer(aws: Aws, task: WaitingTask) -> None:
        states.append([state_in(aws, region) for region in (PRIMARY, REPLICA, OTHER_REPLICA)])
        answer_promptly(aws, task)

    holder = script(answer_promptly, confuse, look_and_answer)
    scenario = imported(document=TWO_REPLICAS, holder=holder)
    report = scenario.play()

    assert report.problems == []
    assert states == [["Enabled", "PendingImport", "Enabled"]]
    last = told(scenario.aws, "Material Required")[-1]
    assert questions(scenario.aws) == [[PRIMARY], [REPLICA, OTHER_REPLICA], [REPLICA]]
    assert errors_of(last) == [("replicas[0].region", "INCORRECT_KEY_MATERIAL")]
    assert REPLICA in last.detail["errors"][0]["message"]


Change = Callable[[dict[str, str], dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda one, other: {**one, "importToken": other["importToken"]}, "IMPORT_TOKEN_INVALID"),
        (
            lambda one, other: {**one, "encryptedKeyMaterial": other["encryptedKeyMaterial"]},
            "KEY_MATERIAL_UNREADABLE",
        ),
    ],
)
@walks("ImportTokenInvalid", "KeyMaterialUnreadable")
def test_what_was_wrapped_for_another_region_is_asked_for_again(change: Change, code: str) -> None:
    def confuse(aws: Aws, _task: WaitingTask) -> None:
        one, other = (wrapped_for(asked) for asked in asked_for(aws, REQUEST_ID))
        give(aws, {"requestId": REQUEST_ID, "materials": [change(one, other), other]})

    holder = script(answer_promptly, confuse, answer_promptly)
    scenario = imported(document=TWO_REPLICAS, holder=holder)

    assert scenario.play().problems == []
    last = told(scenario.aws, "Material Required")[-1]
    assert errors_of(last) == [("replicas[0].region", code)]


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    def answer_twice(aws: Aws, _task: WaitingTask) -> None:
        document = answer(REQUEST_ID, asked_for(aws, REQUEST_ID))
        assert give(aws, document)
        assert give(aws, document)

    scenario = imported(holder=script(answer_twice, answer_twice))

    assert scenario.play().problems == []
    assert refused(scenario.aws) == []
    assert calls_of(scenario, "SendTaskSuccess") == 2
    assert calls_of(scenario, "ImportKeyMaterial") == 2


def test_another_answer_to_a_question_that_was_answered_is_refused() -> None:
    def answer_and_think_again(aws: Aws, _task: WaitingTask) -> None:
        materials = asked_for(aws, REQUEST_ID)
        assert give(aws, answer(REQUEST_ID, materials))
        assert give(aws, answer(REQUEST_ID, materials, OTHER_MATERIAL))

    scenario = imported(holder=script(answer_and_think_again, answer_promptly))

    assert scenario.play().problems == []
    assert refused(scenario.aws) == ["KEY_MATERIAL_NOT_AWAITED"]


@walks("KeyMaterialNotAwaited")
def test_an_answer_after_the_time_of_its_question_is_refused_and_the_next_one_taken() -> None:
    def answer_too_late(aws: Aws, task: WaitingTask) -> None:
        materials = asked_for(aws, REQUEST_ID)
        aws.sleep(task.ends_at - aws.time)
        assert give(aws, answer(REQUEST_ID, materials))

    scenario = imported(holder=script(answer_too_late, answer_promptly, answer_promptly))

    assert scenario.play().problems == []
    assert refused(scenario.aws) == ["KEY_MATERIAL_NOT_AWAITED"]
    assert questions(scenario.aws) == [[PRIMARY], [PRIMARY], [REPLICA]]


def test_what_nobody_asked_for_is_refused_and_changes_nothing() -> None:
    documents: list[dict[str, Any]] = []

    def keep_and_answer(aws: Aws, task: WaitingTask) -> None:
        documents.append(answer(REQUEST_ID, asked_for(aws, REQUEST_ID)))
        answer_promptly(aws, task)

    scenario = imported(holder=script(keep_and_answer, answer_promptly))
    aws = scenario.aws
    scenario.play()
    table = dict(aws.dynamodb.tables["requests"][REQUEST_ID])

    assert give(aws, documents[0])
    assert give(aws, {**documents[0], "requestId": "unknown"})

    assert refused(aws) == ["KEY_MATERIAL_NOT_AWAITED", "REQUEST_NOT_FOUND"]
    assert aws.dynamodb.tables["requests"] == {REQUEST_ID: table}
    assert problems(aws, IMPORTED) == []


def test_an_answer_for_a_region_that_does_not_wait_is_refused_and_the_question_stays() -> None:
    def answer_for_the_wrong_region(aws: Aws, task: WaitingTask) -> None:
        document = answer(REQUEST_ID, [{**asked_for(aws, REQUEST_ID)[0], "region": OTHER_REPLICA}])
        assert give(aws, document)
        answer_promptly(aws, task)

    scenario = imported(holder=script(answer_for_the_wrong_region, answer_promptly))

    assert scenario.play().problems == []
    assert refused(scenario.aws) == ["REGION_NOT_AWAITED"]
    assert questions(scenario.aws) == [[PRIMARY], [REPLICA]]


def test_the_regions_can_be_answered_one_after_the_other() -> None:
    def answer_for_the_first(aws: Aws, _task: WaitingTask) -> None:
        assert give(aws, answer(REQUEST_ID, asked_for(aws, REQUEST_ID)[:1]))

    holder = script(answer_promptly, answer_for_the_first, answer_for_the_first)
    scenario = imported(document=TWO_REPLICAS, holder=holder)

    assert scenario.play().problems == []
    assert questions(scenario.aws) == [[PRIMARY], [REPLICA, OTHER_REPLICA], [OTHER_REPLICA]]


def test_a_later_expiry_renews_the_material_and_makes_no_key() -> None:
    first = imported()
    assert first.play().problems == []
    [created] = told(first.aws, "Created")
    keys = set(first.aws.kms.keys)

    scenario = renewed()
    scenario.sweep()
    findings = [(e.detail["kind"], e.detail["region"]) for e in told(scenario.aws, "Finding")]
    report = scenario.play()

    assert sorted(findings) == [("MATERIAL_EXPIRES", REPLICA), ("MATERIAL_EXPIRES", PRIMARY)]
    assert len(told(scenario.aws, "Finding")) == len(findings)
    assert report.problems == []
    assert questions(scenario.aws) == [[PRIMARY], [REPLICA]]
    [renewal] = told(scenario.aws, "Created")
    assert renewal.detail["outcomeId"] != created.detail["outcomeId"]
    key = renewal.detail["key"]
    valid_to = RENEWED["keyMaterial"]["validTo"]
    assert {one["validTo"] for one in (key["primary"], *key["replicas"])} == {valid_to}
    assert calls_of(scenario, "CreateKey") == calls_of(scenario, "ReplicateKey") == 0
    assert set(scenario.aws.kms.keys) == keys


@pytest.mark.parametrize("is_expired", [False, True])
def test_a_renewal_that_nobody_answers_fails_and_is_never_rolled_back(*, is_expired: bool) -> None:
    scenario = renewed(on_failure="ROLL_BACK", holder=nobody)
    aws = scenario.aws
    if is_expired:
        aws.time += 30 * DAY

    for times in (1, 2):
        scenario.deliver()

        failed = told(aws, "Creation Failed")
        assert len(failed) == times
        assert errors_of(failed[-1]) == [("primaryRegion", "KEY_MATERIAL_NOT_PROVIDED")]
        states = {state_in(aws, region) for region in (PRIMARY, REPLICA)}
        assert states == {"PendingImport" if is_expired else "Enabled"}
        assert len(aws.kms.aliases) == 2

    aws.holder = answer_promptly
    report = scenario.play()

    assert report.problems == []
    assert calls_of(scenario, "CreateKey") == calls_of(scenario, "ScheduleKeyDeletion") == 0


def test_a_renewal_takes_no_other_material() -> None:
    def answer_wrongly(aws: Aws, _task: WaitingTask) -> None:
        give(aws, answer(REQUEST_ID, asked_for(aws, REQUEST_ID), OTHER_MATERIAL))

    scenario = renewed(holder=script(answer_wrongly, answer_promptly, answer_promptly))

    assert scenario.play().problems == []
    second = told(scenario.aws, "Material Required")[1]
    assert errors_of(second) == [("primaryRegion", "INCORRECT_KEY_MATERIAL")]


def stop(_aws: Aws, task: WaitingTask) -> None:
    task.execution.status = "ABORTED"


def test_an_execution_that_was_stopped_while_it_waited_is_resumed_by_the_sweeper() -> None:
    scenario = imported(holder=script(stop, answer_promptly, answer_promptly))
    aws = scenario.aws

    scenario.deliver()
    aws.time += QUIET_SECONDS + 1
    scenario.sweep()

    assert is_created(aws)
    assert [(e.detail["kind"], e.detail["action"]) for e in told(aws, "Finding")] == [
        ("REQUEST_STUCK", "RESUMED")
    ]
    assert questions(aws) == [[PRIMARY], [PRIMARY], [REPLICA]]
    assert problems(aws, IMPORTED) == []


@pytest.mark.parametrize("stops_at", [1, 2])
def test_what_was_wrapped_for_an_execution_that_was_stopped_is_taken_by_the_next(
    stops_at: int,
) -> None:
    documents: list[dict[str, Any]] = []

    def wrap_and_stop(aws: Aws, task: WaitingTask) -> None:
        documents.append(answer(REQUEST_ID, asked_for(aws, REQUEST_ID)))
        stop(aws, task)
        assert give(aws, documents[0])

    def answer_as_before(aws: Aws, _task: WaitingTask) -> None:
        assert give(aws, documents[0])

    before = [answer_promptly] * (stops_at - 1)
    holder = script(*before, wrap_and_stop, answer_as_before, answer_promptly)
    scenario = imported(holder=holder)
    aws = scenario.aws

    scenario.deliver()
    assert refused(aws) == ["KEY_MATERIAL_NOT_AWAITED"]
    aws.time += QUIET_SECONDS + 1
    scenario.sweep()

    assert is_created(aws)
    assert problems(aws, IMPORTED) == []


def test_a_request_that_waits_is_left_to_its_execution() -> None:
    other_expiry = {**IMPORTED, "keyMaterial": {"validTo": "2027-12-01T00:00:00Z"}}

    def let_others_come(aws: Aws, task: WaitingTask) -> None:
        aws.sleep(QUIET_SECONDS + 1)
        scenario.deliver()
        scenario.sweep()
        scenario.run(aws.new_execution(other_expiry))
        answer_promptly(aws, task)

    scenario = imported()
    scenario.aws.holder = script(let_others_come, let_others_come)
    report = scenario.play()

    assert report.problems == []
    assert questions(scenario.aws) == [[PRIMARY], [REPLICA]]
    assert told(scenario.aws, "Finding") == []
    rejected = told(scenario.aws, "Request Rejected")
    assert [errors_of(event) for event in rejected] == [[("requestId", "REQUEST_CONFLICT")]] * 2


def test_an_execution_that_lost_its_request_rolls_nothing_back() -> None:
    def give_way(aws: Aws, task: WaitingTask) -> None:
        stop(aws, task)
        scenario.deliver()
        task.execution.status = "RUNNING"  # as after a redrive

    scenario = imported(document={**IMPORTED, "onFailure": "ROLL_BACK"})
    aws = scenario.aws
    aws.holder = script(give_way, stop)

    scenario.deliver()

    assert state_in(aws, PRIMARY) == "PendingImport"
    assert len(aws.kms.aliases) == 1
    assert told(aws, "Creation Failed") == []


def test_whoever_answers_wrongly_again_and_again_is_told_that_it_failed() -> None:
    def answer_wrongly(aws: Aws, _task: WaitingTask) -> None:
        aws.sleep(1)
        material = MATERIAL if len(questions(aws)) == 1 else OTHER_MATERIAL
        give(aws, answer(REQUEST_ID, asked_for(aws, REQUEST_ID), material))

    scenario = imported(holder=answer_wrongly)
    aws = scenario.aws

    scenario.deliver()

    assert 10 < len(questions(aws)) <= 50
    [failed] = told(aws, "Creation Failed")
    assert errors_of(failed) == [("replicas[0].region", "KEY_MATERIAL_NOT_PROVIDED")]

    aws.holder = answer_promptly
    assert scenario.play().problems == []


BY_HAND = json.dumps({"Version": "2012-10-17", "Statement": ["one that somebody added"]})


def change_by_hand(aws: Aws, *, leaving: bool = False) -> None:
    """Change each thing that a renewal has no business with."""
    for region in (PRIMARY, REPLICA):
        key = key_in(aws, region)
        key.policy, key.description = BY_HAND, "edited by hand"
        key.tags["team"] = "another"
    key_in(aws, REPLICA).disabled = not leaving
    key_in(aws, REPLICA).leaving = leaving


def hand_made(aws: Aws) -> list[tuple[Any, ...]]:
    """List what somebody may change of each key, and its aliases."""
    return [
        (key.policy, key.description, dict(key.tags), key.disabled, key.leaving)
        for key in aws.kms.keys.values()
    ] + [(name, arn) for name, arn in aws.kms.aliases.items()]


@pytest.mark.parametrize("leaving", [False, True], ids=["disabled", "leaving"])
def test_a_renewal_leaves_what_was_changed_by_hand_at_whatever_call_a_fault_comes(
    *, leaving: bool
) -> None:
    without = renewed()
    change_by_hand(without.aws, leaving=leaving)
    without.deliver()
    calls = len(without.network.calls)
    assert calls > 10
    faults = (Fault.KILLED_AFTER, Fault.STOPPED)
    schedules = [((number, fault),) for number in range(calls) for fault in faults]

    for schedule in [(), *schedules]:
        scenario = renewed(schedule, on_failure="ROLL_BACK")
        aws = scenario.aws
        change_by_hand(aws, leaving=leaving)
        before = hand_made(aws)

        scenario.deliver()
        scenario.network.end_faults()
        scenario.deliver()
        aws.time += QUIET_SECONDS + 1
        scenario.sweep()

        assert hand_made(aws) == before, schedule
        failed = told(aws, "Creation Failed")[-1]
        assert errors_of(failed) == [("replicas[0].region", "KEY_STATE_CONFLICT")], schedule
        key = failed.detail["key"]
        assert [one["region"] for one in (key["primary"], *key["replicas"])] == [PRIMARY, REPLICA]
        assert key_in(aws, PRIMARY).valid_to == _instant(RENEWED), schedule
        assert key_in(aws, REPLICA).valid_to == _instant(IMPORTED), schedule


def _instant(document: dict[str, Any]) -> float:
    return datetime.fromisoformat(document["keyMaterial"]["validTo"]).timestamp()


def test_a_renewal_that_failed_over_a_disabled_key_goes_on_once_it_is_enabled() -> None:
    scenario = renewed()
    aws = scenario.aws
    key_in(aws, REPLICA).disabled = True
    scenario.deliver()
    [failed] = told(aws, "Creation Failed")
    assert "Disabled" in failed.detail["errors"][0]["message"]

    key_in(aws, REPLICA).disabled = False
    scenario.deliver()

    [created] = told(aws, "Created")
    assert questions(aws) == [[PRIMARY], [REPLICA]]
    assert created.detail["key"]["keyMetadata"]


def test_a_disabled_key_whose_material_is_as_asked_is_no_failure() -> None:
    material = IMPORTED["keyMaterial"]
    [replica] = IMPORTED["replicas"]
    document = {
        **RENEWED,
        "replicas": [{**replica, "keyMaterial": {"validTo": material["validTo"]}}],
    }
    scenario = renewed()
    aws = scenario.aws
    key_in(aws, REPLICA).disabled = True

    scenario.run(aws.new_execution(document))

    [created] = told(aws, "Created")
    assert created.detail["key"]["replicas"][0]["keyState"] == "Disabled"
    assert questions(aws) == [[PRIMARY]]


@pytest.mark.parametrize("gone_in", [[PRIMARY], [REPLICA], [PRIMARY, REPLICA]])
def test_material_that_was_deleted_by_hand_is_asked_for_by_sending_the_request_again(
    gone_in: list[str],
) -> None:
    document = {**IMPORTED, "keyMaterial": {"expires": False}}
    scenario = imported(document=document)
    scenario.deliver()
    aws = scenario.aws
    [first] = told(aws, "Created")
    for region in gone_in:
        key_in(aws, region).material = None

    scenario.deliver()
    scenario.deliver()

    assert questions(aws)[2:] == [[region] for region in gone_in]
    assert [state_in(aws, region) for region in (PRIMARY, REPLICA)] == ["Enabled"] * 2
    created = told(aws, "Created")
    assert len(created) == 2
    assert created[1].detail["outcomeId"] != first.detail["outcomeId"]


def test_material_is_asked_for_again_once_a_key_without_it_is_restored() -> None:
    document = {**IMPORTED, "keyMaterial": {"expires": False}}
    scenario = imported(document=document)
    scenario.deliver()
    aws = scenario.aws
    removed = revised(document, f"REMOVE:{REPLICA}", replicas=[])
    restored = revised(removed, f"RESTORE:{REPLICA}", replicas=document["replicas"])
    scenario.document = removed
    scenario.deliver()
    assert state_in(aws, REPLICA) == "PendingDeletion"
    asked = len(questions(aws))
    # It expired, or somebody has deleted it meanwhile.
    key_in(aws, REPLICA).material = None

    scenario.document = restored
    scenario.deliver()

    updated = told(aws, "Updated")[-1].detail
    assert [one["code"] for one in updated["warnings"]] == ["KEY_MATERIAL_MISSING"]
    assert (state_in(aws, REPLICA), questions(aws)[asked:]) == ("PendingImport", [])

    # As the warning says.
    scenario.deliver()

    assert questions(aws)[asked:] == [[REPLICA]]
    assert [state_in(aws, region) for region in (PRIMARY, REPLICA)] == ["Enabled"] * 2
    assert key_in(aws, REPLICA).material == key_in(aws, PRIMARY).material
    assert aws.violations == []


def test_a_created_request_whose_material_is_there_is_left_as_it_is() -> None:
    scenario = imported()
    scenario.deliver()
    aws = scenario.aws
    table = dict(aws.dynamodb.tables["requests"][REQUEST_ID])
    events = len(aws.events)

    scenario.deliver()

    assert aws.dynamodb.tables["requests"][REQUEST_ID] == table
    assert len(aws.events) == events


def test_each_outcome_of_a_key_set_has_an_id_of_its_own() -> None:
    never = {**IMPORTED, "keyMaterial": {"expires": False}}
    scenario = imported(document=never)
    aws = scenario.aws

    for document in (never, IMPORTED, never):
        scenario.run(aws.new_execution(document))

    ids = [event.detail["outcomeId"] for event in told(aws, "Created")]
    assert len(set(ids)) == len(ids) == 3


def test_a_finished_key_set_whose_outcome_is_not_published_is_published_and_not_touched() -> None:
    scenario = imported()
    scenario.deliver()
    aws = scenario.aws
    [first] = told(aws, "Created")
    item = aws.dynamodb.tables["requests"][REQUEST_ID]
    # As the run leaves it that dies before it has written that its event was sent.
    del item["publishedAt"], item["nextRun"]
    item["unfinished"] = {"S": "0"}
    aws.time += QUIET_SECONDS + 1
    change_by_hand(aws)
    before, calls = hand_made(aws), len(scenario.network.calls)

    scenario.deliver()

    again = told(aws, "Created")[-1]
    assert {**again.detail, "executionArn": ""} == {**first.detail, "executionArn": ""}
    assert hand_made(aws) == before
    assert not {call.operation for call in scenario.network.calls[calls:]} & {
        "DescribeKey",
        "GetParametersForImport",
        "ImportKeyMaterial",
    }


def test_of_two_that_answer_for_different_regions_at_once_both_are_taken_in_the_end() -> None:
    """The second one is asked to wait for the next question, which takes the same answer."""
    late: list[dict[str, Any]] = []

    def answer_twice(aws: Aws, task: WaitingTask) -> None:
        answers = [answer(REQUEST_ID, [asked]) for asked in asked_for(aws, REQUEST_ID)]
        for one in answers:
            give(aws, one, task.execution)
        late.append(answers[1])

    def send_it_again(aws: Aws, task: WaitingTask) -> None:
        assert [asked["region"] for asked in asked_for(aws, REQUEST_ID)] == [OTHER_REPLICA]
        give(aws, late[0], task.execution)

    holder = script(answer_promptly, answer_twice, send_it_again)
    scenario = imported(document=TWO_REPLICAS, holder=holder)
    scenario.deliver()

    assert questions(scenario.aws) == [[PRIMARY], [REPLICA, OTHER_REPLICA], [OTHER_REPLICA]]
    assert refused(scenario.aws) == ["KEY_MATERIAL_NOT_AWAITED"]
    [refusal] = told(scenario.aws, "Material Refused")
    assert "send this answer once more" in refusal.detail["errors"][0]["message"]
    assert problems(scenario.aws, TWO_REPLICAS) == []
    assert is_created(scenario.aws)
