"""Who may do what with a key of the emulator's KMS, and when tags and aliases count in that."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint
from tests.support.stack.kms_calls import (
    HOME,
    LOCKED_OUT,
    OTHER,
    ROOT,
    alias_name,
    key_policy,
    refusal,
)

TAG = [{"TagKey": "stack", "TagValue": "ours"}]


@pytest.fixture(autouse=True)
def kms_settings(emulator: Endpoint) -> Iterator[None]:
    """Begin with nothing delayed, and leave the settings as they were."""
    with emulator.changed_kms_settings(creating_seconds=0):
        yield


def role_that(emulator: Endpoint, *statements: dict[str, Any]) -> str:
    """Create a role with these permissions; give its name."""
    name = f"role-{uuid.uuid4()}"
    allowed = [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements]
    policy = {"Version": "2012-10-17", "Statement": allowed}
    emulator.create_role(name, policy=policy if allowed else None)
    return name


def kms_as(emulator: Endpoint, role: str, region: str = HOME) -> Any:
    return emulator.client("kms", region, emulator.credentials_of(role))


def may_describe(kms: Any, key: str) -> bool:
    try:
        kms.describe_key(KeyId=key)
    except kms.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


class TestLateTagsAndAliases:
    """https://docs.aws.amazon.com/kms/latest/developerguide/abac.html."""

    @pytest.fixture
    def by_tag(self, emulator: Endpoint) -> str:
        """Return a role that may describe the keys with a tag."""
        tagged = {"StringEquals": {"aws:ResourceTag/stack": "ours"}}
        return role_that(emulator, {"Action": "kms:DescribeKey", "Condition": tagged})

    @pytest.fixture
    def by_alias(self, emulator: Endpoint) -> str:
        """Return a role that may describe the keys with an alias."""
        named = {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/test-*"}}
        return role_that(emulator, {"Action": "kms:DescribeKey", "Condition": named})

    def shift_clock(self, emulator: Endpoint, seconds: float) -> None:
        passed = emulator.kms_settings().clock_shift_seconds
        emulator.change_kms_settings(clock_shift_seconds=passed + seconds)

    def test_the_tags_of_a_new_key_count_late(
        self, emulator: Endpoint, kms: Any, by_tag: str
    ) -> None:
        emulator.change_kms_settings(authorization_seconds=300)
        key = kms.create_key(MultiRegion=True, Tags=TAG)["KeyMetadata"]["KeyId"]
        kms.replicate_key(KeyId=key, ReplicaRegion=OTHER, Tags=TAG)
        seen = [kms_as(emulator, by_tag, region) for region in (HOME, OTHER)]

        assert [may_describe(one, key) for one in seen] == [False, False]
        assert kms.list_resource_tags(KeyId=key)["Tags"] == TAG
        self.shift_clock(emulator, 301)
        assert [may_describe(one, key) for one in seen] == [True, True]

    def test_changed_tags_count_late(self, emulator: Endpoint, kms: Any, by_tag: str) -> None:
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        own = kms_as(emulator, by_tag)
        emulator.change_kms_settings(authorization_seconds=300)

        kms.tag_resource(KeyId=key, Tags=TAG)
        assert not may_describe(own, key)
        self.shift_clock(emulator, 301)
        assert may_describe(own, key)
        kms.untag_resource(KeyId=key, TagKeys=["stack"])
        assert may_describe(own, key)
        self.shift_clock(emulator, 301)
        assert not may_describe(own, key)

    def test_changed_aliases_count_late(self, emulator: Endpoint, kms: Any, by_alias: str) -> None:
        first, second = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        own, name = kms_as(emulator, by_alias), alias_name()
        emulator.change_kms_settings(authorization_seconds=300)

        kms.create_alias(AliasName=name, TargetKeyId=first)
        assert not may_describe(own, first)
        self.shift_clock(emulator, 301)
        assert may_describe(own, first)
        kms.update_alias(AliasName=name, TargetKeyId=second)
        assert (may_describe(own, first), may_describe(own, second)) == (True, False)
        self.shift_clock(emulator, 301)
        assert (may_describe(own, first), may_describe(own, second)) == (False, True)
        kms.delete_alias(AliasName=name)
        assert may_describe(own, second)
        self.shift_clock(emulator, 301)
        assert not may_describe(own, second)

    def test_tags_and_aliases_count_at_once_where_nothing_delays_them(
        self, emulator: Endpoint, kms: Any, by_tag: str, by_alias: str
    ) -> None:
        key = kms.create_key(Tags=TAG)["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=alias_name(), TargetKeyId=key)

        assert may_describe(kms_as(emulator, by_tag), key)
        assert may_describe(kms_as(emulator, by_alias), key)
        kms.untag_resource(KeyId=key, TagKeys=["stack"])
        refused = refusal(kms_as(emulator, by_tag).describe_key, KeyId=key)
        assert refused[0] == "AccessDeniedException"


class TestKeyPolicyAndIam:
    """https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html."""

    @pytest.fixture
    def reader(self, emulator: Endpoint) -> str:
        """Return a role that its own policy lets do everything with keys."""
        return role_that(emulator, {"Action": "kms:*"})

    @pytest.fixture
    def stranger(self, emulator: Endpoint) -> str:
        """Return a role without a permission."""
        return role_that(emulator)

    def key_with(self, kms: Any, *statements: dict[str, Any]) -> str:
        """Create a key with these statements in its policy, whoever is locked out."""
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Resource": "*", "Principal": {"AWS": ROOT}, **statement}
                for statement in statements
            ],
        }
        created = kms.create_key(Policy=json.dumps(policy), BypassPolicyLockoutSafetyCheck=True)
        arn: str = created["KeyMetadata"]["Arn"]
        return arn

    def test_what_the_account_is_allowed_is_left_to_iam(
        self, emulator: Endpoint, kms: Any, reader: str, stranger: str
    ) -> None:
        key = self.key_with(kms, {"Action": "kms:Describe*"})

        assert may_describe(kms_as(emulator, reader), key)
        assert may_describe(kms, key)
        code, message = refusal(kms_as(emulator, stranger).describe_key, KeyId=key)
        assert code == "AccessDeniedException"
        assert message.endswith(
            "because no identity-based policy allows the kms:DescribeKey action"
        )

    def test_what_the_account_is_not_allowed_nobody_may(
        self, emulator: Endpoint, kms: Any, reader: str
    ) -> None:
        key = self.key_with(kms, {"Action": "kms:PutKeyPolicy"})

        for caller in (kms, kms_as(emulator, reader)):
            code, message = refusal(caller.describe_key, KeyId=key)
            assert code == "AccessDeniedException"
            reason = "because no resource-based policy allows the kms:DescribeKey action"
            assert message.endswith(reason)
        assert kms.put_key_policy(KeyId=key, Policy=key_policy(ROOT))
        assert may_describe(kms_as(emulator, reader), key)

    def test_the_accounts_statement_counts_under_its_condition(
        self, emulator: Endpoint, kms: Any, reader: str
    ) -> None:
        spec = {"StringEquals": {"kms:KeySpec": "HMAC_256"}}
        key = self.key_with(kms, {"Action": "kms:*", "Condition": spec})

        assert not may_describe(kms_as(emulator, reader), key)

    def test_whom_the_key_policy_names_needs_no_policy_of_its_own(
        self, emulator: Endpoint, kms: Any, stranger: str
    ) -> None:
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{stranger}"
        session = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{stranger}/local"
        other = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{stranger}/other"

        for named, allowed in ((arn, True), (session, True), ("*", True), (other, False)):
            key = self.key_with(kms, {"Action": "kms:*", "Principal": {"AWS": named}})
            assert may_describe(kms_as(emulator, stranger), key) == allowed
            assert may_describe(kms, key) == (named == "*")

    @pytest.mark.parametrize("denying", ["key policy", "IAM"])
    def test_a_deny_in_either_denies(self, emulator: Endpoint, kms: Any, denying: str) -> None:
        deny = {"Effect": "Deny", "Action": "kms:DescribeKey"}
        role = role_that(emulator, {"Action": "kms:*"}, *([deny] if denying == "IAM" else []))
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"
        by_key = [{**deny, "Principal": {"AWS": arn}}] if denying == "key policy" else []
        key = self.key_with(kms, {"Action": "kms:*", "Principal": {"AWS": arn}}, *by_key)

        code, message = refusal(kms_as(emulator, role).describe_key, KeyId=key)
        assert code == "AccessDeniedException"
        kind = "resource" if by_key else "identity"
        assert message.endswith(
            f"with an explicit deny in a{'n' * (kind == 'identity')} {kind}-based policy"
        )

    def test_a_deny_spares_whom_not_principal_names(
        self, emulator: Endpoint, kms: Any, reader: str
    ) -> None:
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/{reader}"
        session = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{reader}/local"
        everything = {"Action": "kms:*"}
        deny = {"Effect": "Deny", "Action": "kms:DescribeKey", "Principal": None}

        for spared, allowed in (([ROOT, role, session], True), ([ROOT, role], False)):
            statement = {**deny, "NotPrincipal": {"AWS": spared}}
            del statement["Principal"]
            policy = json.loads(key_policy(ROOT))
            policy["Statement"].append({"Resource": "*", **statement})
            key = self.key_with(kms, everything)
            kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
            assert may_describe(kms_as(emulator, reader), key) == allowed
            assert may_describe(kms, key)

    def test_conditions_see_the_role_and_a_secure_transport(
        self, emulator: Endpoint, kms: Any, reader: str
    ) -> None:
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/{reader}"
        deny = {"Effect": "Deny", "Action": "kms:*", "Principal": {"AWS": "*"}}
        key = self.key_with(
            kms,
            {"Action": "kms:*"},
            {**deny, "Condition": {"ArnNotEquals": {"aws:PrincipalArn": [role, ROOT]}}},
            {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {**deny, "Condition": {"StringNotEquals": {"kms:CallerAccount": ACCOUNT_ID}}},
            {**deny, "Condition": {"Null": {"kms:ViaService": "false"}}},
        )

        assert may_describe(kms_as(emulator, reader), key)
        assert may_describe(kms, key)

    @pytest.mark.parametrize("resource", ["arn:aws:kms:us-east-1:111122223333:key/*", "key"])
    def test_a_statement_about_another_resource_has_no_effect(
        self, kms: Any, resource: str
    ) -> None:
        key = self.key_with(kms, {"Action": "kms:*", "Resource": resource})
        deny = {"Effect": "Deny", "Action": "kms:*", "Resource": resource}
        denying = self.key_with(kms, {"Action": "kms:*"}, deny)

        assert not may_describe(kms, key)
        assert may_describe(kms, denying)

    def test_a_replica_has_a_policy_of_its_own_in_a_promotion(
        self, emulator: Endpoint, kms: Any, reader: str
    ) -> None:
        key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        no_promotion = json.loads(key_policy(ROOT))
        deny = {"Effect": "Deny", "Action": "kms:UpdatePrimaryRegion"}
        no_promotion["Statement"].append({**no_promotion["Statement"][0], **deny})
        kms.replicate_key(KeyId=key, ReplicaRegion=OTHER, Policy=json.dumps(no_promotion))
        promotion = {"KeyId": key, "PrimaryRegion": OTHER}

        refused = refusal(kms_as(emulator, reader).update_primary_region, **promotion)
        assert refused[0] == "AccessDeniedException"

    def test_a_grant_allows_its_operations_to_its_grantee(
        self, emulator: Endpoint, kms: Any, stranger: str
    ) -> None:
        key = self.key_with(kms, {"Action": "kms:*"})
        grantee = f"arn:aws:iam::{ACCOUNT_ID}:role/{stranger}"
        own = kms_as(emulator, stranger)

        assert not may_describe(own, key)
        kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["DescribeKey"])
        assert may_describe(own, key)
        assert refusal(own.encrypt, KeyId=key, Plaintext=b"a")[0] == "AccessDeniedException"

    def test_a_new_role_of_an_old_name_is_another_principal(
        self, emulator: Endpoint, kms: Any, stranger: str
    ) -> None:
        iam = emulator.client("iam")
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{stranger}"
        key = self.key_with(kms, {"Action": "kms:*", "Principal": {"AWS": [arn, ROOT]}})
        assert may_describe(kms_as(emulator, stranger), key)

        iam.delete_role(RoleName=stranger)
        emulator.create_role(stranger)
        assert not may_describe(kms_as(emulator, stranger), key)


