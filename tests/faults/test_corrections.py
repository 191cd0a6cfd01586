"""A failed request is corrected under its own ID, at every fault: one key set, as corrected.

Every single fault that the code can distinguish, at every call of the failure and of the
correction; pairs of them where one leaves a CreateKey attempt open or hides that the correction was
taken; and the wrong content delivered again at every call. Nothing is sampled.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.faults.aws import Call
from tests.support.faults.corrections import (
    BAD_PRIMARY,
    BAD_REPLICA,
    Correction,
    FailedCorrection,
    mark_by_hand,
    with_an_open_attempt,
)
from tests.support.faults.faults import Fault, Schedule, distinct_kinds_at
from tests.support.faults.scenario import (
    REQUEST,
    REQUEST_ID,
    Ends,
    is_created,
    problems,
    recorded_key,
)

_HARSH = {Fault.BROKEN_AFTER, Fault.KILLED, Fault.KILLED_AFTER, Fault.STOPPED}
_AGAIN = {Fault.REDELIVERED, Fault.STOPPED}
Make = Callable[[Schedule], Correction | FailedCorrection]


def kinds(call: Call, wanted: Iterable[Fault] = Fault) -> list[Fault]:
    return [fault for fault in distinct_kinds_at(call) if fault in wanted]


def singles(make: Make, wanted: Iterable[Fault] = Fault) -> Iterator[Schedule]:
    for place, call in enumerate(make(()).play().calls):
        yield from (((place, fault),) for fault in kinds(call, wanted))


def count_without_problems(make: Make, schedules: Iterable[Schedule]) -> int:
    """Play schedules, of which none may leave a problem; return how many they are."""
    started, count, ends = time.process_time(), 0, Ends()
    for schedule in schedules:
        report = make(schedule).play_to(ends)
        assert report.problems == [], str(report)
        count += 1
    print(f"{count} schedules, {time.process_time() - started:.0f} seconds of CPU")
    return count


@pytest.mark.parametrize(
    ("wrong", "codes"),
    [(BAD_REPLICA, ["KEY_POLICY_REFUSED"]), (BAD_PRIMARY, ["KEY_POLICY_REFUSED"])],
)
def test_a_request_fails_by_its_content_and_is_created_once_that_is_corrected(
    wrong: dict[str, Any], codes: list[str]
) -> None:
    report = Correction(wrong=wrong).play()

    outcomes = [(event.detail["status"], event.detail["errors"]) for event in report.aws.events]
    assert report.problems == []
    assert [status for status, _ in outcomes] == ["FAILED", "CREATED"]
    assert [error["code"] for error in outcomes[0][1]] == codes


def test_a_policy_that_kms_returns_in_another_form_is_not_written_again() -> None:
    calls = [call.operation for call in Correction(wrong=BAD_REPLICA).play().calls]

    # Of the replica whose policy was right from the beginning, and of the primary key, which is
    # brought to the content before the replicas and looked at once more beside them.
    assert calls.count("GetKeyPolicy") == 3
    assert "PutKeyPolicy" not in calls


def test_a_corrected_key_set_is_left_after_every_fault() -> None:
    assert count_without_problems(Correction, singles(Correction)) > 300


def test_a_corrected_key_set_is_left_where_the_wrong_content_had_no_key() -> None:
    make = partial(Correction, wrong=BAD_PRIMARY, revision=2)

    assert count_without_problems(make, singles(make, _HARSH)) > 100


def pairs() -> Iterator[Schedule]:
    """Put a second fault after a lost key, and after a correction whose answer is lost."""
    calls = Correction().play().calls
    created = [call.operation for call in calls].index("CreateKey")
    published = next(place for place, call in enumerate(calls) if call.operation == "PutEvents")
    # Published, marked, then the claim that does not fit and the one that corrects.
    corrected = published + 4
    for first in ((created, Fault.KILLED_AFTER), (corrected, Fault.BROKEN_AFTER)):
        after = Correction((first,)).play().calls
        assert after[first[0]].operation in ("CreateKey", "UpdateItem")
        for place in range(first[0] + 1, len(after)):
            yield from ((first, (place, fault)) for fault in kinds(after[place], _HARSH))


def test_a_corrected_key_set_is_left_after_pairs_of_faults() -> None:
    assert count_without_problems(Correction, pairs()) > 150


@pytest.mark.parametrize("revision", [1, 2])
def test_the_wrong_content_delivered_again_at_any_call_does_no_harm(revision: int) -> None:
    make = partial(Correction, revision=revision, duplicate=True)

    assert count_without_problems(make, singles(make, _AGAIN)) > 50


def test_the_wrong_content_delivered_after_all_changes_nothing() -> None:
    scenario = Correction()
    assert scenario.play().problems == []
    record = dict(scenario.aws.dynamodb.tables["requests"][REQUEST_ID])
    keys = str(scenario.aws.kms.keys)

    scenario.deliver_wrong()

    detail = scenario.aws.events[-1].detail
    assert (detail["status"], detail["key"]["primary"]["arn"]) == (
        "REJECTED",
        recorded_key(scenario.aws),
    )
    assert [error["code"] for error in detail["errors"]] == ["REQUEST_CONFLICT"]
    assert scenario.aws.dynamodb.tables["requests"][REQUEST_ID] == record
    assert str(scenario.aws.kms.keys) == keys


def test_another_kind_of_key_waits_until_it_is_known_whether_there_is_one() -> None:
    scenario = with_an_open_attempt()
    assert scenario.aws.events[-1].detail["status"] == "FAILED"
    assert recorded_key(scenario.aws) is None

    scenario.document = {**REQUEST, "keySpec": "HMAC_256"}
    scenario.deliver()

    refused = scenario.aws.events[-1].detail
    assert (refused["status"], refused["key"]) == ("REJECTED", None)
    assert {(error["path"], error["code"]) for error in refused["errors"]} == {
        ("keySpec", "IMMUTABLE"),
        ("keyUsage", "IMMUTABLE"),
    }
    scenario.document = REQUEST
    scenario.deliver()
    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


def test_an_open_attempt_is_settled_by_a_correction_of_the_same_kind() -> None:
    scenario = with_an_open_attempt()

    scenario.document = {**REQUEST, "alias": "alias/other"}
    scenario.deliver()

    assert is_created(scenario.aws)
    [key] = scenario.aws.kms.primaries()
    assert (
        scenario.aws.kms.aliases["us-east-1", "alias/other"]
        == key.arn
        == recorded_key(scenario.aws)
    )


def test_a_corrected_request_is_rolled_back_with_all_that_its_contents_created() -> None:
    assert count_without_problems(FailedCorrection, singles(FailedCorrection)) > 200


def test_an_old_alias_that_points_to_another_key_by_now_stays_there() -> None:
    scenario = Correction()
    scenario.deliver()
    old, other = ("us-east-1", BAD_REPLICA["alias"]), "arn:aws:kms:us-east-1:111122223333:key/own"
    scenario.aws.kms.aliases[old] = other
    mark_by_hand(scenario.aws)

    scenario.document = scenario.right
    scenario.deliver()

    assert is_created(scenario.aws)
    assert scenario.aws.kms.aliases[old] == other
    assert ("eu-west-1", BAD_REPLICA["alias"]) not in scenario.aws.kms.aliases


def test_rotation_that_somebody_else_switched_on_stays_on() -> None:
    wrong = {key: value for key, value in BAD_REPLICA.items() if key != "rotation"}
    scenario = Correction(wrong=wrong)
    scenario.deliver()
    [key] = scenario.aws.kms.primaries()
    key.rotation_days = 365

    scenario.document = scenario.right
    scenario.deliver()

    assert is_created(scenario.aws)
    assert key.rotation_days == 365


def test_a_replica_that_is_not_asked_for_any_more_stays_and_is_named() -> None:
    scenario = Correction()
    scenario.deliver()

    scenario.document = {**REQUEST, "replicas": REQUEST["replicas"][1:]}
    scenario.deliver()

    assert is_created(scenario.aws)
    dropped = str(recorded_key(scenario.aws)).replace("us-east-1", "eu-west-1")
    key = scenario.aws.kms.keys[dropped]
    assert scenario.aws.kms.state_of(key) == "Enabled"
    [warning] = scenario.aws.events[-1].detail["warnings"]
    assert (warning["path"], warning["code"]) == ("replicas", "REPLICA_NOT_ASKED_FOR")
    assert f"--region eu-west-1 --key-id {dropped}" in warning["message"]
