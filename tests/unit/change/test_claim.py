"""Which requests are changes of a finished key set, and which execution carries one out."""

from typing import Any

import pytest

from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.aws.executions import machine_of
from provisioner.aws.records import Records, Status
from provisioner.change.claim import claim_change, failed_names
from provisioner.creation import correction
from provisioner.creation.claim import Claim, Decision, check_claim, claim
from provisioner.domain.plan import KeySetRequest
from provisioner.errors import (
    Conflict,
    RequestBeingFinished,
    RequestConflict,
    RequestNotFound,
    RevisionSkipped,
)
from tests.support import finished_sets
from tests.support.answering import answer, calls_of, forget_answers, on
from tests.support.finished_sets import (
    CHANGE_EXECUTION,
    CHANGED,
    CHANGED_AGAIN,
    CREATED,
    OTHER_CHANGE_EXECUTION,
    change,
    create,
    end,
    record_of,
)
from tests.support.samples import OTHER_EXECUTION, imported_request_of, in_days, request_of

REPLICAS = [{"region": "eu-west-1"}]
SAME_IN_NEXT = request_of(description="first", replicas=REPLICAS, revision=2)
OTHER_IN_SAME = request_of(description="other", replicas=REPLICAS)
OUTCOMES = [Status.UPDATED, Status.UPDATE_FAILED, Status.DECOMMISSIONED]
SOON, LATER = in_days(20), in_days(360)


def imported(**fields: Any) -> KeySetRequest:
    return imported_request_of(**{"keyMaterial": {"validTo": SOON}, "replicas": REPLICAS, **fields})


def ask(records: Records, request: KeySetRequest, **options: Any) -> Decision:
    return claim(records, client("stepfunctions"), request, OTHER_EXECUTION, **options).decision


def take(
    records: Records,
    request: KeySetRequest = CHANGED,
    execution: str = CHANGE_EXECUTION,
    version: str | None = None,
    **options: Any,
) -> Claim:
    return claim_change(
        records,
        client("stepfunctions"),
        request,
        execution,
        version=version or record_of(records).version,
        **options,
    )


def holder_is(status: str) -> None:
    forget_answers()
    answer(client("stepfunctions"), "DescribeExecution", {"status": status})


def start(execution: str = CHANGE_EXECUTION) -> None:
    executions.start(client("stepfunctions"), machine_of(execution), execution, CHANGED)


@pytest.mark.parametrize("request_", [CHANGED, SAME_IN_NEXT], ids=["other", "the same"])
def test_the_next_revision_of_a_finished_key_set_is_a_change_and_claims_nothing(
    request_: KeySetRequest, records: Records
) -> None:
    create(records)
    before = record_of(records)
    calls = calls_of(client("stepfunctions"))

    assert ask(records, request_) == Decision.CHANGE
    assert check_claim(records, client("stepfunctions"), request_) == before
    assert (record_of(records), calls) == (before, [])


@pytest.mark.parametrize("status", OUTCOMES)
def test_every_revision_is_followed_by_the_next(status: Status, records: Records) -> None:
    create(records)
    change(records, status)

    assert ask(records, CHANGED_AGAIN) == Decision.CHANGE


@pytest.mark.parametrize("status", [Status.UPDATED, Status.DECOMMISSIONED])
def test_a_revision_that_is_done_has_nothing_left_to_do(status: Status, records: Records) -> None:
    create(records)
    change(records, status)

    assert ask(records, CHANGED) == Decision.ALREADY_CREATED
    assert take(records).decision == Decision.ALREADY_CREATED


def test_a_revision_that_failed_is_carried_out_again(records: Records) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED)

    assert ask(records, CHANGED) == Decision.CHANGE
    assert take(records, execution=OTHER_CHANGE_EXECUTION).decision == Decision.PROCEED


