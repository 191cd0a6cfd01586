"""What is recorded and published of changes of finished key sets."""

import io
from typing import Any, cast

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Records, Removed, Status
from provisioner.domain.provenance import UNKNOWN
from provisioner.errors import EventNotPublished
from provisioner.outcomes.failures import failure_of
from provisioner.outcomes.outcome import ChangeOutcome, publish_outcome
from tests.support.answering import answer, forget_answers
from tests.support.finished_sets import (
    CHANGE_EXECUTION,
    CHANGED,
    CHANGED_AGAIN,
    CREATED,
    OTHER_CHANGE_EXECUTION,
    change,
    claim,
    create,
    key_of,
    record_of,
)
from tests.support.outlets import outlets
from tests.support.published import published_on
from tests.support.samples import key_arn, request_of

EUROPE: Removed = {"arn": key_arn("eu-west-1"), "notBefore": "2027-01-01T00:00:00Z", "revision": 2}
HOME: Removed = {"arn": key_arn(), "notBefore": None, "revision": 2}
WITHOUT_EUROPE = request_of(description="second", revision=2)
METADATA = {"Arn": key_arn(), "MultiRegionConfiguration": {"ReplicaKeys": []}}


def outcome_of(status: Status = Status.UPDATED, **fields: Any) -> ChangeOutcome:
    request = fields.get("request", CHANGED)
    key = key_of(request)
    outcome = {
        "status": status.value,
        "request": request,
        "executionArn": CHANGE_EXECUTION,
        "startedAt": "2026-11-26T09:30:00.000Z",
        "primary": key["primary"],
        "replicas": key["replicas"],
        "keyMetadata": METADATA,
        "failures": [],
        "removed": {},
        **fields,
    }
    return cast(ChangeOutcome, outcome)


def failed(step: str = "ApplyChange", **fields: Any) -> ChangeOutcome:
    failure = failure_of(step, "us-east-1", "KmsAccessDenied", "It is not allowed.")
    return outcome_of(Status.UPDATE_FAILED, keyMetadata=None, failures=[failure], **fields)


def publish(records: Records, outcome: ChangeOutcome) -> Any:
    return publish_outcome(outcome, outlets(records))


@pytest.mark.parametrize(
    ("outcome", "detail_type"),
    [
        (outcome_of(), "Multi-Region Key Updated"),
        (outcome_of(Status.DECOMMISSIONED), "Multi-Region Key Decommissioned"),
        (failed(), "Multi-Region Key Update Failed"),
    ],
    ids=["updated", "decommissioned", "failed"],
)
def test_an_outcome_of_a_change_has_the_form_of_the_others_and_what_is_removed(
    outcome: ChangeOutcome, detail_type: str, records: Records
) -> None:
    create(records)
    claim(records)
    events = published_on(client("events"))

    detail = publish(records, outcome)

    ((source, published_type, published),) = events
    assert (source, published_type, published) == ("mrk.provisioner", detail_type, detail)
    assert detail
    assert detail == {
        "outcomeId": detail["outcomeId"],
        "requestId": "CHG1",
        "revision": 2,
        "status": outcome["status"],
        "executionArn": CHANGE_EXECUTION,
        "ticket": None,
        "key": {**key_of(CHANGED), "keyMetadata": outcome["keyMetadata"]},
        "errors": detail["errors"],
        "warnings": [],
        **UNKNOWN,
        "removed": [],
    }
    codes = ["KMS_ACCESS_DENIED"] if outcome["failures"] else []
    assert [error["code"] for error in detail["errors"]] == codes
    record = record_of(records)
    assert (record.status, record.published) == (outcome["status"], True)


def test_every_key_that_waits_for_its_deletion_is_told_with_the_earliest_date(
    records: Records,
) -> None:
    create(records)
    change(records, Status.UPDATED, WITHOUT_EUROPE, removed={"eu-west-1": EUROPE})
    gone: Any = {**WITHOUT_EUROPE, "revision": 3, "desiredState": "DECOMMISSIONED"}
    claim(records, gone)

    detail = publish(
        records, outcome_of(Status.DECOMMISSIONED, request=gone, removed={"us-east-1": HOME})
    )

    assert detail
    assert detail["removed"] == [
        {"region": "eu-west-1", "keyState": "PendingDeletion", **EUROPE},
        {"region": "us-east-1", "keyState": "PendingReplicaDeletion", **HOME},
    ]


