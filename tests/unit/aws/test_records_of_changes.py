"""What the record of a finished key set says while it is changed, and who may write it."""

from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Promotion, Record, Records, Removed, Status
from provisioner.domain.plan import KeySetRequest, content_hash
from provisioner.errors import Cancelled, DependencyUnavailable, NotUnderWay
from tests.support.answering import answer, on, refusal
from tests.support.clock import Clock
from tests.support.finished_sets import (
    CHANGE_EXECUTION,
    CHANGED,
    CHANGED_AGAIN,
    CREATED,
    OTHER_CHANGE_EXECUTION,
    PROBLEM,
    change,
    claim,
    create,
    end,
    key_of,
    record_of,
)
from tests.support.samples import EXECUTION, key_arn, request_of

FAILED_CHANGES = (Status.UPDATE_FAILED,)
LEAVING: Removed = {"arn": key_arn("eu-west-1"), "notBefore": "2027-01-01T00:00:00Z", "revision": 2}
WITHOUT_EUROPE = request_of(description="first", revision=2)


def try_claim(records: Records, seen: Record | None = None) -> bool:
    return records.claim_change(
        CHANGED, OTHER_CHANGE_EXECUTION, seen=seen or record_of(records), superseded={}
    )[0]


def promote(
    records: Records,
    said_by: str = "token",
    execution: str = CHANGE_EXECUTION,
    request: KeySetRequest = CHANGED,
) -> bool:
    return records.announce_promotion(
        request, execution, source="us-east-1", target="eu-west-1", token=said_by
    )


def announced(records: Records) -> Promotion:
    promotion = record_of(records).promotion
    assert promotion
    return promotion


def test_what_was_created_is_what_was_applied(records: Records) -> None:
    records.claim(CREATED, EXECUTION)
    assert record_of(records).applied is None
    create(records)

    record = record_of(records)
    assert (record.applied, record.is_changing, record.is_of_a_change) == (CREATED, False, False)


@pytest.mark.usefixtures("clock")
def test_a_change_is_claimed_beside_what_was_applied(records: Records) -> None:
    create(records)
    names = {"us-east-1": {"aliases": ["alias/failed"], "tags": [], "settings": []}}

    claimed, record = records.claim_change(
        CHANGED, CHANGE_EXECUTION, seen=record_of(records), superseded=names
    )

    assert claimed
    assert record == record_of(records)
    assert (record.status, record.execution_arn) == (Status.IN_PROGRESS, CHANGE_EXECUTION)
    assert (record.request, record.content_hash) == (CHANGED, content_hash(CHANGED))
    assert (record.revision, record.applied, record.superseded) == (2, CREATED, names)
    assert (record.is_changing, record.ever_created, record.published) == (True, True, False)
    assert (record.key_arn, record.key) == (key_arn(), key_of(CREATED))
    assert [one.request_id for one in records.unfinished()] == ["CHG1"]


@pytest.mark.parametrize("status", [Status.UPDATED, Status.DECOMMISSIONED])
def test_a_change_that_succeeded_is_what_is_applied(status: Status, records: Records) -> None:
    create(records)
    change(records, status)

    record = record_of(records)
    assert (record.status, record.applied, record.superseded) == (status, CHANGED, {})
    assert (record.is_changing, record.is_of_a_change) == (False, True)
    assert record.key == key_of(CHANGED)
    assert [*records.unfinished()] == []


def test_what_was_applied_stays_over_changes_that_failed(records: Records) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED)
    failed = record_of(records)
    change(records, Status.UPDATE_FAILED, CHANGED_AGAIN, OTHER_CHANGE_EXECUTION)

    record = record_of(records)
    assert (failed.status, failed.applied, failed.errors) == (
        Status.UPDATE_FAILED,
        CREATED,
        [PROBLEM],
    )
    assert (record.revision, record.request, record.applied) == (3, CHANGED_AGAIN, CREATED)


def test_the_key_arn_follows_the_primary_key(records: Records) -> None:
    create(records)
    moved = request_of(primaryRegion="eu-west-1", replicas=[{"region": "us-east-1"}], revision=2)
    claim(records, moved)
    end(records, Status.UPDATE_FAILED, moved)
    assert record_of(records).key_arn == key_arn("us-east-1")

    claim(records, moved)
    end(records, Status.UPDATED, moved)

    assert record_of(records).key_arn == key_arn("eu-west-1")


def test_an_execution_claims_its_change_again(records: Records) -> None:
    create(records)
    seen = record_of(records)
    first = records.claim_change(CHANGED, CHANGE_EXECUTION, seen=seen, superseded={})
    again = records.claim_change(CHANGED, CHANGE_EXECUTION, seen=seen, superseded={})

    assert first[0]
    assert again[0]
    assert again[1].applied == CREATED


