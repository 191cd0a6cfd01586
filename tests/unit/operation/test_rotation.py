"""RotateKeyOnDemand is announced, sent once, and looked for until KMS has shown what it did."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.aws.records import Status
from provisioner.errors import (
    KeyStateConflict,
    KmsThrottled,
    OperationRefused,
    RequestTakenOver,
    RotationNotDone,
    RotationUnderWay,
)
from provisioner.operation import rotation
from provisioner.operation.rotation import IS_SHOWN_AFTER, Rotated, mark_of, rotate_key
from provisioner.operation.rotation_history import rotations_of
from tests.support.faults.errors import refusal
from tests.support.faults.key_material import ROTATING_SECONDS, Material, Materials
from tests.support.key_sets import REQUEST, KeySet

ME = "arn:aws:states:us-east-1:111122223333:execution:mrk-change-key-set:me"
HOME = "us-east-1"


@dataclass
class FakeRecords:
    """The one record, as the requests table would keep it."""

    key_arn: str
    rotation: dict[str, str] | None = None
    holder: str = ME
    status: Status = Status.IN_PROGRESS
    is_overtaken: bool = False
    clock: Callable[[], float] = lambda: 0

    def get(self, request_id: str) -> Any:
        return SimpleNamespace(
            request_id=request_id,
            execution_arn=self.holder,
            status=self.status,
            revision=1,
            key_arn=self.key_arn,
            rotation=self.rotation,
            cancelled_at=None,
        )

    def announce_rotation(self, _id: str, _arn: str, announced: Any, *, seen: Any) -> bool:
        assert seen == self.rotation
        if self.is_overtaken:
            return False
        self.rotation = announced
        return True

    def withdraw_rotation(self, _request_id: str, announced: Any) -> None:
        assert announced == self.rotation
        self.rotation = None


@pytest.fixture
def key_set(monkeypatch: pytest.MonkeyPatch) -> KeySet:
    key_set = KeySet()
    monkeypatch.setattr(rotation, "now", lambda: datetime.fromtimestamp(key_set.aws.time, UTC))
    return key_set


@pytest.fixture
def records(key_set: KeySet) -> FakeRecords:
    return FakeRecords(key_set.arn)


def materials(key_set: KeySet) -> Materials:
    return key_set.aws.kms.materials_of(key_set.key(HOME))


def rotate(
    key_set: KeySet,
    records: FakeRecords,
    operation_id: str = "op-1",
    region: str = HOME,
    **declared: Any,
) -> Rotated:
    request, table = {**REQUEST, **declared}, records
    return rotate_key(
        *(request, operation_id, ME, region),  # type: ignore[arg-type]
        records=table,  # type: ignore[arg-type]
        kms_for=key_set.kms_for,
        send_once=key_set.send_once,
    )


def test_a_rotation_is_sent_once_and_done_when_it_is_listed(
    key_set: KeySet, records: FakeRecords
) -> None:
    for text in ("is sent", "is being rotated since", "is being rotated since"):
        with pytest.raises(RotationUnderWay, match=text):
            rotate(key_set, records)
    key_set.aws.time += ROTATING_SECONDS

    for _ in range(2):
        rotated = rotate(key_set, records)
        current = materials(key_set).of_state("CURRENT")
        assert current is not None
        assert (rotated["region"], rotated["keyMaterialId"]) == (HOME, current.id)
    assert key_set.writes() == [f"RotateKeyOnDemand {HOME}"]


def test_a_lost_call_is_followed_by_that_of_another_operation_alone(
    key_set: KeySet, records: FakeRecords
) -> None:
    key_set.refused[HOME, "RotateKeyOnDemand"] = refusal("KMSInternalException", "R", status=500)
    with pytest.raises(RotationUnderWay, match="no usable answer"):
        rotate(key_set, records)
    key_set.refused.clear()
    key_set.aws.time += IS_SHOWN_AFTER.total_seconds()

    with pytest.raises(RotationUnderWay, match="does not show it yet"):
        rotate(key_set, records)
    with pytest.raises(RotationUnderWay, match="op-1 has announced a rotation"):
        rotate(key_set, records, "op-2")
    key_set.aws.time += 1
    for _ in range(2):
        with pytest.raises(RotationNotDone, match="never sent or never carried out"):
            rotate(key_set, records)
    assert len(key_set.writes()) == 1

    with pytest.raises(RotationUnderWay, match="is sent"):
        rotate(key_set, records, "op-2")
    assert len(key_set.writes()) == 2


def test_a_call_that_kms_refuses_is_withdrawn_and_sent_again(
    key_set: KeySet, records: FakeRecords
) -> None:
    key_set.refused[HOME, "RotateKeyOnDemand"] = refusal("ThrottlingException", "R")
    with pytest.raises(KmsThrottled):
        rotate(key_set, records)
    assert records.rotation is None
    key_set.refused.clear()

    with pytest.raises(RotationUnderWay, match="is sent"):
        rotate(key_set, records)
    assert len(materials(key_set).begun) == 1


def test_one_rotation_after_another_is_each_operations_own(
    key_set: KeySet, records: FakeRecords
) -> None:
    ids = []
    for number in (1, 2):
        with pytest.raises(RotationUnderWay):
            rotate(key_set, records, f"op-{number}")
        key_set.aws.time += ROTATING_SECONDS
        ids.append(rotate(key_set, records, f"op-{number}")["keyMaterialId"])

    assert [one.id for one in materials(key_set).all][1:] == ids


def test_nothing_is_sent_where_another_has_announced_since(
    key_set: KeySet, records: FakeRecords
) -> None:
    records.is_overtaken = True

    with pytest.raises(RotationUnderWay, match="Another rotation"):
        rotate(key_set, records)

    assert key_set.writes() == []


@pytest.mark.parametrize(
    ("holder", "status"), [("another", Status.IN_PROGRESS), (ME, Status.CREATED)]
)
def test_an_execution_that_does_not_hold_the_record_rotates_nothing(
    key_set: KeySet, records: FakeRecords, holder: str, status: Status
) -> None:
    records.holder, records.status = holder, status

    with pytest.raises(RequestTakenOver):
        rotate(key_set, records)

    assert key_set.calls == []


def test_a_primary_key_that_has_moved_is_not_rotated(key_set: KeySet, records: FakeRecords) -> None:
    with pytest.raises(OperationRefused, match="is in us-east-1, and was in eu-west-1"):
        rotate(key_set, records, region="eu-west-1")

    assert key_set.writes() == []


def test_a_disabled_key_is_not_rotated(key_set: KeySet, records: FakeRecords) -> None:
    key_set.key(HOME).disabled = True

    with pytest.raises(KeyStateConflict, match="is Disabled"):
        rotate(key_set, records)

    assert key_set.writes() == []


def test_material_that_kms_does_not_list_yet_is_waited_for(
    key_set: KeySet, records: FakeRecords
) -> None:
    with pytest.raises(RotationUnderWay, match="is sent"):
        rotate(key_set, records)
    key_set.aws.time += ROTATING_SECONDS
    materials(key_set).all = [Material("another", "NON_CURRENT")]

    with pytest.raises(RotationUnderWay, match="does not list the key material"):
        rotate(key_set, records)
    with pytest.raises(RotationUnderWay, match="op-1 has announced"):
        rotate(key_set, records, "op-2")
    records.rotation = None
    with pytest.raises(RotationUnderWay, match="does not list the current key material"):
        rotate(key_set, records, "op-2")

    assert len(key_set.writes()) == 1


def test_imported_material_that_somebody_has_rotated_to_is_not_rotated_again(
    key_set: KeySet, records: FakeRecords
) -> None:
    found = materials(key_set)
    found.add("PENDING_ROTATION", b"new", mark_of("CHG0031337", "op-1"))
    found.rotate(key_set.aws.time, "ON_DEMAND")

    assert rotate(key_set, records, origin="EXTERNAL")["keyMaterialId"] == found.all[1].id

    assert key_set.writes() == []


def test_imported_material_that_is_gone_is_not_rotated_to(
    key_set: KeySet, records: FakeRecords
) -> None:
    with pytest.raises(OperationRefused, match="DeleteImportedKeyMaterial"):
        rotate(key_set, records, origin="EXTERNAL")

    assert key_set.writes() == []


def test_the_status_lists_the_key_material_of_a_finished_symmetric_set(key_set: KeySet) -> None:
    materials(key_set).rotate(1_800_000_000, "AUTOMATIC")
    record: Any = SimpleNamespace(request=REQUEST, key_arn=key_set.arn, ever_created=True)

    listed = rotations_of(record, key_set.kms_for)

    assert listed is not None
    assert [(one["state"], one["rotatedAt"], one["type"]) for one in listed] == [
        ("NON_CURRENT", None, None),
        ("CURRENT", "2027-01-15T08:00:00Z", "AUTOMATIC"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"ever_created": False},
        {"key_arn": None},
        {"request": None},
        {"request": {**REQUEST, "keySpec": "HMAC_256"}},
    ],
)
def test_the_status_asks_for_no_material_that_there_is_not(
    key_set: KeySet, other: dict[str, Any]
) -> None:
    known = {"request": REQUEST, "key_arn": key_set.arn, "ever_created": True}
    record: Any = SimpleNamespace(**(known | other))

    assert rotations_of(record, key_set.kms_for) is None
    assert key_set.calls == []


def test_the_status_goes_without_material_that_kms_does_not_list(key_set: KeySet) -> None:
    key_set.refused[HOME, "ListKeyRotations"] = refusal("ThrottlingException", "L")
    record: Any = SimpleNamespace(request=REQUEST, key_arn=key_set.arn, ever_created=True)

    assert rotations_of(record, key_set.kms_for) is None
