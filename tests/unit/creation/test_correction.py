"""A request that failed is claimed with other content, and every reason why it is not."""

from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Record, Records, Status
from provisioner.creation import correction
from provisioner.creation.claim import Claim, Decision, check_claim, claim
from provisioner.domain.plan import KeySetRequest, content_hash
from provisioner.errors import (
    Immutable,
    RequestBeingFinished,
    RequestConflict,
    RequestRejected,
    RevisionSkipped,
)
from provisioner.outcomes.failures import conflict_problems
from tests.support.answering import answer, on
from tests.support.samples import (
    EXECUTION,
    OTHER_EXECUTION,
    imported_request_of,
    key_arn,
    request_of,
)

THIRD_EXECUTION = EXECUTION + "-third"
REPLICAS = [{"region": "eu-west-1"}]
FIRST = request_of(description="first", replicas=REPLICAS)
CORRECTED = request_of(description="corrected", replicas=REPLICAS)


def claim_by(records: Records, request: KeySetRequest, execution: str = OTHER_EXECUTION) -> Claim:
    return claim(records, client("stepfunctions"), request, execution)


def end(
    records: Records,
    request: KeySetRequest = FIRST,
    status: Status = Status.FAILED,
    execution: str = EXECUTION,
) -> None:
    assert records.finish(request, execution_arn=execution, status=status, key=None, errors=[])


def fail(
    records: Records,
    request: KeySetRequest = FIRST,
    execution: str = EXECUTION,
    *,
    key: str | None = None,
) -> None:
    """Let a request fail and report that, with a primary key or without one."""
    assert claim_by(records, request, execution).decision == Decision.PROCEED
    if key:
        records.announce_attempt("CHG1", execution, 1, "token")
        records.close_attempt("CHG1", 1, key)
    end(records, request, execution=execution)
    records.mark_published("CHG1", execution)


def record_of(records: Records) -> Record:
    record = records.get("CHG1")
    assert record
    return record


@pytest.mark.parametrize("revision", [1, 2])
def test_a_failed_request_is_claimed_with_other_content(revision: int, records: Records) -> None:
    fail(records, key=key_arn())
    corrected = request_of(
        description="corrected", onFailure="ROLL_BACK", ticket={"id": "2"}, revision=revision
    )

    claimed = claim_by(records, corrected)

    assert claimed.decision == Decision.PROCEED
    record = claimed.record
    assert record == record_of(records)
    assert (record.status, record.execution_arn) == (Status.IN_PROGRESS, OTHER_EXECUTION)
    assert (record.request, record.content_hash) == (corrected, content_hash(corrected))
    assert (record.revision, record.ticket) == (revision, {"id": "2"})
    assert (record.key_arn, record.published, record.errors) == (key_arn(), False, [])


@pytest.mark.parametrize("revision", [1, 2])
def test_the_newest_ticket_and_wish_for_a_failure_count_where_a_request_is_resumed(
    revision: int, records: Records
) -> None:
    fail(records)
    again = request_of(
        description="first",
        replicas=REPLICAS,
        onFailure="ROLL_BACK",
        ticket={"id": "2"},
        revision=revision,
    )

    record = claim_by(records, again).record

    assert (record.request, record.ticket, record.revision) == (again, {"id": "2"}, revision)


@pytest.mark.parametrize("request_", [FIRST, CORRECTED], ids=["the same", "other"])
def test_an_earlier_revision_of_any_content_is_a_conflict(
    request_: KeySetRequest, records: Records
) -> None:
    fail(records)
    fail(records, request_of(description="second", revision=2), OTHER_EXECUTION)

    with pytest.raises(RequestConflict, match=r"has revision 2, .* revision 2 or 3") as caught:
        claim_by(records, request_, THIRD_EXECUTION)

    [problem] = conflict_problems(caught.value)
    assert (problem["path"], problem["code"]) == ("requestId", "REQUEST_CONFLICT")


@pytest.mark.parametrize("description", ["first", "corrected"])
def test_a_revision_after_the_next_is_refused(description: str, records: Records) -> None:
    fail(records)
    before = record_of(records)

    with pytest.raises(RevisionSkipped, match=r"is 2, and this is revision 3") as caught:
        claim_by(records, request_of(description=description, replicas=REPLICAS, revision=3))

    assert record_of(records) == before
    [problem] = conflict_problems(caught.value)
    assert (problem["path"], problem["code"]) == ("revision", "REVISION_SKIPPED")


