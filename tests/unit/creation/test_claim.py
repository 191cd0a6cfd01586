from typing import Any

import pytest

from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.creation.claim import Claim, Decision, claim, known_keys
from provisioner.domain.plan import KeySetRequest, unread_key
from provisioner.errors import DependencyUnavailable, RequestBeingFinished, RequestConflict
from tests.support.answering import answer, calls_of, on, refusal
from tests.support.samples import (
    EXECUTION,
    OTHER_EXECUTION,
    SETTINGS,
    imported_request_of,
    in_days,
    key_arn,
    request_of,
)

REQUEST = request_of(ticket={"id": "CHG0031337"})
SOON, LATER = in_days(20), in_days(360)
IMPORTED = imported_request_of(keyMaterial={"validTo": SOON}, replicas=[{"region": "eu-west-1"}])
RENEWED = imported_request_of(keyMaterial={"validTo": LATER}, replicas=[{"region": "eu-west-1"}])


def claim_by(
    records: Records, execution: str, request: KeySetRequest = REQUEST, **options: Any
) -> Claim:
    return claim(records, client("stepfunctions"), request, execution, **options)


def end(records: Records, status: Status, request: KeySetRequest = REQUEST) -> None:
    records.finish(request, execution_arn=EXECUTION, status=status, key=None, errors=[])


def created(records: Records, request: KeySetRequest = IMPORTED) -> None:
    claim_by(records, EXECUTION, request)
    end(records, Status.CREATED, request)
    records.mark_published("CHG1", EXECUTION)


def start(execution: str) -> None:
    machine = SETTINGS.state_machine_arn
    executions.start(client("stepfunctions"), machine, execution, REQUEST)


def test_a_new_request_proceeds_and_nobody_else_is_asked(records: Records) -> None:
    calls = calls_of(client("stepfunctions"))

    claimed = claim_by(records, EXECUTION)

    assert claimed.decision == Decision.PROCEED
    assert claimed.record.execution_arn == EXECUTION
    assert claimed.record.ticket == {"id": "CHG0031337"}
    assert calls == []


def test_an_execution_that_claims_again_proceeds(records: Records) -> None:
    claim_by(records, EXECUTION)

    assert claim_by(records, EXECUTION).decision == Decision.PROCEED


def test_a_request_that_another_execution_runs_is_left_to_it(records: Records) -> None:
    claim_by(records, EXECUTION)
    start(EXECUTION)

    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.ANOTHER_RUN_IS_ACTIVE
    assert claimed.record.execution_arn == EXECUTION


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT", "FAILED", "SUCCEEDED"])
def test_the_claim_of_an_execution_that_ended_without_outcome_passes_on(
    status: str, records: Records
) -> None:
    claim_by(records, EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key_arn())
    answer(client("stepfunctions"), "DescribeExecution", {"status": status})

    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.PROCEED
    assert claimed.record.execution_arn == OTHER_EXECUTION
    assert claimed.record.key_arn == key_arn()


@pytest.mark.parametrize(
    ("waits", "decision"),
    [(False, Decision.PROCEED), (True, Decision.ANOTHER_RUN_IS_ACTIVE)],
)
def test_a_holder_that_was_not_started_counts_only_for_who_starts_it(
    waits: bool, decision: Decision, records: Records
) -> None:
    claim_by(records, EXECUTION)

    claimed = claim_by(records, OTHER_EXECUTION, wait_for_unstarted=waits)

    assert claimed.decision == decision


def test_a_created_request_has_nothing_left_to_do(records: Records) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.CREATED)
    records.mark_published("CHG1", EXECUTION)
    calls = calls_of(client("stepfunctions"))

    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.ALREADY_CREATED
    assert claimed.record.execution_arn == EXECUTION
    assert calls == []


def test_a_created_request_that_nobody_was_told_of_is_left_to_who_still_runs(
    records: Records,
) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.CREATED)
    start(EXECUTION)

    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.ANOTHER_RUN_IS_ACTIVE
    assert claimed.record.status == Status.CREATED


def test_a_created_request_that_nobody_was_told_of_passes_on_from_the_dead(
    records: Records,
) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.CREATED)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "FAILED"})

    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.PUBLISH
    assert claimed.record.execution_arn == OTHER_EXECUTION
    assert claimed.record.status == Status.IN_PROGRESS


def test_the_execution_that_finished_a_request_claims_it_again_only_to_publish_it(
    records: Records,
) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.CREATED)

    assert claim_by(records, EXECUTION).decision == Decision.PUBLISH


