"""Who may do what with a key of the emulator's KMS, and when tags and aliases count in that."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.endpoint import Endpoint
from tests.workflow.kms_calls import HOME, OTHER, alias_name, refusal

TAG = [{"TagKey": "stack", "TagValue": "ours"}]


@pytest.fixture(autouse=True)
def kms_settings(emulator: Endpoint) -> Iterator[None]:
    """Begin with nothing delayed, and leave the settings as they were."""
    with emulator.changed_kms_settings(creating_seconds=0):
        yield


@pytest.fixture
def kms(emulator: Endpoint) -> Any:
    return emulator.client("kms")


def role_that(emulator: Endpoint, *statements: dict[str, Any]) -> str:
    """Create a role with these permissions; give its name."""
    name = f"role-{uuid.uuid4()}"
    allowed = [{"Effect": "Allow", "Resource": "*", **statement} for statement in statements]
    emulator.create_role(name, policy={"Version": "2012-10-17", "Statement": allowed})
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
        """Give a role that may describe the keys with a tag."""
        tagged = {"StringEquals": {"aws:ResourceTag/stack": "ours"}}
        return role_that(emulator, {"Action": "kms:DescribeKey", "Condition": tagged})

    @pytest.fixture
    def by_alias(self, emulator: Endpoint) -> str:
        """Give a role that may describe the keys with an alias."""
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
