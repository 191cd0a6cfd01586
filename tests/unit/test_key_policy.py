import json
import time
from typing import Any

import pytest

from provisioner import key_policy
from provisioner.key_policy import check_policy, console_policy, default_policy, is_principal
from tests.key_kinds import KEY_KINDS
from tests.unit.samples import ACCOUNT, ADMIN, ROOT, USER

ACCOUNT_STATEMENT = {
    "Sid": "Enable IAM User Permissions",
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": "kms:*",
    "Resource": "*",
}
ADMINISTRATOR_ACTIONS = [
    "kms:Create*",
    "kms:Describe*",
    "kms:Enable*",
    "kms:List*",
    "kms:Put*",
    "kms:Update*",
    "kms:Revoke*",
    "kms:Disable*",
    "kms:Get*",
    "kms:Delete*",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
    "kms:RotateKeyOnDemand",
    "kms:ReplicateKey",
    "kms:UpdatePrimaryRegion",
]
SYMMETRIC = ["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "DescribeKey"]
MAC = ["GenerateMac", "VerifyMac", "DescribeKey"]
ENCRYPTION = ["Encrypt", "Decrypt", "ReEncrypt*", "DescribeKey", "GetPublicKey"]
SIGNING = ["Sign", "Verify", "DescribeKey", "GetPublicKey"]
AGREEMENT = ["DeriveSharedSecret", "DescribeKey", "GetPublicKey"]
USER_ACTIONS = {
    "ENCRYPT_DECRYPT": ENCRYPTION,
    "GENERATE_VERIFY_MAC": MAC,
    "SIGN_VERIFY": SIGNING,
    "KEY_AGREEMENT": AGREEMENT,
}


def build(
    kind: tuple[str, str, str] = KEY_KINDS[0],
    administrators: list[str] | None = None,
    users: list[str] | None = None,
) -> dict[str, Any]:
    spec, usage, origin = kind
    return console_policy(
        partition="aws",
        account_id=ACCOUNT,
        administrators=administrators or [],
        users=users or [],
        key_spec=spec,
        key_usage=usage,
        origin=origin,
    )


def codes_of(policy: dict[str, Any]) -> set[tuple[str, str]]:
    problems = check_policy(policy, "p", partition="aws", account_id=ACCOUNT)
    return {(problem["path"], problem["code"]) for problem in problems}


def with_statement(**elements: Any) -> dict[str, Any]:
    second = {**ACCOUNT_STATEMENT, "Sid": "Second", "Principal": {"AWS": USER}, **elements}
    return {"Version": "2012-10-17", "Statement": [ACCOUNT_STATEMENT, second]}


def test_the_default_policy_is_the_one_of_kms() -> None:
    assert default_policy("aws", ACCOUNT) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [ACCOUNT_STATEMENT],
    }


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_account_is_named_in_its_own_partition(partition: str) -> None:
    statement = default_policy(partition, ACCOUNT)["Statement"][0]

    assert statement["Principal"] == {"AWS": f"arn:{partition}:iam::{ACCOUNT}:root"}


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_each_kind_of_key_gets_the_consoles_statements(kind: tuple[str, str, str]) -> None:
    spec, usage, origin = kind

    policy = build(kind, administrators=[ADMIN], users=[USER])

    imports = ["kms:ImportKeyMaterial"] if origin == "EXTERNAL" else []
    use = SYMMETRIC if spec == "SYMMETRIC_DEFAULT" else USER_ACTIONS[usage]
    assert policy == {
        "Version": "2012-10-17",
        "Id": "key-consolepolicy-3",
        "Statement": [
            ACCOUNT_STATEMENT,
            {
                "Sid": "Allow access for Key Administrators",
                "Effect": "Allow",
                "Principal": {"AWS": [ADMIN]},
                "Action": ADMINISTRATOR_ACTIONS + imports,
                "Resource": "*",
            },
            {
                "Sid": "Allow use of the key",
                "Effect": "Allow",
                "Principal": {"AWS": [USER]},
                "Action": [f"kms:{name}" for name in use],
                "Resource": "*",
            },
            {
                "Sid": "Allow attachment of persistent resources",
                "Effect": "Allow",
                "Principal": {"AWS": [USER]},
                "Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
                "Resource": "*",
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            },
        ],
    }