def test_of_a_request_that_was_never_created_only_the_arn_of_its_key_is_known(
    records: Records,
) -> None:
    claim_by(records, EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key_arn())
    primary = {**unread_key(key_arn()), "alias": "alias/cards", "keyState": "Enabled"}
    key: Any = {"primary": primary, "replicas": []}
    records.finish(REQUEST, execution_arn=EXECUTION, status=Status.FAILED, key=key, errors=[])
    records.mark_published("CHG1", EXECUTION)

    record = claim_by(records, OTHER_EXECUTION).record

    assert known_keys(record, REQUEST) == [unread_key(key_arn())]


def test_a_failed_request_is_resumed(records: Records) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.FAILED)
    records.mark_published("CHG1", EXECUTION)
    calls = calls_of(client("stepfunctions"))

    assert claim_by(records, OTHER_EXECUTION).decision == Decision.PROCEED
    assert calls == []


def test_a_request_whose_execution_is_about_to_tell_its_failure_is_claimed_later(
    records: Records,
) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.FAILED)
    start(EXECUTION)

    with pytest.raises(RequestBeingFinished, match="CHG1 failed"):
        claim_by(records, OTHER_EXECUTION)


def test_a_failure_that_nobody_told_passes_on_from_the_dead(records: Records) -> None:
    claim_by(records, EXECUTION)
    end(records, Status.FAILED)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "ABORTED"})

    assert claim_by(records, OTHER_EXECUTION).decision == Decision.PROCEED


def test_a_refused_request_is_claimed_with_corrected_content(records: Records) -> None:
    records.note_refusal("CHG1", None, None, [])

    assert claim_by(records, EXECUTION).decision == Decision.PROCEED


def test_other_content_under_the_same_id_is_a_conflict(records: Records) -> None:
    claim_by(records, EXECUTION)

    with pytest.raises(RequestConflict, match="CHG1"):
        claim(records, client("stepfunctions"), request_of(description="x"), OTHER_EXECUTION)


def test_of_two_that_find_the_holder_dead_one_proceeds(records: Records) -> None:
    claim_by(records, EXECUTION)
    third = EXECUTION + "-third"
    step_functions = client("stepfunctions")

    def meanwhile(**_: Any) -> None:
        records.claim(REQUEST, third, dead_execution=EXECUTION)

    on(step_functions, "before-call.sfn.DescribeExecution", meanwhile)
    claimed = claim_by(records, OTHER_EXECUTION)

    assert claimed.decision == Decision.ANOTHER_RUN_IS_ACTIVE
    record = records.get("CHG1")
    assert record
    assert record.execution_arn == third


def test_without_an_answer_about_the_holder_nothing_is_decided(records: Records) -> None:
    claim_by(records, EXECUTION)
    answer(client("stepfunctions"), "DescribeExecution", refusal("ThrottlingException"))

    with pytest.raises(DependencyUnavailable, match="DescribeExecution"):
        claim_by(records, OTHER_EXECUTION)


@pytest.mark.parametrize(
    "renewed",
    [
        RENEWED,
        imported_request_of(replicas=[{"region": "eu-west-1"}]),
        imported_request_of(
            keyMaterial={"validTo": SOON},
            replicas=[{"region": "eu-west-1", "keyMaterial": {"validTo": LATER}}],
        ),
    ],
    ids=["later", "never", "in one Region"],
)
def test_a_created_request_is_taken_up_again_where_its_material_expires_at_another_time(
    renewed: KeySetRequest, records: Records
) -> None:
    created(records)
    calls = calls_of(client("stepfunctions"))

    claimed = claim_by(records, OTHER_EXECUTION, renewed)

    assert claimed.decision == Decision.RENEW
    assert claimed.record.ever_created
    assert claimed.record.request == renewed
    assert calls == []


def test_the_execution_that_renews_a_request_claims_it_again(records: Records) -> None:
    created(records)
    claim_by(records, OTHER_EXECUTION, RENEWED)

    assert claim_by(records, OTHER_EXECUTION, RENEWED).decision == Decision.RENEW


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (IMPORTED, IMPORTED),
        (
            IMPORTED,
            imported_request_of(
                keyMaterial={"validTo": SOON, "deadlineInDays": 1},
                replicas=[{"region": "eu-west-1", "keyMaterial": {"validTo": SOON}}],
            ),
        ),
        (REQUEST, REQUEST),
    ],
)
def test_a_created_request_under_the_same_terms_has_nothing_left_to_do(
    before: KeySetRequest, after: KeySetRequest, records: Records
) -> None:
    created(records, before)

    claimed = claim_by(records, OTHER_EXECUTION, after)

    imported = before["origin"] == "EXTERNAL"  # Whether the material is still there, KMS knows.
    assert claimed.decision == (Decision.CHECK if imported else Decision.ALREADY_CREATED)
    assert claimed.record.execution_arn == EXECUTION


