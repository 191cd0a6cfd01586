"""What the local stack adds to the emulator: KMS's own authorisation, and the list of its calls.

Each test assumes a role of its own, whose policy holds the statements under test.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint

HOME = "us-east-1"
OTHER = "eu-west-1"

ADMINISTRATION = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy"]
TEAM_TAG = [{"TagKey": "team", "TagValue": "payments"}]

type ClientOf = Callable[..., Any]


@pytest.fixture
def kms_of(emulator: Endpoint) -> ClientOf:
    """Return a function that makes a KMS client of a new role with the given statements."""

    def make(*statements: dict[str, Any], region: str = HOME) -> Any:
        name = f"role-{uuid.uuid4()}"
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        emulator.create_role(name, policy=policy)
        return emulator.client("kms", region, emulator.credentials_of(name))

    return make


@pytest.fixture
def primary_key(emulator: Endpoint) -> dict[str, Any]:
    """Create a multi-Region primary key with a tag."""
    created = emulator.client("kms").create_key(MultiRegion=True, Tags=TEAM_TAG)
    metadata: dict[str, Any] = created["KeyMetadata"]
    return metadata


def allow(
    *actions: str, resource: str = "*", condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def equals(**values: str) -> dict[str, Any]:
    """Write a StringEquals condition; `kms__Name` stands for `kms:Name`."""
    return {"StringEquals": {name.replace("__", ":"): value for name, value in values.items()}}


def denied_action(call: Callable[..., Any], **parameters: Any) -> str:
    """Make a call that must be denied; give the action that its message says was denied."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(error["Message"]).split("perform: ")[1].split(" ")[0]


def alias_name() -> str:
    return f"alias/test-{uuid.uuid4()}"


class TestCreateKey:
    def test_a_role_for_primary_keys_makes_no_single_region_key(self, kms_of: ClientOf) -> None:
        kms = kms_of(allow("kms:CreateKey", condition=equals(kms__MultiRegionKeyType="PRIMARY")))

        assert kms.create_key(MultiRegion=True)["KeyMetadata"]["MultiRegion"]
        assert denied_action(kms.create_key, MultiRegion=False) == "kms:CreateKey"
        assert denied_action(kms.create_key) == "kms:CreateKey"

    @pytest.mark.parametrize(
        ("condition", "allowed", "denied"),
        [
            (equals(kms__KeySpec="HMAC_256"), {"KeySpec": "HMAC_256"}, {"KeySpec": "HMAC_512"}),
            (equals(kms__KeyOrigin="AWS_KMS"), {}, {"Origin": "EXTERNAL"}),
            (
                equals(kms__KeyUsage="GENERATE_VERIFY_MAC"),
                {"KeyUsage": "GENERATE_VERIFY_MAC"},
                {"KeyUsage": "ENCRYPT_DECRYPT"},
            ),
            ({"Bool": {"kms:MultiRegion": "true"}}, {}, {"MultiRegion": False}),
            (equals(aws__RequestedRegion=HOME), {}, None),
        ],
    )
    def test_each_setting_of_the_new_key_is_a_condition_key(
        self,
        kms_of: ClientOf,
        condition: dict[str, Any],
        allowed: dict[str, Any],
        denied: dict[str, Any] | None,
    ) -> None:
        statement = allow("kms:CreateKey", condition=condition)
        hmac = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC", "MultiRegion": True}

        assert kms_of(statement).create_key(**hmac | allowed)
        elsewhere = kms_of(statement, region=HOME if denied else OTHER)
        assert denied_action(elsewhere.create_key, **hmac | (denied or {})) == "kms:CreateKey"

    def test_tags_need_their_own_permission(self, kms_of: ClientOf) -> None:
        creator = allow("kms:CreateKey")
        tagger = allow("kms:TagResource", condition=equals(**{"aws:RequestTag/team": "payments"}))

        assert denied_action(kms_of(creator).create_key, Tags=TEAM_TAG) == "kms:TagResource"
        kms = kms_of(creator, tagger)
        assert kms.create_key(Tags=TEAM_TAG)
        other = [{"TagKey": "team", "TagValue": "other"}]
        assert denied_action(kms.create_key, Tags=other) == "kms:TagResource"

    def test_tags_need_a_permission_for_every_key(self, kms_of: ClientOf) -> None:
        creator = allow("kms:CreateKey")
        every_key = f"arn:aws:kms:*:{ACCOUNT_ID}:key/*"
        some_keys = f"arn:aws:kms:*:{ACCOUNT_ID}:key/mrk-*"

        assert kms_of(creator, allow("kms:TagResource", resource=every_key)).create_key(
            Tags=TEAM_TAG
        )
        kms = kms_of(creator, allow("kms:TagResource", resource=some_keys))
        refused = denied_action(kms.create_key, MultiRegion=True, Tags=TEAM_TAG)
        assert refused == "kms:TagResource"

    def test_a_deny_of_the_bypass_flag_denies(self, kms_of: ClientOf) -> None:
        bypass = {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}
        deny = {**allow("kms:*", condition=bypass), "Effect": "Deny"}
        kms = kms_of(allow("kms:*"), deny)

        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        policy = kms.get_key_policy(KeyId=key_id)["Policy"]
        kms.put_key_policy(KeyId=key_id, Policy=policy)
        flag = {"BypassPolicyLockoutSafetyCheck": True}
        assert denied_action(kms.create_key, **flag) == "kms:CreateKey"
        assert (
            denied_action(kms.put_key_policy, KeyId=key_id, Policy=policy, **flag)
            == "kms:PutKeyPolicy"
        )


