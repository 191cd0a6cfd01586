"""What the emulator's KMS refuses and delays, beyond the rows of test_kms_conformance.py."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.emulator.kms.settings import KmsSettings, from_environment
from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint
from tests.support.stack.kms_calls import (
    HOME,
    OTHER,
    ROOT,
    THROTTLED,
    alias_name,
    key_policy,
    refusal,
)


@pytest.fixture(autouse=True)
def kms_settings(emulator: Endpoint) -> Iterator[None]:
    """Begin with nothing delayed, and leave the settings as they were."""
    with emulator.changed_kms_settings(creating_seconds=0):
        yield


def shift_clock(emulator: Endpoint, seconds: float) -> None:
    passed = emulator.kms_settings().clock_shift_seconds
    emulator.change_kms_settings(clock_shift_seconds=passed + seconds)


class TestKeyStates:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html."""

    @pytest.fixture
    def creating(self, emulator: Endpoint, kms: Any, primary: str) -> Any:
        """Return the client of a Region whose replica is Creating."""
        emulator.change_kms_settings(creating_seconds=600)
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        return emulator.client("kms", OTHER)

    def test_a_creating_replica_can_be_described_tagged_named_and_deleted(
        self, creating: Any, primary: str
    ) -> None:
        name = alias_name()
        creating.create_alias(AliasName=name, TargetKeyId=primary)
        creating.update_alias(AliasName=name, TargetKeyId=primary)
        creating.delete_alias(AliasName=name)
        creating.tag_resource(KeyId=primary, Tags=[{"TagKey": "a", "TagValue": "b"}])
        creating.untag_resource(KeyId=primary, TagKeys=["a"])
        creating.put_key_policy(KeyId=primary, Policy=key_policy(ROOT))
        creating.update_key_description(KeyId=primary, Description="new")

        assert creating.describe_key(KeyId=primary)["KeyMetadata"]["KeyState"] == "Creating"
        deletion = creating.schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)
        assert deletion["KeyState"] == "PendingDeletion"

    @pytest.mark.parametrize(
        ("operation", "parameters"),
        [
            ("encrypt", {"Plaintext": b"secret"}),
            ("generate_data_key", {"KeySpec": "AES_256"}),
            ("enable_key", {}),
            ("disable_key", {}),
            ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Encrypt"]}),
        ],
    )
    def test_a_creating_replica_cannot_be_used_or_switched(
        self, creating: Any, primary: str, operation: str, parameters: dict[str, Any]
    ) -> None:
        refused = refusal(getattr(creating, operation), KeyId=primary, **parameters)

        arn = f"arn:aws:kms:{OTHER}:{ACCOUNT_ID}:key/{primary}"
        assert refused == ("KMSInvalidStateException", f"{arn} is creating.")

    def test_a_key_set_with_a_creating_replica_cannot_be_promoted(
        self, creating: Any, kms: Any, primary: str
    ) -> None:
        refused = refusal(kms.update_primary_region, KeyId=primary, PrimaryRegion=OTHER)

        assert refused[0] == "KMSInvalidStateException"
        assert refused[1].endswith("is creating.")
        assert OTHER in refused[1]
        assert creating.describe_key(KeyId=primary)["KeyMetadata"]["MultiRegion"]

    def test_creating_ends_by_itself(self, emulator: Endpoint, kms: Any, primary: str) -> None:
        emulator.change_kms_settings(creating_seconds=0.3)
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        replica = emulator.client("kms", OTHER)

        def enabled() -> bool | None:
            state = replica.describe_key(KeyId=primary)["KeyMetadata"]["KeyState"]
            assert state in ("Creating", "Enabled")
            return True if state == "Enabled" else None

        assert wait_for(enabled, "the replica to be Enabled", timeout=10)

    def test_an_updating_key_works_but_is_not_switched_replicated_or_deleted(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(updating_seconds=600)
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        kms.update_primary_region(KeyId=primary, PrimaryRegion=OTHER)
        promoted = emulator.client("kms", OTHER)

        assert promoted.encrypt(KeyId=primary, Plaintext=b"secret")["CiphertextBlob"]
        message = f"arn:aws:kms:{OTHER}:{ACCOUNT_ID}:key/{primary} is updating."
        for operation, parameters in (
            ("disable_key", {}),
            ("replicate_key", {"ReplicaRegion": "eu-west-1"}),
            ("schedule_key_deletion", {}),
        ):
            refused = refusal(getattr(promoted, operation), KeyId=primary, **parameters)
            assert refused == ("KMSInvalidStateException", message)

    def test_deletion_can_be_cancelled_only_where_it_is_pending(
        self, kms: Any, primary: str
    ) -> None:
        arn = f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:key/{primary}"

        refused = refusal(kms.cancel_key_deletion, KeyId=primary)
        assert refused == ("KMSInvalidStateException", f"{arn} is not pending deletion.")

    def test_a_deleted_key_takes_its_aliases_along(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        name = alias_name()
        kms.create_alias(AliasName=name, TargetKeyId=primary)
        kms.schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)
        shift_clock(emulator, 10 * 86400)

        assert primary not in [key["KeyId"] for key in kms.list_keys()["Keys"]]
        assert name not in [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]]

    def test_a_replica_can_be_made_again_once_it_is_gone(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        emulator.client("kms", OTHER).schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)
        shift_clock(emulator, 10 * 86400)

        assert kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)


