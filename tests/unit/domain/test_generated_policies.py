"""What validation says of a key policy, held against what the local KMS does with it.

A thousand requests with documents put together from what public reports show. Each is judged by
`parse_request` and carried out by the stack's own roles on the local KMS, whatever the judgement:
`carried_out.py` says how, and what is independent of what.
"""

from collections import Counter
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.support.carried_out import HOME, NOBODY, ORGANISATION, Asked, judged
from tests.support.local_kms import SESSION
from tests.support.samples import ACCOUNT, ADMIN, ROOT, SETTINGS, USER

FIRST, SECOND = "eu-west-1", "us-west-2"
OTHER = "444455556666"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in SETTINGS.key_role_names]
SESSIONS = [
    f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{SESSION}" for name in SETTINGS.key_role_names
]


# Lists of actions as the console, CDK and modules wrote them over the years.
OLD_CONSOLE = [
    *("kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*"),
    *("kms:Revoke*", "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:ScheduleKeyDeletion"),
    "kms:CancelKeyDeletion",
]
WITH_TAGS = [*OLD_CONSOLE, "kms:TagResource", "kms:UntagResource"]
CONSOLE = [*WITH_TAGS, "kms:ReplicateKey", "kms:UpdatePrimaryRegion", "kms:ImportKeyMaterial"]
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


