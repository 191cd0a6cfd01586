import json
from typing import Any

import pytest

from provisioner.domain import key_policy
from provisioner.domain.key_policy import check_policy, console_policy, default_policy, is_principal
from tests.support.key_kinds import KEY_KINDS
from tests.support.samples import ACCOUNT, ADMIN, ROOT, USER
from tests.support.timing import takes_less_than

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
    problems = check_policy(policy, "p", partition="aws")
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
    (problem,) = check_policy(with_statement(Sid="a\u0100"), "p", partition="aws")

    assert (problem["path"], problem["code"]) == ("p", "POLICY_CHARACTERS")
    assert "U+0100" in problem["message"]


@pytest.mark.parametrize("element", ["Action", "NotAction", "Resource", "NotResource"])
def test_no_pattern_takes_long_to_be_read(element: str) -> None:
    policy = {"Statement": [ACCOUNT_STATEMENT, {**ACCOUNT_STATEMENT, "Effect": "Deny"}]}
    del policy["Statement"][1][element.removeprefix("Not")]
    policy["Statement"][1][element] = ["kms:" + "*" * 100 + "x", "arn:" + "*0" * 100]

    assert takes_less_than(1, lambda: codes_of(policy))


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:s3:::cards/*",
        f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*",
        f"arn:aws:kms:*:{ACCOUNT}:key/*",
        ["*", "arn:aws:dynamodb:*"],
        "**",
    ],
)
def test_a_resource_other_than_this_key_is_refused(resource: str | list[str]) -> None:
    problem = ("p.Statement[1].Resource", "POLICY_RESOURCE_IGNORED")

    assert codes_of(with_statement(Resource=resource)) == {problem}
    assert codes_of(with_statement(Resource=["*", "*"])) == set()


@pytest.mark.parametrize("given", ["*", "arn:aws:kms:us-east-1:444455556666:key/x"])
def test_a_key_policy_has_no_not_resource(given: str) -> None:
    policy = with_statement(NotResource=given)
    del policy["Statement"][1]["Resource"]

    assert codes_of(policy) == {("p.Statement[1].NotResource", "POLICY_RESOURCE_IGNORED")}


@pytest.mark.parametrize(
    ("operator", "key"),
    [
        ("StringEquals", "aws:ResourceTag/team"),
        ("StringLike", "AWS:resourcetag/x"),
        ("ForAnyValue:StringLike", "kms:ResourceAliases"),
        ("ForAllValues:StringEquals", "kms:EncryptionContext:tenant"),
        ("forallvalues:stringlike", "aws:RequestTag/team"),
    ],
)
def test_a_condition_that_no_key_policy_can_have_is_refused(operator: str, key: str) -> None:
    problem = (f"p.Statement[1].Condition.{operator}.{key}", "POLICY_CONDITION_NOT_TAKEN")

    assert codes_of(with_statement(Condition={operator: {key: "x"}})) == {problem}


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


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-a1b2c3d4e5/r-ab12/ou-ab12-1/*"}},
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/*"]}},
        {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/*/Dev_*"}},
        {"StringLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:*", ADMIN]}},
        {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/x/*"}},
        {"StringLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*", ACCOUNT]}},
        {"ArnLike": {"aws:SourceArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:*"}},
    ],
)
def test_a_wildcard_behind_a_fixed_account_organisation_or_role_is_fixed(
    condition: dict[str, Any],
) -> None:
    assert codes_of(with_statement(Principal="*", Condition=condition)) == set()


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-*/r-ab12/*"}},
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/*", "*"]}},
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-a1b2c3d4e5*"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/aws-reserved/Dev_*"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::11112222*:role/Dev"}},
        {"StringLike": {"aws:PrincipalArn": f"arn:*:iam::{ACCOUNT}:role/x"}},
        {"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/${{aws:username}}"}},
        {"StringLike": {"aws:userId": "AROA*"}},
        {"StringLike": {"aws:userId": "*:session"}},
        {"StringLike": {"aws:userId": "AROAEXAMPLEEXAMPLE00*"}},
        {"StringLike": {"aws:PrincipalAccount": "1111*"}},
    ],
)
def test_a_wildcard_in_the_place_of_account_organisation_or_role_leaves_a_key_open(
    condition: dict[str, Any],
) -> None:
    policy = with_statement(Principal="*", Condition=condition)

    assert codes_of(policy) == {("p.Statement[1].Principal", "POLICY_OPEN_TO_ALL")}


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        ({"Service": "cloudtrail.amazon.com"}, "ends in .amazonaws.com"),
        ({"Service": "logs.cn-north-1.amazonaws.com.cn"}, "ends in .amazonaws.com"),
        ({"Service": ["s3.amazonaws.com", "*.amazonaws.com"]}, "'*.amazonaws.com'"),
        ({"Service": ".amazonaws.com"}, "'.amazonaws.com'"),
        ({"Service": "s3 .amazonaws.com"}, "'s3 .amazonaws.com'"),
        ({"Service": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x/Y"}, "stands under AWS"),
        ({"Federated": "*.example.com"}, "no wildcards"),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/KeyAdmin"}, "name of the session"),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/KeyAdmin/"}, "name of the session"),
        ({"AWS": [USER, f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin/"]}, "not with a slash"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/team/"}, "not with a slash"),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/path/KeyAdmin/me"}, "is none"),
        ({"AWS": "x" * 600}, "xxx...'"),
        ({"AWS": "AROAEXAMPLEEXAMPLE00"}, "is none"),
    ],
)
def test_what_form_alone_shows_to_be_no_principal_is_refused_and_named(
    principal: dict[str, Any], words: str
) -> None:
    (problem,) = check_policy(with_statement(Principal=principal), "p", partition="aws")

    assert (problem["path"], problem["code"]) == (
        "p.Statement[1].Principal",
        "POLICY_PRINCIPAL_INVALID",
    )
    assert words in problem["message"]


@pytest.mark.parametrize(
    ("partition", "service"),
    [
        ("aws", "delivery.logs.amazonaws.com"),
        ("aws-us-gov", "logs.us-gov-west-1.amazonaws.com"),
        ("aws-cn", "logs.cn-north-1.amazonaws.com.cn"),
        ("aws-cn", "cloudtrail.amazonaws.com"),
        ("aws-iso", "ec2.c2s.ic.gov"),
    ],
)
def test_a_service_principal_has_a_domain_of_its_partition(partition: str, service: str) -> None:
    policy = default_policy(partition, ACCOUNT)
    policy["Statement"].append({**ACCOUNT_STATEMENT, "Principal": {"Service": service}})

    assert check_policy(policy, "p", partition=partition) == []


KNOWN = {"us-east-1", "eu-west-1", "us-west-2", "ap-south-1"}


@pytest.mark.parametrize(
    ("elements", "place"),
    [
        ({"Principal": {"Service": "logs.us-east-1.amazonaws.com"}}, "Principal.Service"),
        (
            {"Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}},
            "Condition.StringEquals.kms:ViaService",
        ),
        (
            {"Condition": {"ArnLike": {"aws:SourceArn": ["x", "arn:aws:sns:us-east-1:1:t"]}}},
            "Condition.ArnLike.aws:SourceArn",
        ),
        (
            {
                "Condition": {
                    "StringLike": {
                        "kms:ViaService": [
                            *("s3.us-east-1.amazonaws.com", "sqs.*.amazonaws.com"),
                            *("s3.us-west-2.amazonaws.com", "sqs.us-east-1.amazonaws.com"),
                        ]
                    }
                }
            },
            "Condition.StringLike.kms:ViaService",
        ),
    ],
)
def test_what_names_other_regions_than_a_replica_that_inherits_it_is_pointed_out(
    elements: dict[str, Any], place: str
) -> None:
    policy = with_statement(**elements)

    (warning,) = key_policy.region_warnings(policy, "p", ["eu-west-1"], KNOWN)

    assert (warning["path"], warning["code"]) == (
        f"p.Statement[1].{place}",
        "POLICY_NAMES_OTHER_REGION",
    )
    assert "us-east-1" in warning["message"]
    assert "eu-west-1" in warning["message"]
    assert [*key_policy.region_warnings(policy, "p", ["us-east-1"], KNOWN)] == []
    assert [*key_policy.region_warnings(policy, "p", [], KNOWN)] == []


@pytest.mark.parametrize(
    "elements",
    [
        {"Principal": {"Service": "logs.amazonaws.com"}},
        {
            "Principal": {
                "Service": ["logs.us-east-1.amazonaws.com", "logs.eu-west-1.amazonaws.com"]
            }
        },
        {"Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}},
        {
            "Condition": {
                "StringLike": {
                    "kms:ViaService": ["s3.us-east-1.amazonaws.com", "s3.eu-*.amazonaws.com"]
                }
            }
        },
        {"Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}}},
        {"Sid": "us-east-1"},
    ],
)
def test_what_names_no_region_or_the_replicas_too_is_not(elements: dict[str, Any]) -> None:
    policy = with_statement(**elements)

    assert [*key_policy.region_warnings(policy, "p", ["eu-west-1"], KNOWN)] == []


def test_a_warning_shortens_a_long_list_of_regions() -> None:
    policy = with_statement(Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}})
    others = [f"eu-west-{number}" for number in range(9)]

    (warning,) = key_policy.region_warnings(policy, "p", others, KNOWN)

    assert "eu-west-5, and more, where" in warning["message"]


def test_a_policy_survives_json() -> None:
    policy = build(administrators=[ADMIN], users=[USER])

    assert json.loads(key_policy.policy_text(policy)) == policy