def test_the_first_revision_that_is_not_refused_is_the_first(records: Records) -> None:
    records.note_refusal("CHG1", None, None, [])

    with pytest.raises(RevisionSkipped, match="is 1, and this is revision 2"):
        claim_by(records, request_of(revision=2))
    assert claim_by(records, request_of()).decision == Decision.PROCEED


@pytest.mark.parametrize("description", ["first", "second"])
def test_a_correction_asks_for_nothing_that_only_a_finished_set_can_have(
    description: str, records: Records
) -> None:
    fail(records, request_of(description="first", replicas=[{"region": "eu-west-1"}]))
    correction = request_of(
        description=description,
        replicas=[{"region": "eu-west-1", "enabled": False}],
        enabled=False,
        desiredState="DECOMMISSIONED",
        confirm=["DECOMMISSION"],
        revision=2,
    )

    for attempt in (
        lambda: claim_by(records, correction),
        lambda: check_claim(records, client("stepfunctions"), correction),
    ):
        with pytest.raises(RequestRejected) as refused:
            attempt()
        assert [(one["path"], one["code"]) for one in refused.value.problems] == [
            ("enabled", "KEY_SET_NOT_CREATED"),
            ("replicas[0].enabled", "KEY_SET_NOT_CREATED"),
            ("desiredState", "KEY_SET_NOT_CREATED"),
            ("confirm[0]", "CONFIRMATION_UNUSED"),
        ]
    assert (record_of(records).status, record_of(records).revision) == (Status.FAILED, 1)


def test_a_word_of_a_correction_with_the_same_content_is_refused_too(records: Records) -> None:
    fail(records, request_of())

    with pytest.raises(RequestRejected):
        claim_by(records, request_of(revision=2, confirm=["REMOVE:eu-west-1"]))

    assert claim_by(records, request_of(revision=2)).decision == Decision.PROCEED


def test_a_request_under_way_is_not_corrected(records: Records) -> None:
    claim_by(records, FIRST, EXECUTION)

    with pytest.raises(RequestConflict, match=r"under way .*DELETE /keys/CHG1"):
        claim_by(records, CORRECTED)


def test_a_request_whose_execution_died_is_resumed_by_the_same_content_only(
    records: Records,
) -> None:
    claim_by(records, FIRST, EXECUTION)
    end(records)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "ABORTED"})

    with pytest.raises(RequestConflict, match="earlier content resumes it"):
        claim_by(records, CORRECTED)
    assert claim_by(records, FIRST).decision == Decision.PROCEED


def test_a_failure_that_is_about_to_be_reported_is_corrected_a_moment_later(
    records: Records,
) -> None:
    claim_by(records, FIRST, EXECUTION)
    end(records)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "RUNNING"})

    with pytest.raises(RequestBeingFinished, match="CHG1 failed"):
        claim_by(records, CORRECTED)


@pytest.mark.parametrize("failed_since", [False, True])
def test_a_key_set_that_was_created_keeps_its_content_under_its_revision(
    failed_since: bool, records: Records
) -> None:
    claim_by(records, FIRST, EXECUTION)
    end(records, status=Status.CREATED)
    if failed_since:
        end(records)
    records.mark_published("CHG1", EXECUTION)
    before = record_of(records)

    with pytest.raises(RequestConflict, match="send this content with revision 2"):
        claim_by(records, CORRECTED)

    assert record_of(records) == before


def test_a_created_request_has_nothing_to_do_in_the_same_revision(records: Records) -> None:
    claim_by(records, FIRST, EXECUTION)
    end(records, status=Status.CREATED)
    records.mark_published("CHG1", EXECUTION)

    assert claim_by(records, FIRST).decision == Decision.ALREADY_CREATED


def test_the_next_revision_of_the_same_content_waits_for_the_one_under_way(
    records: Records,
) -> None:
    claim_by(records, FIRST, EXECUTION)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "RUNNING"})

    with pytest.raises(RequestConflict, match="works on revision 1 of CHG1"):
        claim_by(records, request_of(description="first", replicas=REPLICAS, revision=2))