class TestLockout:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html."""

    CREATING = ("kms:CreateKey", "kms:ReplicateKey", "kms:TagResource", "kms:DescribeKey")

    def creator(self, emulator: Endpoint, *statements: dict[str, Any]) -> Any:
        """Return KMS as seen by a role that may create keys, and what the statements say."""
        return kms_as(emulator, role_that(emulator, {"Action": list(self.CREATING)}, *statements))

    def test_a_creator_that_may_not_put_policies_is_refused(
        self, emulator: Endpoint, kms: Any
    ) -> None:
        own = self.creator(emulator)
        primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        policy = key_policy(ROOT)

        assert refusal(own.create_key, Policy=policy) == LOCKED_OUT
        replica = {"KeyId": primary, "ReplicaRegion": OTHER}
        assert refusal(own.replicate_key, **replica, Policy=policy) == LOCKED_OUT
        assert own.create_key()["KeyMetadata"], "the default policy is KMS's own"
        assert own.replicate_key(**replica)

    def test_a_creator_that_may_put_policies_is_not(self, emulator: Endpoint, kms: Any) -> None:
        own = self.creator(emulator, {"Action": "kms:PutKeyPolicy"})
        primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]

        assert own.create_key(Policy=key_policy(ROOT))
        replica = {"KeyId": primary, "ReplicaRegion": OTHER, "Policy": key_policy(ROOT)}
        assert own.replicate_key(**replica)

    def test_a_permission_of_one_region_is_none_in_another(
        self, emulator: Endpoint, kms: Any
    ) -> None:
        at_home = {"StringEquals": {"aws:RequestedRegion": HOME}}
        own = self.creator(emulator, {"Action": "kms:PutKeyPolicy", "Condition": at_home})
        primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]

        assert own.create_key(Policy=key_policy(ROOT))
        replica = {"KeyId": primary, "ReplicaRegion": OTHER, "Policy": key_policy(ROOT)}
        assert refusal(own.replicate_key, **replica) == LOCKED_OUT

    def test_a_new_policy_is_checked_for_who_puts_it(self, emulator: Endpoint, kms: Any) -> None:
        own = self.creator(emulator, {"Action": "kms:PutKeyPolicy"})
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        other = emulator.create_role(f"role-{uuid.uuid4()}")

        assert refusal(own.put_key_policy, KeyId=key, Policy=key_policy(other)) == LOCKED_OUT
        assert own.put_key_policy(KeyId=key, Policy=key_policy(ROOT))

    @pytest.mark.parametrize("sees_tags", [False, True])
    def test_whether_new_tags_count_is_a_setting(
        self, emulator: Endpoint, *, sees_tags: bool
    ) -> None:
        tagged = {"StringEquals": {"aws:ResourceTag/stack": "ours"}}
        own = self.creator(emulator, {"Action": "kms:PutKeyPolicy", "Condition": tagged})
        emulator.change_kms_settings(lockout_sees_tags=sees_tags)
        new = {"Policy": key_policy(ROOT), "Tags": TAG}

        if sees_tags:
            assert own.create_key(**new)
        else:
            assert refusal(own.create_key, **new) == LOCKED_OUT
