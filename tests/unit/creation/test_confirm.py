import json
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.creation.confirm import confirm_key_set, read_ready_replica
from provisioner.errors import (
    KeySetIncomplete,
    KmsKeyNotFound,
    PrimaryKeyMoved,
    ReplicaKeyNotEnabled,
)
from tests.support.answering import answer, refusal
from tests.support.samples import KEY_ID, key_arn

MADE_AT = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)


def kms_showing(replicas: list[str], state: str = "Enabled") -> Any:
    kms = client("kms", "us-east-1")
    configuration = {
        "MultiRegionKeyType": "PRIMARY",
        "ReplicaKeys": [{"Region": region, "Arn": key_arn(region)} for region in replicas],
    }
    metadata = {
        "KeyState": state,
        "CreationDate": MADE_AT,
        "MultiRegionConfiguration": configuration,
    }
    answer(kms, "DescribeKey", {"KeyMetadata": metadata})
    return kms


@pytest.mark.parametrize("listed", [["eu-west-1"], ["ap-south-1", "eu-west-1"]])
def test_a_key_set_that_is_complete_is_given_as_plain_json(listed: list[str]) -> None:
    metadata = confirm_key_set(kms_showing(listed), key_arn(), ["eu-west-1"])

    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["CreationDate"] == "2026-11-24T20:00:00+00:00"
    regions = [key["Region"] for key in metadata["MultiRegionConfiguration"]["ReplicaKeys"]]
    assert regions == listed


@pytest.mark.usefixtures("aws")
def test_a_primary_alone_is_complete() -> None:
    kms = client("kms", "us-east-1")
    arn = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]

    assert confirm_key_set(kms, arn, [])["Arn"] == arn


def test_every_replica_that_is_not_listed_is_named() -> None:
    kms = kms_showing(["eu-west-1"])

    with pytest.raises(KeySetIncomplete, match="replicas in ap-south-1, us-west-2"):
        confirm_key_set(kms, key_arn(), ["us-west-2", "eu-west-1", "ap-south-1"])


@pytest.mark.parametrize("state", ["Disabled", "PendingReplicaDeletion", "Updating"])
def test_a_primary_that_is_not_enabled_is_not_complete(state: str) -> None:
    with pytest.raises(KeySetIncomplete, match=f"is {state}"):
        confirm_key_set(kms_showing([], state), key_arn(), [])


def test_a_primary_that_has_become_a_replica_is_not_confirmed() -> None:
    kms = client("kms", "us-east-1")
    roles = {
        "MultiRegionKeyType": "REPLICA",
        "PrimaryKey": {"Region": "eu-west-1", "Arn": key_arn("eu-west-1")},
        "ReplicaKeys": [{"Region": "us-east-1", "Arn": key_arn()}],
    }
    metadata = {"Arn": key_arn(), "KeyId": KEY_ID, "KeyState": "Enabled"}
    answer(kms, "DescribeKey", {"KeyMetadata": {**metadata, "MultiRegionConfiguration": roles}})

    with pytest.raises(PrimaryKeyMoved, match="its key set is in eu-west-1"):
        confirm_key_set(kms, key_arn(), ["eu-west-1"])


@pytest.mark.parametrize("state", ["Enabled", "PendingImport"])
def test_a_replica_that_is_made_is_read(state: str) -> None:
    assert read_ready_replica(kms_showing([], state), key_arn("eu-west-1"))["KeyState"] == state


@pytest.mark.parametrize("state", ["Creating", "Disabled", "PendingDeletion", "Updating"])
def test_a_replica_that_cannot_be_used_yet_is_read_again_later(state: str) -> None:
    with pytest.raises(ReplicaKeyNotEnabled, match=f"in eu-west-1 is still {state}, and"):
        read_ready_replica(kms_showing([], state), key_arn("eu-west-1"))


def test_a_replica_that_is_not_there_is_not_ready() -> None:
    kms = client("kms", "us-east-1")
    answer(kms, "DescribeKey", refusal("NotFoundException"))

    with pytest.raises(KmsKeyNotFound):
        read_ready_replica(kms, key_arn("eu-west-1"))
