import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from provisioner.aws.clients import client, send_once_kms
from provisioner.aws.records import Record, Records
from provisioner.creation.primary_key import ensure_primary_key
from provisioner.domain.plan import KeySetRequest, MadePrimaryKey
from provisioner.errors import (
    AliasInUse,
    KeyOfEarlierDeployment,
    KeyTagMissing,
    KmsAccessDenied,
    KmsError,
    KmsThrottled,
    KmsUnavailable,
    PrimaryKeyMoved,
    PrimaryKeyUnconfirmed,
    RegionNotEnabled,
    ReplicaRegionNotEnabled,
)
from tests.support.answering import (
    answer,
    answer_on_the_wire,
    calls_of,
    forget_answers,
    kms_for,
    lose_on_the_wire,
    on,
    refusal,
)
from tests.support.samples import EXECUTION, SETTINGS, key_arn, request_of
from tests.support.tagged_keys import make_key, multi_region, show

REGION = "eu-west-1"
REQUEST = request_of(primaryRegion=REGION)
LOST = ReadTimeoutError(endpoint_url="https://kms.invalid")
UNREACHED = EndpointConnectionError(endpoint_url="https://kms.invalid")


@pytest.fixture
def claimed(records: Records) -> Records:
    records.claim(REQUEST, EXECUTION)
    return records


def ensure(records: Records, request: KeySetRequest = REQUEST) -> MadePrimaryKey:
    return ensure_primary_key(
        request,
        EXECUTION,
        records=records,
        client=kms_for(REGION),
        send_once=send_once_kms,
        tagging=client("resourcegroupstaggingapi", REGION),
        settings=SETTINGS,
    )


def record_of(records: Records) -> Record:
    record = records.get("CHG1")
    assert record
    return record


def refused(code: str) -> Callable[[Any], list[str]]:
    return lambda kms: answer_on_the_wire(kms, 400, {"__type": code, "message": "No."})


def test_a_key_is_created_once_and_recorded(claimed: Records) -> None:
    made = ensure(claimed)

    key, metadata = made["key"], made["keyMetadata"]
    assert metadata
    assert key["arn"] == f"arn:aws:kms:{REGION}:111122223333:key/{metadata['KeyId']}"
    assert key == {"region": REGION, "arn": metadata["Arn"], "alias": None, "keyState": "Enabled"}
    assert made["fresh"]
    record = record_of(claimed)
    assert (record.key_arn, record.attempt, record.open_attempt) == (key["arn"], 1, None)
    tags = client("kms", REGION).list_resource_tags(KeyId=key["arn"])["Tags"]
    assert {"TagKey": "mrk:attempt", "TagValue": "1"} in tags
    assert {"TagKey": "mrk:request-id", "TagValue": "CHG1"} in tags


def test_the_attempt_is_written_down_before_it_is_sent(claimed: Records) -> None:
    seen: list[Record] = []
    send_once = send_once_kms(REGION)
    on(send_once, "before-call.kms.CreateKey", lambda **_: seen.append(record_of(claimed)))

    ensure(claimed)

    ((attempt, token),) = [(record.attempt, record.open_attempt) for record in seen]
    assert attempt == 1
    assert token


def test_a_recorded_key_is_found_and_none_is_created(claimed: Records) -> None:
    first = ensure(claimed)
    calls = calls_of(send_once_kms(REGION))

    second = ensure(claimed)

    assert second == {"key": first["key"], "fresh": False, "keyMetadata": None}
    assert calls == []


def test_a_recorded_key_on_its_way_out_comes_back(claimed: Records) -> None:
    arn = ensure(claimed)["key"]["arn"]
    kms_for(REGION).schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)

    made = ensure(claimed)

    assert (made["key"]["keyState"], made["fresh"]) == ("Enabled", False)
    assert kms_for(REGION).describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize("state", ["Enabled", "Disabled", "PendingImport"])
