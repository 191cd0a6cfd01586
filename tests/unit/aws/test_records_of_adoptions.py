"""The record of a key set that is to be adopted: that of a released one, until it is managed."""

from collections.abc import Callable
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Record, Records, Status
from provisioner.change.claim import claim_change
from provisioner.creation.claim import check_claim, claim
from provisioner.domain.operation import Adoption
from provisioner.domain.plan import KeySetRequest, content_hash
from provisioner.domain.provenance import UNKNOWN, Provenance
from provisioner.errors import DependencyUnavailable, Released
from tests.support.answering import answer, refusal
from tests.support.clock import Clock
from tests.support.finished_sets import CHANGED, CREATED, create, record_of
from tests.support.samples import EXECUTION, OTHER_EXECUTION, key_arn, request_of

ADOPTION: Adoption = {
    "operationId": "adopt-1",
    "keyArn": key_arn("eu-west-1"),
    "unmanaged": [],
    "takeOver": False,
}
WHO: Provenance = {**UNKNOWN, "requester": "arn:aws:iam::111122223333:role/Ops"}


def adopt(
    records: Records,
    request: KeySetRequest = CREATED,
    execution: str = EXECUTION,
    seen: Record | None = None,
    **more: Any,
) -> tuple[bool, Record]:
    return records.adopt(
        request,
        execution,
        key_arn=key_arn(),
        adoption={**ADOPTION, **more},  # type: ignore[typeddict-item]
        seen=seen,
        provenance=WHO,
    )


def test_a_set_that_is_to_be_adopted_is_known_and_not_managed_yet(
    records: Records, clock: Clock
) -> None:
    written, record = adopt(records)

    assert written
    assert record == record_of(records)
    assert record.status == Status.CREATED
    assert record.request == record.applied == CREATED
    assert record.key_arn == key_arn()
    assert record.released_at == clock.time
    assert record.adopted_at is None
    assert record.adoption == ADOPTION
    assert record.provenance == WHO
    # There is no outcome to publish, and nobody has to take it up.
    assert record.published
    assert [*records.unfinished()] == []


def test_writing_it_again_changes_nothing(records: Records, clock: Clock) -> None:
    _, first = adopt(records)
    clock.move(seconds=60)

    written, again = adopt(records)

    assert written
    assert again.released_at == first.released_at


def test_a_record_that_came_meanwhile_is_returned_and_stays(records: Records) -> None:
    create(records)

    written, found = adopt(records, execution=OTHER_EXECUTION)

    assert not written
    assert found == record_of(records)
    assert found.released_at is None


def test_a_refused_request_is_none_that_has_the_id(records: Records) -> None:
    records.note_refusal("CHG1", EXECUTION, None, [])

    assert adopt(records, seen=records.get("CHG1"))[0]


def test_a_request_that_failed_keeps_its_id(records: Records) -> None:
    records.note_refusal("CHG1", EXECUTION, None, [])
    seen = records.get("CHG1")
    create(records)

    assert not adopt(records, execution=OTHER_EXECUTION, seen=seen)[0]


def test_a_released_set_is_adopted_as_it_is_declared_now(records: Records, clock: Clock) -> None:
    _, before = adopt(records)
    clock.move(seconds=60)

    written, after = adopt(records, CHANGED, OTHER_EXECUTION, before, takeOver=True)

    assert written
    assert after.revision == 2
    assert after.content_hash == content_hash(CHANGED)
    assert after.released_at == before.released_at
    assert after.adoption
    assert after.adoption["takeOver"]


def test_of_two_that_adopt_a_released_set_one_is_told_to_decide_again(records: Records) -> None:
    _, seen = adopt(records)
    assert adopt(records, CHANGED, OTHER_EXECUTION, seen)[0]

    written, found = adopt(records, CHANGED, EXECUTION + "-third", seen)

    assert not written
    assert found.execution_arn == OTHER_EXECUTION


def test_a_refusal_that_shows_no_record_decides_nothing(records: Records) -> None:
    answer(client("dynamodb"), "UpdateItem", refusal("ConditionalCheckFailedException"))

    with pytest.raises(DependencyUnavailable, match="who holds CHG1"):
        adopt(records)


def test_the_requests_of_a_key_are_found_by_its_id_alone(records: Records) -> None:
    create(records, request_of(requestId="CHG2"), arn=key_arn(key_id="mrk-1"))
    adopt(records)

    found = [*records.of_key("mrk-00000000000000000000000000000000")]

    assert [one.request_id for one in found] == ["CHG1"]
    assert [one.request_id for one in records.of_key("mrk-1")] == ["CHG2"]
    assert [*records.of_key("mrk-2")] == []


@pytest.mark.parametrize("request_", [CREATED, CHANGED], ids=["as it is", "the next revision"])
def test_whatever_would_manage_a_released_set_is_refused(
    request_: KeySetRequest, records: Records
) -> None:
    adopt(records)
    step_functions = client("stepfunctions")

    asks: list[Callable[[], object]] = [
        lambda: claim(records, step_functions, request_, OTHER_EXECUTION),
        lambda: check_claim(records, step_functions, request_),
    ]
    if request_ is CHANGED:
        version = record_of(records).version
        asks.append(
            lambda: claim_change(
                records, step_functions, request_, OTHER_EXECUTION, version=version
            )
        )

    for ask in asks:
        with pytest.raises(Released, match=r"CHG1 is not managed since 20..-..-..T..:..:..Z"):
            ask()
    assert record_of(records).execution_arn == EXECUTION


def test_released_while_its_material_was_to_be_renewed_it_is_not_renewed(records: Records) -> None:
    adopt(records)

    assert not records.claim(CREATED, OTHER_EXECUTION, renewing=True)[0]
