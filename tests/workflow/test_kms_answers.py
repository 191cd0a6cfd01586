"""What the emulator's KMS answers where the rows of test_kms_conformance.py do not say.

Tags, key IDs and KeyMetadata are as KMS was recorded by LocalStack's tests:
https://github.com/localstack/localstack/blob/main/tests/aws/services/kms/test_kms.snapshot.json
"""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.settings import ACCOUNT_ID
from local.stack.endpoint import Credentials, Endpoint
from tests.support.stack.kms_arrangement import SERVICE_LINKED_ROLE, Arrangement
from tests.support.stack.kms_calls import HOME, OTHER, key_arn, refusal

TAG = {"TagKey": "team", "TagValue": "payments"}


@pytest.fixture(autouse=True)
def kms_settings(emulator: Endpoint) -> Iterator[None]:
    """Begin with nothing delayed, and leave the settings as they were."""
    with emulator.changed_kms_settings(creating_seconds=0):
        yield


@pytest.fixture
def arrangement(emulator: Endpoint) -> Arrangement:
    return Arrangement(emulator)


class TestTags:
    """https://docs.aws.amazon.com/kms/latest/developerguide/tagging-keys.html."""

    def refusals(self, kms: Any, primary: str, tags: list[dict[str, str]]) -> set[tuple[str, str]]:
        """Return tags to each call that takes some."""
        return {
            refusal(kms.create_key, Tags=tags),
            refusal(kms.tag_resource, KeyId=primary, Tags=tags),
            refusal(kms.replicate_key, KeyId=primary, ReplicaRegion=OTHER, Tags=tags),
        }

    def test_no_key_is_there_twice(self, kms: Any, primary: str) -> None:
        twice = ("TagException", "Duplicate tag keys")
        assert self.refusals(kms, primary, [TAG, {**TAG, "TagValue": "other"}]) == {twice}

    @pytest.mark.parametrize("key", ["aws:team", "AWS:team"])
    def test_no_key_begins_with_aws(self, kms: Any, primary: str, key: str) -> None:
        reserved = ("TagException", "Tags beginning with aws: are reserved")
        assert self.refusals(kms, primary, [{**TAG, "TagKey": key}]) == {reserved}

    def test_there_are_at_most_50(self, kms: Any, primary: str) -> None:
        many = [{"TagKey": f"tag-{n}", "TagValue": ""} for n in range(51)]
        too_many = ("TagException", "Too many tags")

        assert self.refusals(kms, primary, many) == {too_many}
        kms.tag_resource(KeyId=primary, Tags=many[:50])
        assert refusal(kms.tag_resource, KeyId=primary, Tags=many[50:]) == too_many
        assert kms.tag_resource(KeyId=primary, Tags=many[:1])

    @pytest.mark.parametrize(
        ("tag", "field", "longest"),
        [
            ({"TagKey": "k" * 129, "TagValue": ""}, "tagKey", 128),
            ({"TagKey": "k", "TagValue": "v" * 257}, "tagValue", 256),
        ],
    )
    def test_keys_and_values_have_a_length(
        self, kms: Any, primary: str, tag: dict[str, str], field: str, longest: int
    ) -> None:
        value = tag[f"T{field[1:]}"]
        message = (
            f"1 validation error detected: Value '{value}' at 'tags.1.member.{field}' failed to "
            f"satisfy constraint: Member must have length less than or equal to {longest}"
        )
        assert self.refusals(kms, primary, [tag]) == {("ValidationException", message)}


class TestParameters:
    """What KMS's model says of parameters."""

    @pytest.mark.parametrize(
        ("operation", "parameters", "message"),
        [
            (
                "update_key_description",
                {"Description": "x" * 8193},
                "at 'description' failed to satisfy constraint: Member must have length less than "
                "or equal to 8192",
            ),
            (
                "replicate_key",
                {"ReplicaRegion": "nowhere"},
                "at 'replicaRegion' failed to satisfy constraint: Member must satisfy regular "
                r"expression pattern: ^([a-z]+-){2,3}\d+$",
            ),
            (
                "enable_key_rotation",
                {"RotationPeriodInDays": 2561},
                "at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value "
                "less than or equal to 2560",
            ),
        ],
    )
    def test_what_is_not_as_the_model_says(
        self, kms: Any, primary: str, operation: str, parameters: dict[str, Any], message: str
    ) -> None:
        code, told = refusal(getattr(kms, operation), KeyId=primary, **parameters)
        assert code == "ValidationException"
        assert told.startswith("1 validation error detected: Value '")
        assert told.endswith(message)

    @pytest.mark.parametrize(
        "key_id", ["fake-key-id", "134f2428cec14b25a1ae9048164dba47", "mrk-fake-key-id"]
    )
    def test_what_is_no_key_id(self, kms: Any, key_id: str) -> None:
        invalid = ("NotFoundException", f"Invalid keyId '{key_id}'")

        assert refusal(kms.describe_key, KeyId=key_id) == invalid
        assert refusal(kms.schedule_key_deletion, KeyId=key_id) == invalid