def test_a_request_whose_key_an_earlier_deployment_made_makes_no_second_one(
    state: str, claimed: Records
) -> None:
    earlier = make_key(REGION)
    show(earlier, KeyState=state, **multi_region())

    with pytest.raises(KeyOfEarlierDeployment) as refusal:
        ensure(claimed)

    assert [key["KeyArn"] for key in kms_for(REGION).list_keys()["Keys"]] == [earlier["Arn"]]
    assert record_of(claimed).attempt == 0
    for part in (earlier["Arn"], "CHG1", "table requests", "ExistingRequestsTable"):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"KeyState": "PendingDeletion", **multi_region()},
        {"KeyState": "PendingReplicaDeletion", **multi_region()},
        multi_region("REPLICA"),
    ],
)
def test_a_key_that_is_leaving_or_no_primary_keeps_no_request_from_its_own(
    fields: dict[str, Any], claimed: Records
) -> None:
    show(make_key(REGION), **fields)

    assert ensure(claimed)["fresh"]


def test_a_key_of_another_request_or_stack_keeps_no_request_from_its_own(claimed: Records) -> None:
    show(make_key(REGION, "CHG2"), **multi_region())
    tags = [
        {"TagKey": "mrk:stack", "TagValue": "another"},
        {"TagKey": "mrk:request-id", "TagValue": "CHG1"},
    ]
    show(make_key(REGION, Tags=tags), **multi_region())

    assert ensure(claimed)["fresh"]


def test_a_key_that_only_the_index_knows_keeps_no_request_from_its_own(claimed: Records) -> None:
    found = {"ResourceTagMappingList": [{"ResourceARN": key_arn(REGION), "Tags": []}]}
    answer(client("resourcegroupstaggingapi", REGION), "GetResources", found)

    assert ensure(claimed)["fresh"]


def test_earlier_keys_are_looked_for_before_the_first_attempt_only(claimed: Records) -> None:
    tagging = calls_of(client("resourcegroupstaggingapi", REGION))
    answer_on_the_wire(send_once_kms(REGION), 400, {"__type": "ThrottlingException"})
    with pytest.raises(KmsThrottled):
        ensure(claimed)
    looks = len(tagging)
    forget_answers()
    again = calls_of(client("resourcegroupstaggingapi", REGION))

    ensure(claimed)

    assert (looks, again) == (1, [])


def test_an_alias_in_use_leaves_no_key_behind(claimed: Records) -> None:
    kms = client("kms", REGION)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/cards", TargetKeyId=other)

    with pytest.raises(AliasInUse, match=f"alias/cards in {REGION} points to {other}"):
        ensure(claimed)

    assert [key["KeyArn"] for key in kms.list_keys()["Keys"]] == [other]
    assert record_of(claimed).attempt == 0


def test_an_alias_that_may_not_be_looked_up_is_left_to_create_alias(claimed: Records) -> None:
    answer(kms_for(REGION), "DescribeKey", refusal("AccessDeniedException", "not authorized"))

    assert ensure(claimed)["fresh"]


def test_in_a_region_that_is_not_enabled_nothing_is_announced(claimed: Records) -> None:
    answer(kms_for(REGION), "DescribeKey", refusal("UnrecognizedClientException", "invalid token"))
    sent = calls_of(send_once_kms(REGION))

    with pytest.raises(RegionNotEnabled, match=f"KMS in {REGION}"):
        ensure(claimed)

    assert (record_of(claimed).attempt, sent) == (0, [])


REPLICAS = ("us-west-2", "ap-south-1")
WITH_REPLICAS = request_of(
    primaryRegion=REGION,
    replicas=[{"region": "us-west-2", "alias": "alias/own"}, {"region": "ap-south-1"}],
)