@pytest.mark.parametrize(
    "seen",
    [
        {"content_hash": "other"},
        {"execution_arn": OTHER_CHANGE_EXECUTION},
        {"revision": 2},
        {"status": Status.UPDATED},
        {"published_at": None},
    ],
)
def test_a_record_that_is_not_as_it_was_seen_is_not_changed(
    seen: dict[str, Any], records: Records
) -> None:
    create(records)
    record = record_of(records)

    assert not try_claim(records, replace(record, **seen))
    assert record_of(records) == record
    assert replace(record, **seen).version != record.version


def test_of_many_that_have_seen_the_same_record_one_claims(records: Records) -> None:
    create(records)
    seen = record_of(records)
    executions = [f"{CHANGE_EXECUTION}-{number}" for number in range(50)]

    claims = [
        records.claim_change(CHANGED, execution, seen=seen, superseded={})
        for execution in executions
    ]

    assert [claimed for claimed, _ in claims] == [True, *[False] * 49]
    assert {record.execution_arn for _, record in claims} == {executions[0]}


def test_a_key_set_that_was_never_finished_is_not_changed(records: Records) -> None:
    records.claim(CREATED, EXECUTION)
    end(records, Status.FAILED, CREATED, EXECUTION)
    before = record_of(records)

    assert not try_claim(records)
    assert record_of(records) == before


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("status", [None, *FAILED_CHANGES, Status.UPDATED, Status.DECOMMISSIONED])
def test_nobody_who_creates_claims_a_change(
    status: Status | None, published: bool, records: Records
) -> None:
    create(records)
    claim(records)
    if status:
        end(records, status, published=published)
    before = record_of(records)

    taken = records.claim(CHANGED, EXECUTION, dead_execution=CHANGE_EXECUTION)

    assert taken == (False, before)


def test_an_updated_key_set_is_renewed_as_a_created_one(records: Records) -> None:
    create(records)
    change(records)

    claimed, record = records.claim(CHANGED, EXECUTION, renewing=True)

    assert claimed
    assert (record.is_changing, record.applied, record.ever_created) == (False, CHANGED, True)


@pytest.mark.parametrize("status", [Status.UPDATED, Status.UPDATE_FAILED, Status.DECOMMISSIONED])
def test_the_outcome_of_a_change_is_its_holders_alone(status: Status, records: Records) -> None:
    create(records)
    before = record_of(records)

    ended = records.finish(
        CHANGED, execution_arn=CHANGE_EXECUTION, status=status, key=None, errors=[]
    )

    assert (ended, record_of(records)) == (None, before)


def test_a_change_that_failed_again_before_its_claim_is_recorded(records: Records) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED)

    end(records, Status.UPDATE_FAILED, execution=OTHER_CHANGE_EXECUTION)

    assert record_of(records).execution_arn == OTHER_CHANGE_EXECUTION


def test_no_creation_that_failed_hides_a_change(records: Records) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED)
    before = record_of(records)

    ended = records.finish(
        CHANGED, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[PROBLEM]
    )

    assert (ended, record_of(records)) == (None, before)


def test_every_outcome_is_of_a_run_of_its_own(records: Records) -> None:
    create(records)
    first = claim(records).run
    end(records, published=False)
    again = claim(records, execution=OTHER_CHANGE_EXECUTION).run
    end(records, execution=OTHER_CHANGE_EXECUTION)

    assert (first, again, claim(records, CHANGED_AGAIN).run) == (1, 1, 2)


def test_a_cancelled_change_ends_as_nothing_else(records: Records) -> None:
    create(records)
    claim(records)
    records.cancel("CHG1")

    with pytest.raises(Cancelled):
        end(records)
    with pytest.raises(Cancelled):
        promote(records)
    problem = {**PROBLEM, "code": "CANCELLED"}
    end(records, Status.UPDATE_FAILED, errors=[problem])

    assert record_of(records).ended_cancelled
    assert records.cancel("CHG1") == record_of(records)
    change(records, Status.UPDATE_FAILED, errors=[PROBLEM])
    with pytest.raises(NotUnderWay):
        records.cancel("CHG1")


def test_a_promotion_is_announced_once_by_the_holder(records: Records, clock: Clock) -> None:
    create(records)
    assert not promote(records, execution=EXECUTION)
    claim(records)

    assert promote(records)
    assert promote(records), "whoever has announced it knows its own token"
    assert not promote(records, "other")

    assert announced(records) == {
        "from": "us-east-1",
        "to": "eu-west-1",
        "token": "token",
        "sentAt": clock.time.isoformat(),
    }


def test_nobody_but_the_holder_announces_a_promotion(records: Records) -> None:
    create(records)
    claim(records)

    assert not promote(records, execution=OTHER_CHANGE_EXECUTION)
    assert record_of(records).promotion is None


