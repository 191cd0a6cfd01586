"""Policies compared by meaning: every way to write one, every change, and the cases of AWS's pages.

The sources of what is equal are in `policy_meaning`'s docstring.
"""

import json
from copy import deepcopy
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from provisioner.domain.key_policy import evaluated
from provisioner.domain.policy_evaluation import Context, Role
from provisioner.domain.policy_meaning import (
    canonical,
    gone_principals,
    same_meaning,
    text_means,
)
from tests.support.any_json import JSON
from tests.support.policies import CHANGES, GONE, Policy, changed, policies, spelled
from tests.support.samples import ACCOUNT, ADMIN, ROOT, USER

OTHER = "444455556666"
# Reproducible, and fast: what `spelled` chooses is not shrunk.
RANDOM = st.randoms(use_true_random=True)


def same(one: Any, other: Any, partition: str = "aws") -> bool:
    """Say whether two policies mean the same, either way round, and as a text as well."""
    answers = {
        same_meaning(one, other, partition=partition),
        same_meaning(other, one, partition=partition),
        text_means(json.dumps(one), other, partition=partition),
    }
    assert len(answers) == 1
    return answers.pop()


# ------------------------------------------------------------------------------ every way


@hypothesis.given(policy=policies(), random=RANDOM)
def test_every_way_to_write_a_policy_means_the_same(policy: Policy, random: Random) -> None:
    written = [spelled(policy, random) for _ in range(10)]

    assert all(same(one, policy) for one in written)
    assert len({canonical(one, partition="aws") for one in written}) == 1


@hypothesis.given(policy=policies(), random=RANDOM)
def test_every_change_is_a_difference_however_it_is_written(policy: Policy, random: Random) -> None:
    for change in CHANGES:
        new = spelled(changed(policy, change), random)

        assert not same(new, spelled(policy, random)), change


@hypothesis.given(policy=policies(), random=RANDOM)
def test_the_canonical_form_is_a_policy_of_the_same_meaning(policy: Policy, random: Random) -> None:
    written = spelled(policy, random)
    before = deepcopy(written)

    form = canonical(written, partition="aws")

    assert same(json.loads(form), written)
    assert canonical(json.loads(form), partition="aws") == form
    assert written == before


# -------------------------------------------------------------------------- what is allowed

CALLERS = [Role(arn, GONE) for arn in (ADMIN, USER, f"arn:aws:iam::{OTHER}:role/Partner")]
CALLED = ["kms:Decrypt", "kms:DescribeKey", "kms:PutKeyPolicy", "kms:GetKeyPolicy"]
CONTEXTS: list[Context] = [
    {},
    {
        "aws:securetransport": ("true",),
        "kms:multiregion": ("true",),
        "kms:rotationperiodindays": ("90",),
        "kms:calleraccount": (ACCOUNT,),
        "kms:encryptioncontext:app": ("Cards",),
        "kms:encryptioncontextkeys": (("AppName", "Team"),),
        "aws:principalarn": (USER,),
    },
    {
        "aws:securetransport": ("false",),
        "kms:multiregion": (None,),
        "kms:rotationperiodindays": ("365",),
        "kms:calleraccount": (OTHER,),
        "kms:encryptioncontext:app": ("cards",),
        "kms:encryptioncontextkeys": (("appname",),),
        "aws:principalarn": (ROOT,),
    },
]


def verdicts(policy: Policy) -> list[bool | None]:
    """Evaluate calls of every caller, action and context."""
    document = evaluated(policy, "")
    return [
        document.may(role, action, context).allowed
        for role in CALLERS
        for action in CALLED
        for context in CONTEXTS
    ]


@hypothesis.given(policy=policies(), random=RANDOM)
def test_what_means_the_same_allows_the_same_calls(policy: Policy, random: Random) -> None:
    # Without the statement that has everything, which hides the others.
    policy = {**policy, "Statement": policy["Statement"][1:] or policy["Statement"]}

    assert verdicts(spelled(policy, random)) == verdicts(policy)