def test_a_created_request_whose_material_is_missing_is_renewed_by_one(records: Records) -> None:
    created(records)

    claimed = claim_by(records, OTHER_EXECUTION, IMPORTED, material_missing=True)
    start(OTHER_EXECUTION)
    late = claim_by(records, EXECUTION + "-third", IMPORTED, material_missing=True)

    assert claimed.decision == Decision.RENEW
    assert claimed.record.execution_arn == OTHER_EXECUTION
    assert late.decision == Decision.ANOTHER_RUN_IS_ACTIVE


def test_a_renewal_that_failed_is_sent_again_as_a_renewal(records: Records) -> None:
    created(records)
    claim_by(records, OTHER_EXECUTION, RENEWED)
    records.finish(
        RENEWED, execution_arn=OTHER_EXECUTION, status=Status.FAILED, key=None, errors=[]
    )
    records.mark_published("CHG1", OTHER_EXECUTION)

    assert claim_by(records, EXECUTION, RENEWED).decision == Decision.RENEW


def test_other_terms_are_a_conflict_while_an_execution_works(records: Records) -> None:
    claim_by(records, EXECUTION, IMPORTED)
    start(EXECUTION)

    with pytest.raises(RequestConflict, match=f"{EXECUTION} works on CHG1 with another expiry"):
        claim_by(records, OTHER_EXECUTION, RENEWED)

    record = records.get("CHG1")
    assert record
    assert (record.execution_arn, record.request) == (EXECUTION, IMPORTED)


@pytest.mark.parametrize("status", [None, Status.CREATED, Status.FAILED])
def test_other_terms_pass_on_from_the_dead(status: Status | None, records: Records) -> None:
    claim_by(records, EXECUTION, IMPORTED)
    if status:
        end(records, status, IMPORTED)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "ABORTED"})

    claimed = claim_by(records, OTHER_EXECUTION, RENEWED)

    assert claimed.decision == (Decision.RENEW if status == Status.CREATED else Decision.PROCEED)
    assert claimed.record.request == RENEWED


def test_a_failed_request_is_resumed_under_other_terms(records: Records) -> None:
    claim_by(records, EXECUTION, IMPORTED)
    end(records, Status.FAILED, IMPORTED)
    records.mark_published("CHG1", EXECUTION)

    assert claim_by(records, OTHER_EXECUTION, RENEWED).decision == Decision.PROCEED


def renew_meanwhile(records: Records) -> None:
    """Let another execution renew the request right after the next claim has failed."""
    once: list[None] = []

    def renew(**_: Any) -> None:
        if not once:
            once.append(None)
            records.claim(RENEWED, OTHER_EXECUTION, renewing=True)

    on(client("dynamodb"), "after-call.dynamodb.UpdateItem", renew)


def test_of_two_that_renew_a_request_alike_one_proceeds(records: Records) -> None:
    created(records)
    renew_meanwhile(records)

    claimed = claim_by(records, EXECUTION + "-third", RENEWED)

    assert claimed.decision == Decision.ANOTHER_RUN_IS_ACTIVE
    assert claimed.record.execution_arn == OTHER_EXECUTION


def test_of_two_that_renew_a_request_in_different_ways_one_is_refused(records: Records) -> None:
    created(records)
    renew_meanwhile(records)
    otherwise = imported_request_of(replicas=[{"region": "eu-west-1"}])

    with pytest.raises(RequestConflict, match=f"{OTHER_EXECUTION} works on CHG1"):
        claim_by(records, EXECUTION + "-third", otherwise)


def test_a_refusal_that_shows_no_record_is_no_decision(records: Records) -> None:
    dynamodb = client("dynamodb")
    answer(dynamodb, "UpdateItem", refusal("ConditionalCheckFailedException"))

    with pytest.raises(DependencyUnavailable, match="who holds CHG1"):
        claim_by(records, EXECUTION)


def test_a_record_that_refuses_a_claim_without_a_holder_is_a_fault(records: Records) -> None:
    claim_by(records, EXECUTION)
    dynamodb = client("dynamodb")
    dynamodb.update_item(
        TableName="requests",
        Key={"requestId": {"S": "CHG1"}},
        UpdateExpression="REMOVE executionArn",
    )

    with pytest.raises(RuntimeError, match="CHG1 refuses a claim, but has no holder"):
        claim_by(records, OTHER_EXECUTION)