OTHER_KINDS: list[tuple[dict[str, Any], list[str]]] = [
    ({"keySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"}, ["keySpec", "keyUsage"]),
    ({"keySpec": "HMAC_256"}, ["keySpec", "keyUsage"]),
    ({"origin": "EXTERNAL"}, ["origin"]),
    ({"primaryRegion": "eu-west-1"}, ["primaryRegion"]),
]


@pytest.mark.parametrize(("fields", "paths"), OTHER_KINDS)
@pytest.mark.parametrize("key", [key_arn(), None], ids=["recorded", "not answered"])
def test_what_a_key_never_changes_cannot_be_corrected_once_it_may_exist(
    key: str | None, fields: dict[str, Any], paths: list[str], records: Records
) -> None:
    claim_by(records, request_of(), EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    if key:
        records.close_attempt("CHG1", 1, key)
    end(records, request_of())
    records.mark_published("CHG1", EXECUTION)
    before = record_of(records)

    with pytest.raises(Immutable, match=r"which never changes\. Send") as caught:
        claim_by(records, request_of(**fields))

    problems = conflict_problems(caught.value)
    assert [(problem["path"], problem["code"]) for problem in problems] == [
        (path, "IMMUTABLE") for path in paths
    ]
    assert all(path in problem["message"] for path in paths for problem in problems)
    assert (key or "unanswered CreateKey") in problems[0]["message"]
    assert record_of(records) == before


@pytest.mark.parametrize(("fields", "_paths"), OTHER_KINDS)
def test_everything_can_be_corrected_while_there_is_no_key(
    fields: dict[str, Any], _paths: object, records: Records
) -> None:
    fail(records, request_of(alias="alias/taken", tags={"team": "cards"}))

    claimed = claim_by(records, request_of(**fields))

    assert claimed.decision == Decision.PROCEED
    assert claimed.record.superseded == {}


def test_key_material_terms_are_corrected_with_the_rest(records: Records) -> None:
    fail(records, imported_request_of(), key=key_arn())

    claimed = claim_by(records, imported_request_of(description="corrected"))

    assert claimed.decision == Decision.PROCEED


NAMED = request_of(tags={"team": "cards", "stage": "test"}, replicas=REPLICAS)
RENAMED = request_of(
    alias="alias/renamed",
    tags={"team": "payments"},
    replicas=[{"region": "eu-west-2", "alias": None}],
)
RENAMED_AGAIN = request_of(alias="alias/again", tags={"own": ""}, replicas=REPLICAS)
OLD_NAMES = {
    "eu-west-1": {"aliases": ["alias/cards"], "tags": ["stage", "team"], "settings": []},
    "us-east-1": {"aliases": ["alias/cards"], "tags": ["stage"], "settings": []},
}


def test_what_earlier_contents_named_is_kept_over_several_corrections(records: Records) -> None:
    fail(records, NAMED, key=key_arn())

    assert claim_by(records, RENAMED).record.superseded == OLD_NAMES
    end(records, RENAMED, execution=OTHER_EXECUTION)
    records.mark_published("CHG1", OTHER_EXECUTION)
    assert claim_by(records, RENAMED, EXECUTION).record.superseded == OLD_NAMES
    end(records, RENAMED)
    records.mark_published("CHG1", EXECUTION)
    assert claim_by(records, RENAMED_AGAIN).record.superseded == {
        "eu-west-1": {"aliases": ["alias/cards"], "tags": ["stage", "team"], "settings": []},
        "eu-west-2": {"aliases": [], "tags": ["team"], "settings": []},
        "us-east-1": {
            "aliases": ["alias/cards", "alias/renamed"],
            "tags": ["stage", "team"],
            "settings": [],
        },
    }


def test_a_name_that_comes_back_is_no_longer_superseded(records: Records) -> None:
    fail(records, NAMED, key=key_arn())
    fail(records, RENAMED, OTHER_EXECUTION)

    assert claim_by(records, NAMED, THIRD_EXECUTION).record.superseded == {
        "eu-west-2": {"aliases": [], "tags": ["team"], "settings": []},
        "us-east-1": {"aliases": ["alias/renamed"], "tags": [], "settings": []},
    }


def test_a_created_key_set_has_nothing_superseded(records: Records) -> None:
    fail(records, NAMED, key=key_arn())
    claim_by(records, RENAMED)

    end(records, RENAMED, Status.CREATED, OTHER_EXECUTION)

    assert record_of(records).superseded == {}


def test_more_names_than_a_record_keeps_are_refused(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction, "MAX_SUPERSEDED_BYTES", 100)
    fail(records, NAMED, key=key_arn())
    before = record_of(records)

    with pytest.raises(RequestConflict, match=r"at most 100 are kept\. Keep more"):
        claim_by(records, RENAMED)

    assert record_of(records) == before


def meanwhile(records: Records, change: Any) -> None:
    """Let something happen to the record right after the next claim has failed."""
    once: list[None] = []

    def act(**_: Any) -> None:
        if not once:
            once.append(None)
            change(records)

    on(client("dynamodb"), "after-call.dynamodb.UpdateItem", act)


def test_of_two_that_correct_a_request_one_does(records: Records) -> None:
    fail(records)
    other = request_of(description="of somebody else")
    meanwhile(records, lambda records: claim_by(records, other, THIRD_EXECUTION))

    with pytest.raises(RequestConflict, match="under way"):
        claim_by(records, CORRECTED)

    record = record_of(records)
    assert (record.request, record.execution_arn) == (other, THIRD_EXECUTION)


def test_a_key_that_is_recorded_meanwhile_is_seen_by_the_correction(records: Records) -> None:
    claim_by(records, request_of(), EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    end(records, request_of())
    records.mark_published("CHG1", EXECUTION)
    meanwhile(records, lambda records: records.close_attempt("CHG1", 1, key_arn()))

    record = claim_by(records, request_of(alias="alias/other")).record

    assert (record.key_arn, record.open_attempt) == (key_arn(), None)
    assert record.superseded == {
        "us-east-1": {"aliases": ["alias/cards"], "tags": [], "settings": []}
    }


@pytest.mark.parametrize(
    "seen",
    [
        {"content_hash": "other"},
        {"execution_arn": OTHER_EXECUTION},
        {"revision": 2},
        {"attempt": 2},
        {"open_attempt": "token"},
        {"key_arn": None},
        {"key_arn": key_arn("eu-west-1")},
    ],
)
def test_a_record_that_is_not_as_it_was_seen_is_not_corrected(
    seen: dict[str, Any], records: Records
) -> None:
    fail(records, key=key_arn())
    record = record_of(records)

    taken = records.correct(CORRECTED, OTHER_EXECUTION, seen=replace(record, **seen), superseded={})

    assert (taken, record_of(records)) == (False, record)


def test_an_attempt_that_was_not_seen_open_is_not_corrected(records: Records) -> None:
    claim_by(records, FIRST, EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    end(records)
    records.mark_published("CHG1", EXECUTION)
    seen = replace(record_of(records), open_attempt=None)

    assert not records.correct(CORRECTED, OTHER_EXECUTION, seen=seen, superseded={})


@pytest.mark.parametrize("ever_created", [True, False])
def test_what_was_created_or_has_not_reported_its_failure_is_not_corrected(
    ever_created: bool, records: Records
) -> None:
    claim_by(records, FIRST, EXECUTION)
    if ever_created:
        end(records, status=Status.CREATED)
    end(records)
    if ever_created:
        records.mark_published("CHG1", EXECUTION)
    seen = record_of(records)

    assert not records.correct(CORRECTED, OTHER_EXECUTION, seen=seen, superseded={})


def test_an_attempt_stays_open_over_a_correction(records: Records) -> None:
    claim_by(records, request_of(), EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    end(records, request_of())
    records.mark_published("CHG1", EXECUTION)

    record = claim_by(records, request_of(alias="alias/other")).record

    assert (record.attempt, record.open_attempt) == (1, "token")


def test_a_late_failure_of_the_earlier_content_does_not_count(records: Records) -> None:
    fail(records)
    fail(records, CORRECTED, OTHER_EXECUTION)

    late = records.finish(FIRST, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])

    assert not late
    assert record_of(records).request == CORRECTED
