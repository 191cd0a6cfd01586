from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.clients import client
from provisioner.errors import DependencyUnavailable, PrimaryKeyUnconfirmed, RequestConflict
from provisioner.records import Record, Records, Status
from tests.unit.answering import answer, lose_on_the_wire, on, refusal
from tests.unit.samples import EXECUTION, OTHER_EXECUTION, key_arn

HASH, OTHER_HASH = "a" * 64, "b" * 64
TICKET = {"id": "CHG0031337"}
PROBLEM = {"path": "alias", "code": "ALIAS_IN_USE", "message": "It is in use."}


def claim(records: Records, execution: str = EXECUTION, digest: str = HASH) -> Record | None:
    return records.claim("CHG1", digest, execution, TICKET)


def finish(records: Records, status: Status, execution: str = EXECUTION) -> bool:
    key = {"keyId": "mrk-1"} if status == Status.CREATED else None
    return records.finish(
        "CHG1",
        content_hash=HASH,
        execution_arn=execution,
        status=status,
        key=key,
        errors=[] if key else [PROBLEM],  # type: ignore[list-item]
        ticket=TICKET,
    )


def refuse(records: Records, execution: str | None = EXECUTION) -> None:
    records.note_refusal("CHG1", execution, TICKET, [PROBLEM])  # type: ignore[list-item]


def status_of(records: Records) -> Status | None:
    record = records.get("CHG1")
    return record.status if record else None


def test_an_unknown_request_has_no_record(records: Records) -> None:
    assert records.get("CHG1") is None


def test_a_new_request_is_claimed(records: Records) -> None:
    record = claim(records)

    assert record == records.get("CHG1")
    assert record == Record(
        request_id="CHG1",
        status=Status.IN_PROGRESS,
        content_hash=HASH,
        execution_arn=EXECUTION,
        attempt=0,
        attempt_open=False,
        key_arn=None,
        key=None,
        errors=[],
        ticket=TICKET,
    )


def test_an_execution_claims_its_request_again(records: Records) -> None:
    assert claim(records) == claim(records)


def test_a_request_that_another_execution_holds_is_not_claimed(records: Records) -> None:
    claim(records)

    assert claim(records, OTHER_EXECUTION) is None
    held = records.get("CHG1")
    assert held
    assert held.execution_arn == EXECUTION


def test_the_claim_of_a_dead_execution_passes_on(records: Records) -> None:
    claim(records)

    record = records.claim("CHG1", HASH, OTHER_EXECUTION, TICKET, dead_execution=EXECUTION)

    assert record
    assert record.execution_arn == OTHER_EXECUTION


def test_a_claim_passes_on_from_no_execution_but_the_dead_one(records: Records) -> None:
    claim(records)

    dead = EXECUTION + "-before"
    assert records.claim("CHG1", HASH, OTHER_EXECUTION, TICKET, dead_execution=dead) is None


def test_a_created_request_is_not_claimed_again(records: Records) -> None:
    claim(records)
    finish(records, Status.CREATED)

    assert claim(records) is None
    assert claim(records, OTHER_EXECUTION) is None
    assert status_of(records) == Status.CREATED


def test_a_failed_request_is_claimed_again_with_what_it_reached(records: Records) -> None:
    claim(records)
    records.announce_attempt("CHG1", EXECUTION, 1)
    records.close_attempt("CHG1", 1, key_arn())
    finish(records, Status.FAILED)

    record = claim(records, OTHER_EXECUTION)

    assert record
    assert (record.status, record.key_arn) == (Status.IN_PROGRESS, key_arn())
    assert (record.attempt, record.errors) == (1, [])


@pytest.mark.parametrize("status", [None, Status.FAILED, Status.CREATED])
def test_other_content_is_a_conflict_and_changes_nothing(
    status: Status | None, records: Records
) -> None:
    claim(records)
    if status:
        finish(records, status)
    before = records.get("CHG1")

    with pytest.raises(RequestConflict, match="CHG1 was used before with other content"):
        claim(records, OTHER_EXECUTION, OTHER_HASH)

    assert records.get("CHG1") == before


def test_a_refused_request_may_be_claimed_with_other_content(records: Records) -> None:
    refuse(records)

    record = claim(records, OTHER_EXECUTION, OTHER_HASH)

    assert record
    assert (record.status, record.content_hash) == (Status.IN_PROGRESS, OTHER_HASH)
    assert record.errors == []


@pytest.mark.parametrize("execution", [EXECUTION, None])
def test_a_refusal_is_kept_for_whoever_asks(execution: str | None, records: Records) -> None:
    refuse(records, execution)

    record = records.get("CHG1")
    assert record
    assert (record.status, record.execution_arn) == (Status.REJECTED, execution)
    assert (record.ticket, record.errors) == (TICKET, [PROBLEM])


def test_a_later_refusal_replaces_the_earlier_one(records: Records) -> None:
    refuse(records)
    records.note_refusal("CHG1", OTHER_EXECUTION, None, [])

    record = records.get("CHG1")
    assert record
    assert (record.execution_arn, record.ticket, record.errors) == (OTHER_EXECUTION, None, [])