def either(*choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(choices)


near = st.fixed_dictionaries(
    {
        "Effect": either("Allow", "Deny"),
        "Principal": either("*", {"AWS": "*"}, {"AWS": ROOT}, {"AWS": [ACCOUNT]}, {"AWS": OTHER}),
        "Action": either("kms:*", ["KMS:*"], "kms:Decrypt", ["kms:decrypt", "kms:Decrypt"]),
        "Resource": either("*", ["*"]),
        "Condition": either(
            {},
            {"Bool": {"aws:SecureTransport": True}},
            {"Bool": {"AWS:securetransport": ["true"]}},
            {"Bool": {"aws:securetransport": "false"}},
            {"Bool": {"aws:securetransport": [True, "false"]}},
        ),
    }
).map(lambda statement: {"Version": "2012-10-17", "Statement": statement})


def test_policies_that_are_nearly_the_same_are_equal_only_where_they_allow_the_same() -> None:
    equal = 0

    @hypothesis.settings(max_examples=500, database=None, derandomize=True)
    @hypothesis.given(one=near, other=near)
    def agrees(one: Policy, other: Policy) -> None:
        nonlocal equal
        if same(one, other):
            equal += 1
            assert verdicts(one) == verdicts(other)

    agrees()

    assert equal >= 20


# -------------------------------------------------------------------------- case by case

ALLOW: Policy = {
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": "kms:Decrypt",
    "Resource": "*",
}
DENY: Policy = {**ALLOW, "Sid": "Deny", "Effect": "Deny"}
ARABIC_ACCOUNT = "\N{ARABIC-INDIC DIGIT ONE}" * 12


def policy_of(*statements: Any, **elements: Any) -> Policy:
    return {"Version": "2012-10-17", **elements, "Statement": [*statements]}


def with_(**elements: Any) -> Policy:
    """Return a policy of one statement; an element that is `...` is left out."""
    statement = {name: value for name, value in {**ALLOW, **elements}.items() if value is not ...}
    return policy_of(statement)


def when(**condition: Any) -> Policy:
    return with_(Condition=condition)


EQUAL: dict[str, tuple[Policy, Policy]] = {
    "one principal": (with_(), with_(Principal={"AWS": [ROOT]})),
    "one action": (with_(), with_(Action=["kms:Decrypt"])),
    "one resource": (with_(), with_(Resource=["*"])),
    "one statement": (with_(), {**with_(), "Statement": ALLOW}),
    "one value": (when(Bool={"aws:x": "true"}), when(Bool={"aws:x": ["true"]})),
    "order of statements": (policy_of(ALLOW, DENY), policy_of(DENY, ALLOW)),
    "order of principals": (
        with_(Principal={"AWS": [ADMIN, USER]}),
        with_(Principal={"AWS": [USER, ADMIN]}),
    ),
    "repetition": (policy_of(ALLOW, ALLOW), with_(Action=["kms:Decrypt", "kms:Decrypt"])),
    "account": (with_(), with_(Principal={"AWS": ACCOUNT})),
    "account beside its root": (with_(), with_(Principal={"AWS": [ACCOUNT, ROOT]})),
    "account that is spared": (
        with_(Effect="Deny", Principal=..., NotPrincipal={"AWS": [ROOT, ADMIN]}),
        with_(Effect="Deny", Principal=..., NotPrincipal={"AWS": [ADMIN, ACCOUNT]}),
    ),
    "boolean": (when(Bool={"aws:x": True}), when(Bool={"aws:x": "true"})),
    "integer": (when(NumericLessThan={"aws:x": 300}), when(NumericLessThan={"aws:x": ["300"]})),
    "fraction": (when(NumericLessThan={"aws:x": 1.0}), when(NumericLessThan={"aws:x": "1.0"})),
    "case of an action": (with_(), with_(Action="KMS:decrypt")),
    "case of a condition key": (when(Bool={"aws:X": "a"}), when(Bool={"AWS:x": "a"})),
    "case of an encryption context's key": (
        when(StringEquals={"kms:EncryptionContext:AppName": "Cards"}),
        when(StringEquals={"kms:EncryptionContext:Appname": "Cards"}),
    ),
    "empty condition": (with_(), with_(Condition={})),
    "empty Sid": (with_(), with_(Sid="")),
    "empty ID": (with_(), policy_of(ALLOW, Id="")),
    "a principal that is gone": (with_(Principal={"AWS": GONE}), with_(Principal={"AWS": [GONE]})),
}
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "no version": (with_(), {"Statement": [ALLOW]}),
    "the version that none is taken for": (
        {"Statement": [ALLOW]},
        policy_of(ALLOW, Version="2008-10-17"),
    ),
    "NotAction of the rest": (with_(), with_(Action=..., NotAction="kms:Decrypt")),
    "NotPrincipal": (with_(), with_(Principal=..., NotPrincipal={"AWS": ROOT})),
    "NotResource": (with_(), with_(Resource=..., NotResource="*")),
    "a wildcard that covers": (with_(), with_(Action=["kms:Decrypt", "kms:Decryp*"])),
    "all actions of a key policy": (with_(Action="kms:*"), with_(Action="*")),
    "everyone": (with_(Principal="*"), with_(Principal={"AWS": "*"})),
    "a list where none can be": (with_(Principal="*"), with_(Principal=["*"])),
    "a role that is gone": (with_(Principal={"AWS": USER}), with_(Principal={"AWS": GONE})),
    "root of another partition": (
        with_(Principal={"AWS": ACCOUNT}),
        with_(Principal={"AWS": ROOT.replace("arn:aws:", "arn:aws-cn:")}),
    ),
    "an account under Service": (
        with_(Principal={"Service": ACCOUNT}),
        with_(Principal={"Service": ROOT}),
    ),
    "an account in a condition": (
        when(StringEquals={"aws:PrincipalArn": ACCOUNT}),
        when(StringEquals={"aws:PrincipalArn": ROOT}),
    ),
    "digits that are not ASCII": (
        with_(Principal={"AWS": ARABIC_ACCOUNT}),
        with_(Principal={"AWS": f"arn:aws:iam::{ARABIC_ACCOUNT}:root"}),
    ),
    "a number that is none": (when(Bool={"aws:x": 1}), when(Bool={"aws:x": True})),
    "a number with a point": (when(Bool={"aws:x": 1}), when(Bool={"aws:x": 1.0})),
    "null": (when(Bool={"aws:x": None}), when(Bool={"aws:x": "null"})),
    "null beside a text": (when(Bool={"aws:x": [None, "a"]}), when(Bool={"aws:x": ["a", "null"]})),
    "null in a list": (when(Bool={"aws:x": [None]}), when(Bool={"aws:x": None})),
    "a number for an account": (
        with_(Principal={"AWS": ACCOUNT}),
        with_(Principal={"AWS": int(ACCOUNT)}),
    ),
    "case of a value": (when(Bool={"aws:x": "True"}), when(Bool={"aws:x": True})),
    "case of an operator": (when(Bool={"aws:x": "true"}), when(bool={"aws:x": "true"})),
    "case of a letter that is not ASCII": (
        with_(Action="kms:\N{KELVIN SIGN}"),
        with_(Action="kms:k"),
    ),
    "keys that differ in case alone": (
        when(StringEquals={"aws:x": "a", "aws:X": "b"}),
        when(StringEquals={"aws:X": "a", "aws:x": "b"}),
    ),
    "values of two keys in one": (
        when(StringEquals={"aws:x": "a", "aws:X": "b"}),
        when(StringEquals={"aws:x": ["a", "b"]}),
    ),
    "no principals": (with_(Principal={"AWS": []}), with_(Principal={})),
    "no actions": (with_(Action=[]), with_(Action=...)),
    "another Sid": (with_(Sid="Use"), with_(Sid="use")),
    "no Sid": (with_(Sid="Use"), with_()),
    "another ID": (policy_of(ALLOW, Id="a"), with_()),
    "null for a Sid": (with_(Sid=None), with_()),
    "an unknown element that is empty": (with_(Comment=""), with_()),
    "two statements in one": (
        policy_of(ALLOW, {**ALLOW, "Action": "kms:Encrypt"}),
        with_(Action=["kms:Decrypt", "kms:Encrypt"]),
    ),
    "no statement": (policy_of(), {"Version": "2012-10-17"}),
}


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_is_equal(one: Policy, other: Policy) -> None:
    assert same(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_is_different(one: Policy, other: Policy) -> None:
    assert not same(one, other)
    assert same(one, one)
    assert same(other, other)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_account_is_its_root_in_the_partition_of_the_key(partition: str) -> None:
    root = with_(Principal={"AWS": f"arn:{partition}:iam::{ACCOUNT}:root"})

    assert same(with_(Principal={"AWS": ACCOUNT}), root, partition)


# ------------------------------------------------------------------------ whatever comes


@hypothesis.given(one=JSON, other=JSON)
def test_whatever_json_holds_is_compared(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same({"Statement": [one]}, {"Statement": one}) or not isinstance(one, dict)
    assert same(one, other) is same(other, one)
    assert gone_principals({"Statement": one}) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "[" * 16_000 + "]" * 16_000,
        json.dumps(with_()).replace('"Effect"', '"Action": "kms:Encrypt", "Effect"'),
        json.dumps(with_(Condition={"Bool": {"aws:x": "true", "aws:y": "true"}})).replace(
            "aws:y", "aws:x"
        ),
        '{"Statement": [{"Effect": "Allow", "Effect": "Allow"}]}',
    ],
    ids=lambda text: text[:20],
)
def test_a_text_that_can_be_read_in_two_ways_or_in_none_means_nothing(text: str) -> None:
    for policy in (with_(), with_(Condition={"Bool": {"aws:x": "true"}}), {"Statement": [ALLOW]}):
        assert not text_means(text, policy, partition="aws")


