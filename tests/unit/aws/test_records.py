from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws.clients import client
from provisioner.aws.records import SHARDS, Record, Records, Status
from provisioner.domain.plan import KeySetRequest, content_hash
from provisioner.errors import (
    DependencyUnavailable,
    PrimaryKeyUnconfirmed,
    Problem,
    RevisionSkipped,
)
from tests.support.answering import answer, calls_of, lose_on_the_wire, on, refusal
from tests.support.clock import Clock
from tests.support.samples import (
    EXECUTION,
    OTHER_EXECUTION,
    imported_request_of,
    in_days,
    key_arn,
    request_of,
)

TICKET = {"id": "CHG0031337"}
REQUEST = request_of(ticket=TICKET)
OTHER_REQUEST = request_of(ticket=TICKET, description="other")
KEY: Any = {"keyId": "mrk-1"}
MATERIAL: Any = {"region": "us-east-1", "publicKey": "cHVibGlj"}
PROBLEM: Problem = {"path": "alias", "code": "ALIAS_IN_USE", "message": "It is in use."}


def claim(
    records: Records, execution: str = EXECUTION, request: KeySetRequest = REQUEST
) -> Record | None:
    claimed, record = records.claim(request, execution)
    return record if claimed else None


def announce(
    records: Records, attempt: int = 1, execution: str = EXECUTION, said_by: str = "token"
) -> bool:
    return records.announce_attempt("CHG1", execution, attempt, said_by)


def finish(records: Records, status: Status, execution: str = EXECUTION) -> bool:
    key = KEY if status == Status.CREATED else None
    errors = [] if key else [PROBLEM]
    return bool(
        records.finish(REQUEST, execution_arn=execution, status=status, key=key, errors=errors)
    )


def ask(records: Records, execution: str = EXECUTION, task: str = "task", errors: Any = ()) -> bool:
    return records.await_material(
        "CHG1", execution, task, key=KEY, materials=[MATERIAL], errors=[*errors]
    )


def answered(records: Records, task: str = "task") -> None:
    records.note_answer("CHG1", task, "hash")


def renew(records: Records, execution: str = OTHER_EXECUTION) -> bool:
    return records.claim(REQUEST, execution, renewing=True)[0]


def marked(records: Records) -> None:
    records.mark_published("CHG1", EXECUTION)


def created(records: Records) -> None:
    claim(records)
    finish(records, Status.CREATED)
    marked(records)


def refuse(records: Records, execution: str | None = EXECUTION) -> None:
    records.note_refusal("CHG1", execution, TICKET, [PROBLEM])


def record_of(records: Records) -> Record:
    record = records.get("CHG1")
    assert record
    return record


def status_of(records: Records) -> Status | None:
    record = records.get("CHG1")
    return record.status if record else None


def test_an_unknown_request_has_no_record(records: Records) -> None:
    assert records.get("CHG1") is None


def test_a_new_request_is_claimed(records: Records, clock: Clock) -> None:
    record = claim(records)

    assert record == records.get("CHG1")
    assert record == Record(
        request_id="CHG1",
        status=Status.IN_PROGRESS,
        content_hash=content_hash(REQUEST),
        request=REQUEST,
        execution_arn=EXECUTION,
        attempt=0,
        open_attempt=None,
        attempt_sent_at=None,
        key_arn=None,
        key=None,
        errors=[],
        ticket=TICKET,
        published_at=None,
        claimed_at=clock.time,
        materials=[],
        task_token=None,
        answer_hash=None,
        ever_created=False,
        revision=1,
        superseded={},
        run=0,
        updated_at=record.updated_at if record else None,
    )


@pytest.mark.usefixtures("clock")
def test_an_execution_claims_its_request_again(records: Records) -> None:
    assert claim(records) == claim(records)


def test_a_request_that_another_execution_holds_is_not_claimed(records: Records) -> None:
    claim(records)

    claimed, held = records.claim(REQUEST, OTHER_EXECUTION)

    assert not claimed
    assert held == records.get("CHG1")
    assert held.execution_arn == EXECUTION


def test_the_claim_of_a_dead_execution_passes_on(records: Records) -> None:
    claim(records)

    claimed, record = records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION)

    assert claimed
    assert record.execution_arn == OTHER_EXECUTION


def test_a_claim_passes_on_from_no_execution_but_the_dead_one(records: Records) -> None:
    claim(records)

    dead = EXECUTION + "-before"
    claimed, record = records.claim(REQUEST, OTHER_EXECUTION, dead_execution=dead)

    assert (claimed, record.execution_arn) == (False, EXECUTION)