def test_every_alias_that_is_taken_is_named_before_there_is_a_key(claimed: Records) -> None:
    wanted = [(REGION, "alias/cards"), ("us-west-2", "alias/own"), ("ap-south-1", "alias/cards")]
    owners = {}
    for region, alias in wanted[1:]:
        kms = client("kms", region)
        owners[region] = kms.create_key()["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName=alias, TargetKeyId=owners[region])

    with pytest.raises(AliasInUse) as refusal:
        ensure(claimed, WITH_REPLICAS)

    for region, alias in wanted[1:]:
        assert f"{alias} in {region} points to {owners[region]}." in str(refusal.value)
    assert f"in {REGION}" not in str(refusal.value)
    assert client("kms", REGION).list_keys()["Keys"] == []
    assert record_of(claimed).attempt == 0


def test_the_aliases_of_every_region_are_looked_up_side_by_side(claimed: Records) -> None:
    everyone = threading.Barrier(1 + len(REPLICAS), timeout=30)

    def wait_for_the_others(**_: Any) -> None:
        everyone.wait()

    clients = [kms_for(REGION), *map(send_once_kms, REPLICAS)]
    for one in clients:
        on(one, "before-call.kms.DescribeKey", wait_for_the_others)

    assert ensure(claimed, WITH_REPLICAS)["fresh"]


def test_a_replica_without_an_alias_is_not_looked_up(claimed: Records) -> None:
    calls = calls_of(send_once_kms("us-west-2"))

    ensure(
        claimed,
        request_of(primaryRegion=REGION, replicas=[{"region": "us-west-2", "alias": None}]),
    )

    assert calls == []


@pytest.mark.parametrize(
    "break_it",
    [
        refused("ThrottlingException"),
        refused("AccessDeniedException"),
        refused("SomethingElse"),
        lambda kms: answer_on_the_wire(kms, 500, {"__type": "KMSInternalException"}),
        lambda kms: lose_on_the_wire(kms, LOST),
        lambda kms: lose_on_the_wire(kms, UNREACHED),
    ],
    ids=["throttled", "denied", "refused", "broken", "silent", "unreached"],
)
def test_a_region_of_a_replica_that_does_not_answer_is_asked_once_and_left_to_later_steps(
    break_it: Callable[[Any], list[str]], claimed: Records
) -> None:
    sent = break_it(send_once_kms("us-west-2"))

    assert ensure(claimed, WITH_REPLICAS)["fresh"]
    assert sent == ["DescribeKey"]


def test_every_region_of_a_replica_that_is_not_enabled_is_named_before_there_is_a_key(
    claimed: Records,
) -> None:
    for region in REPLICAS:
        refused("UnrecognizedClientException")(send_once_kms(region))
    sent = calls_of(send_once_kms(REGION))

    with pytest.raises(ReplicaRegionNotEnabled) as refusal:
        ensure(claimed, WITH_REPLICAS)

    assert all(f"KMS in {region} refused" in str(refusal.value) for region in REPLICAS)
    assert (record_of(claimed).attempt, sent) == (0, [])


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("Enabled", []),
        ("Disabled", ["enable-key"]),
        ("PendingDeletion", ["cancel-key-deletion", "enable-key"]),
    ],
)
def test_a_key_that_has_become_a_replica_is_left_alone(
    state: str, commands: list[str], claimed: Records
) -> None:
    arn = ensure(claimed)["key"]["arn"]
    moved = multi_region("REPLICA")
    moved["MultiRegionConfiguration"]["PrimaryKey"] = {"Region": "us-west-2", "Arn": "its ARN"}
    kms = kms_for(REGION)
    metadata = {**kms.describe_key(KeyId=arn)["KeyMetadata"], **moved, "KeyState": state}
    answer(kms, "DescribeKey", {"KeyMetadata": metadata})
    calls = calls_of(kms)

    with pytest.raises(PrimaryKeyMoved) as refusal:
        ensure(claimed)

    assert {operation for operation, _ in calls} == {"DescribeKey"}
    key = f"--key-id {arn.rsplit('/', 1)[1]} --region"
    needed = [f"aws kms {c} {key} {r}" for c in commands for r in ("us-west-2", REGION)]
    needed.append(f"aws kms update-primary-region {key} us-west-2 --primary-region {REGION}")
    assert arn in str(refusal.value)
    assert f"To move it back: {'; '.join(needed)}. {PrimaryKeyMoved.next_step}" in str(
        refusal.value
    )