def test_a_promotion_stays_announced_for_whoever_changes_the_key_set_next(
    records: Records,
) -> None:
    create(records)
    claim(records)
    promote(records)
    promotion = announced(records)
    end(records, Status.UPDATE_FAILED)

    assert claim(records, CHANGED_AGAIN, OTHER_CHANGE_EXECUTION).promotion == promotion
    assert not promote(records, "other", OTHER_CHANGE_EXECUTION, CHANGED_AGAIN)


@pytest.mark.parametrize("moved", [key_arn("eu-west-1"), None])
def test_a_promotion_is_closed_with_what_came_of_it(moved: str | None, records: Records) -> None:
    create(records)
    claim(records)
    promote(records)
    promotion = announced(records)

    assert records.close_promotion("CHG1", promotion, moved)
    assert records.close_promotion("CHG1", promotion, moved), "sent again by the SDK"

    record = record_of(records)
    assert (record.promotion, record.key_arn) == (None, moved or key_arn())
    assert not promote(records, "next"), "a revision promotes once"
    end(records, Status.UPDATE_FAILED)
    claim(records, CHANGED_AGAIN, OTHER_CHANGE_EXECUTION)
    assert promote(records, "next", OTHER_CHANGE_EXECUTION, CHANGED_AGAIN)
    assert not records.close_promotion("CHG1", promotion, moved)
    assert announced(records) != promotion


def test_a_promotion_that_had_no_effect_may_be_announced_anew(records: Records) -> None:
    create(records)
    claim(records)
    promote(records)
    first = announced(records)
    assert record_of(records).promoted_by == 2

    records.withdraw_promotion("CHG1", first)

    assert record_of(records).promoted_by is None
    assert promote(records, "next")
    records.withdraw_promotion("CHG1", first)
    assert record_of(records).promoted_by == 2, "that is another one"


def test_a_promotion_is_not_closed_in_two_ways(records: Records) -> None:
    create(records)
    claim(records)
    promote(records)
    promotion = announced(records)
    records.close_promotion("CHG1", promotion, None)

    assert not records.close_promotion("CHG1", promotion, key_arn("eu-west-1"))
    assert not records.close_promotion("CHG2", promotion, None)
    assert record_of(records).key_arn == key_arn()


@pytest.mark.parametrize("status", [Status.UPDATED, Status.UPDATE_FAILED])
def test_removed_keys_are_kept_until_they_are_gone(status: Status, records: Records) -> None:
    create(records)
    change(records, status, WITHOUT_EUROPE, removed={"eu-west-1": LEAVING})
    assert record_of(records).removed == {"eu-west-1": LEAVING}
    further = request_of(description="third", revision=3)
    asia: Removed = {**LEAVING, "arn": key_arn("ap-south-1"), "notBefore": None}
    change(records, Status.UPDATED, further, removed={"ap-south-1": asia})
    assert record_of(records).removed == {"eu-west-1": LEAVING, "ap-south-1": asia}

    records.forget_removed("CHG1", "eu-west-1", LEAVING)
    records.forget_removed("CHG1", "eu-west-1", LEAVING)

    assert record_of(records).removed == {"ap-south-1": asia}


def test_a_key_that_was_removed_again_is_not_forgotten(records: Records) -> None:
    create(records)
    change(records, Status.UPDATED, WITHOUT_EUROPE, removed={"eu-west-1": LEAVING})

    records.forget_removed("CHG1", "eu-west-1", {**LEAVING, "revision": 1})
    records.forget_removed("CHG1", "eu-north-1", LEAVING)

    assert record_of(records).removed == {"eu-west-1": LEAVING}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [({}, {}), ({"desiredState": "DECOMMISSIONED"}, {"eu-west-1": LEAVING})],
)
def test_a_removed_key_that_is_declared_again_is_one_of_the_set(
    fields: dict[str, Any], kept: dict[str, Removed], records: Records
) -> None:
    create(records)
    change(records, Status.UPDATED, WITHOUT_EUROPE, removed={"eu-west-1": LEAVING})
    declared: Any = {**CHANGED_AGAIN, **fields}

    assert claim(records, declared).removed == kept


def test_a_refusal_that_shows_no_record_is_no_decision(records: Records) -> None:
    create(records)
    seen = record_of(records)
    answer(client("dynamodb"), "UpdateItem", refusal("ConditionalCheckFailedException"))

    with pytest.raises(DependencyUnavailable, match="who holds CHG1"):
        try_claim(records, seen)


def test_a_claim_whose_answer_was_lost_is_recognised(records: Records) -> None:
    create(records)
    seen = record_of(records)
    sent: list[None] = []

    def send_before(**_: Any) -> None:
        if not sent:
            sent.append(None)
            records.claim_change(CHANGED, CHANGE_EXECUTION, seen=seen, superseded={})

    on(client("dynamodb"), "before-call.dynamodb.UpdateItem", send_before)

    claimed, record = records.claim_change(CHANGED, CHANGE_EXECUTION, seen=seen, superseded={})

    assert (claimed, record.applied) == (True, CREATED)
