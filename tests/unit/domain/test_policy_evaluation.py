"""The evaluation of key policies: its logic, AWS's own examples, and another's evaluator."""

import json
from collections import Counter
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

from provisioner.domain.policy_evaluation import Context, KeyPolicy, Role, Truth, Value, values_of
from tests.support.samples import ACCOUNT, ADMIN, ROOT

ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/stack/CreatePrimaryKey", "AROA00000000000000001")
OTHER = "444455556666"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/CreatePrimaryKey/function"


def policy_of(*statements: dict[str, Any], version: str = "2012-10-17") -> KeyPolicy:
    return KeyPolicy({str(place): one for place, one in enumerate(statements)}, version)


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    usual = {"Effect": effect, "Principal": "*", "Action": "kms:*", "Resource": "*"}
    return {name: value for name, value in {**usual, **elements}.items() if value is not ...}


def allowed(
    *statements: dict[str, Any], action: str = "kms:DescribeKey", context: Context | None = None
) -> Truth:
    return policy_of(*statements).may(ROLE, action, context or {}).allowed


def holds(operator: str, wanted: Any, *values: Value, key: str = "kms:Key") -> Truth:
    """Say whether a condition holds for a key that may have these values; without any, unknown."""
    context = {key.lower(): values} if values else {}
    return allowed(statement(Condition={operator: {key: wanted}}), context=context)


# ------------------------------------------------------------------------ whom it is about


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ROLE.arn}, True),
        ({"AWS": [ADMIN, ROLE.arn]}, True),
        ({"AWS": ROOT}, True),
        ({"AWS": ACCOUNT}, True),
        ({"AWS": ADMIN}, False),
        ({"AWS": ROLE.arn.replace("/stack/", "/")}, False),
        ({"AWS": OTHER}, False),
        ({"AWS": ROOT.replace("arn:aws:", "arn:aws-cn:")}, False),
        ({"AWS": []}, False),
        ({"Service": "lambda.amazonaws.com"}, False),
        ({"Service": "lambda.amazonaws.com", "AWS": ROLE.arn}, True),
        ({"AWS": SESSION}, None),
        ({"AWS": [SESSION, ROOT]}, True),
        (..., False),
    ],
)
def test_a_statement_is_about_whom_its_principal_names(principal: Any, *, expected: Truth) -> None:
    assert allowed(statement(Principal=principal)) is expected
    denied = allowed(statement(), statement("Deny", Principal=principal))
    assert denied is (None if expected is None else not expected)


@pytest.mark.parametrize(
    ("spared", "expected"),
    [
        ("*", True),
        ({"AWS": [ROLE.arn, ROOT]}, None),
        ({"AWS": [ROLE.arn, ACCOUNT, SESSION]}, None),
        ({"AWS": ROLE.arn}, None),
        ({"AWS": [SESSION, ROOT]}, None),
        ({"AWS": [SESSION]}, None),
        ({"AWS": ROOT}, False),
        ({"AWS": [ADMIN, ROOT]}, False),
        ({"Service": "lambda.amazonaws.com"}, False),
    ],
)
def test_not_principal_spares_nobody_of_an_account_but_who_is_named(
    spared: Any, *, expected: Truth
) -> None:
    deny = statement("Deny", Principal=..., NotPrincipal=spared)

    assert allowed(statement(), deny) is expected


def test_allow_with_not_principal_is_nothing_to_rely_on() -> None:
    assert allowed(statement(Principal=..., NotPrincipal={"AWS": ADMIN})) is None


# ------------------------------------------------------------------------ what it is about


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Action": "kms:DescribeKey"}, True),
        ({"Action": "KMS:dEsCrIbEkEy"}, True),
        ({"Action": ["kms:Encrypt", "kms:Desc*"]}, True),
        ({"Action": "kms:?escribeKey"}, True),
        ({"Action": "*"}, True),
        ({"Action": "kms:Describe"}, False),
        ({"Action": "\N{KELVIN SIGN}ms:DescribeKey"}, False),
        ({"Action": ..., "NotAction": "kms:Encrypt"}, True),
        ({"Action": ..., "NotAction": ["kms:Encrypt", "kms:des*"]}, False),
        ({"Action": ...}, False),
        ({"Resource": ["*"]}, True),
        ({"Resource": ...}, False),
        ({"Resource": f"arn:aws:kms:*:{ACCOUNT}:key/*"}, False),
        ({"Resource": ..., "NotResource": "arn:aws:s3:::x"}, False),
    ],
)
def test_a_statement_is_about_its_actions_on_this_key(
    elements: dict[str, Any], *, expected: bool
) -> None:
    assert allowed(statement(**elements)) is expected


