"""UpdatePrimaryRegion is announced, sent once, and looked for until it cannot take effect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.aws.records import Status
from provisioner.change import promotion
from provisioner.change.promotion import MAY_TAKE_EFFECT_FOR, promote_replica_key
from provisioner.errors import (
    ChangeRefused,
    KeyStateConflict,
    KmsRequestRefused,
    PromotionNotDone,
    PromotionUnderWay,
    RequestTakenOver,
)
from tests.support.faults.errors import refusal
from tests.support.key_sets import REQUEST, KeySet

ME = "arn:aws:states:us-east-1:111122223333:execution:mrk-change-key-set:me"
HOME, EUROPE = "us-east-1", "eu-west-1"


@dataclass
class FakeRecords:
    """The one record, as the requests table would keep it."""

    key_arn: str
    clock: Callable[[], float]
    promotion: dict[str, str] | None = None
    holder: str = ME
    closed: list[str | None] = field(default_factory=list)
    revision: int = 1
    promoted_by: int | None = None
    promoted_at: datetime | None = None

    def get(self, request_id: str) -> Any:
        return SimpleNamespace(
            request_id=request_id,
            execution_arn=self.holder,
            status=Status.IN_PROGRESS,
            revision=self.revision,
            key_arn=self.key_arn,
            promotion=self.promotion,
            promoted_by=self.promoted_by,
            promoted_at=self.promoted_at,
            cancelled_at=None,
        )

    def announce_promotion(self, *_: Any, source: str, target: str, token: str) -> bool:
        self.promoted_by = self.revision
        self.promoted_at = datetime.fromtimestamp(self.clock(), UTC)
        sent_at = self.promoted_at.isoformat()
        self.promotion = {"from": source, "to": target, "token": token, "sentAt": sent_at}
        return True

    def withdraw_promotion(self, _request_id: str, _promotion: Any) -> None:
        self.promotion = self.promoted_by = self.promoted_at = None

    def close_promotion(self, _request_id: str, _promotion: Any, key_arn: str | None) -> bool:
        self.promotion = None
        self.closed.append(key_arn)
        return True


@pytest.fixture
def key_set(monkeypatch: pytest.MonkeyPatch) -> KeySet:
    key_set = KeySet()
    monkeypatch.setattr(promotion, "now", lambda: datetime.fromtimestamp(key_set.aws.time, UTC))
    return key_set


def promote(key_set: KeySet, records: FakeRecords, expected: str = HOME) -> str:
    request: Any = {**REQUEST, "revision": records.revision}
    table: Any = records
    return promote_replica_key(
        request,
        ME,
        EUROPE,
        [HOME, EUROPE, "us-west-2"],
        expected=expected,
        records=table,
        kms_for=key_set.kms_for,
        send_once=key_set.send_once,
    )


def test_a_promotion_is_sent_once_and_done_when_every_region_shows_it(key_set: KeySet) -> None:
    records = FakeRecords(key_set.arn, lambda: key_set.aws.time)
    for _ in range(3):
        with pytest.raises(PromotionUnderWay):
            promote(key_set, records)
    key_set.aws.time += 30

    assert promote(key_set, records) == key_set.key(EUROPE).arn
    assert key_set.writes() == [f"UpdatePrimaryRegion {HOME}"]
    assert records.closed == [key_set.key(EUROPE).arn]


def test_a_lost_call_is_followed_by_another_of_the_next_revision_alone(key_set: KeySet) -> None:
    records = FakeRecords(key_set.arn, lambda: key_set.aws.time)
    lost = refusal("KMSInternalException", "UpdatePrimaryRegion", status=500)
    key_set.refused[HOME, "UpdatePrimaryRegion"] = lost
    with pytest.raises(PromotionUnderWay, match="no usable answer"):
        promote(key_set, records)
    key_set.refused.clear()
    key_set.aws.time += MAY_TAKE_EFFECT_FOR.total_seconds()

    with pytest.raises(PromotionUnderWay, match="does not show it yet"):
        promote(key_set, records)

    key_set.aws.time += timedelta(seconds=1).total_seconds()
    for _ in range(2):
        with pytest.raises(PromotionNotDone, match="from us-east-1 to eu-west-1 at 20"):
            promote(key_set, records)
    assert len(key_set.writes()) == 1

    records.revision = 2
    with pytest.raises(PromotionUnderWay, match="is sent"):
        promote(key_set, records)
    assert len(key_set.writes()) == 2


def test_a_primary_that_somebody_has_moved_back_stays_there(key_set: KeySet) -> None:
    records = FakeRecords(key_set.arn, lambda: key_set.aws.time)
    with pytest.raises(PromotionUnderWay):
        promote(key_set, records)
    key_set.aws.time += 30
    promote(key_set, records)
    key_set.in_region(EUROPE).update_primary_region(
        KeyId=key_set.key(EUROPE).arn, PrimaryRegion=HOME
    )
    key_set.aws.time += 30

    with pytest.raises(PromotionUnderWay, match="primary key in us-east-1"):
        promote(key_set, records)
    key_set.aws.time += MAY_TAKE_EFFECT_FOR.total_seconds()
    with pytest.raises(PromotionNotDone, match="moved it back"):
        promote(key_set, records)
    assert key_set.writes() == [f"UpdatePrimaryRegion {HOME}"]


def test_a_refused_call_leaves_no_announcement(key_set: KeySet) -> None:
    records = FakeRecords(key_set.arn, lambda: key_set.aws.time)
    key_set.refused[HOME, "UpdatePrimaryRegion"] = refusal("ValidationException", "U")

    with pytest.raises(KmsRequestRefused):
        promote(key_set, records)
    assert (records.promotion, records.promoted_by) == (None, None)


def test_a_primary_that_was_moved_since_the_plan_is_left_where_it_is(key_set: KeySet) -> None:
    with pytest.raises(ChangeRefused, match="us-east-1, and was in us-west-2"):
        promote(key_set, FakeRecords(key_set.arn, lambda: key_set.aws.time), expected="us-west-2")
    assert key_set.writes() == []


@pytest.mark.parametrize("region", [HOME, EUROPE])
def test_keys_that_are_not_enabled_change_no_roles(key_set: KeySet, region: str) -> None:
    key_set.key(region).disabled = True

    with pytest.raises(KeyStateConflict, match=region):
        promote(key_set, FakeRecords(key_set.arn, lambda: key_set.aws.time))
    assert key_set.writes() == []


def test_an_execution_that_lost_the_request_promotes_nothing(key_set: KeySet) -> None:
    with pytest.raises(RequestTakenOver):
        promote(key_set, FakeRecords(key_set.arn, lambda: key_set.aws.time, holder="another"))
    assert key_set.writes() == []