STALE: list[tuple[Status | None, KeySetRequest, type[Conflict], str]] = [
    (None, OTHER_IN_SAME, RequestConflict, "send this content with revision 2"),
    (None, CHANGED_AGAIN, RevisionSkipped, "is 2, and this is revision 3"),
    (
        Status.UPDATED,
        CREATED,
        RequestConflict,
        "has revision 2, .* send the request with revision 3",
    ),
    (Status.UPDATED, OTHER_IN_SAME, RequestConflict, "earlier revision 1"),
    (Status.UPDATED, SAME_IN_NEXT, RequestConflict, "send this content with revision 3"),
    (Status.UPDATE_FAILED, CREATED, RequestConflict, "earlier revision 1"),
    (Status.UPDATE_FAILED, SAME_IN_NEXT, RequestConflict, "UPDATE_FAILED"),
    (Status.DECOMMISSIONED, CREATED, RequestConflict, "earlier revision 1"),
]


@pytest.mark.parametrize(("status", "request_", "error", "text"), STALE)
def test_no_document_but_the_next_revision_changes_anything(
    status: Status | None,
    request_: KeySetRequest,
    error: type[Conflict],
    text: str,
    records: Records,
) -> None:
    create(records)
    if status:
        change(records, status)
    before = record_of(records)

    for refuse in (
        lambda: ask(records, request_),
        lambda: take(records, request_),
        lambda: check_claim(records, client("stepfunctions"), request_),
    ):
        with pytest.raises(error, match=text):
            refuse()
    assert record_of(records) == before


@pytest.mark.parametrize("progress", ["RUNNING", "ABORTED"])
def test_other_content_waits_for_the_change_under_way(progress: str, records: Records) -> None:
    create(records)
    finished_sets.claim(records)
    holder_is(progress)

    with pytest.raises(RequestConflict, match=r"under way .*DELETE /keys/CHG1\. Then send .*: 3"):
        ask(records, CHANGED_AGAIN)


@pytest.mark.parametrize(
    ("progress", "decision"),
    [("RUNNING", Decision.ANOTHER_RUN_IS_ACTIVE), ("ABORTED", Decision.CHANGE)],
)
def test_a_change_under_way_is_left_to_its_execution_while_that_runs(
    progress: str, decision: Decision, records: Records
) -> None:
    create(records)
    finished_sets.claim(records)
    holder_is(progress)

    assert ask(records, CHANGED) == decision


@pytest.mark.parametrize(
    ("waits", "decision"), [(True, Decision.ANOTHER_RUN_IS_ACTIVE), (False, Decision.CHANGE)]
)
def test_a_holder_that_was_not_started_counts_only_for_who_starts_it(
    waits: bool, decision: Decision, records: Records
) -> None:
    create(records)
    finished_sets.claim(records)

    assert ask(records, CHANGED, wait_for_unstarted=waits) == decision


@pytest.mark.parametrize("request_", [CHANGED, CHANGED_AGAIN])
def test_a_change_that_is_about_to_report_its_failure_is_decided_on_in_a_moment(
    request_: KeySetRequest, records: Records
) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED, published=False)
    holder_is("RUNNING")

    with pytest.raises(RequestBeingFinished, match="CHG1 failed"):
        ask(records, request_)


@pytest.mark.parametrize("status", [None, Status.UPDATE_FAILED])
def test_a_change_passes_on_from_the_dead_with_what_was_applied(
    status: Status | None, records: Records
) -> None:
    create(records)
    finished_sets.claim(records)
    if status:
        end(records, status, published=False)
    holder_is("ABORTED")

    claimed = take(records, execution=OTHER_CHANGE_EXECUTION)

    assert claimed.decision == Decision.PROCEED
    assert claimed.record.execution_arn == OTHER_CHANGE_EXECUTION
    assert claimed.record.applied == CREATED


@pytest.mark.parametrize("status", [Status.UPDATED, Status.DECOMMISSIONED])
@pytest.mark.parametrize("execution", [CHANGE_EXECUTION, OTHER_CHANGE_EXECUTION])
def test_a_change_that_is_done_and_not_reported_is_only_published(
    execution: str, status: Status, records: Records
) -> None:
    create(records)
    change(records, status, published=False)
    holder_is("ABORTED")

    claimed = take(records, execution=execution)

    assert claimed.decision == Decision.PUBLISH
    assert claimed.record.applied == CHANGED