def test_a_created_and_published_request_is_not_claimed_again(records: Records) -> None:
    claim(records)
    finish(records, Status.CREATED)
    records.mark_published("CHG1", EXECUTION)

    assert claim(records) is None
    assert claim(records, OTHER_EXECUTION) is None
    assert not records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION)[0]
    assert status_of(records) == Status.CREATED


def test_a_created_request_that_nobody_was_told_of_passes_on_from_the_dead(
    records: Records,
) -> None:
    claim(records)
    finish(records, Status.CREATED)

    assert claim(records, OTHER_EXECUTION) is None
    claimed, record = records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION)

    assert claimed
    assert (record.status, record.published) == (Status.IN_PROGRESS, False)


def test_a_failed_request_is_claimed_again_with_what_it_reached(records: Records) -> None:
    claim(records)
    announce(records)
    records.close_attempt("CHG1", 1, key_arn())
    finish(records, Status.FAILED)
    marked(records)

    record = claim(records, OTHER_EXECUTION)

    assert record
    assert (record.status, record.key_arn) == (Status.IN_PROGRESS, key_arn())
    assert (record.attempt, record.errors) == (1, [])


@pytest.mark.parametrize("status", [None, Status.FAILED, Status.CREATED])
def test_other_content_is_not_claimed_and_changes_nothing(
    status: Status | None, records: Records
) -> None:
    claim(records)
    if status:
        finish(records, status)
    before = records.get("CHG1")

    assert records.claim(OTHER_REQUEST, OTHER_EXECUTION) == (False, before)

    assert records.get("CHG1") == before


def test_a_refused_request_may_be_claimed_with_other_content(records: Records) -> None:
    refuse(records)

    record = claim(records, OTHER_EXECUTION, OTHER_REQUEST)

    assert record
    assert (record.status, record.content_hash) == (
        Status.IN_PROGRESS,
        content_hash(OTHER_REQUEST),
    )
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


def test_an_attempt_is_open_until_its_answer_is_recorded(records: Records, clock: Clock) -> None:
    claim(records)
    clock.move(seconds=7)

    assert announce(records)
    announced = records.get("CHG1")
    records.close_attempt("CHG1", 1, key_arn())
    closed = records.get("CHG1")

    assert announced
    assert (announced.attempt, announced.open_attempt, announced.key_arn) == (1, "token", None)
    assert announced.attempt_sent_at == clock.time
    assert closed
    assert (closed.attempt, closed.open_attempt, closed.key_arn) == (1, None, key_arn())


def test_an_attempt_without_a_key_may_be_followed_by_the_next(records: Records) -> None:
    claim(records)
    announce(records)

    records.close_attempt("CHG1", 1, None)

    assert announce(records, 2)


def test_an_open_attempt_is_followed_by_no_other(records: Records) -> None:
    claim(records)
    announce(records)

    assert not announce(records, 1, said_by="other")
    assert not announce(records, 2, said_by="other")


def test_a_key_is_followed_by_no_other_attempt(records: Records) -> None:
    claim(records)
    announce(records)
    records.close_attempt("CHG1", 1, key_arn())

    assert not announce(records, 2)


def test_only_the_holder_announces_and_only_the_next_attempt(records: Records) -> None:
    claim(records)

    assert not announce(records, 1, OTHER_EXECUTION)
    assert not announce(records, 2)
    assert not records.announce_attempt("CHG2", EXECUTION, 1, "token")


@pytest.mark.parametrize("made", [key_arn(), None])
def test_an_answer_to_an_attempt_that_is_not_the_last_is_told(
    made: str | None, records: Records
) -> None:
    claim(records)
    announce(records)

    with pytest.raises(PrimaryKeyUnconfirmed, match=f"made {made or 'no key'}"):
        records.close_attempt("CHG1", 2, made)


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_an_outcome_is_recorded_by_the_holder(status: Status, records: Records) -> None:
    claim(records)

    assert finish(records, status)
    assert finish(records, status)

    record = records.get("CHG1")
    assert record
    assert (record.status, record.content_hash) == (status, content_hash(REQUEST))
    assert (record.request, record.published) == (REQUEST, False)
    assert record.key == (KEY if status == Status.CREATED else None)
    assert record.errors == ([] if status == Status.CREATED else [PROBLEM])
    assert record.ticket == TICKET


def test_an_outcome_of_a_request_that_was_never_claimed_is_recorded(records: Records) -> None:
    assert finish(records, Status.FAILED)

    assert status_of(records) == Status.FAILED