@pytest.mark.parametrize(
    ("tag", "kind"),
    [(None, KeyTagMissing), ("another", KeyTagMissing), (SETTINGS.stack_name, KmsAccessDenied)],
)
def test_a_recorded_key_that_may_not_be_enabled_is_asked_for_its_tags(
    tag: str | None, kind: type[KmsError], claimed: Records
) -> None:
    arn = ensure(claimed)["key"]["arn"]
    kms = kms_for(REGION)
    made: dict[str, Any] = {"Arn": arn, "KeyState": "Disabled", "Origin": "AWS_KMS"}
    made["CreationDate"] = datetime.now(UTC) - timedelta(days=1)
    answer(kms, "DescribeKey", {"KeyMetadata": made})
    answer(kms, "EnableKey", refusal("AccessDeniedException", "no policy allows it"))
    tags = [{"Key": "mrk:stack", "Value": tag}] if tag else []
    found = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags}]}
    answer(client("resourcegroupstaggingapi", REGION), "GetResources", found)

    with pytest.raises(kind, match="refused EnableKey"):
        ensure(claimed)


@pytest.mark.parametrize(
    ("break_it", "kind"),
    [
        (refused("AccessDeniedException"), KmsAccessDenied),
        (refused("ThrottlingException"), KmsThrottled),
        (lambda kms: lose_on_the_wire(kms, UNREACHED), KmsUnavailable),
    ],
)
def test_after_an_attempt_that_made_no_key_the_next_one_may_follow(
    break_it: Callable[[Any], list[str]], kind: type[KmsError], claimed: Records
) -> None:
    sent = break_it(send_once_kms(REGION))

    with pytest.raises(kind):
        ensure(claimed)
    record = record_of(claimed)
    forget_answers()
    key = ensure(claimed)

    assert sent == ["CreateKey"]
    assert (record.attempt, record.open_attempt, record.key_arn) == (1, None, None)
    assert record_of(claimed).attempt == 2
    assert key["fresh"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda kms: lose_on_the_wire(kms, LOST),
        lambda kms: answer_on_the_wire(kms, 500, {"__type": "KMSInternalException"}),
    ],
)
def test_an_attempt_without_an_answer_is_sent_once_and_stays_open(
    break_it: Callable[[Any], list[str]], claimed: Records
) -> None:
    sent = break_it(send_once_kms(REGION))

    with pytest.raises(PrimaryKeyUnconfirmed, match=REGION):
        ensure(claimed)

    assert sent == ["CreateKey"]
    record = record_of(claimed)
    assert (record.attempt, record.key_arn) == (1, None)
    assert record.open_attempt


def test_an_attempt_without_an_answer_is_not_followed_by_another(claimed: Records) -> None:
    claimed.announce_attempt("CHG1", EXECUTION, 1, "token")
    calls = calls_of(send_once_kms(REGION))

    with pytest.raises(PrimaryKeyUnconfirmed, match="attempt 1 of request CHG1 has no recorded"):
        ensure(claimed)

    assert calls == []


def test_an_attempt_that_another_execution_announced_is_not_doubled(claimed: Records) -> None:
    kms = kms_for(REGION)

    def meanwhile(**_: Any) -> None:
        claimed.announce_attempt("CHG1", EXECUTION, 1, "anothers")

    on(kms, "before-call.kms.DescribeKey", meanwhile)
    calls = calls_of(send_once_kms(REGION))

    with pytest.raises(PrimaryKeyUnconfirmed):
        ensure(claimed)

    assert calls == []


def test_a_request_that_was_not_claimed_gets_no_key(records: Records) -> None:
    with pytest.raises(RuntimeError, match="CHG1 was not claimed"):
        ensure(records)

    assert client("kms", REGION).list_keys()["Keys"] == []
