"""The announcement of a rotation in a record: who may make it, and who may take it back."""

from typing import Any

import pytest

from provisioner.aws.records import Records, Rotation, Status
from provisioner.errors import Cancelled
from tests.support.finished_sets import (
    CHANGE_EXECUTION,
    OTHER_CHANGE_EXECUTION,
    claim,
    create,
    end,
    record_of,
)
from tests.support.samples import key_arn


def rotation_of(operation_id: str = "op-1", said_by: str = "me") -> Rotation:
    return {
        "operationId": operation_id,
        "keyArn": key_arn(),
        "materialId": "a" * 64,
        "token": said_by,
        "sentAt": "2026-11-27T05:00:00+00:00",
    }


def announce(
    records: Records,
    rotation: Rotation,
    seen: Rotation | None = None,
    execution: str = CHANGE_EXECUTION,
) -> bool:
    return records.announce_rotation("CHG1", execution, rotation, seen=seen)


def test_a_rotation_is_announced_once_by_the_holder(records: Records) -> None:
    create(records)
    assert not announce(records, rotation_of()), "nobody holds it"
    claim(records)

    assert not announce(records, rotation_of(), execution=OTHER_CHANGE_EXECUTION)
    assert announce(records, rotation_of())
    assert announce(records, rotation_of()), "whoever has announced it knows its own token"
    assert not announce(records, rotation_of(said_by="other"))
    assert not announce(records, rotation_of(said_by="other"), seen=rotation_of(said_by="before"))
    assert record_of(records).rotation == rotation_of()


def test_the_next_operation_replaces_the_announcement_that_it_has_seen(records: Records) -> None:
    create(records)
    claim(records)
    announce(records, rotation_of())
    end(records, Status.UPDATED)
    assert record_of(records).rotation == rotation_of()

    claim(records)
    later = rotation_of("op-2", "later")

    assert announce(records, later, seen=rotation_of())
    assert record_of(records).rotation == later


def test_an_announcement_is_taken_back_by_whoever_made_it(records: Records) -> None:
    create(records)
    claim(records)
    announce(records, rotation_of())

    records.withdraw_rotation("CHG1", rotation_of(said_by="other"))
    assert record_of(records).rotation == rotation_of()
    records.withdraw_rotation("CHG1", rotation_of())

    assert record_of(records).rotation is None
    assert announce(records, rotation_of(said_by="again"))


def test_an_operation_that_is_cancelled_announces_nothing(records: Records) -> None:
    create(records)
    claim(records)
    records.cancel("CHG1")

    with pytest.raises(Cancelled):
        announce(records, rotation_of())

    assert record_of(records).rotation is None


def test_what_to_know_before_material_is_provided_is_in_the_record(records: Records) -> None:
    create(records)
    claim(records)
    warning: Any = {"path": "operation", "code": "ROTATION_IS_FINAL", "message": "For ever."}

    records.await_material(
        *("CHG1", CHANGE_EXECUTION, "token"), key=None, materials=[], errors=[], warnings=[warning]
    )

    assert record_of(records).warnings == [warning]
    assert announce(records, rotation_of()), "the answer came a moment ago"