def test_a_failed_request_is_claimed_by_no_other_before_it_has_told_so(records: Records) -> None:
    claim(records)
    finish(records, Status.FAILED)

    assert claim(records, OTHER_EXECUTION) is None
    assert records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION)[0]


@pytest.mark.parametrize(
    ("before", "recorded"), [(Status.REJECTED, True), (Status.FAILED, True), (None, False)]
)
def test_an_outcome_without_a_claim_is_recorded_where_nobody_holds_the_request(
    before: Status | None, *, recorded: bool, records: Records
) -> None:
    if before == Status.REJECTED:
        refuse(records)
    else:
        claim(records)
    if before == Status.FAILED:
        finish(records, Status.FAILED)

    assert finish(records, Status.FAILED, OTHER_EXECUTION) == recorded


def test_an_outcome_that_is_recorded_again_is_to_be_published_again(records: Records) -> None:
    claim(records)
    finish(records, Status.CREATED)
    marked(records)

    finish(records, Status.CREATED)

    (record,) = records.unfinished()
    assert not record.published


def test_an_outcome_of_another_execution_is_not_recorded(records: Records) -> None:
    claim(records)

    assert not finish(records, Status.FAILED, OTHER_EXECUTION)
    assert status_of(records) == Status.IN_PROGRESS


def test_what_is_asked_for_is_kept_until_it_is_answered(records: Records) -> None:
    claim(records)

    assert ask(records, errors=[PROBLEM])
    asked = record_of(records)
    answered(records)
    after = record_of(records)

    assert (asked.status, asked.task_token) == (Status.WAITING_FOR_MATERIAL, "task")
    assert (asked.materials, asked.errors) == ([MATERIAL], [PROBLEM])
    assert (asked.key, asked.answer_hash) == (KEY, None)
    assert (after.status, after.task_token) == (Status.IN_PROGRESS, None)
    assert (after.materials, after.errors) == ([], [])
    assert (after.key, after.answer_hash) == (KEY, "hash")


def test_the_next_question_forgets_the_answer_to_the_last(records: Records) -> None:
    claim(records)
    ask(records)
    answered(records)

    assert ask(records, task="next")

    record = record_of(records)
    assert (record.status, record.task_token) == (Status.WAITING_FOR_MATERIAL, "next")
    assert record.answer_hash is None


def test_a_question_replaces_one_that_nobody_answered(records: Records) -> None:
    claim(records)
    ask(records)

    assert ask(records, task="next")
    answered(records)

    assert record_of(records).task_token == "next"  # noqa: S105


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_only_the_holder_asks_and_only_while_it_works(status: Status, records: Records) -> None:
    assert not ask(records)
    claim(records)
    assert not ask(records, OTHER_EXECUTION)
    finish(records, status)
    assert not ask(records)

    assert status_of(records) == status


def test_a_waiting_request_is_held_like_any_other(records: Records) -> None:
    claim(records)
    ask(records)

    assert claim(records, OTHER_EXECUTION) is None
    assert claim(records, OTHER_EXECUTION, OTHER_REQUEST) is None
    marked(records)

    record = record_of(records)
    assert (record.execution_arn, record.status) == (EXECUTION, Status.WAITING_FOR_MATERIAL)
    assert not record.published
    assert list(records.unfinished()) == [record]


@pytest.mark.parametrize(("execution", "dead"), [(EXECUTION, None), (OTHER_EXECUTION, EXECUTION)])
def test_a_claim_takes_a_waiting_request_up_again(
    execution: str, dead: str | None, records: Records
) -> None:
    claim(records)
    ask(records, errors=[PROBLEM])

    claimed, record = records.claim(REQUEST, execution, dead_execution=dead)

    assert claimed
    assert (record.status, record.execution_arn) == (Status.IN_PROGRESS, execution)
    assert (record.materials, record.task_token, record.errors) == ([], None, [])


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_an_outcome_ends_the_waiting(status: Status, records: Records) -> None:
    claim(records)
    ask(records)

    assert finish(records, status)

    record = record_of(records)
    assert (record.status, record.materials, record.task_token) == (status, [], None)


def test_an_answer_that_was_taken_is_known_until_the_request_is_claimed_again(
    records: Records,
) -> None:
    claim(records)
    ask(records)
    answered(records)
    finish(records, Status.FAILED)
    marked(records)

    finished = record_of(records)
    claim(records, OTHER_EXECUTION)

    assert (finished.answer_hash, record_of(records).answer_hash) == ("hash", None)