# ------------------------------------------------------------------------ how they add up

UNKNOWN: dict[str, Any] = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}


@pytest.mark.parametrize(
    ("statements", "expected", "deciding"),
    [
        ([], False, ()),
        ([statement("Deny")], False, ("0",)),
        ([statement(), statement("Deny"), statement("Deny")], False, ("1", "2")),
        ([statement(**UNKNOWN)], None, ("0",)),
        ([statement(**UNKNOWN), statement()], True, ()),
        ([statement(), statement("Deny", **UNKNOWN)], None, ("1",)),
        ([statement(**UNKNOWN), statement("Deny", **UNKNOWN)], None, ("0",)),
        ([statement("Deny", **UNKNOWN)], False, ()),
        ([statement(**UNKNOWN), statement("Deny")], False, ("1",)),
    ],
)
def test_a_deny_wins_and_what_is_not_known_stays_so(
    statements: list[dict[str, Any]], deciding: tuple[str, ...], *, expected: Truth
) -> None:
    verdict = policy_of(*statements).may(ROLE, "kms:DescribeKey", {})

    assert (verdict.allowed, verdict.statements) == (expected, deciding)


def test_the_answer_is_each_roles_and_each_calls_own() -> None:
    policy = policy_of(
        statement(Principal={"AWS": ROLE.arn}, Condition={"Bool": {"kms:Key": "true"}})
    )
    other = Role(ADMIN, "AROA00000000000000002")

    for _ in range(2):
        assert policy.may(ROLE, "kms:DescribeKey", {"kms:key": ("true",)}).allowed is True
        assert policy.may(ROLE, "kms:DescribeKey", {"kms:key": ("false",)}).allowed is False
        assert policy.may(other, "kms:DescribeKey", {"kms:key": ("true",)}).allowed is False


def test_a_family_of_condition_keys_is_known_by_its_prefix() -> None:
    context: Context = {"kms:encryptioncontext:": (None,), "aws:tagkeys": ("a",)}

    assert values_of(context, "kms:EncryptionContext:tenant") == (None,)
    assert values_of(context, "aws:TagKeys") == ("a",)
    assert values_of(context, "aws:TagKeysOfOthers") is None


# ------------------------------------------------------------------------------ conditions


@pytest.mark.parametrize(
    ("operator", "wanted", "actual", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "A", "a", False),
        ("StringEquals", "*", "a", False),
        ("StringEquals", [], "a", False),
        ("stringequalsignorecase", "A", "a", True),
        ("StringNotEquals", ["b", "a"], "a", False),
        ("StringNotEquals", ["b", "c"], "a", True),
        ("StringNotEqualsIgnoreCase", "A", "a", False),
        ("StringLike", "a?c*", "abcd", True),
        ("StringNotLike", ["x*", "a*"], "abcd", False),
        ("Bool", True, "true", True),
        ("Bool", "False", "true", False),
        ("NumericLessThan", 180, "90", True),
        ("NumericLessThanEquals", "90.0", "90", True),
        ("NumericGreaterThan", "9e1", "90", False),
        ("NumericGreaterThanEquals", 90, "90", True),
        ("NumericEquals", ["1", 90], "90", True),
        ("NumericNotEquals", 90, "90", False),
        ("NumericEquals", "ninety", "90", None),
        ("ArnEquals", "arn:aws:iam::*:role/*", ADMIN, True),
        ("ArnLike", f"arn:aws:iam::{ACCOUNT}:role/Key?dmin", ADMIN, True),
        ("ArnLike", f"arn:aws:iam::{ACCOUNT}:user/*", ADMIN, False),
        ("ArnNotLike", [ROOT, ADMIN], ADMIN, False),
        ("ArnLike", "arn:aws:iam::*", ADMIN, None),
        ("ArnLike", ADMIN, "AROA", None),
        ("IpAddress", "192.0.2.0/24", "192.0.2.1", None),
        ("DateLessThan", "2027-01-01", "2026-01-01", None),
        ("BinaryEquals", "YQ==", "a", None),
        ("Null", "true", "a", False),
        ("Null", False, "a", True),
        ("StringEqualsIfExists", "b", "a", False),
        ("ForAnyValue:StringEquals", ["a", "x"], ("a", "b"), True),
        ("ForAnyValue:StringEquals", "x", ("a", "b"), False),
        ("ForAllValues:StringEquals", ["a", "b", "x"], ("a", "b"), True),
        ("ForAllValues:StringEquals", ["a", "x"], ("a", "b"), False),
        ("ForAllValues:StringNotEquals", "b", ("a", "b"), False),
        ("ForAnyValue:StringNotEquals", "b", ("a", "b"), True),
    ],
)
def test_an_operator_compares_a_value_that_is_known(
    operator: str, wanted: Any, actual: Value, *, expected: Truth
) -> None:
    assert holds(operator, wanted, actual) is expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("NumericLessThan", False),
        ("IpAddress", False),
        ("StringNotEquals", True),
        ("ArnNotLike", True),
        ("NotIpAddress", True),
        ("StringEqualsIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
    ],
)
def test_a_key_that_the_call_does_not_have_meets_what_it_need_not_have(
    operator: str, *, expected: bool
) -> None:
    assert holds(operator, "a", None) is expected