def test_an_execution_that_has_reported_its_outcome_has_nothing_to_do(records: Records) -> None:
    create(records)
    change(records, Status.UPDATE_FAILED)
    before = record_of(records)

    assert take(records).decision == Decision.ALREADY_CREATED
    assert record_of(records) == before


def test_an_execution_that_holds_its_change_goes_on_whatever_it_was_planned_on(
    records: Records,
) -> None:
    create(records)
    version = record_of(records).version
    assert take(records, version=version).decision == Decision.PROCEED

    again = take(records, version=version)

    assert (again.decision, again.record.applied) == (Decision.PROCEED, CREATED)


def test_a_change_that_was_planned_on_another_record_is_planned_again(records: Records) -> None:
    create(records)
    version = record_of(records).version
    change(records, Status.UPDATE_FAILED, execution=OTHER_CHANGE_EXECUTION)
    before = record_of(records)

    assert take(records, version=version).decision == Decision.CHANGE
    assert record_of(records) == before


def test_a_record_that_changes_right_before_the_claim_decides_anew(records: Records) -> None:
    create(records)
    once: list[None] = []

    def be_faster(**_: Any) -> None:
        if not once:
            once.append(None)
            finished_sets.claim(records, CHANGED, OTHER_CHANGE_EXECUTION)
            start(OTHER_CHANGE_EXECUTION)

    on(client("dynamodb"), "before-call.dynamodb.UpdateItem", be_faster)

    claimed = take(records)

    assert claimed.decision == Decision.ANOTHER_RUN_IS_ACTIVE
    assert claimed.record.execution_arn == OTHER_CHANGE_EXECUTION


def test_of_fifty_deliveries_of_one_revision_one_claims_and_the_others_have_nothing_to_do(
    records: Records,
) -> None:
    create(records)
    version = record_of(records).version
    deliveries = [f"{CHANGE_EXECUTION}-{number}" for number in range(50)]
    decisions = {ask(records, CHANGED) for _ in deliveries}
    holder_is("RUNNING")

    claims = [take(records, execution=one, version=version).decision for one in deliveries]

    assert decisions == {Decision.CHANGE}
    assert claims == [Decision.PROCEED, *[Decision.ANOTHER_RUN_IS_ACTIVE] * 49]
    assert record_of(records).execution_arn == deliveries[0]


def test_what_has_no_record_is_no_change(records: Records) -> None:
    with pytest.raises(RequestNotFound, match="CHG1"):
        claim_change(records, client("stepfunctions"), CHANGED, CHANGE_EXECUTION, version="version")


def test_what_failed_revisions_may_have_set_is_kept_until_one_succeeds(records: Records) -> None:
    wrong = request_of(alias="alias/wrong", tags={"wrong": ""}, replicas=REPLICAS, revision=2)
    right = request_of(alias="alias/right", replicas=REPLICAS, revision=3)
    create(records)
    assert failed_names(record_of(records), wrong) == {}
    assert take(records, wrong).record.superseded == {}
    end(records, Status.UPDATE_FAILED, wrong)
    names = {"aliases": ["alias/wrong"], "tags": ["wrong"], "settings": []}

    record = take(records, right, OTHER_CHANGE_EXECUTION).record
    assert record.superseded == {"us-east-1": names, "eu-west-1": names}
    end(records, Status.UPDATE_FAILED, right, OTHER_CHANGE_EXECUTION)
    assert take(records, right).record.superseded == {"us-east-1": names, "eu-west-1": names}
    end(records, Status.UPDATED, right)

    assert record_of(records).superseded == {}


EUROPE = {"region": "eu-west-1", "alias": "alias/europe", "tags": {"stage": "x", "team": "y"}}
OF_EUROPE = {"aliases": ["alias/europe"], "tags": ["stage", "team"]}
WITH_EUROPE = request_of(replicas=[EUROPE])


def without_europe(revision: int) -> KeySetRequest:
    return request_of(revision=revision, description=str(revision))


def apply(records: Records, *requests: KeySetRequest) -> None:
    for request in requests:
        take(records, request)
        end(records, Status.UPDATED, request)