def test_a_key_set_that_was_finished_once_stays_known_as_such(
    records: Records, clock: Clock
) -> None:
    def created_at() -> str | None:
        found = client("dynamodb").get_item(TableName="requests", Key={"requestId": {"S": "CHG1"}})
        at: str | None = found["Item"].get("createdAt", {}).get("S")
        return at

    claim(records)
    finish(records, Status.FAILED)
    before = (created_at(), record_of(records).ever_created)
    finish(records, Status.CREATED)
    first = clock.time.isoformat()
    marked(records)
    clock.move(seconds=60)
    renew(records)
    renewing = (created_at(), record_of(records).ever_created)
    finish(records, Status.FAILED, OTHER_EXECUTION)
    failed = (created_at(), record_of(records).ever_created)
    finish(records, Status.CREATED, OTHER_EXECUTION)

    assert before == (None, False)
    assert renewing == failed == (first, True)
    assert created_at() == first


def test_a_created_request_is_claimed_again_to_renew_it(records: Records, clock: Clock) -> None:
    created(records)
    clock.move(seconds=60)
    later = imported_request_of(ticket=TICKET, keyMaterial={"validTo": in_days(100)})
    renewed: Any = {**REQUEST, "keyMaterial": later["keyMaterial"]}

    claimed, record = records.claim(renewed, OTHER_EXECUTION, renewing=True)

    assert claimed
    assert (record.status, record.execution_arn) == (Status.IN_PROGRESS, OTHER_EXECUTION)
    assert (record.request, record.claimed_at) == (renewed, clock.time)
    assert (record.published, record.ever_created) == (False, True)
    assert record.key == KEY


def test_only_a_request_that_was_told_to_be_created_is_renewed(records: Records) -> None:
    claim(records)
    in_progress = renew(records)
    ask(records)
    waiting = renew(records)
    finish(records, Status.CREATED)
    untold = renew(records)
    marked(records)

    assert (in_progress, waiting, untold) == (False, False, False)
    assert not records.claim(OTHER_REQUEST, OTHER_EXECUTION, renewing=True)[0]
    assert renew(records)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_renewal_may_carry_the_next_revision(kept: int, records: Records) -> None:
    created(records)
    renewed = request_of(ticket=TICKET, revision=kept)

    claimed, record = records.claim(renewed, OTHER_EXECUTION, renewing=True)

    assert (claimed, record.revision) == (True, kept)


def test_a_record_without_a_revision_has_the_first(records: Records) -> None:
    claim(records)
    finish(records, Status.FAILED)
    marked(records)
    client("dynamodb").update_item(
        TableName="requests",
        Key={"requestId": {"S": "CHG1"}},
        UpdateExpression="REMOVE revision",
    )

    assert record_of(records).revision == 1
    assert not records.claim(request_of(ticket=TICKET, revision=3), OTHER_EXECUTION)[0]
    assert finish(records, Status.FAILED, OTHER_EXECUTION)


def test_a_late_failure_of_an_earlier_revision_does_not_count(records: Records) -> None:
    second = request_of(ticket=TICKET, revision=2)
    claim(records)
    finish(records, Status.FAILED)
    marked(records)
    assert claim(records, OTHER_EXECUTION, second)
    records.finish(second, execution_arn=OTHER_EXECUTION, status=Status.FAILED, key=None, errors=[])

    assert not finish(records, Status.FAILED)
    assert record_of(records).revision == 2


def test_a_new_request_has_the_first_revision(records: Records) -> None:
    with pytest.raises(RevisionSkipped, match=r"next revision of request CHG1 is 1.* revision 2"):
        claim(records, request=request_of(revision=2))


def test_of_two_that_renew_a_request_one_does(records: Records) -> None:
    created(records)

    assert renew(records)
    assert not renew(records, EXECUTION + "-third")
    assert record_of(records).execution_arn == OTHER_EXECUTION