@pytest.mark.parametrize(
    ("principals", "sids"),
    [
        ({"administrators": [ADMIN]}, ["Allow access for Key Administrators"]),
        (
            {"users": [USER]},
            ["Allow use of the key", "Allow attachment of persistent resources"],
        ),
        ({}, []),
    ],
)
def test_nobody_in_a_list_means_no_statement_for_it(
    principals: dict[str, list[str]], sids: list[str]
) -> None:
    statements = build(**principals)["Statement"]  # type: ignore[arg-type]

    assert [s["Sid"] for s in statements] == ["Enable IAM User Permissions", *sids]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_what_is_built_passes_the_checks_of_what_is_given(kind: tuple[str, str, str]) -> None:
    assert codes_of(build(kind, administrators=[ADMIN], users=[USER, ADMIN])) == set()


def test_a_policy_is_sent_compact_and_counted_in_bytes() -> None:
    policy = {"Version": "2012-10-17", "Id": "é"}

    assert key_policy.policy_text(policy) == '{"Version":"2012-10-17","Id":"é"}'
    assert key_policy.policy_bytes(policy) == 34


def test_a_policy_of_exactly_32_kb_is_taken() -> None:
    policy = with_statement(Sid="")
    room = 32_768 - key_policy.policy_bytes(policy)

    assert codes_of(with_statement(Sid="s" * room)) == set()
    assert codes_of(with_statement(Sid="s" * (room + 1))) == {("p", "POLICY_TOO_LARGE")}


@pytest.mark.parametrize(
    "policy",
    [
        default_policy("aws", ACCOUNT),
        {"Statement": ACCOUNT_STATEMENT},
        {
            "Version": "2008-10-17",
            "Statement": [{**ACCOUNT_STATEMENT, "Principal": {"AWS": ACCOUNT}}],
        },
        {"Statement": [{**ACCOUNT_STATEMENT, "Action": "*"}]},
        {"Statement": [{**ACCOUNT_STATEMENT, "Action": ["kms:Get*", "KMS:putkeypolicy"]}]},
        {"Statement": [{**ACCOUNT_STATEMENT, "Action": "kms:PutKeyPolic?"}]},
        {"Statement": [{**ACCOUNT_STATEMENT, "Condition": {}}]},
        with_statement(Principal={"Service": "logs.us-east-1.amazonaws.com"}),
        with_statement(Principal={"Federated": "cognito-identity.amazonaws.com"}),
        with_statement(Principal={"AWS": [USER, "444455556666"], "Service": ["s3.amazonaws.com"]}),
        with_statement(Effect="Deny", Principal="*", Action="kms:ScheduleKeyDeletion"),
        with_statement(
            Effect="Deny", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}}
        ),
        with_statement(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        with_statement(
            Principal={"AWS": "*"}, Condition={"StringLike": {"kms:CallerAccount": ACCOUNT}}
        ),
        with_statement(Principal="*", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
        with_statement(
            Principal="*",
            Condition={"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": ["o-1/r-1/ou-1/"]}},
        ),
    ],
)
def test_a_sound_policy_is_taken(policy: dict[str, Any]) -> None:
    assert codes_of(policy) == set()


def test_others_may_be_denied_everything_by_not_principal() -> None:
    policy = with_statement(Effect="Deny")
    del policy["Statement"][1]["Principal"]

    for spared in ({"AWS": [ROOT, ADMIN]}, {"AWS": ACCOUNT}):
        policy["Statement"][1]["NotPrincipal"] = spared
        assert codes_of(policy) == set()
    policy["Statement"][1]["NotPrincipal"] = {"AWS": ADMIN}
    assert codes_of(policy) == {("p", "POLICY_LOCKS_OUT")}


def test_not_action_counts_as_everything_else() -> None:
    def granting(not_action: str) -> dict[str, Any]:
        statement = {**ACCOUNT_STATEMENT, "NotAction": not_action}
        del statement["Action"]
        return {"Statement": [statement]}

    assert codes_of(granting("kms:Decrypt")) == set()
    assert codes_of(granting("kms:Put*")) == {("p", "POLICY_LOCKS_OUT")}


@pytest.mark.parametrize(
    "elements",
    [
        {"Resource": "arn:AWS:kms:*"},
        {"Action": "\N{KELVIN SIGN}ms:PutKeyPolicy"},
        {"Action": "kms:PutKeyPolic[y]"},
    ],
)
def test_what_kms_does_not_read_as_the_account_locks_out(elements: dict[str, Any]) -> None:
    policy = {"Statement": [{**ACCOUNT_STATEMENT, **elements}]}

    assert codes_of(policy) & {
        ("p", "POLICY_LOCKS_OUT"),
        ("p.Statement[0].Action", "POLICY_ACTION_NOT_KMS"),
    }