def test_null_asks_whether_the_call_has_the_key() -> None:
    assert holds("Null", "true", None) is True
    assert holds("Null", "false", None) is False


def test_a_key_of_several_possible_values_is_known_where_they_agree() -> None:
    assert holds("StringLike", "eu-*", "eu-west-1", "eu-north-1") is True
    assert holds("StringLike", "eu-*", "us-east-1", "eu-north-1") is None
    assert holds("BoolIfExists", "false", None, "false") is True
    assert holds("Bool", "false", None, "false") is None
    assert holds("StringEquals", "a") is None


@pytest.mark.parametrize(("version", "expected"), [("2012-10-17", None), ("2008-10-17", False)])
def test_a_policy_variable_is_one_in_the_version_that_has_them(
    version: str, *, expected: Truth
) -> None:
    condition = {"StringEquals": {"kms:Key": "${aws:PrincipalTag/team}"}}
    policy = policy_of(statement(Condition=condition), version=version)

    assert policy.may(ROLE, "kms:DescribeKey", {"kms:key": ("a",)}).allowed is expected


# ------------------------------------------------------------------------- AWS's own examples

KMS = "https://docs.aws.amazon.com/kms/latest/developerguide"
IAM = "https://docs.aws.amazon.com/IAM/latest/UserGuide"
ADMINISTRATION = ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*"]
THROUGH_EBS = {"kms:CallerAccount": ACCOUNT, "kms:ViaService": "ec2.us-west-2.amazonaws.com"}
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