def test_the_names_of_a_removed_key_are_known_until_its_region_is_declared_again(
    records: Records,
) -> None:
    create(records, WITH_EUROPE)
    apply(records, without_europe(2), without_europe(3))
    assert record_of(records).removed_names == {"eu-west-1": OF_EUROPE}
    assert failed_names(record_of(records), without_europe(4)) == {}
    again = {**EUROPE, "alias": "alias/again", "tags": {"stage": "x"}}

    restored = request_of(replicas=[again], revision=4)
    record = take(records, restored).record

    left = {"aliases": ["alias/europe"], "tags": ["team"], "settings": []}
    assert record.superseded == {"eu-west-1": left}
    assert record.removed_names == {}
    end(records, Status.UPDATED, restored)
    assert record_of(records).superseded == {}


def test_a_restoration_that_fails_forgets_no_name(records: Records) -> None:
    create(records, WITH_EUROPE)
    apply(records, without_europe(2))
    renamed = {**EUROPE, "alias": "alias/again", "tags": {}}
    restored = request_of(replicas=[renamed], revision=3)
    take(records, restored)
    end(records, Status.UPDATE_FAILED, restored)

    record = take(records, without_europe(4)).record

    names = ["alias/again", "alias/europe"]
    assert record.removed_names == {"eu-west-1": {**OF_EUROPE, "aliases": names}}
    assert record.superseded == {"eu-west-1": {**OF_EUROPE, "aliases": names, "settings": []}}


def test_more_names_of_removed_keys_than_a_record_keeps_are_refused(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(records, WITH_EUROPE)
    monkeypatch.setattr(correction, "MAX_SUPERSEDED_BYTES", 60)

    with pytest.raises(RequestConflict, match="in a revision of its own") as refused:
        take(records, without_europe(2))

    assert "bytes of aliases and tag keys, and at most 60 are kept" in str(refused.value)
    fewer = request_of(replicas=[{**EUROPE, "tags": {"team": "y"}}], revision=2)
    apply(records, fewer, without_europe(3))


def test_imported_material_of_a_finished_revision_is_renewed(records: Records) -> None:
    create(records, imported())
    changed = imported(description="second", revision=2)
    change(records, Status.UPDATED, changed)

    renewed = imported(description="second", revision=2, keyMaterial={"validTo": LATER})

    assert ask(records, changed) == Decision.CHECK
    assert ask(records, renewed) == Decision.RENEW
    assert record_of(records).request == renewed


def test_nothing_is_renewed_of_what_is_decommissioned(records: Records) -> None:
    create(records, imported())
    gone = imported(desiredState="DECOMMISSIONED", revision=2)
    change(records, Status.DECOMMISSIONED, gone)
    renewed = imported(desiredState="DECOMMISSIONED", revision=2, keyMaterial={"validTo": LATER})

    assert ask(records, gone) == Decision.ALREADY_CREATED
    assert ask(records, renewed) == Decision.ALREADY_CREATED
    assert ask(records, gone, material_missing=True) == Decision.ALREADY_CREATED


def test_a_renewal_in_the_next_revision_is_none_of_the_changes(records: Records) -> None:
    create(records, imported())

    assert ask(records, imported(revision=2, keyMaterial={"validTo": LATER})) == Decision.RENEW


@pytest.mark.parametrize("failed", [True, False])
def test_a_change_does_not_renew_material_beside(failed: bool, records: Records) -> None:
    create(records, imported())
    changed: dict[str, Any] = {"description": "second", "revision": 2}
    if failed:
        change(records, Status.UPDATE_FAILED, imported(**changed))

    with pytest.raises(RequestConflict, match="Send the change with validTo as it was"):
        ask(records, imported(**changed, keyMaterial={"validTo": LATER}))


@pytest.mark.parametrize(
    "fields",
    [
        {"replicas": []},
        {"primaryRegion": "eu-west-1", "replicas": [{"region": "us-east-1"}]},
        {"replicas": [*REPLICAS, {"region": "eu-west-2", "keyMaterial": {"validTo": LATER}}]},
    ],
    ids=["removed", "promoted", "added"],
)
def test_regions_that_come_and_go_are_no_other_expiry(
    fields: dict[str, Any], records: Records
) -> None:
    create(records, imported())

    assert ask(records, imported(revision=2, **fields)) == Decision.CHANGE