CALLS: list[Callable[[Records], Any]] = [
    lambda records: records.get("CHG1"),
    claim,
    announce,
    lambda records: records.close_attempt("CHG1", 1, None),
    lambda records: finish(records, Status.FAILED),
    refuse,
    lambda records: records.mark_published("CHG1", EXECUTION),
    ask,
    answered,
    renew,
    lambda records: list(records.unfinished()),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_table_that_refuses_is_unavailable(call: Callable[[Records], Any]) -> None:
    dynamodb = client("dynamodb")
    for operation in ("GetItem", "UpdateItem", "Query"):
        answer(dynamodb, operation, refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(DependencyUnavailable, match=r"DynamoDB refused \w+: Provisioned"):
        call(Records(dynamodb, "requests"))


@pytest.mark.parametrize("call", CALLS)
def test_a_table_that_does_not_answer_is_unavailable(call: Callable[[Records], Any]) -> None:
    dynamodb = client("dynamodb")
    lose_on_the_wire(dynamodb, ReadTimeoutError(endpoint_url="https://dynamodb.invalid"))

    with pytest.raises(DependencyUnavailable, match="DynamoDB did not answer"):
        call(Records(dynamodb, "requests"))


UPDATES: dict[str, tuple[list[Callable[[Records], Any]], Callable[[Records], Any]]] = {
    "claim": ([], lambda records: records.claim(REQUEST, EXECUTION)),
    "claim of the dead": (
        [claim],
        lambda records: records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION),
    ),
    "announce": ([claim], announce),
    "close with a key": (
        [claim, announce],
        lambda records: records.close_attempt("CHG1", 1, key_arn()),
    ),
    "close without a key": (
        [claim, announce],
        lambda records: records.close_attempt("CHG1", 1, None),
    ),
    "finish": ([claim], lambda records: finish(records, Status.CREATED)),
    "finish without a claim": ([], lambda records: finish(records, Status.FAILED)),
    "mark as published": ([claim, lambda records: finish(records, Status.CREATED)], marked),
    "refuse": ([], refuse),
    "claim while waiting": ([claim, ask], claim),
    "claim of the dead while waiting": (
        [claim, ask],
        lambda records: records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION),
    ),
    "renew": ([created], renew),
    "ask": ([claim], ask),
    "ask again": ([claim, ask], lambda records: ask(records, task="next")),
    "ask after an answer": ([claim, ask, answered], lambda records: ask(records, task="next")),
    "note an answer": ([claim, ask], answered),
    "finish while waiting": ([claim, ask], lambda records: finish(records, Status.FAILED)),
    "finish after an answer": (
        [claim, ask, answered],
        lambda records: finish(records, Status.CREATED),
    ),
    "finish a renewal": (
        [created, renew],
        lambda records: finish(records, Status.CREATED, OTHER_EXECUTION),
    ),
    "mark a renewal as published": (
        [created, renew, lambda records: finish(records, Status.CREATED, OTHER_EXECUTION)],
        lambda records: records.mark_published("CHG1", OTHER_EXECUTION),
    ),
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", UPDATES)
def test_an_update_that_is_sent_twice_is_as_good_as_once(name: str, records: Records) -> None:
    before, update = UPDATES[name]
    for step in before:
        step(records)

    first, once = update(records), records.get("CHG1")
    second, twice = update(records), records.get("CHG1")

    assert once
    assert (second, twice) == (first, once)


def test_an_announcement_is_told_from_anothers_by_its_token(records: Records) -> None:
    claim(records)
    announce(records, said_by="mine")

    assert announce(records, said_by="mine")
    assert not announce(records, said_by="anothers")


def test_an_attempt_is_not_closed_with_another_key_than_the_recorded(records: Records) -> None:
    claim(records)
    announce(records)
    records.close_attempt("CHG1", 1, key_arn())

    for made in (key_arn(key_id="mrk-other"), None):
        with pytest.raises(PrimaryKeyUnconfirmed, match="another attempt or another key"):
            records.close_attempt("CHG1", 1, made)

    record = records.get("CHG1")
    assert record
    assert record.key_arn == key_arn()


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_an_outcome_counts_as_published_once_it_is_marked(status: Status, records: Records) -> None:
    claim(records)
    finish(records, status)

    marked(records)

    record = records.get("CHG1")
    assert record
    assert (record.status, record.published) == (status, True)


def test_a_request_in_progress_or_of_another_execution_is_not_marked(records: Records) -> None:
    claim(records)
    marked(records)
    in_progress = records.get("CHG1")
    finish(records, Status.FAILED)
    records.mark_published("CHG1", OTHER_EXECUTION)
    anothers = records.get("CHG1")

    assert in_progress
    assert anothers
    assert (in_progress.published, anothers.published) == (False, False)


def test_a_request_that_is_claimed_again_is_not_published_any_more(records: Records) -> None:
    claim(records)
    finish(records, Status.FAILED)
    marked(records)

    record = claim(records, OTHER_EXECUTION)

    assert record
    assert not record.published


def test_a_request_is_unfinished_until_its_outcome_is_published(records: Records) -> None:
    def unfinished() -> list[Record]:
        return list(records.unfinished())

    before = unfinished()
    claim(records)
    claimed = unfinished()
    finish(records, Status.FAILED)
    finished = unfinished()
    marked(records)
    published = unfinished()
    claim(records, OTHER_EXECUTION)
    again = unfinished()

    assert (before, published) == ([], [])
    assert [record.status for record in claimed] == [Status.IN_PROGRESS]
    assert [record.status for record in finished] == [Status.FAILED]
    assert again == [records.get("CHG1")]


def test_unfinished_requests_are_found_oldest_first_and_page_by_page(
    records: Records, clock: Clock
) -> None:
    for request_id in ("CHG3", "CHG1", "CHG2"):
        records.claim(request_of(requestId=request_id), EXECUTION)
        clock.move(seconds=1)
    dynamodb = client("dynamodb")
    on(
        dynamodb,
        "provide-client-params.dynamodb.Query",
        lambda params, **_: {**params, "Limit": 1},
    )

    found = [record.request_id for record in records.unfinished()]

    assert found == ["CHG3", "CHG1", "CHG2"]


@pytest.mark.no_cover  # Other tests take the same paths, and 200 claims are twice as slow.
def test_unfinished_requests_are_spread_over_the_shards_of_an_index_of_keys(
    records: Records,
) -> None:
    names = [f"CHG{number}" for number in range(200)]
    for name in names:
        records.claim(request_of(requestId=name), EXECUTION)
    dynamodb = client("dynamodb")

    indexed = dynamodb.scan(TableName="requests", IndexName="unfinished-by-shard")["Items"]
    found = {record.request_id for record in records.unfinished()}

    shards = Counter(item["unfinished"]["S"] for item in indexed)
    assert len(shards) == SHARDS
    assert max(shards.values()) < 3 * len(names) / SHARDS
    assert {name for item in indexed for name in item} == {"requestId", "unfinished", "claimedAt"}
    assert found == {*names}


def test_a_request_that_was_published_since_the_index_was_asked_is_not_unfinished(
    records: Records,
) -> None:
    claim(records)
    finish(records, Status.FAILED)
    pages = [
        {"Items": [{"requestId": {"S": name}, "claimedAt": {"S": "2026"}}]}
        for name in ("CHG1", "gone")
    ]
    answer(client("dynamodb"), "Query", *pages, {"Items": []})
    marked(records)

    assert list(records.unfinished()) == []


def test_a_refused_request_is_not_unfinished(records: Records) -> None:
    refuse(records)

    assert list(records.unfinished()) == []


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


def test_many_records_are_read_and_those_that_are_not_there_left_out(records: Records) -> None:
    created(records)

    found = list(records.get_many(["CHG1", "CHG2"]))

    assert found == [records.get("CHG1")]
    assert list(records.get_many([])) == []


def test_what_dynamodb_leaves_out_is_asked_for_again(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("provisioner.aws.dynamodb.time.sleep", pauses.append)
    left = {"requests": {"Keys": [{"requestId": {"S": "CHG2"}}]}}
    first = {"Responses": {}, "UnprocessedKeys": left}
    item = {"requestId": {"S": "CHG2"}, "status": {"S": "FAILED"}, "attempt": {"N": "0"}}
    calls = calls_of(client("dynamodb"))
    answer(client("dynamodb"), "BatchGetItem", first, first, {"Responses": {"requests": [item]}})

    assert [record.request_id for record in records.get_many(["CHG1", "CHG2"])] == ["CHG2"]
    assert [parameters["RequestItems"] for _, parameters in calls[1:]] == [left, left]
    assert pauses == [0.1, 0.2]


def test_what_dynamodb_leaves_out_for_good_makes_it_unavailable(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.aws.dynamodb.time.sleep", lambda _: None)
    left = {"requests": {"Keys": [{"requestId": {"S": "CHG1"}}]}}
    answer(client("dynamodb"), "BatchGetItem", {"Responses": {}, "UnprocessedKeys": left})

    with pytest.raises(DependencyUnavailable, match="returned only some of the items"):
        list(records.get_many(["CHG1"]))


def test_a_refused_read_of_many_makes_dynamodb_unavailable(records: Records) -> None:
    answer(client("dynamodb"), "BatchGetItem", refusal("ValidationException", "No."))

    with pytest.raises(DependencyUnavailable, match=r"did not do BatchGetItem: .*Validation.*No\."):
        list(records.get_many(["CHG1"]))
