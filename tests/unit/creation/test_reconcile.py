from datetime import datetime, timedelta
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Record, Records
from provisioner.creation.reconcile import CREATED_WITHIN, reconcile_primary_key
from provisioner.errors import (
    DependencyUnavailable,
    KeyTagsNotInEffect,
    KmsThrottled,
    PrimaryKeyUnconfirmed,
)
from tests.support.answering import answer, calls_of, kms_for, on, refusal
from tests.support.clock import Clock
from tests.support.published import published_on
from tests.support.samples import EXECUTION, SETTINGS, key_arn, request_of
from tests.support.tagged_keys import make_key, multi_region, show
from tests.support.template import load_template

HOME = "us-east-1"
REQUEST = request_of()
QUIET = SETTINGS.quiet_period_seconds

Events = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def attempted(records: Records, clock: Clock) -> Records:  # noqa: ARG001
    """Return a table in which attempt 1 has no answer."""
    records.claim(REQUEST, EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    return records


@pytest.fixture
def events(aws: None) -> Events:  # noqa: ARG001
    return published_on(client("events"))


def reconcile(records: Records) -> bool:
    return reconcile_primary_key(
        REQUEST,
        records=records,
        client=kms_for(HOME),
        tagging=client("resourcegroupstaggingapi", HOME),
        events=client("events"),
        settings=SETTINGS,
    )


def record_of(records: Records) -> Record:
    record = records.get("CHG1")
    assert record
    return record


def announced(records: Records) -> datetime:
    sent_at = record_of(records).attempt_sent_at
    assert sent_at
    return sent_at


def make_key_of_attempt(records: Records, *, after: float = 1, **options: Any) -> dict[str, Any]:
    """Make a key as attempt 1 does, so many seconds after its announcement."""
    key = make_key(**{"attempt": 1, **options})
    show(key, CreationDate=announced(records) + timedelta(seconds=after))
    return key


def state_of(key: dict[str, Any]) -> str:
    return str(client("kms", HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"])


def test_without_an_attempt_nothing_is_looked_for(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    calls = calls_of(client("resourcegroupstaggingapi", HOME))

    assert reconcile(records)

    assert calls == []


def test_a_request_that_was_not_claimed_is_not_reconciled(records: Records) -> None:
    with pytest.raises(RuntimeError, match="CHG1 was not claimed"):
        reconcile(records)


def test_the_key_of_the_attempt_is_adopted(attempted: Records, events: Events) -> None:
    key = make_key_of_attempt(attempted)

    assert reconcile(attempted)

    record = record_of(attempted)
    assert (record.key_arn, record.attempt, record.open_attempt) == (key["Arn"], 1, None)
    assert (events, state_of(key)) == ([], "Enabled")


def test_until_the_quiet_period_is_over_a_key_may_still_become_visible(
    attempted: Records, clock: Clock
) -> None:
    clock.move(seconds=QUIET - 1)

    assert not reconcile(attempted)

    record = record_of(attempted)
    assert (record.attempt, record.open_attempt, record.key_arn) == (1, "token", None)


def test_after_the_quiet_period_the_attempt_made_no_key(attempted: Records, clock: Clock) -> None:
    clock.move(seconds=QUIET)

    assert reconcile(attempted)

    record = record_of(attempted)
    assert (record.attempt, record.open_attempt, record.key_arn) == (1, None, None)
    assert attempted.announce_attempt("CHG1", EXECUTION, 2, "next")


def test_a_key_that_becomes_visible_late_is_adopted(attempted: Records, clock: Clock) -> None:
    early = reconcile(attempted)
    clock.move(seconds=2 * QUIET)
    key = make_key_of_attempt(attempted)

    assert not early
    assert reconcile(attempted)
    assert record_of(attempted).key_arn == key["Arn"]


def test_of_several_keys_the_oldest_is_adopted_and_the_others_go(
    attempted: Records, events: Events
) -> None:
    second, first, third = (make_key_of_attempt(attempted, after=n) for n in (2, 1, 3))

    assert reconcile(attempted)

    assert record_of(attempted).key_arn == first["Arn"]
    told = [(detail["keyArn"], detail["action"]) for _, _, detail in events]
    done = ("REPORTED", "SCHEDULED_FOR_DELETION")
    assert told == [(key["Arn"], action) for key in (second, third) for action in done]
    assert [state_of(key) for key in (first, second, third)] == [
        "Enabled",
        "PendingDeletion",
        "PendingDeletion",
    ]


def test_keys_of_one_moment_are_told_apart_by_their_ids(attempted: Records) -> None:
    keys = [make_key_of_attempt(attempted) for _ in range(3)]

    reconcile(attempted)

    assert record_of(attempted).key_arn == min(key["Arn"] for key in keys)


def test_the_recorded_key_stays_although_another_is_older(
    attempted: Records, events: Events
) -> None:
    older, recorded = (make_key_of_attempt(attempted, after=n) for n in (1, 2))
    attempted.close_attempt("CHG1", 1, recorded["Arn"])

    assert reconcile(attempted)

    assert record_of(attempted).key_arn == recorded["Arn"]
    assert [detail["keyArn"] for _, _, detail in events] == [older["Arn"]] * 2
    assert (state_of(older), state_of(recorded)) == ("PendingDeletion", "Enabled")


def test_the_recorded_key_stays_although_it_is_not_visible_yet(
    attempted: Records, events: Events
) -> None:
    attempted.close_attempt("CHG1", 1, key_arn())

    assert reconcile(attempted)

    assert record_of(attempted).key_arn == key_arn()
    assert events == []


@pytest.mark.parametrize("used_by", ["alias", "replica"])
def test_another_key_that_may_be_in_use_is_only_reported(
    used_by: str, attempted: Records, events: Events
) -> None:
    _oldest, other = (make_key_of_attempt(attempted, after=n) for n in (1, 2))
    if used_by == "alias":
        client("kms", HOME).create_alias(AliasName="alias/x", TargetKeyId=other["KeyId"])
    else:
        show(other, **multi_region("PRIMARY", key_arn("eu-west-1")))

    assert reconcile(attempted)

    told = [(detail["keyArn"], detail["action"]) for _, _, detail in events]
    assert told == [(other["Arn"], "REPORTED")]
    assert state_of(other) == "Enabled"


@pytest.mark.parametrize(
    "fields",
    [
        {"KeySpec": "RSA_2048"},
        {"KeyUsage": "GENERATE_VERIFY_MAC"},
        {"Origin": "EXTERNAL"},
        {"KeyState": "PendingDeletion"},
        {"KeyState": "PendingReplicaDeletion"},
        {"MultiRegionConfiguration": {}},
        multi_region("REPLICA"),
    ],
)
def test_a_key_that_is_not_what_was_asked_for_is_ignored(
    fields: dict[str, Any], attempted: Records, clock: Clock, events: Events
) -> None:
    key = make_key_of_attempt(attempted)
    show(key, **fields)

    early = reconcile(attempted)
    clock.move(seconds=QUIET)

    assert (early, reconcile(attempted)) == (False, True)
    assert record_of(attempted).key_arn is None
    assert events == []


@pytest.mark.parametrize("options", [{"request_id": "CHG2"}, {"Tags": []}, {"region": "eu-west-1"}])
def test_a_key_of_another_request_or_region_is_not_adopted(
    options: dict[str, Any], attempted: Records
) -> None:
    make_key_of_attempt(attempted, **options)

    assert not reconcile(attempted)


# Whoever has kms:TagResource can write the tags of a request on any key.
@pytest.mark.parametrize(
    "forged",
    [
        {"attempt": None},
        {"attempt": 2},
        {"after": -1.1},
        {"after": -86_400},
        {"after": CREATED_WITHIN.total_seconds() + 1},
    ],
    ids=str,
)
def test_a_key_that_the_attempt_cannot_have_made_is_neither_adopted_nor_retired(
    forged: dict[str, Any], attempted: Records, events: Events
) -> None:
    foreign = make_key_of_attempt(attempted, **forged)
    early = reconcile(attempted)
    own = make_key_of_attempt(attempted)

    assert (early, reconcile(attempted)) == (False, True)
    assert record_of(attempted).key_arn == own["Arn"]
    assert (events, state_of(foreign)) == ([], "Enabled")


@pytest.mark.parametrize("after", [-1, 0, CREATED_WITHIN.total_seconds()])
def test_a_key_is_adopted_whenever_the_attempt_can_have_made_it(
    after: float, attempted: Records
) -> None:
    key = make_key_of_attempt(attempted, after=after)

    assert reconcile(attempted)
    assert record_of(attempted).key_arn == key["Arn"]


def test_an_attempt_has_the_time_that_its_function_and_a_signature_have() -> None:
    function = load_template()["Resources"]["CreatePrimaryKeyFunction"]["Properties"]
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    signature = timedelta(minutes=5)

    assert timedelta(seconds=function["Timeout"]) + signature <= CREATED_WITHIN


def test_a_surplus_key_whose_tags_do_not_count_yet_is_waited_for(attempted: Records) -> None:
    for after in (1, 2):
        make_key_of_attempt(attempted, after=after)
    denied = refusal("AccessDeniedException", "no identity-based policy allows the action")
    answer(client("kms", HOME), "ScheduleKeyDeletion", denied)

    with pytest.raises(KeyTagsNotInEffect, match="refused ScheduleKeyDeletion"):
        reconcile(attempted)


def test_a_key_that_only_the_index_knows_is_skipped(attempted: Records) -> None:
    key = make_key_of_attempt(attempted)
    tags = [
        {"Key": name, "Value": value}
        for name, value in (
            ("mrk:request-id", "CHG1"),
            ("mrk:stack", "mrk-provisioner"),
            ("mrk:attempt", "1"),
        )
    ]
    found = [{"ResourceARN": arn, "Tags": tags} for arn in (key_arn(), key["Arn"])]
    tagging = client("resourcegroupstaggingapi", HOME)
    answer(tagging, "GetResources", {"ResourceTagMappingList": found})

    assert reconcile(attempted)

    assert record_of(attempted).key_arn == key["Arn"]


def test_a_record_that_changes_meanwhile_is_looked_at_again(attempted: Records) -> None:
    make_key_of_attempt(attempted)

    def meanwhile(**_: Any) -> None:
        attempted.close_attempt("CHG1", 1, key_arn())

    on(client("kms", HOME), "before-call.kms.DescribeKey", meanwhile)

    with pytest.raises(PrimaryKeyUnconfirmed, match="another attempt or another key"):
        reconcile(attempted)

    assert record_of(attempted).key_arn == key_arn()


def test_without_an_answer_nothing_is_settled(attempted: Records, clock: Clock) -> None:
    clock.move(seconds=QUIET)
    tagging = client("resourcegroupstaggingapi", HOME)
    answer(tagging, "GetResources", refusal("InternalServiceException", status=500))

    with pytest.raises(DependencyUnavailable):
        reconcile(attempted)

    assert record_of(attempted).open_attempt == "token"


def test_a_key_that_could_not_be_described_settles_nothing(
    attempted: Records, clock: Clock
) -> None:
    make_key_of_attempt(attempted)
    clock.move(seconds=QUIET)
    answer(client("kms", HOME), "DescribeKey", refusal("ThrottlingException"))

    with pytest.raises(KmsThrottled):
        reconcile(attempted)

    assert record_of(attempted).open_attempt == "token"


def test_what_could_not_be_reported_is_reported_by_the_next_look(
    attempted: Records, events: Events
) -> None:
    _oldest, other = (make_key_of_attempt(attempted, after=n) for n in (1, 2))
    taken = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    answer(client("events"), "PutEvents", refusal("AccessDeniedException"), taken)

    with pytest.raises(DependencyUnavailable):
        reconcile(attempted)
    reported_first = state_of(other)

    assert reconcile(attempted)
    assert reported_first == "Enabled"
    assert state_of(other) == "PendingDeletion"
    assert [detail["keyArn"] for _, _, detail in events] == [other["Arn"]] * 3