class TestMetadata:
    def test_it_names_the_account(self, kms: Any, primary: str) -> None:
        assert kms.describe_key(KeyId=primary)["KeyMetadata"]["AWSAccountId"] == ACCOUNT_ID

    def test_a_new_replica_has_no_tags_but_its_own_and_no_material_yet(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(creating_seconds=600)
        plain = kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        tagged = kms.replicate_key(KeyId=primary, ReplicaRegion="eu-west-1", Tags=[TAG])

        assert "ReplicaTags" not in plain
        assert tagged["ReplicaTags"] == [TAG]
        assert "CurrentKeyMaterialId" not in plain["ReplicaKeyMetadata"]
        own = kms.describe_key(KeyId=primary)["KeyMetadata"]["CurrentKeyMaterialId"]
        emulator.change_kms_settings(clock_shift_seconds=601)
        replica = emulator.client("kms", OTHER).describe_key(KeyId=primary)["KeyMetadata"]
        assert replica["CurrentKeyMaterialId"] == own


class TestMultiRegionKeys:
    def test_a_replica_promotes_nothing(self, emulator: Endpoint, kms: Any, primary: str) -> None:
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        replica = emulator.client("kms", OTHER)

        refused = refusal(replica.update_primary_region, KeyId=primary, PrimaryRegion=OTHER)
        message = f"{key_arn(OTHER, primary)} is not a multi-Region primary key."
        assert refused == ("KMSInvalidStateException", message)
        refused = refusal(replica.replicate_key, KeyId=primary, ReplicaRegion=HOME)
        message = f"{key_arn(OTHER, primary)} is not a multi-region primary key."
        assert refused == ("UnsupportedOperationException", message)

    def test_the_primary_describes_key_material(self, arrangement: Arrangement) -> None:
        for step in ("external primary", "import material", "plain replica", "wrap A for replica"):
            arrangement.take(step)

        refused = refusal(
            arrangement.kms(OTHER).import_key_material,
            KeyId=arrangement.key_id,
            ImportToken=arrangement.values["token"],
            EncryptedKeyMaterial=arrangement.values["wrapped"],
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
            KeyMaterialDescription="x",
        )
        message = "Key material description can only be specified on primary Multi-Region keys"
        assert refused == ("ValidationException", message)

    def test_key_material_expires_on_a_whole_second(self, arrangement: Arrangement) -> None:
        for step in ("external key", "wrap A"):
            arrangement.take(step)
        tomorrow = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)
        kms = arrangement.kms()
        given = tomorrow.timestamp() + 0.75
        # botocore itself sends whole seconds.
        with sending_fraction(kms, given):
            kms.import_key_material(
                KeyId=arrangement.key_id,
                ImportToken=arrangement.values["token"],
                EncryptedKeyMaterial=arrangement.values["wrapped"],
                ValidTo=tomorrow,
            )

        assert kms.describe_key(KeyId=arrangement.key_id)["KeyMetadata"]["ValidTo"] == tomorrow


class TestServiceLinkedRole:
    """https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-auth-slr.html."""

    def test_it_can_be_made_and_deleted_where_there_is_no_key(self, emulator: Endpoint) -> None:
        iam = emulator.client("iam", credentials=Credentials("444455556666"))
        for_keys = {"AWSServiceName": "mrk.kms.amazonaws.com"}

        suffixed = refusal(iam.create_service_linked_role, **for_keys, CustomSuffix="ours")
        assert suffixed[0] == "InvalidInput"
        role = iam.create_service_linked_role(**for_keys)["Role"]
        assert role["RoleName"] == SERVICE_LINKED_ROLE
        task = iam.delete_service_linked_role(RoleName=SERVICE_LINKED_ROLE)["DeletionTaskId"]
        status = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"]
        assert status == "SUCCEEDED"
        assert refusal(iam.get_role, RoleName=SERVICE_LINKED_ROLE)[0] == "NoSuchEntity"

    def test_it_comes_with_the_first_key(self, emulator: Endpoint) -> None:
        account = Credentials("555566667777")
        iam = emulator.client("iam", credentials=account)
        emulator.client("kms", credentials=account).create_key()
        assert refusal(iam.get_role, RoleName=SERVICE_LINKED_ROLE)[0] == "NoSuchEntity"

        emulator.client("kms", credentials=account).create_key(MultiRegion=True)

        assert iam.get_role(RoleName=SERVICE_LINKED_ROLE)["Role"]["RoleName"]


@contextmanager
def sending_fraction(kms: Any, valid_to: float) -> Iterator[None]:
    """Let a client send this time as ValidTo, for as long as the block runs."""

    def with_fraction(request: Any, **_: Any) -> None:
        body = json.loads(request.data)
        if "ValidTo" in body:
            request.data = json.dumps({**body, "ValidTo": valid_to}).encode()

    kms.meta.events.register("request-created.kms", with_fraction)
    try:
        yield
    finally:
        kms.meta.events.unregister("request-created.kms", with_fraction)