def either(*choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(choices)


def pieces(**elements: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Build statements; an element that is `...` is left out."""
    return st.fixed_dictionaries(elements).map(
        lambda made: {name: value for name, value in made.items() if value is not ...}
    )


# Conditions that hold for the stack's roles, some of them in one Region alone or never.
of_the_account = either(
    *([...] * 14),
    {"StringEquals": {"kms:CallerAccount": ACCOUNT}},
    {"StringEquals": {"aws:PrincipalAccount": [ACCOUNT, OTHER]}},
    {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}},
    {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/mrk-provisioner-*"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"Bool": {"kms:MultiRegion": True}},
    {"StringEqualsIfExists": {"aws:RequestedRegion": [HOME, FIRST, SECOND]}},
    {"Null": {"kms:ViaService": "true"}},
    # Nobody but the root user, or nobody at all.
    {"ArnLike": {"aws:PrincipalArn": ROOT}},
    {"StringEquals": {"aws:PrincipalType": "Account"}},
    {"StringEquals": {"kms:ViaService": f"s3.{HOME}.amazonaws.com"}},
    {"StringEquals": {"aws:RequestedRegion": HOME}},
    {"StringEquals": {"aws:PrincipalOrgID": ORGANISATION}},
)
to_the_account = pieces(
    Sid=either("Account", ...),
    Effect=st.just("Allow"),
    Principal=either({"AWS": ROOT}, {"AWS": [ROOT]}, {"AWS": ACCOUNT}, {"AWS": [ADMIN, ROOT]}),
    Action=either("kms:*", "kms:*", ["kms:*"], "*", CONSOLE, WITH_TAGS, OLD_CONSOLE),
    Resource=either("*", ["*"]),
    Condition=of_the_account,
)
to_the_account_but_for_some = pieces(
    Effect=st.just("Allow"),
    Principal=st.just({"AWS": ROOT}),
    NotAction=either(["kms:Decrypt", "kms:Encrypt"], "kms:ScheduleKeyDeletion", "kms:*Alias"),
    Resource=st.just("*"),
)
to_everyone_of_the_account = pieces(
    Effect=st.just("Allow"),
    Principal=either("*", {"AWS": "*"}, {"AWS": ["*"]}),
    Action=either("kms:*", CONSOLE),
    Resource=st.just("*"),
    Condition=either(
        {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"StringEquals": {"kms:CallerAccount": [ACCOUNT]}},
        {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}},
        {"StringEquals": {"aws:PrincipalOrgID": ORGANISATION}},
    ),
)
to_the_roles = pieces(
    Effect=st.just("Allow"),
    Principal=either({"AWS": ROLES}, {"AWS": ROLES}, {"AWS": ROLES[0]}, {"AWS": SESSIONS}),
    Action=either("kms:*", CONSOLE, WITH_TAGS),
    Resource=st.just("*"),
)
to_others = pieces(
    Sid=either("Use", ...),
    Effect=st.just("Allow"),
    Principal=either(
        *[{"AWS": USER}, {"AWS": [USER, ADMIN]}, {"AWS": OTHER}],
        {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/CardService/i-0123456789abcdef0"},
        *[{"Service": f"logs.{HOME}.amazonaws.com"}, {"Service": ["s3.amazonaws.com"]}],
        *[{"Service": "cloudtrail.amazon.com"}, {"AWS": f"{USER}/"}, {"AWS": NOBODY}],
    ),
    Action=either(USE, "kms:Decrypt", ["kms:CreateGrant"]),
    Resource=either(*(["*"] * 8), f"arn:aws:kms:{HOME}:{ACCOUNT}:key/*"),
    Condition=either(
        *[..., ..., {"Bool": {"kms:GrantIsForAWSResource": True}}],
        {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
    ),
)
denials = pieces(
    Effect=st.just("Deny"),
    Principal=either("*", {"AWS": "*"}, {"AWS": ROOT}, {"AWS": [USER, ADMIN]}),
    Action=either(
        *["kms:*", "kms:*", "*", "kms:Decrypt", "kms:ScheduleKeyDeletion", "kms:DeleteAlias"],
        *["kms:PutKeyPolicy", "kms:TagResource", "kms:CreateAlias", "kms:ReplicateKey"],
        *[["kms:Disable*", "kms:Delete*"], "kms:Put*", "kms:EnableKey*", "kms:Update*"],
    ),
    Resource=st.just("*"),
    Condition=either(
        *[..., {"Bool": {"aws:SecureTransport": "false"}}],
        {"ArnNotLike": {"aws:PrincipalArn": [ROOT, ADMIN]}},
        {"ArnNotLike": {"aws:PrincipalArn": [ADMIN, f"arn:aws:iam::{ACCOUNT}:role/mrk-*"]}},
        {"StringNotEquals": {"aws:PrincipalArn": ROLES}},
        {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}},
        {"StringNotEquals": {"aws:PrincipalOrgID": ORGANISATION}},
        {"StringNotEqualsIfExists": {"aws:SourceVpce": "vpce-1234abcdf5678c90a"}},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1234abcdf5678c90a"}},
        {"StringEquals": {"aws:SourceVpce": "vpce-1234abcdf5678c90a"}},
        {"StringNotLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*"]}},
        {"StringNotLike": {"aws:userId": "AROA0000000000000*"}},
        {"StringNotEquals": {"aws:RequestedRegion": HOME}},
        {"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}},
        {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}},
        {"Null": {"aws:PrincipalOrgID": "true"}},
    ),
)
# Conditions on what one operation alone has.
denials_of_one_call = pieces(
    Effect=st.just("Deny"),
    Principal=either("*", {"AWS": "*"}),
    Action=st.just("kms:*"),
    Resource=st.just("*"),
    Condition=either(
        {"StringNotEquals": {"kms:ReplicaRegion": FIRST}},
        {"StringEquals": {"kms:ReplicaRegion": [SECOND]}},
        {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "30"}},
        {"NumericGreaterThan": {"kms:RotationPeriodInDays": 180}},
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}},
        {"StringEquals": {"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256"}},
    ),
)
denials_of_the_rest = pieces(
    Effect=st.just("Deny"),
    NotPrincipal=either(
        *[{"AWS": [ADMIN, ROOT]}, {"AWS": ADMIN}, {"Service": "s3.amazonaws.com"}],
        {"AWS": [*ROLES, *SESSIONS, ROOT]},
    ),
    Action=either("kms:*", "kms:ScheduleKeyDeletion"),
    Resource=st.just("*"),
)
denials_of_other_actions = pieces(
    Effect=st.just("Deny"),
    Principal=st.just("*"),
    NotAction=either("kms:*", USE, CONSOLE, [*CONSOLE, *USE]),
    Resource=st.just("*"),
)
mistakes = either(
    {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*"},
    {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Resource": "*"},
    {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
    {"Effect": "allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Actions": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": []}, "Action": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": "KeyAdmin"}, "Action": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "s3:*", "Resource": "*"},
)
first_statements = st.one_of(
    *([to_the_account] * 6), to_the_account_but_for_some, to_everyone_of_the_account, to_the_roles
)
further_statements = st.one_of(
    *([to_others] * 4),
    *([denials] * 4),
    *[
        denials_of_one_call,
        denials_of_the_rest,
        denials_of_other_actions,
        to_the_account,
        to_the_roles,
        mistakes,
    ],
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    listed = [draw(first_statements), *draw(st.lists(further_statements, max_size=2))]
    one_or_all = listed if len(listed) > 1 or draw(st.booleans()) else listed[0]
    version = draw(either(*(["2012-10-17"] * 4), "2008-10-17", ...))
    return {"Statement": one_or_all} | ({} if version is ... else {"Version": version})


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    regions = draw(either((), (FIRST,), (FIRST,), (SECOND, FIRST)))
    own = either(None, None, None, ...)
    replicas = tuple(
        (region, draw(documents()) if draw(own) is ... else None) for region in regions
    )
    kind = draw(either("", "", "rotates", "imports"))
    return Asked(draw(documents()), replicas, kind == "rotates", kind == "imports")


@pytest.mark.no_cover  # Other tests take the same paths, and 1,000 requests are twice as slow.
def test_a_policy_is_accepted_exactly_when_the_local_kms_lets_the_request_be_carried_out() -> None:
    kinds: Counter[str] = Counter()

    @hypothesis.settings(max_examples=1_000, database=None, derandomize=True)
    @hypothesis.given(asked=requests())
    def agrees(asked: Asked) -> None:
        kinds[judged(asked)] += 1

    agrees()

    assert min(kinds["accepted"], kinds["refused"]) >= 250, kinds
