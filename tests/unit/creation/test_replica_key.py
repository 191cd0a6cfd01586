from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.kms import describe_key
from provisioner.creation.replica_key import ensure_replica_key, restore_key
from provisioner.domain.plan import MadeKey
from provisioner.errors import (
    KeyStateConflict,
    KeyTagsNotInEffect,
    KmsAccessDenied,
    KmsError,
    KmsKeyNotFound,
    KmsRequestRefused,
    PrimaryKeyMoved,
)
from tests.support.answering import answer, calls_of, kms_for, refusal
from tests.support.samples import KEY_ID, SETTINGS, key_arn, request_of

REGION = "eu-west-1"
REQUEST = request_of(replicas=[{"region": REGION}])


def metadata(state: str, origin: str = "AWS_KMS") -> dict[str, Any]:
    return {"Arn": key_arn(REGION), "KeyState": state, "Origin": origin}


def ensure() -> MadeKey:
    return ensure_replica_key(
        REQUEST,
        REGION,
        key_arn(),
        primary_client=client("kms", "us-east-1"),
        replica_client=client("kms", REGION),
        settings=SETTINGS,
    )


def test_a_new_replica_is_fresh_and_nothing_is_read() -> None:
    answer(client("kms", "us-east-1"), "ReplicateKey", {"ReplicaKeyMetadata": metadata("Creating")})
    reads = calls_of(client("kms", REGION))

    made = ensure()

    key = {"region": REGION, "arn": key_arn(REGION), "alias": None, "keyState": "Creating"}
    assert made == {"key": key, "fresh": True}
    assert reads == []


@pytest.mark.parametrize("state", ["Enabled", "Creating", "PendingImport", "Unavailable"])
def test_a_replica_that_exists_is_found_in_its_own_region(state: str) -> None:
    answer(client("kms", "us-east-1"), "ReplicateKey", refusal("AlreadyExistsException"))
    replica = client("kms", REGION)
    answer(replica, "DescribeKey", {"KeyMetadata": metadata(state)})
    calls = calls_of(replica)

    made = ensure()

    key = {"region": REGION, "arn": key_arn(REGION), "alias": None, "keyState": state}
    assert made == {"key": key, "fresh": False}
    assert calls == [("DescribeKey", {"KeyId": key_arn(REGION)})]


@pytest.mark.parametrize(
    ("state", "writes"),
    [
        ("PendingDeletion", ["CancelKeyDeletion", "EnableKey"]),
        ("PendingReplicaDeletion", ["CancelKeyDeletion", "EnableKey"]),
        ("Disabled", ["EnableKey"]),
    ],
)
def test_a_replica_on_its_way_out_comes_back(state: str, writes: list[str]) -> None:
    answer(client("kms", "us-east-1"), "ReplicateKey", refusal("AlreadyExistsException"))
    replica = client("kms", REGION)
    answer(replica, "DescribeKey", {"KeyMetadata": metadata(state)})
    answer(replica, "CancelKeyDeletion", {})
    answer(replica, "EnableKey", {})
    calls = calls_of(replica)

    made = ensure()

    assert (made["key"]["keyState"], made["fresh"]) == ("Enabled", False)
    assert calls[1:] == [(name, {"KeyId": key_arn(REGION)}) for name in writes]


@pytest.mark.parametrize(
    ("state", "brought_back", "writes"),
    [
        ("PendingImport", "PendingImport", ["CancelKeyDeletion"]),
        ("Disabled", "Enabled", ["CancelKeyDeletion", "EnableKey"]),
    ],
)
def test_a_key_of_imported_material_comes_back_as_kms_says_it_is(
    state: str, brought_back: str, writes: list[str]
) -> None:
    kms = client("kms", REGION)
    looks = [{"KeyMetadata": metadata(s, "EXTERNAL")} for s in ("PendingDeletion", state)]
    answer(kms, "DescribeKey", *looks)
    answer(kms, "CancelKeyDeletion", {})
    answer(kms, "EnableKey", {})
    calls = calls_of(kms)

    assert restore_key(kms, describe_key(kms, key_arn(REGION)))["KeyState"] == brought_back

    assert [name for name, _ in calls if name != "DescribeKey"] == writes