@pytest.mark.parametrize(
    "operator",
    [
        *("StringEquals", "stringnotequalsignorecase", "ForAnyValue:StringLike"),
        *("ForAllValues:StringNotLikeIfExists", "NumericLessThanEquals", "NumericNotEquals"),
        *("DateGreaterThan", "DateEqualsIfExists", "Bool", "BinaryEquals", "IpAddress"),
        *("NotIpAddress", "ArnEquals", "ArnNotLike", "Null"),
    ],
)
def test_every_operator_of_iam_is_known(operator: str) -> None:
    condition = {operator: {"aws:PrincipalOrgID": ["o-1", 1, 1.5, True], "aws:userid": "x"}}

    assert codes_of(with_statement(Condition=condition)) == set()


@pytest.mark.parametrize(
    "condition",
    [
        {"StringIs": {"aws:userid": "x"}},
        {"NullIfExists": {"aws:userid": "true"}},
        {"ForAnyValue:Null": {"aws:userid": "true"}},
        {"StringEquals\n": {"aws:userid": "x"}},
        {"\N{LATIN SMALL LETTER LONG S}tringEquals": {"aws:userid": "x"}},
        {"StringEquals": {"aws:userid": None}},
        {"StringEquals": {"aws:userid": {"x": "y"}}},
        {"StringEquals": {"aws:userid": ["x", ["y"]]}},
        {"StringEquals": ["aws:userid", "x"]},
    ],
)
def test_a_condition_that_iam_does_not_know_is_refused(condition: dict[str, Any]) -> None:
    codes = codes_of(with_statement(Condition=condition))

    assert ("p.Statement[1].Condition", "POLICY_MALFORMED") in codes


def test_a_character_that_no_key_policy_can_hold_is_refused_and_named() -> None:
    assert codes_of(with_statement(Sid="\u0000\t\u00ff")) == set()
    (problem,) = check_policy(
        with_statement(Sid="a\u0100"), "p", partition="aws", account_id=ACCOUNT
    )

    assert (problem["path"], problem["code"]) == ("p", "POLICY_CHARACTERS")
    assert "U+0100" in problem["message"]


@pytest.mark.parametrize("element", ["Action", "NotAction", "Resource", "NotResource"])
def test_no_pattern_takes_long_to_be_read(element: str) -> None:
    policy = {"Statement": [ACCOUNT_STATEMENT, {**ACCOUNT_STATEMENT, "Effect": "Deny"}]}
    del policy["Statement"][1][element.removeprefix("Not")]
    policy["Statement"][1][element] = ["kms:" + "*" * 100 + "x", "arn:" + "*0" * 100]
    started = time.process_time()

    codes_of(policy)

    assert time.process_time() - started < 1


def test_not_resource_stands_for_a_resource() -> None:
    policy = with_statement(NotResource="arn:aws:kms:us-east-1:444455556666:key/x")
    del policy["Statement"][1]["Resource"]

    assert codes_of(policy) == set()


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"StringEquals": {"aws:PrincipalOrgID": []}},
        {"StringEquals": {"aws:PrincipalOrgID": "${aws:PrincipalOrgID}"}},
        {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/x"}},
        {"StringLike": {"aws:PrincipalOrgID": "o-?"}},
        {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "::/0"]}},
        {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"ForAllValues:StringEquals": {"aws:PrincipalOrgPaths": "o-1/*"}},
        {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}},
        {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
        {"Null": {"aws:PrincipalOrgID": "false"}},
    ],
)
def test_a_condition_that_names_no_fixed_caller_leaves_a_key_open(
    condition: dict[str, Any],
) -> None:
    policy = with_statement(Principal="*", Condition=condition)

    assert codes_of(policy) == {("p.Statement[1].Principal", "POLICY_OPEN_TO_ALL")}


@pytest.mark.parametrize(
    "name",
    [
        ADMIN,
        ROOT,
        ACCOUNT,
        f"arn:aws:iam::{ACCOUNT}:user/division/alice@example.com",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/KeyAdmin/session",
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/mrk.kms.amazonaws.com/Role",
    ],
)
def test_a_principal_of_the_partition_is_taken(name: str) -> None:
    assert is_principal(name, "aws")
    assert not is_principal(name.replace("arn:aws:", "arn:aws-cn:") + " ", "aws")


def test_a_policy_survives_json() -> None:
    policy = build(administrators=[ADMIN], users=[USER])

    assert json.loads(key_policy.policy_text(policy)) == policy
