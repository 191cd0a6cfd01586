"""Which key policies and alias names the emulator's KMS refuses."""

import json
import uuid
from typing import Any, ClassVar

import pytest

from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint
from provisioner.domain.policy_meaning import gone_principals, same_meaning
from tests.support.stack.kms_calls import (
    HOME,
    LOCKED_OUT,
    OTHER,
    ROOT,
    Refusal,
    alias_name,
    key_policy,
    refusal,
)

MALFORMED = "MalformedPolicyDocumentException"
NO_PRINCIPAL = (MALFORMED, "Policy contains a statement with one or more invalid principals.")


class TestPolicies:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html."""

    def refusals(self, kms: Any, primary: str, policy: str) -> set[Refusal]:
        """Return a policy to each call that takes one."""
        return {
            refusal(kms.create_key, Policy=policy),
            refusal(kms.put_key_policy, KeyId=primary, Policy=policy),
            refusal(kms.replicate_key, KeyId=primary, ReplicaRegion=OTHER, Policy=policy),
        }

    @pytest.mark.parametrize(
        "policy",
        [
            "no JSON",
            "[]",
            "{}",
            json.dumps({"Version": "2024-01-01", "Statement": []}),
            json.dumps({"Version": "2012-10-17", "Statement": []}),
            json.dumps({"Version": "2012-10-17", "Statement": ["allow"]}),
            json.dumps({"Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}),
            key_policy(ROOT, Effect="Maybe"),
            key_policy(ROOT, Actions="kms:*"),
            key_policy(ROOT, Condition="none"),
            key_policy(ROOT, Condition={"StringIs": {"aws:PrincipalOrgID": "o-1"}}),
            key_policy(ROOT, Condition={"NullIfExists": {"aws:PrincipalOrgID": "true"}}),
            key_policy(ROOT, Condition={"StringEquals": "o-1"}),
            key_policy(ROOT, Condition={"StringEquals": {"aws:PrincipalOrgID": None}}),
            key_policy(ROOT, Condition={"StringEquals": {"aws:PrincipalOrgID": [["o-1"]]}}),
        ],
    )
    def test_what_is_no_policy(self, kms: Any, primary: str, policy: str) -> None:
        assert {code for code, _ in self.refusals(kms, primary, policy)} == {MALFORMED}

    @pytest.mark.parametrize(
        "principal",
        [
            f"arn:aws:iam::{ACCOUNT_ID}:role/nobody-has-this-name",
            f"arn:aws:iam::{ACCOUNT_ID}:user/nobody-has-this-name",
            f"arn:aws:iam::{ACCOUNT_ID}:role/*",
            f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/nobody-has-this-name/session",
            "arn:aws:iam::444455556666:role/nobody-has-this-name",
            "KeyAdmin",
        ],
    )
    def test_principals_must_exist(self, kms: Any, primary: str, principal: str) -> None:
        assert self.refusals(kms, primary, key_policy(ROOT, principal)) == {NO_PRINCIPAL}

    def test_principals_that_exist(self, emulator: Endpoint, kms: Any, primary: str) -> None:
        name = f"role-{uuid.uuid4()}"
        role = emulator.create_role(name, path="/team/")
        without_path = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"

        policy = key_policy(ROOT, role, "444455556666", "arn:aws:iam::444455556666:root")
        kms.put_key_policy(KeyId=primary, Policy=policy)
        refused = refusal(kms.put_key_policy, KeyId=primary, Policy=key_policy(ROOT, without_path))
        assert refused == NO_PRINCIPAL

    def test_a_young_principal_is_not_seen(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        role = emulator.create_role(f"role-{uuid.uuid4()}")
        new = {"KeyId": primary, "Policy": key_policy(ROOT, role)}

        with emulator.changed_kms_settings(principal_seconds=60):
            assert refusal(kms.put_key_policy, **new) == NO_PRINCIPAL
            emulator.change_kms_settings(clock_shift_seconds=61)
            assert kms.put_key_policy(**new)

    def with_service(self, service: str) -> str:
        policy = json.loads(key_policy(ROOT))
        decrypt = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
        policy["Statement"].append({**decrypt, "Principal": {"Service": service}})
        return json.dumps(policy)

    @pytest.mark.parametrize(
        "service",
        [
            *("s3.amazonaws.com", "logs.us-east-1.amazonaws.com", "delivery.logs.amazonaws.com"),
            *("edgelambda.amazonaws.com", "events.amazonaws.com", "states.eu-west-1.amazonaws.com"),
        ],
    )
    def test_a_service_can_be_a_principal(self, kms: Any, primary: str, service: str) -> None:
        assert kms.put_key_policy(KeyId=primary, Policy=self.with_service(service))

    @pytest.mark.parametrize(
        "service",
        [
            *("s3.example.com", "s33.amazonaws.com", "us-east-1.amazonaws.com", "amazonaws.com"),
            *("nothing.us-east-1.amazonaws.com", f"arn:aws:iam::{ACCOUNT_ID}:role/Service"),
        ],
    )
    def test_what_is_no_service_is_none(self, kms: Any, primary: str, service: str) -> None:
        assert self.refusals(kms, primary, self.with_service(service)) == {NO_PRINCIPAL}

    def test_a_service_of_a_region_that_is_not_enabled_is_none(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        policy = self.with_service("logs.ap-east-1.amazonaws.com")

        assert kms.put_key_policy(KeyId=primary, Policy=policy)
        with emulator.changed_kms_settings(disabled_regions=["ap-east-1"]):
            assert self.refusals(kms, primary, policy) == {NO_PRINCIPAL}

    @pytest.mark.parametrize("missing", ["Action", "Resource"])
    def test_a_statement_without_an_action_or_a_resource(
        self, kms: Any, primary: str, missing: str
    ) -> None:
        policy = json.loads(key_policy(ROOT))
        policy["Statement"].append({**policy["Statement"][0]})
        del policy["Statement"][1][missing]

        refused = self.refusals(kms, primary, json.dumps(policy))
        assert {code for code, _ in refused} == {MALFORMED}

    @pytest.mark.parametrize("sid", ["\u0100", "\u4f60", "\U0001f511"])
    def test_a_character_beyond_latin_1(self, kms: Any, primary: str, sid: str) -> None:
        written_out = json.loads(key_policy(ROOT, Sid=sid))
        policy = json.dumps(written_out, ensure_ascii=False)

        assert {code for code, _ in self.refusals(kms, primary, policy)} == {"ValidationException"}
        kms.put_key_policy(KeyId=primary, Policy=key_policy(ROOT, Sid="\u00ff\u0001"))

    @pytest.mark.parametrize(
        "operator",
        [
            *("StringEquals", "stringnotequalsignorecase", "ForAnyValue:StringLikeIfExists"),
            *("NumericLessThanEquals", "DateGreaterThan", "Bool", "NotIpAddress", "ArnNotLike"),
            *("BinaryEquals", "Null"),
        ],
    )
    def test_every_operator_of_iam_is_taken(self, kms: Any, primary: str, operator: str) -> None:
        policy = json.loads(key_policy(ROOT))
        condition = {operator: {"aws:PrincipalOrgID": ["o-1", 1, True]}}
        policy["Statement"].append({**policy["Statement"][0], "Condition": condition})

        assert kms.put_key_policy(KeyId=primary, Policy=json.dumps(policy))

    def test_a_policy_of_more_than_32_kilobytes(self, kms: Any, primary: str) -> None:
        policy = key_policy(ROOT, Sid="x" * 32 * 1024)

        codes = {code for code, _ in self.refusals(kms, primary, policy)}
        assert codes == {"LimitExceededException"}

    def test_a_policy_that_locks_its_author_out(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        other = emulator.create_role(f"role-{uuid.uuid4()}")

        assert self.refusals(kms, primary, key_policy(other)) == {LOCKED_OUT}
        reading = key_policy(ROOT, action="kms:Describe*")
        assert self.refusals(kms, primary, reading) == {LOCKED_OUT}
        bypass = {"Policy": key_policy(other), "BypassPolicyLockoutSafetyCheck": True}
        assert kms.create_key(**bypass)
        assert kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER, **bypass)
        assert kms.put_key_policy(KeyId=primary, **bypass)

    def test_a_role_may_name_itself_where_the_account_is_no_help(self, emulator: Endpoint) -> None:
        name = f"role-{uuid.uuid4()}"
        create = {"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"}
        role = emulator.create_role(name, policy={"Version": "2012-10-17", "Statement": [create]})
        own = emulator.client("kms", HOME, emulator.credentials_of(name))

        assert own.create_key(Policy=key_policy(role))
        assert refusal(own.create_key, Policy=key_policy(ROOT)) == LOCKED_OUT


class TestReadingPolicies:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html."""

    POLICY: ClassVar = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ours",
                "Effect": "Allow",
                "Principal": {"AWS": [ACCOUNT_ID]},
                "Action": ["kms:*"],
                "Resource": ["*"],
            },
            {
                "Sid": "others",
                "Effect": "Allow",
                "Principal": {"AWS": ["444455556666", "arn:aws:iam::555566667777:root"]},
                "Action": ["kms:Encrypt", "kms:Decrypt"],
                "Resource": "*",
                "Condition": {
                    "Bool": {"aws:SecureTransport": True},
                    "NumericLessThan": {"aws:MultiFactorAuthAge": 300},
                },
            },
        ],
    }

    def read(self, kms: Any, key: str) -> dict[str, Any]:
        policy: dict[str, Any] = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
        return policy

    def test_a_policy_is_given_back_as_kms_writes_it(self, kms: Any, primary: str) -> None:
        kms.put_key_policy(KeyId=primary, Policy=json.dumps(self.POLICY))

        found = {one["Sid"]: one for one in self.read(kms, primary)["Statement"]}
        assert found["ours"]["Principal"] == {"AWS": ROOT}
        assert (found["ours"]["Action"], found["ours"]["Resource"]) == ("kms:*", "*")
        assert set(found["others"]["Principal"]["AWS"]) == {
            f"arn:aws:iam::{account}:root" for account in ("444455556666", "555566667777")
        }
        assert found["others"]["Condition"] == {
            "Bool": {"aws:SecureTransport": "true"},
            "NumericLessThan": {"aws:MultiFactorAuthAge": "300"},
        }

    def test_two_reads_differ_in_order_alone(self, kms: Any, primary: str) -> None:
        kms.put_key_policy(KeyId=primary, Policy=json.dumps(self.POLICY))

        first, second = self.read(kms, primary), self.read(kms, primary)
        assert first != second
        for read in (first, second):
            assert same_meaning(read, self.POLICY, partition="aws")

    def test_a_principal_that_is_gone_shows_as_its_id(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        name = f"role-{uuid.uuid4()}"
        role, iam = emulator.create_role(name), emulator.client("iam")
        policy = key_policy(ROOT, role)
        kms.put_key_policy(KeyId=primary, Policy=policy)
        iam.delete_role(RoleName=name)
        emulator.create_role(name)

        read = self.read(kms, primary)
        (gone,) = gone_principals(read)
        assert set(read["Statement"][0]["Principal"]["AWS"]) == {ROOT, gone}
        assert not same_meaning(read, json.loads(policy), partition="aws")
        assert refusal(kms.put_key_policy, KeyId=primary, Policy=json.dumps(read)) == NO_PRINCIPAL
        kms.put_key_policy(KeyId=primary, Policy=policy)
        assert set(self.read(kms, primary)["Statement"][0]["Principal"]["AWS"]) == {ROOT, role}
        assert gone_principals(self.read(kms, primary)) == []

    def test_a_policy_can_be_given_back_as_it_was_put(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        kms.put_key_policy(KeyId=primary, Policy=json.dumps(self.POLICY))

        with emulator.changed_kms_settings(rewrites_policies=False):
            assert self.read(kms, primary) == self.POLICY


class TestAliases:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html."""

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("alias/aws/s3", "NotAuthorizedException"),
            ("alias/aws/ours", "NotAuthorizedException"),
            ("orders", "ValidationException"),
            ("alias/", "ValidationException"),
            ("alias/orders!", "ValidationException"),
            ("alias/orders:eu", "ValidationException"),
            ("alias/" + "x" * 251, "ValidationException"),
        ],
    )
    def test_names_that_are_not_allowed(self, kms: Any, primary: str, name: str, code: str) -> None:
        assert refusal(kms.create_alias, AliasName=name, TargetKeyId=primary)[0] == code

    def test_a_name_of_256_characters(self, kms: Any, primary: str) -> None:
        name = alias_name()
        assert kms.create_alias(AliasName=name.ljust(256, "x"), TargetKeyId=primary)

    def test_a_name_is_taken_once_in_a_region(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        name = alias_name()
        kms.create_alias(AliasName=name, TargetKeyId=primary)
        arn = f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{name}"

        again = refusal(kms.create_alias, AliasName=name, TargetKeyId=primary)
        message = f"An alias with the name {arn} already exists"
        assert again == ("AlreadyExistsException", message)
        elsewhere = emulator.client("kms", OTHER)
        other_key = elsewhere.create_key()["KeyMetadata"]["KeyId"]
        assert elsewhere.create_alias(AliasName=name, TargetKeyId=other_key)

    def test_the_target_must_be_a_key_of_this_region(
        self, emulator: Endpoint, kms: Any, primary: str
    ) -> None:
        name = alias_name()
        kms.create_alias(AliasName=name, TargetKeyId=primary)
        elsewhere = emulator.client("kms", OTHER).create_key()["KeyMetadata"]
        new = alias_name()

        for target, code in (
            (name, "ValidationException"),
            (f"mrk-{'0' * 32}", "NotFoundException"),
            (elsewhere["KeyId"], "NotFoundException"),
            (elsewhere["Arn"], "NotFoundException"),
        ):
            assert refusal(kms.create_alias, AliasName=new, TargetKeyId=target)[0] == code

    def test_a_key_that_is_leaving_gets_no_alias(self, kms: Any, primary: str) -> None:
        name = alias_name()
        kms.create_alias(AliasName=name, TargetKeyId=primary)
        kms.schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)

        refused = refusal(kms.create_alias, AliasName=alias_name(), TargetKeyId=primary)
        arn = f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:key/{primary}"
        assert refused == ("KMSInvalidStateException", f"{arn} is pending deletion.")
        assert kms.delete_alias(AliasName=name)

    def test_a_key_has_at_most_50_aliases(self, kms: Any, primary: str) -> None:
        names = [alias_name() for _ in range(50)]
        for name in names:
            kms.create_alias(AliasName=name, TargetKeyId=primary)

        refused = refusal(kms.create_alias, AliasName=alias_name(), TargetKeyId=primary)
        assert refused[0] == "LimitExceededException"
        kms.delete_alias(AliasName=names[0])
        assert kms.create_alias(AliasName=alias_name(), TargetKeyId=primary)

    def test_an_alias_that_is_not_there(self, kms: Any, primary: str) -> None:
        name = alias_name()
        missing = (
            "NotFoundException",
            f"Alias arn:aws:kms:{HOME}:{ACCOUNT_ID}:{name} is not found.",
        )

        assert refusal(kms.delete_alias, AliasName=name) == missing
        assert refusal(kms.update_alias, AliasName=name, TargetKeyId=primary) == missing
        assert refusal(kms.describe_key, KeyId=name) == missing