def test_a_removed_replica_that_kms_still_lists_is_no_warning(records: Records) -> None:
    create(records)
    claim(records, WITHOUT_EUROPE)
    keys = [{"Region": r, "Arn": key_arn(r)} for r in ("eu-west-1", "ap-south-1")]
    metadata = {"Arn": key_arn(), "MultiRegionConfiguration": {"ReplicaKeys": keys}}

    detail = publish(
        records,
        outcome_of(request=WITHOUT_EUROPE, keyMetadata=metadata, removed={"eu-west-1": EUROPE}),
    )

    assert detail
    (warning,) = detail["warnings"]
    assert warning["code"] == "REPLICA_NOT_ASKED_FOR"
    assert key_arn("ap-south-1") in warning["message"]


def test_a_key_that_was_restored_without_its_material_is_told_with_what_to_do(
    records: Records,
) -> None:
    create(records)
    claim(records)
    (replica,) = key_of(CHANGED)["replicas"]

    detail = publish(records, outcome_of(replicas=[{**replica, "keyState": "PendingImport"}]))

    assert detail
    (warning,) = detail["warnings"]
    assert warning["code"] == "KEY_MATERIAL_MISSING"
    assert "The key in eu-west-1" in warning["message"]


def test_an_event_that_was_not_sent_is_sent_again_as_the_same_outcome(records: Records) -> None:
    create(records)
    claim(records)
    events = published_on(client("events"))
    first = publish(records, outcome_of())
    assert first
    lost = client("events")
    answer(
        lost, "PutEvents", {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    )
    again = request_of(description="third", replicas=[{"region": "eu-west-1"}], revision=3)
    claim(records, again)
    with pytest.raises(EventNotPublished):
        publish(records, outcome_of(request=again))
    forget_answers()
    events = published_on(client("events"))
    claim(records, again, OTHER_CHANGE_EXECUTION)

    second = publish(records, outcome_of(request=again, executionArn=OTHER_CHANGE_EXECUTION))

    assert second
    assert [detail["outcomeId"] for _, _, detail in events] == [second["outcomeId"]]
    assert second["outcomeId"] != first["outcomeId"]


def test_a_content_that_comes_back_is_an_outcome_of_its_own(records: Records) -> None:
    create(records)
    ids = set()
    for revision, description in enumerate(("second", "first", "second"), 2):
        request = request_of(
            description=description, replicas=[{"region": "eu-west-1"}], revision=revision
        )
        claim(records, request)
        detail = publish(records, outcome_of(request=request))
        assert detail
        ids.add(detail["outcomeId"])

    assert len(ids) == 3


@pytest.mark.parametrize("step", ["PlanChange", "ClaimChange"])
def test_a_change_that_could_not_be_claimed_fails_and_the_record_stays(
    step: str, records: Records
) -> None:
    create(records)
    change(records, Status.UPDATED, WITHOUT_EUROPE, removed={"eu-west-1": EUROPE})
    before = record_of(records)
    events = published_on(client("events"))

    detail = publish(
        records, failed(step, request=CHANGED_AGAIN, executionArn=OTHER_CHANGE_EXECUTION)
    )

    assert detail
    assert [(kind, published) for _, kind, published in events] == [
        ("Multi-Region Key Update Failed", detail)
    ]
    assert [error["code"] for error in detail["errors"]] == ["KMS_ACCESS_DENIED", "NOT_CLAIMED"]
    assert (detail["status"], detail["revision"]) == ("UPDATE_FAILED", 3)
    assert (detail["key"], [one["region"] for one in detail["removed"]]) == (
        before.key,
        ["eu-west-1"],
    )
    assert record_of(records) == before


def test_a_failure_of_what_another_execution_holds_is_left_to_it(records: Records) -> None:
    create(records)
    claim(records)
    before = record_of(records)

    assert publish(records, failed("ClaimChange", executionArn=OTHER_CHANGE_EXECUTION)) is None
    assert record_of(records) == before


@pytest.mark.parametrize(
    ("outcome", "metric"),
    [
        (outcome_of(), "KeySetsChanged"),
        (outcome_of(Status.DECOMMISSIONED), "KeySetsChanged"),
        (failed(), "RequestsFailed"),
    ],
    ids=["updated", "decommissioned", "failed"],
)
def test_a_change_is_counted(
    outcome: ChangeOutcome, metric: str, records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    create(records)
    claim(records)
    capsys.readouterr()

    publish(records, outcome)

    counted = io.StringIO(capsys.readouterr().out).read()
    assert f'"{metric}":[1.0]' in counted
    assert '"KeysCreated"' not in counted


def test_what_was_created_is_published_as_before(records: Records) -> None:
    records.claim(CREATED, CHANGE_EXECUTION)
    outcome: Any = outcome_of(Status.CREATED, request=CREATED)
    del outcome["removed"]

    detail = publish(records, outcome)

    assert detail
    assert "removed" not in detail