class TestReplicateKey:
    def test_only_into_the_regions_of_the_policy(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        kms = kms_of(
            allow("kms:ReplicateKey", condition=equals(kms__ReplicaRegion=OTHER)),
            allow("kms:CreateKey"),
        )
        key_id = primary_key["KeyId"]

        refused = denied_action(kms.replicate_key, KeyId=key_id, ReplicaRegion="us-west-2")
        assert refused == "kms:ReplicateKey"
        assert kms.replicate_key(KeyId=key_id, ReplicaRegion=OTHER)

    @pytest.mark.parametrize(
        "condition",
        [
            equals(aws__RequestedRegion=HOME),
            equals(kms__MultiRegionKeyType="PRIMARY"),
            equals(kms__KeySpec="HMAC_256"),
        ],
    )
    def test_the_replica_is_a_key_created_in_its_own_region(
        self, kms_of: ClientOf, primary_key: dict[str, Any], condition: dict[str, Any]
    ) -> None:
        kms = kms_of(allow("kms:ReplicateKey"), allow("kms:CreateKey", condition=condition))

        replica = {"KeyId": primary_key["KeyId"], "ReplicaRegion": OTHER}
        assert denied_action(kms.replicate_key, **replica) == "kms:CreateKey"

    def test_the_primary_keys_policy_does_not_stand_for_create_key(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        replica = {"KeyId": primary_key["KeyId"], "ReplicaRegion": OTHER}
        replicate = allow("kms:ReplicateKey")
        create = allow(
            "kms:CreateKey",
            condition=equals(
                aws__RequestedRegion=OTHER,
                kms__MultiRegion="true",
                kms__MultiRegionKeyType="REPLICA",
                kms__KeySpec="SYMMETRIC_DEFAULT",
            ),
        )

        assert denied_action(kms_of(replicate).replicate_key, **replica) == "kms:CreateKey"
        tagged = {**replica, "Tags": TEAM_TAG}
        kms = kms_of(replicate, create)
        assert denied_action(kms.replicate_key, **tagged) == "kms:TagResource"
        assert kms.replicate_key(**replica)

    def test_the_tags_of_a_replica_are_conditions_of_its_creation_alone(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        tagged = equals(**{"aws:RequestTag/team": "payments"})
        replica = {"KeyId": primary_key["KeyId"], "ReplicaRegion": OTHER, "Tags": TEAM_TAG}
        create = allow("kms:CreateKey", "kms:TagResource", condition=tagged)

        on_tags = allow("kms:ReplicateKey", condition=tagged)
        assert denied_action(kms_of(on_tags, create).replicate_key, **replica) == "kms:ReplicateKey"
        tag_keys = {"Null": {"aws:TagKeys": "false"}}
        on_tag_keys = allow("kms:ReplicateKey", condition=tag_keys)
        refused = denied_action(kms_of(on_tag_keys, create).replicate_key, **replica)
        assert refused == "kms:ReplicateKey"
        other = [{"TagKey": "team", "TagValue": "other"}]
        kms = kms_of(allow("kms:ReplicateKey"), create)
        assert denied_action(kms.replicate_key, **replica | {"Tags": other}) == "kms:CreateKey"
        assert kms.replicate_key(**replica)


class TestUpdatePrimaryRegion:
    def test_it_needs_both_keys(
        self, emulator: Endpoint, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        key_id = primary_key["KeyId"]
        emulator.client("kms").replicate_key(KeyId=key_id, ReplicaRegion=OTHER)
        replica_arn = primary_key["Arn"].replace(HOME, OTHER)
        on_primary = allow("kms:UpdatePrimaryRegion", resource=primary_key["Arn"])
        on_replica = allow("kms:UpdatePrimaryRegion", resource=replica_arn)
        promotion = {"KeyId": key_id, "PrimaryRegion": OTHER}

        for part in (on_primary, on_replica):
            refused = denied_action(kms_of(part).update_primary_region, **promotion)
            assert refused == "kms:UpdatePrimaryRegion"
        replica = emulator.client("kms", OTHER)

        def enabled() -> bool | None:
            state = replica.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]
            return True if state == "Enabled" else None

        assert wait_for(enabled, "the replica to be Enabled", timeout=10)
        kms_of(on_primary, on_replica).update_primary_region(**promotion)


class TestAliases:
    def test_an_alias_needs_the_alias_and_the_key(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        name = alias_name()
        alias_arn = f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{name}"
        new = {"AliasName": name, "TargetKeyId": primary_key["KeyId"]}
        on_alias = allow("kms:CreateAlias", "kms:DeleteAlias", resource=alias_arn)
        on_key = allow("kms:CreateAlias", "kms:DeleteAlias", resource=primary_key["Arn"])

        assert denied_action(kms_of(on_alias).create_alias, **new) == "kms:CreateAlias"
        assert denied_action(kms_of(on_key).create_alias, **new) == "kms:CreateAlias"
        both = kms_of(on_alias, on_key)
        both.create_alias(**new)
        for part in (on_alias, on_key):
            assert denied_action(kms_of(part).delete_alias, AliasName=name) == "kms:DeleteAlias"
        both.delete_alias(AliasName=name)

    def test_moving_an_alias_needs_both_keys(
        self, emulator: Endpoint, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        root = emulator.client("kms")
        other_key = root.create_key()["KeyMetadata"]
        name = alias_name()
        root.create_alias(AliasName=name, TargetKeyId=primary_key["KeyId"])
        resources = [f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{name}", primary_key["Arn"]]
        statements = [allow("kms:UpdateAlias", resource=arn) for arn in resources]
        move = {"AliasName": name, "TargetKeyId": other_key["KeyId"]}

        assert denied_action(kms_of(*statements).update_alias, **move) == "kms:UpdateAlias"
        statements.append(allow("kms:UpdateAlias", resource=other_key["Arn"]))
        kms_of(*statements).update_alias(**move)

    def test_a_key_named_by_its_alias_is_authorised_as_the_key(
        self, emulator: Endpoint, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        name = alias_name()
        emulator.client("kms").create_alias(AliasName=name, TargetKeyId=primary_key["KeyId"])
        kms = kms_of(allow("kms:DescribeKey", resource=primary_key["Arn"]))
        stranger = kms_of(allow("kms:DescribeKey", resource=f"{primary_key['Arn']}-other"))

        for key_id in (name, f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{name}"):
            assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"] == primary_key["Arn"]
            assert denied_action(stranger.describe_key, KeyId=key_id) == "kms:DescribeKey"

    @pytest.mark.parametrize("key_id", ["alias/nothing-has-this-name", f"mrk-{'0' * 32}"])
    def test_what_is_not_there_is_not_found_rather_than_denied(
        self, kms_of: ClientOf, key_id: str
    ) -> None:
        conditioned = allow("kms:DescribeKey", condition=equals(kms__KeySpec="HMAC_256"))
        kms = kms_of(conditioned)

        with pytest.raises(kms.exceptions.NotFoundException):
            kms.describe_key(KeyId=key_id)
        stranger = kms_of(allow("kms:ListKeys"))
        assert denied_action(stranger.describe_key, KeyId=key_id) == "kms:DescribeKey"

    def test_listing_the_aliases_of_a_key_is_no_permission_on_the_key(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        key_id = primary_key["KeyId"]

        assert kms_of(allow("kms:ListAliases")).list_aliases(KeyId=key_id)["Aliases"] == []
        on_key = kms_of(allow("kms:ListAliases", resource=primary_key["Arn"]))
        assert denied_action(on_key.list_aliases, KeyId=key_id) == "kms:ListAliases"


class TestExistingKeys:
    @pytest.mark.parametrize(
        ("condition", "allowed"),
        [
            (equals(**{"aws:ResourceTag/team": "payments"}), True),
            (equals(**{"aws:ResourceTag/team": "other"}), False),
            (equals(kms__MultiRegionKeyType="PRIMARY"), True),
            (equals(kms__MultiRegionKeyType="REPLICA"), False),
            (equals(kms__MultiRegion="true"), True),
            (equals(kms__KeySpec="RSA_2048"), False),
            (equals(kms__KeyUsage="ENCRYPT_DECRYPT"), True),
            (equals(kms__KeyOrigin="EXTERNAL"), False),
        ],
    )
    def test_what_a_key_is_and_its_tags_are_condition_keys(
        self,
        kms_of: ClientOf,
        primary_key: dict[str, Any],
        condition: dict[str, Any],
        allowed: bool,
    ) -> None:
        kms = kms_of(allow("kms:DescribeKey", condition=condition))

        if allowed:
            assert kms.describe_key(KeyId=primary_key["KeyId"])
        else:
            refused = denied_action(kms.describe_key, KeyId=primary_key["KeyId"])
            assert refused == "kms:DescribeKey"

    def test_a_tag_counts_once_it_is_there(
        self, emulator: Endpoint, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        ours = equals(**{"aws:ResourceTag/stack": "ours"})
        kms = kms_of(allow("kms:DescribeKey", condition=ours))
        key_id = primary_key["KeyId"]

        denied_action(kms.describe_key, KeyId=key_id)
        tag = {"TagKey": "stack", "TagValue": "ours"}
        emulator.client("kms").tag_resource(KeyId=key_id, Tags=[tag])
        assert kms.describe_key(KeyId=key_id)

    def test_the_deletion_window_is_a_condition_key(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        long = {"NumericGreaterThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "7"}}
        kms = kms_of(allow("kms:ScheduleKeyDeletion", condition=long))
        schedule, key_id = kms.schedule_key_deletion, primary_key["KeyId"]

        refused = denied_action(schedule, KeyId=key_id, PendingWindowInDays=7)
        assert refused == "kms:ScheduleKeyDeletion"
        assert schedule(KeyId=key_id, PendingWindowInDays=8)


class TestKeyPolicies:
    def test_a_key_policy_that_does_not_name_the_account_shuts_iam_policies_out(
        self, emulator: Endpoint, kms_of: ClientOf
    ) -> None:
        admin = emulator.create_role(f"admin-{uuid.uuid4()}")
        statement = {**allow(*ADMINISTRATION), "Principal": {"AWS": admin}}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        key = emulator.client("kms").create_key(
            Policy=json.dumps(policy), BypassPolicyLockoutSafetyCheck=True
        )["KeyMetadata"]

        iam_alone = kms_of(allow("kms:*"))
        assert denied_action(iam_alone.describe_key, KeyId=key["KeyId"]) == "kms:DescribeKey"
        named = emulator.client("kms", HOME, emulator.credentials_of(admin.split("/")[-1]))
        assert named.describe_key(KeyId=key["KeyId"])
        assert denied_action(named.list_resource_tags, KeyId=key["KeyId"])

    def test_the_default_key_policy_leaves_it_to_iam_policies(
        self, kms_of: ClientOf, primary_key: dict[str, Any]
    ) -> None:
        assert kms_of(allow("kms:DescribeKey")).describe_key(KeyId=primary_key["KeyId"])
        nobody = kms_of(allow("kms:ListKeys"))
        assert denied_action(nobody.describe_key, KeyId=primary_key["KeyId"]) == "kms:DescribeKey"


def test_a_source_may_put_only_its_own_events(emulator: Endpoint) -> None:
    name = f"role-{uuid.uuid4()}"
    own_source = allow("events:PutEvents", condition=equals(events__source="ours"))
    emulator.create_role(name, policy={"Version": "2012-10-17", "Statement": [own_source]})
    events = emulator.client("events", HOME, emulator.credentials_of(name))

    def put(source: str) -> Any:
        entry = {"Source": source, "DetailType": "test", "Detail": "{}"}
        return events.put_events(Entries=[entry])

    assert put("ours")["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match="AccessDenied"):
        put("theirs")


def test_every_permission_that_is_asked_for_is_listed(emulator: Endpoint, kms_of: ClientOf) -> None:
    kms = kms_of(allow("kms:CreateKey"), region=OTHER)
    before = len(emulator.permissions())

    denied_action(kms.create_key, MultiRegion=True, Tags=TEAM_TAG)
    emulator.client("kms").list_keys()

    create, tag = emulator.permissions(since=before)
    assert (create["action"], create["resource"], create["allowed"]) == ("kms:CreateKey", "*", True)
    every_key = f"arn:aws:kms:{OTHER}:{ACCOUNT_ID}:key/*"
    assert (tag["action"], tag["resource"], tag["allowed"]) == ("kms:TagResource", every_key, False)
    for asked in (create, tag):
        assert ":assumed-role/role-" in asked["principal"]
        assert asked["region"] == OTHER
        assert asked["context"]["kms:MultiRegion"] == "true"


def test_every_kms_call_is_listed(emulator: Endpoint, kms_of: ClientOf) -> None:
    role = kms_of(allow("kms:CreateKey"), region=OTHER)
    before = len(emulator.kms_calls())

    role.create_key()
    denied_action(role.list_keys)
    emulator.client("kms").list_keys()

    calls = emulator.kms_calls(since=before)
    assert [call["index"] for call in calls] == [before, before + 1, before + 2]
    assert [(c["operation"], c["region"], c["status"], c["error"]) for c in calls] == [
        ("CreateKey", OTHER, 200, None),
        ("ListKeys", OTHER, 400, "AccessDeniedException"),
        ("ListKeys", HOME, 200, None),
    ]
    assert ":assumed-role/role-" in calls[0]["caller"]
    assert calls[2]["caller"] == f"arn:aws:iam::{ACCOUNT_ID}:root"
    assert calls[0]["time"] <= calls[1]["time"] <= calls[2]["time"]


def test_a_call_is_listed_with_the_time_it_took(emulator: Endpoint) -> None:
    before = len(emulator.kms_calls())

    with emulator.changed_kms_settings(latency_seconds=0.2):
        emulator.client("kms").list_keys()

    (call,) = emulator.kms_calls(since=before)
    assert 0.2 <= call["seconds"] < 5


def test_an_account_can_have_keys_already(emulator: Endpoint) -> None:
    before = len(emulator.kms_calls())

    emulator.add_existing_keys(count=2, first=7, tags={"team": "payments"})

    assert emulator.kms_calls(since=before) == []
    kms = emulator.client("kms")
    key = kms.describe_key(KeyId="alias/existing-8")["KeyMetadata"]
    tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
    assert (key["KeyState"], key["MultiRegion"]) == ("Enabled", True)
    assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == {
        "team": "payments",
        "mrk:request-id": "existing-8",
    }