@pytest.mark.parametrize("status", [None, Status.FAILED, Status.CREATED])
def test_a_refusal_hides_no_record(status: Status | None, records: Records) -> None:
    claim(records)
    if status:
        finish(records, status)
    before = records.get("CHG1")

    refuse(records, OTHER_EXECUTION)

    assert records.get("CHG1") == before


def test_an_attempt_is_open_until_its_answer_is_recorded(records: Records) -> None:
    claim(records)

    assert records.announce_attempt("CHG1", EXECUTION, 1)
    announced = records.get("CHG1")
    records.close_attempt("CHG1", 1, key_arn())
    closed = records.get("CHG1")

    assert announced
    assert (announced.attempt, announced.attempt_open, announced.key_arn) == (1, True, None)
    assert closed
    assert (closed.attempt, closed.attempt_open, closed.key_arn) == (1, False, key_arn())


def test_an_attempt_without_a_key_may_be_followed_by_the_next(records: Records) -> None:
    claim(records)
    records.announce_attempt("CHG1", EXECUTION, 1)

    records.close_attempt("CHG1", 1, None)

    assert records.announce_attempt("CHG1", EXECUTION, 2)


def test_an_open_attempt_is_followed_by_no_other(records: Records) -> None:
    claim(records)
    records.announce_attempt("CHG1", EXECUTION, 1)

    assert not records.announce_attempt("CHG1", EXECUTION, 1)
    assert not records.announce_attempt("CHG1", EXECUTION, 2)


def test_a_key_is_followed_by_no_other_attempt(records: Records) -> None:
    claim(records)
    records.announce_attempt("CHG1", EXECUTION, 1)
    records.close_attempt("CHG1", 1, key_arn())

    assert not records.announce_attempt("CHG1", EXECUTION, 2)


def test_only_the_holder_announces_and_only_the_next_attempt(records: Records) -> None:
    claim(records)

    assert not records.announce_attempt("CHG1", OTHER_EXECUTION, 1)
    assert not records.announce_attempt("CHG1", EXECUTION, 2)
    assert not records.announce_attempt("CHG2", EXECUTION, 1)


@pytest.mark.parametrize("made", [key_arn(), None])
def test_an_answer_to_an_attempt_that_is_not_the_last_is_told(
    made: str | None, records: Records
) -> None:
    claim(records)
    records.announce_attempt("CHG1", EXECUTION, 1)

    with pytest.raises(PrimaryKeyUnconfirmed, match=f"made {made or 'no key'}"):
        records.close_attempt("CHG1", 2, made)


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_an_outcome_is_recorded_by_the_holder(status: Status, records: Records) -> None:
    claim(records)

    assert finish(records, status)
    assert finish(records, status)

    record = records.get("CHG1")
    assert record
    assert (record.status, record.content_hash) == (status, HASH)
    assert record.key == ({"keyId": "mrk-1"} if status == Status.CREATED else None)
    assert record.errors == ([] if status == Status.CREATED else [PROBLEM])
    assert record.ticket == TICKET


def test_an_outcome_of_a_request_that_was_never_claimed_is_recorded(records: Records) -> None:
    assert finish(records, Status.FAILED)

    assert status_of(records) == Status.FAILED
    assert claim(records, OTHER_EXECUTION)


def test_an_outcome_of_another_execution_is_not_recorded(records: Records) -> None:
    claim(records)

    assert not finish(records, Status.FAILED, OTHER_EXECUTION)
    assert status_of(records) == Status.IN_PROGRESS


CALLS: list[Callable[[Records], Any]] = [
    lambda records: records.get("CHG1"),
    claim,
    lambda records: records.announce_attempt("CHG1", EXECUTION, 1),
    lambda records: records.close_attempt("CHG1", 1, None),
    lambda records: finish(records, Status.FAILED),
    refuse,
]


@pytest.mark.parametrize("call", CALLS)
def test_a_table_that_refuses_is_unavailable(call: Callable[[Records], Any]) -> None:
    dynamodb = client("dynamodb")
    for operation in ("GetItem", "UpdateItem"):
        answer(dynamodb, operation, refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(DependencyUnavailable, match=r"DynamoDB refused .*Item: Provisioned"):
        call(Records(dynamodb, "requests"))


@pytest.mark.parametrize("call", CALLS)
def test_a_table_that_does_not_answer_is_unavailable(call: Callable[[Records], Any]) -> None:
    dynamodb = client("dynamodb")
    lose_on_the_wire(dynamodb, ReadTimeoutError(endpoint_url="https://dynamodb.invalid"))

    with pytest.raises(DependencyUnavailable, match="DynamoDB did not answer"):
        call(Records(dynamodb, "requests"))


def test_a_record_is_read_consistently(records: Records) -> None:
    seen: list[bool] = []
    dynamodb = client("dynamodb")
    on(
        dynamodb,
        "provide-client-params.dynamodb.GetItem",
        lambda params, **_: seen.append(params["ConsistentRead"]),
    )

    records.get("CHG1")

    assert seen == [True]
