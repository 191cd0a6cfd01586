import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.errors import EventNotPublished
from provisioner.telemetry import metrics
from publish_outcome import app
from tests.support.answering import answer
from tests.support.clock import Clock
from tests.support.published import published_on
from tests.support.samples import KEY_ID, key_arn, sample_event

EXECUTION = sample_event("publish-outcome")["executionArn"]
PROBLEM = {"path": "alias", "code": "REQUIRED", "message": "This field is required."}


def created() -> dict[str, Any]:
    event = sample_event("publish-outcome")
    request = {
        **sample_event("claim-request")["request"],
        "requestId": event["request"]["requestId"],
    }
    keys = [
        {"region": region, "arn": key_arn(region), "alias": "alias/x", "keyState": "Enabled"}
        for region in ("us-east-1", "eu-west-1", "us-west-2")
    ]
    return {
        **event,
        "status": "CREATED",
        "request": request,
        "primary": keys[0],
        "replicas": keys[1:],
        "keyMetadata": {"KeyId": KEY_ID, "MultiRegionConfiguration": {"ReplicaKeys": []}},
        "failures": [],
    }


def refused(request: object, status: str = "REJECTED") -> dict[str, Any]:
    return {
        "status": status,
        "request": request,
        "executionArn": EXECUTION,
        "problems": [PROBLEM],
        "provenance": None,
    }


def metrics_in(text: str) -> dict[str, float]:
    """Return name and value of every metric that was emitted."""
    found: dict[str, float] = {}
    for line in map(json.loads, text.splitlines()):
        for group in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert group["Namespace"] == "MultiRegionKeys"
            for metric in group["Metrics"]:
                (found[metric["Name"]],) = line[metric["Name"]]
                seconds = metric["Name"].startswith("Seconds")
                unit = MetricUnit.Seconds if seconds else MetricUnit.Count
                assert metric["Unit"] == unit.value
    return found


@pytest.fixture(autouse=True)
def events(records: Records) -> list[tuple[str, str, dict[str, Any]]]:  # noqa: ARG001
    metrics.clear_metrics()  # what the tests of the API have counted
    return published_on(client("events"))


def test_the_sample_is_published_recorded_and_counted(
    events: list[tuple[str, str, dict[str, Any]]],
    records: Records,
    context: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    detail = app.handler(sample_event("publish-outcome"), context)

    ((_, detail_type, published),) = events
    assert detail_type == "Multi-Region Key Creation Failed"
    assert published == detail
    record = records.get("CHG0031403")
    assert record
    assert (record.status, record.published) == (Status.FAILED, True)
    assert [error["code"] for error in record.errors] == ["ALIAS_IN_USE"]
    found = metrics_in(capsys.readouterr().out)
    assert found.keys() == {"RequestsFailed", "SecondsToCompletion"}
    assert found["RequestsFailed"] == 1


def test_a_created_key_set_is_counted_with_its_replicas(
    context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app.handler(created(), context)

    found = metrics_in(capsys.readouterr().out)
    assert found.keys() == {"KeysCreated", "ReplicasCreated", "SecondsToCompletion"}
    assert (found["KeysCreated"], found["ReplicasCreated"]) == (1, 2)


def test_the_seconds_are_those_since_the_start(
    clock: Clock, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.time = datetime(2026, 11, 23, 9, 30, 12, 500_000, tzinfo=UTC)

    app.handler(created(), context)

    assert metrics_in(capsys.readouterr().out)["SecondsToCompletion"] == 12.5


def test_a_refusal_is_published_and_counted(
    events: list[tuple[str, str, dict[str, Any]]],
    context: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app.handler(refused({"requestId": "CHG1"}), context)

    ((_, detail_type, detail),) = events
    assert (detail_type, detail["errors"]) == ("Multi-Region Key Request Rejected", [PROBLEM])
    assert metrics_in(capsys.readouterr().out) == {"RequestsRejected": 1}


@pytest.mark.parametrize("request_", [None, [], "text", 7, {}])
def test_what_is_no_request_is_refused_as_well(
    request_: object, events: list[tuple[str, str, dict[str, Any]]], context: Any
) -> None:
    app.handler(refused(request_), context)

    ((_, _, detail),) = events
    assert (detail["requestId"], detail["status"]) == (None, "REJECTED")


def test_a_request_that_could_not_be_checked_counts_as_failed(
    context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    app.handler(refused({"requestId": "CHG1"}, "FAILED"), context)

    assert metrics_in(capsys.readouterr().out) == {"RequestsFailed": 1}


@pytest.mark.parametrize(
    "event", [sample_event("publish-outcome"), created(), refused({"requestId": "CHG1"})]
)
def test_an_outcome_is_published_once(
    event: dict[str, Any],
    events: list[tuple[str, str, dict[str, Any]]],
    context: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = app.handler(event, context)
    capsys.readouterr()
    second = app.handler(event, context)

    assert len(events) == 1
    assert second == first
    assert metrics_in(capsys.readouterr().out) == {}


def test_two_outcomes_of_one_execution_are_both_published(
    events: list[tuple[str, str, dict[str, Any]]], context: Any
) -> None:
    app.handler({**created(), "status": "FAILED"}, context)
    app.handler(created(), context)

    assert [detail["status"] for _, _, detail in events] == ["FAILED", "CREATED"]


def test_an_outcome_that_was_not_published_is_published_by_the_next_call(
    events: list[tuple[str, str, dict[str, Any]]], records: Records, context: Any
) -> None:
    refusal = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    taken = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    answer(client("events"), "PutEvents", refusal, taken)

    with pytest.raises(EventNotPublished):
        app.handler(created(), context)
    before = records.get("CHG0031403")
    detail = app.handler(created(), context)
    app.handler(created(), context)

    after = records.get("CHG0031403")
    assert [published for _, _, published in events] == [detail, detail]
    assert before
    assert after
    assert (before.published, after.published) == (False, True)


def test_an_outcome_that_is_not_this_executions_to_tell_is_nothing(
    records: Records, events: list[tuple[str, str, dict[str, Any]]], context: Any
) -> None:
    records.claim(created()["request"], EXECUTION + "-other")

    assert app.handler(created(), context) is None
    assert events == []


def test_the_log_carries_the_request_id_and_neither_policy_nor_ticket(
    context: Any, log: io.StringIO
) -> None:
    app.handler(created(), context)

    text = log.getvalue()
    (line,) = map(json.loads, text.splitlines())
    assert (line["request_id"], line["status"]) == ("CHG0031403", "CREATED")
    for secret in ("servicenow", "CardService", "KeyAdmin"):
        assert secret not in text


def test_the_refusal_of_a_dead_letter_is_published_once_for_each_letter(
    events: list[tuple[str, str, dict[str, Any]]], context: Any
) -> None:
    refusals = [
        refused({"requestId": "CHG1"}) | {"executionArn": None, "letter": letter}
        for letter in ("one", "one", "two")
    ]

    details = [app.handler(refusal, context) for refusal in refusals]

    assert details[0] == details[1]
    assert [event[2] for event in events] == [details[0], details[2]]
    assert len({str(event[2]["outcomeId"]) for event in events}) == 1  # of one content
    assert [event[2]["executionArn"] for event in events] == [None, None]