@pytest.mark.parametrize(
    ("source", "statements", "action", "context", "expected"),
    [
        (
            f"{KMS}/key-policy-default.html#key-policy-default-allow-root-enable-iam",
            [statement(Principal={"AWS": ROOT})],
            *("kms:PutKeyPolicy", {}, True),
        ),
        (
            f"{KMS}/key-policy-default.html#key-policy-default-allow-administrators",
            [statement(Principal={"AWS": ROLE.arn}, Action=ADMINISTRATION)],
            *("kms:EnableKeyRotation", {}, True),
        ),
        (
            f"{KMS}/key-policy-default.html#key-policy-default-allow-administrators",
            [statement(Principal={"AWS": ROLE.arn}, Action=ADMINISTRATION)],
            *("kms:Encrypt", {}, False),
        ),
        (
            f"{KMS}/key-policy-overview.html",
            [
                statement(
                    Principal={"AWS": ROLE.arn},
                    Action="kms:DescribeKey",
                    Condition={"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}},
                )
            ],
            *("kms:DescribeKey", {"kms:keyspec": ("SYMMETRIC_DEFAULT",)}, True),
        ),
        (
            f"{KMS}/key-policy-overview.html#key-policy-elements (a missing Resource)",
            [statement(Resource=...)],
            *("kms:DescribeKey", {}, False),
        ),
        (
            f"{KMS}/conditions-kms.html#conditions-kms-caller-account",
            [statement(Action=USE, Condition={"StringEquals": THROUGH_EBS})],
            *("kms:DescribeKey",),
            {"kms:calleraccount": (ACCOUNT,), "kms:viaservice": ("ec2.us-west-2.amazonaws.com",)},
            True,
        ),
        (
            f"{KMS}/conditions-kms.html#conditions-kms-caller-account (called directly)",
            [statement(Action=USE, Condition={"StringEquals": THROUGH_EBS})],
            *("kms:DescribeKey", {"kms:calleraccount": (ACCOUNT,), "kms:viaservice": (None,)}),
            False,
        ),
        (
            f"{KMS}/conditions-kms.html#conditions-kms-bypass-policy-lockout-safety-check",
            [
                statement(
                    Action="kms:PutKeyPolicy",
                    Condition={"Null": {"kms:BypassPolicyLockoutSafetyCheck": True}},
                )
            ],
            *("kms:PutKeyPolicy", {"kms:bypasspolicylockoutsafetycheck": (None,)}, True),
        ),
        (
            f"{KMS}/conditions-kms.html#conditions-kms-grant-is-for-aws-resource",
            [
                statement(
                    Action=["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
                    Condition={"Bool": {"kms:GrantIsForAWSResource": True}},
                )
            ],
            *("kms:CreateGrant", {"kms:grantisforawsresource": ("false",)}, False),
        ),
        (
            f"{IAM}/reference_policies_elements_notprincipal.html (another one of the account)",
            [statement(), statement("Deny", Principal=..., NotPrincipal={"AWS": [ADMIN, ROOT]})],
            *("kms:DescribeKey", {}, False),
        ),
        (
            f"{IAM}/reference_policies_elements_notprincipal.html (the alternative)",
            [
                statement(),
                statement("Deny", Condition={"ArnNotEquals": {"aws:PrincipalArn": ADMIN}}),
            ],
            *("kms:DescribeKey", {"aws:principalarn": (ROLE.arn,)}, False),
        ),
        (
            f"{IAM}/reference_policies_elements_notaction.html",
            [
                statement(),
                statement(
                    "Deny",
                    Action=...,
                    NotAction="iam:*",
                    Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
                ),
            ],
            *("kms:DescribeKey", {"aws:multifactorauthpresent": (None,)}, False),
        ),
        (
            f"{IAM}/reference_policies_elements_condition_operators.html#Conditions_Boolean",
            [statement(), statement("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})],
            *("kms:DescribeKey", {"aws:securetransport": ("true",)}, True),
        ),
        (
            f"{IAM}/reference_policies_elements_condition_operators.html (Important: not present)",
            [
                statement(),
                statement("Deny", Condition={"StringNotLike": {"kms:ViaService": "s3*"}}),
            ],
            *("kms:DescribeKey", {"kms:viaservice": (None,)}, False),
        ),
        (
            f"{IAM}/reference_policies_multi-value-conditions.html (ForAllValues, table)",
            [
                statement(
                    Condition={
                        "ForAllValues:StringLike": {
                            "aws:TagKeys": ["PostDateTime", "Message", "Tags"]
                        }
                    }
                )
            ],
            *("kms:TagResource", {"aws:tagkeys": (("PostDateTime", "UserName"),)}, False),
        ),
        (
            f"{IAM}/reference_policies_multi-value-conditions.html (ForAnyValue, table)",
            [
                statement(),
                statement(
                    "Deny",
                    Condition={"ForAnyValue:StringLike": {"aws:TagKeys": ["ID", "PostDateTime"]}},
                ),
            ],
            *("kms:TagResource",),
            {"aws:tagkeys": (("UserName", "Message", "PostDateTime"),)},
            False,
        ),
        (
            f"{IAM}/reference_policies_evaluation-logic.html (an explicit deny overrides)",
            [statement(Principal={"AWS": ROLE.arn}), statement("Deny", Principal={"AWS": ROOT})],
            *("kms:DescribeKey", {}, False),
        ),
    ],
)
def test_an_example_of_aws_documentation_comes_out_as_it_says(
    source: str, statements: list[dict[str, Any]], action: str, context: Context, *, expected: bool
) -> None:
    assert allowed(*statements, action=action, context=context) is expected, source


# ------------------------------------------------------------------- another's evaluator
#
# ministack's evaluator was written by others. It is asked the same whenever ours decides. What it
# does otherwise than AWS documents is left out of what is generated:
# - NotPrincipal: it passes over such statements.
# - A Resource other than `*`: it compares it with the key's ARN; in a key policy it has no effect.
# - Null with several values: it reads the first alone.
# - An ARN of fewer than six parts: it compares texts, not parts.

ACTIONS = ["kms:DescribeKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"]
PATTERNS = [*ACTIONS, "kms:*", "*", "KMS:describe*", "kms:?utKeyPolicy", "kms:*Key*", "kms:Encrypt"]
PRINCIPALS = [ROLE.arn, ROOT, ACCOUNT, ADMIN, OTHER, f"arn:aws:iam::{OTHER}:root", "*"]
OPERATORS = [
    f"{which}{kind}{exists}"
    for which in ("", "ForAnyValue:", "ForAllValues:")
    for kind in (
        *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnLike"),
        *("ArnNotEquals", "Bool", "NumericLessThan", "NumericEquals", "NumericNotEquals"),
        *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "IpAddress", "NotIpAddress"),
    )
    for exists in ("", "IfExists")
]
KEYS = ["aws:PrincipalArn", "aws:RequestedRegion", "kms:ViaService", "aws:TagKeys", "kms:Days"]
VALUES = [
    *("eu-west-1", "EU-WEST-1", "eu-*", "*", "?", "true", "false", "7", "30", "seven"),
    *(ROLE.arn, ADMIN, f"arn:aws:iam::{ACCOUNT}:role/*", "arn:*:iam::*:role/stack/*"),
    *("192.0.2.0/24", "s3.us-east-1.amazonaws.com", ""),
]


def one_or_several(items: list[Any]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(items)
    return one | st.lists(one, min_size=1, max_size=3)


conditions = st.dictionaries(
    st.sampled_from(OPERATORS),
    st.dictionaries(st.sampled_from(KEYS), one_or_several(VALUES), min_size=1, max_size=2),
    max_size=2,
) | st.builds(
    lambda key, absent: {"Null": {key: absent}},
    st.sampled_from(KEYS),
    st.sampled_from(["true", "false", True, False]),
)
statements_of_policies = st.builds(
    lambda effect, principal, element, actions, condition: {
        "Effect": effect,
        "Principal": principal,
        element: actions,
        "Resource": "*",
        "Condition": condition,
    },
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.just("*") | st.builds(lambda names: {"AWS": names}, one_or_several(PRINCIPALS)),
    st.sampled_from(["Action", "Action", "Action", "NotAction"]),
    one_or_several(PATTERNS),
    conditions,
)
# What a key has in the call, and whether we know it.
calls = st.fixed_dictionaries(
    {
        "aws:RequestedRegion": st.sampled_from(["eu-west-1", "us-east-1"]),
        "kms:ViaService": st.sampled_from([None, "s3.us-east-1.amazonaws.com"]),
        "aws:TagKeys": st.sampled_from([None, ("true", "7"), ("eu-west-1",)]),
        "kms:Days": st.sampled_from([None, "7", "30"]),
    }
)

answers: Counter[Truth] = Counter()


@hypothesis.settings(max_examples=1_000, database=None, derandomize=True)
@hypothesis.given(
    statements=st.lists(statements_of_policies, min_size=1, max_size=4),
    action=st.sampled_from(ACTIONS),
    call=calls,
    hidden=st.sets(st.sampled_from(KEYS), max_size=2),
)
def _agrees(
    statements: list[dict[str, Any]], action: str, call: dict[str, Value], hidden: set[str]
) -> None:
    everything = {**call, "aws:PrincipalArn": ROLE.arn}
    known = {key.lower(): (value,) for key, value in everything.items() if key not in hidden}

    ours = policy_of(*statements).may(ROLE, action, known).allowed

    answers[ours] += 1
    if ours is None:
        return
    context = EvalContext(
        *(ROLE.arn, "AssumedRole", ACCOUNT, action, f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/x"),
        region=str(call["aws:RequestedRegion"]),
        service_context={
            key.lower(): list(value) if isinstance(value, tuple) else value
            for key, value in call.items()
        },
    )
    theirs = evaluate_resource_policy(json.dumps({"Statement": statements}), context).decision
    assert ours is (theirs == "Allow"), theirs


@pytest.mark.no_cover  # Other tests take the same paths, and 1,000 policies are twice as slow.
def test_whatever_is_decided_another_evaluator_decides_alike() -> None:
    answers.clear()

    _agrees()

    assert min(answers[True], answers[False], answers[None]) >= 50, answers