class TestSpecs:
    def test_sm2_is_for_china_alone(self, emulator: Endpoint, kms: Any) -> None:
        china = emulator.client("kms", "cn-north-1")
        parameters = {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY", "MultiRegion": True}

        created = china.create_key(**parameters)["KeyMetadata"]
        assert (created["KeySpec"], created["SigningAlgorithms"]) == ("SM2", ["SM2DSA"])
        assert refusal(kms.create_key, **parameters)[0] == "UnsupportedOperationException"

    def test_a_post_quantum_key_set_keeps_its_spec(self, emulator: Endpoint, kms: Any) -> None:
        created = kms.create_key(MultiRegion=True, KeySpec="ML_DSA_65", KeyUsage="SIGN_VERIFY")
        key_id = created["KeyMetadata"]["KeyId"]
        kms.replicate_key(KeyId=key_id, ReplicaRegion=OTHER)

        replica = emulator.client("kms", OTHER).describe_key(KeyId=key_id)["KeyMetadata"]
        assert (replica["KeySpec"], replica["KeyUsage"]) == ("ML_DSA_65", "SIGN_VERIFY")
        assert replica["SigningAlgorithms"] == ["ML_DSA_SHAKE_256"]

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ({"KeySpec": "RSA_1024", "KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
            ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
            ({"KeyUsage": "WRAP"}, "ValidationException"),
            ({"Origin": "EXTERNAL_KEY_STORE"}, "UnsupportedOperationException"),
            (
                {"KeySpec": "ML_DSA_44", "KeyUsage": "SIGN_VERIFY", "Origin": "EXTERNAL"},
                "UnsupportedOperationException",
            ),
        ],
    )
    def test_what_does_not_go_together(
        self, kms: Any, parameters: dict[str, Any], code: str
    ) -> None:
        assert refusal(kms.create_key, MultiRegion=True, **parameters)[0] == code


class TestPropagation:
    """https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html."""

    def test_a_young_key_is_not_found_by_reads_and_writes(
        self, emulator: Endpoint, kms: Any
    ) -> None:
        emulator.change_kms_settings(propagation_seconds=600)
        key = kms.create_key(MultiRegion=True)["KeyMetadata"]
        missing = ("NotFoundException", f"Key '{key['Arn']}' does not exist")

        for operation, parameters in (
            ("describe_key", {}),
            ("get_key_policy", {}),
            ("list_resource_tags", {}),
            ("get_key_rotation_status", {}),
            ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            ("replicate_key", {"ReplicaRegion": OTHER}),
            ("schedule_key_deletion", {}),
        ):
            assert refusal(getattr(kms, operation), KeyId=key["Arn"], **parameters) == missing
        new = {"AliasName": alias_name(), "TargetKeyId": key["Arn"]}
        assert refusal(kms.create_alias, **new) == missing
        assert key["Arn"] not in [listed["KeyArn"] for listed in kms.list_keys()["Keys"]]

        shift_clock(emulator, 601)
        assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"] == "Enabled"
        assert key["Arn"] in [listed["KeyArn"] for listed in kms.list_keys()["Keys"]]

    def test_a_young_alias_is_not_seen_but_taken(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(propagation_seconds=600)
        name = alias_name()
        kms.create_alias(AliasName=name, TargetKeyId=primary)

        assert kms.list_aliases(KeyId=primary)["Aliases"] == []
        assert refusal(kms.describe_key, KeyId=name)[0] == "NotFoundException"
        again = refusal(kms.create_alias, AliasName=name, TargetKeyId=primary)
        assert again[0] == "AlreadyExistsException"

        shift_clock(emulator, 601)
        assert [a["AliasName"] for a in kms.list_aliases(KeyId=primary)["Aliases"]] == [name]
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == primary

    def test_a_young_replica_is_not_found_in_its_region(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(propagation_seconds=600)
        kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)

        replica = emulator.client("kms", OTHER)
        assert refusal(replica.describe_key, KeyId=primary)[0] == "NotFoundException"
        config = kms.describe_key(KeyId=primary)["KeyMetadata"]["MultiRegionConfiguration"]
        assert [member["Region"] for member in config["ReplicaKeys"]] == [OTHER]


class TestRegions:
    """https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html."""

    DISABLED = "ap-east-1"
    REFUSED = (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )

    def test_a_region_that_is_not_enabled_knows_no_caller(
        self, emulator: Endpoint, primary: str
    ) -> None:
        emulator.change_kms_settings(disabled_regions=[self.DISABLED])
        before = len(emulator.kms_calls())

        there = emulator.client("kms", self.DISABLED)
        assert refusal(there.create_key) == self.REFUSED
        assert refusal(there.describe_key, KeyId=primary) == self.REFUSED
        tables = emulator.client("dynamodb", self.DISABLED)
        assert refusal(tables.list_tables) == self.REFUSED
        tagging = emulator.client("resourcegroupstaggingapi", self.DISABLED)
        assert refusal(tagging.get_resources) == self.REFUSED
        calls = [call for call in emulator.kms_calls(before) if call["region"] == self.DISABLED]
        assert [call["error"] for call in calls] == ["UnrecognizedClientException"] * 2
        emulator.change_kms_settings(disabled_regions=[])
        assert there.create_key()

    def test_it_takes_no_replica(self, emulator: Endpoint, kms: Any, primary: str) -> None:
        emulator.change_kms_settings(disabled_regions=[self.DISABLED])

        refused = refusal(kms.replicate_key, KeyId=primary, ReplicaRegion=self.DISABLED)
        assert refused[0] == "ValidationException"
        assert self.DISABLED in refused[1]

    def test_ec2_lists_the_regions_that_are_enabled(self, emulator: Endpoint) -> None:
        ec2 = emulator.client("ec2")
        every = {one["RegionName"] for one in ec2.describe_regions()["Regions"]}
        emulator.change_kms_settings(disabled_regions=[self.DISABLED])

        assert {one["RegionName"] for one in ec2.describe_regions()["Regions"]} == every - {
            self.DISABLED
        }
        listed = ec2.describe_regions(AllRegions=True)["Regions"]
        status = {one["RegionName"]: one["OptInStatus"] for one in listed}
        assert status[self.DISABLED] == "not-opted-in"
        assert status.keys() == every


class TestQuotas:
    """https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html."""

    def test_a_replica_takes_two_calls_of_create_key_in_its_region(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        rates = {"CreateKey": 0.001, "ReplicateKey": 100}
        emulator.change_kms_settings(quotas=rates)
        replica_region = emulator.client("kms", "eu-central-1")

        kms.replicate_key(KeyId=primary, ReplicaRegion="eu-central-1")
        refused = refusal(replica_region.create_key)
        assert refused == ("ThrottlingException", THROTTLED)
        assert kms.create_key(), "the primary's Region has its own quota"

    def test_a_refused_replica_takes_nothing(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(quotas={"CreateKey": 0.001, "ReplicateKey": 0.001})
        emulator.client("kms", "eu-central-1").create_key()

        into_used_up = {"KeyId": primary, "ReplicaRegion": "eu-central-1"}
        assert refusal(kms.replicate_key, **into_used_up) == ("ThrottlingException", THROTTLED)
        assert kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)

    def test_the_default_rates_can_be_replaced_one_by_one(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(quotas={"TagResource": 2})
        tag = {"KeyId": primary, "Tags": [{"TagKey": "a", "TagValue": "b"}]}

        def throttled() -> bool | None:
            try:
                kms.tag_resource(**tag)
            except kms.exceptions.ClientError:
                return True
            return None

        assert wait_for(throttled, "TagResource to be refused", timeout=10, interval=0)
        assert refusal(kms.tag_resource, **tag) == ("ThrottlingException", THROTTLED)
        for _ in range(20):
            kms.describe_key(KeyId=primary)

        def passes_again() -> bool | None:
            return None if throttled() else True

        assert wait_for(passes_again, "TagResource to pass", timeout=10, interval=0.2)

    def test_without_quotas_nothing_is_throttled(self, kms: Any, primary: str) -> None:
        for _ in range(30):
            kms.update_key_description(KeyId=primary, Description="again")


class TestSettings:
    def test_a_call_takes_at_least_the_latency(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        emulator.change_kms_settings(latency_seconds=0.2)
        before = len(emulator.kms_calls())
        kms.describe_key(KeyId=primary)
        kms.describe_key(KeyId=primary)

        # A call is listed once it is answered, the one that made the key perhaps only now.
        calls = emulator.kms_calls(since=before)
        first, second = (call for call in calls if call["operation"] == "DescribeKey")
        assert second["time"] - first["time"] >= 0.2

    def test_the_environment_gives_the_values_at_the_start(self) -> None:
        given = {"KMS_CREATING_SECONDS": "5", "KMS_QUOTAS": '{"CreateKey": 2}', "PATH": "/bin"}

        assert from_environment(given) == KmsSettings(creating_seconds=5, quotas={"CreateKey": 2})
        assert from_environment({}) == KmsSettings(creating_seconds=1)

    @pytest.mark.parametrize(
        "changes",
        [
            {"creating": 1},
            {"creatingSeconds": "1"},
            {"quotas": {"CreateKey": 0}},
            {"disabledRegions": "ap-east-1"},
            {"rewritesPolicies": 1},
            [],
        ],
    )
    def test_what_is_no_setting_is_refused(self, changes: Any) -> None:
        with pytest.raises(ValueError, match=r"setting|cannot be"):
            KmsSettings().changed(changes)