def test_what_is_too_deep_to_be_a_policy_is_different() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    assert not same_meaning(with_(Sid=deep), with_(Sid=deep), partition="aws")


# --------------------------------------------------------------------------- who is gone


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({**ALLOW, "Principal": {"AWS": GONE}}, [GONE]),
        ({**ALLOW, "Principal": {"AWS": ["AIDACKCEVSQ6C2EXAMPLE", ROOT, GONE, GONE]}}, None),
        ({**ALLOW, "Principal": {"AWS": [ROOT, ACCOUNT, USER, "*"]}}, []),
        ({**ALLOW, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{GONE}"}}, []),
        ({**ALLOW, "Principal": {"Service": GONE}}, []),
        ({"Effect": "Deny", "NotPrincipal": {"AWS": GONE}}, [GONE]),
        ({**ALLOW, "Principal": "*"}, []),
        ({**ALLOW, "Condition": {"StringLike": {"aws:userId": GONE}}}, []),
    ],
)
def test_principals_that_are_gone_are_listed(statement: Policy, expected: list[str] | None) -> None:
    wanted = ["AIDACKCEVSQ6C2EXAMPLE", GONE] if expected is None else expected

    assert gone_principals(policy_of(statement)) == wanted
    assert gone_principals({"Statement": statement}) == wanted