@pytest.mark.usefixtures("aws")
def test_a_key_that_is_scheduled_for_deletion_is_enabled_again() -> None:
    kms = kms_for(REGION)
    arn = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)

    assert restore_key(kms, describe_key(kms, arn))["KeyState"] == "Enabled"

    found = kms.describe_key(KeyId=arn)["KeyMetadata"]
    assert found["KeyState"] == "Enabled"
    assert "DeletionDate" not in found


def test_a_deletion_that_was_cancelled_although_the_answer_was_lost_is_cancelled() -> None:
    kms = client("kms", REGION)
    looks = [{"KeyMetadata": metadata(s)} for s in ("PendingDeletion", "Disabled")]
    answer(kms, "DescribeKey", *looks)
    answer(kms, "CancelKeyDeletion", refusal("KMSInvalidStateException", "not pending deletion"))
    answer(kms, "EnableKey", {})

    assert restore_key(kms, describe_key(kms, key_arn(REGION)))["KeyState"] == "Enabled"


def test_a_deletion_that_cannot_be_cancelled_says_so() -> None:
    kms = client("kms", REGION)
    answer(kms, "DescribeKey", {"KeyMetadata": metadata("PendingDeletion")})
    answer(kms, "CancelKeyDeletion", refusal("KMSInvalidStateException", "it is updating"))

    with pytest.raises(KeyStateConflict, match="CancelKeyDeletion: it is updating"):
        restore_key(kms, describe_key(kms, key_arn(REGION)))


@pytest.mark.parametrize(
    ("age", "kind"), [(timedelta(minutes=2), KeyTagsNotInEffect), (timedelta(1), KmsAccessDenied)]
)
def test_a_primary_that_may_not_be_replicated_may_be_too_new_for_it(
    age: timedelta, kind: type[KmsError]
) -> None:
    primary = client("kms", "us-east-1")
    answer(primary, "ReplicateKey", refusal("AccessDeniedException", "no policy allows it"))
    made = {"Arn": key_arn(), "CreationDate": datetime.now(UTC) - age}
    answer(primary, "DescribeKey", {"KeyMetadata": made})

    with pytest.raises(kind, match=f"refused ReplicateKey to {REGION}"):
        ensure()


@pytest.mark.parametrize(
    ("role", "kind"), [("REPLICA", PrimaryKeyMoved), ("PRIMARY", KmsRequestRefused)]
)
def test_a_key_that_may_not_be_replicated_may_be_a_replica_now(
    role: str, kind: type[Exception]
) -> None:
    primary = client("kms", "us-east-1")
    answer(primary, "ReplicateKey", refusal("UnsupportedOperationException", "no primary key"))
    made = {"Arn": key_arn(), "KeyId": KEY_ID, "KeyState": "Enabled"}
    roles = {"MultiRegionKeyType": role, "PrimaryKey": {"Region": REGION}, "ReplicaKeys": []}
    answer(primary, "DescribeKey", {"KeyMetadata": {**made, "MultiRegionConfiguration": roles}})

    with pytest.raises(kind):
        ensure()


def test_a_replica_that_is_not_visible_yet_is_not_found() -> None:
    answer(client("kms", "us-east-1"), "ReplicateKey", refusal("AlreadyExistsException"))
    answer(client("kms", REGION), "DescribeKey", refusal("NotFoundException", status=400))

    with pytest.raises(KmsKeyNotFound, match=REGION):
        ensure()


def test_a_key_that_cannot_be_enabled_says_so() -> None:
    kms = client("kms", REGION)
    answer(kms, "DescribeKey", {"KeyMetadata": metadata("Disabled")})
    answer(kms, "EnableKey", refusal("KMSInvalidStateException", "It is pending import."))

    with pytest.raises(KeyStateConflict, match="EnableKey: It is pending import"):
        restore_key(kms, describe_key(kms, key_arn(REGION)))
