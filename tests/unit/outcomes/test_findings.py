import json
from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.errors import EventNotPublished, KmsAccessDenied, KmsThrottled
from provisioner.outcomes.findings import Finding, Kind, report
from provisioner.outcomes.surplus import report_and_retire_surplus_key, retire_surplus_key
from tests.support.answering import answer, calls_of, kms_for, on, refusal
from tests.support.published import published_on
from tests.support.samples import KEY_ID, SETTINGS, key_arn
from tests.support.tagged_keys import make_key, multi_region, show

pytestmark = pytest.mark.usefixtures("aws")

FINDING = Finding(Kind.KEY_NOT_ENABLED, "CHG1", "us-east-1", key_arn(), "It is PendingImport.")


def report_surplus(key: dict[str, Any]) -> None:
    kms = kms_for("us-east-1")
    report_and_retire_surplus_key(
        "CHG1",
        kms.describe_key(KeyId=key["Arn"])["KeyMetadata"],
        client=kms,
        events=client("events"),
        settings=SETTINGS,
    )


def state_of(key: dict[str, Any]) -> str:
    return str(client("kms", "us-east-1").describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"])


def test_a_finding_is_an_event_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    events = published_on(client("events"))

    report(FINDING, events=client("events"), bus="keys")

    assert events == [
        (
            "mrk.provisioner",
            "Multi-Region Key Finding",
            {
                "kind": "KEY_NOT_ENABLED",
                "requestId": "CHG1",
                "region": "us-east-1",
                "keyArn": key_arn(),
                "message": "It is PendingImport.",
                "action": "REPORTED",
            },
        )
    ]
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["Findings"] == [1.0]
    (group,) = line["_aws"]["CloudWatchMetrics"]
    assert [set(dimensions) for dimensions in group["Dimensions"]] == [{"service", "kind"}]
    assert (line["service"], line["kind"]) == ("mrk-provisioner", "KEY_NOT_ENABLED")


def test_findings_of_two_kinds_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    report(FINDING, events=client("events"), bus="keys")
    report(replace(FINDING, kind=Kind.SURPLUS_KEY), events=client("events"), bus="keys")

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["KEY_NOT_ENABLED", "SURPLUS_KEY"]


def test_a_finding_that_the_bus_refuses_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    with pytest.raises(EventNotPublished):
        report(FINDING, events=client("events"), bus="keys")

    assert "Findings" not in capsys.readouterr().out


def test_a_surplus_key_is_reported_and_then_scheduled_for_deletion() -> None:
    key = make_key()
    states: list[str] = []
    on(client("events"), "before-call.eventbridge.PutEvents", lambda **_: states.append("told"))
    on(
        client("kms", "us-east-1"),
        "before-call.kms.ScheduleKeyDeletion",
        lambda **_: states.append("scheduled"),
    )
    events = published_on(client("events"))
    calls = calls_of(client("kms", "us-east-1"))

    report_surplus(key)

    details = [detail for _, _, detail in events]
    assert [one["action"] for one in details] == ["REPORTED", "SCHEDULED_FOR_DELETION"]
    for detail in details:
        assert (detail["kind"], detail["keyArn"]) == ("SURPLUS_KEY", key["Arn"])
        assert (detail["requestId"], detail["region"]) == ("CHG1", "us-east-1")
    assert states == ["told", "scheduled", "told"]
    assert state_of(key) == "PendingDeletion"
    days = SETTINGS.deletion_window_days
    assert ("ScheduleKeyDeletion", {"KeyId": key["Arn"], "PendingWindowInDays": days}) in calls


@pytest.mark.parametrize("used_by", ["alias", "replica"])
def test_a_surplus_key_that_may_be_in_use_is_only_reported(used_by: str) -> None:
    key = make_key()
    if used_by == "alias":
        client("kms", "us-east-1").create_alias(AliasName="alias/x", TargetKeyId=key["KeyId"])
    if used_by == "replica":
        show(key, **multi_region("PRIMARY", key_arn("eu-west-1", KEY_ID)))
    events = published_on(client("events"))

    report_surplus(key)

    ((_, _, detail),) = events
    assert (detail["kind"], detail["action"]) == ("SURPLUS_KEY", "REPORTED")
    assert state_of(key) == "Enabled"


def test_a_deletion_that_kms_refuses_is_not_reported_as_scheduled() -> None:
    key = make_key()
    answer(client("kms", "us-east-1"), "ScheduleKeyDeletion", refusal("AccessDeniedException"))
    events = published_on(client("events"))

    with pytest.raises(KmsAccessDenied):
        report_surplus(key)

    assert [detail["action"] for _, _, detail in events] == ["REPORTED"]


def test_a_deletion_that_kms_does_not_show_is_not_reported_as_scheduled() -> None:
    key = make_key()
    show(key, KeyState="Enabled")
    events = published_on(client("events"))

    report_surplus(key)

    assert [detail["action"] for _, _, detail in events] == ["REPORTED"]


def test_a_surplus_key_that_could_not_be_told_of_is_not_scheduled_for_deletion() -> None:
    key = make_key()
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    with pytest.raises(EventNotPublished):
        report_surplus(key)

    assert state_of(key) == "Enabled"


def test_a_key_of_which_kms_does_not_say_whether_it_is_used_is_left_alone() -> None:
    key = make_key()
    events = published_on(client("events"))
    answer(client("kms", "us-east-1"), "ListAliases", refusal("ThrottlingException"))

    with pytest.raises(KmsThrottled):
        report_surplus(key)

    assert events == []
    assert state_of(key) == "Enabled"


def test_a_reported_key_that_got_an_alias_meanwhile_is_not_scheduled_for_deletion() -> None:
    key: Any = make_key()
    kms = kms_for("us-east-1")
    kms.create_alias(AliasName="alias/x", TargetKeyId=key["KeyId"])
    events = published_on(client("events"))

    retire_surplus_key("CHG1", key, client=kms, events=client("events"), settings=SETTINGS)

    assert (events, state_of(key)) == ([], "Enabled")
