"""What validation says of a key policy, held against what the local KMS does with it.

A thousand requests with documents put together from what public reports show. Each is judged by
`parse_request` and carried out by the stack's own roles on the local KMS, whatever the judgement.

Neither side has the other's code or table. Validation has its own evaluator and the table
`key_access.NEEDS`. The local KMS imports nothing of `provisioner`: actions, conditions and the
roles' IAM policies are evaluated by ministack, which others wrote; what a role needs follows from
the calls below and from the permissions that AWS's Service Authorization Reference lists for each.
Ours on that side, from AWS's pages, is how key policy and IAM are combined, NotPrincipal, and that
a Resource other than `*` has no effect (`local/kms_access.py`). `test_policy_evaluation.py` has
AWS's documented examples of these.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from provisioner.key_access import KEY_ROLES
from provisioner.request import parse_request, policy_warnings
from tests.unit.local_kms import SESSION, LocalKms, RefusedByKms
from tests.unit.samples import ACCOUNT, ADMIN, ROOT, SETTINGS, USER, problems_of

HOME, FIRST, SECOND = "us-east-1", "eu-west-1", "us-west-2"
ORGANISATION = "o-a1b2c3d4e5"
OTHER = "444455556666"
NOBODY = f"arn:aws:iam::{ACCOUNT}:role/Nobody"
ROLES = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in SETTINGS.key_role_names]
SESSIONS = [
    f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{SESSION}" for name in SETTINGS.key_role_names
]
DELIBERATE = {"POLICY_OPEN_TO_ALL", "POLICY_RESOURCE_IGNORED", "POLICY_ACTION_NOT_KMS"}
"""Refused although KMS takes it: what opens a key to everyone, and what has no effect."""


@dataclass(frozen=True)
class Asked:
    """A request: its documents and what else decides which calls it needs."""

    document: dict[str, Any]
    replicas: tuple[tuple[str, dict[str, Any] | None], ...] = ()
    """Each with its Region, and the document that it has of its own."""
    rotates: bool = False
    imports: bool = False

    @property
    def request(self) -> dict[str, Any]:
        """The request as it is sent."""
        replicas = [
            {"region": region} | ({"policy": {"document": own}} if own else {})
            for region, own in self.replicas
        ]
        return {
            "requestId": "CHG1",
            "alias": "alias/cards",
            "policy": {"document": self.document},
            "replicas": replicas,
            **({"rotation": {"periodInDays": 365}} if self.rotates else {}),
            **({"origin": "EXTERNAL"} if self.imports else {}),
        }

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Every document of the request."""
        return [self.document, *(own for _, own in self.replicas if own)]


TAGS = [
    {"TagKey": "mrk:request-id", "TagValue": "CHG1"},
    {"TagKey": "mrk:stack", "TagValue": SETTINGS.stack_name},
]


def create(kms: LocalKms, asked: Asked) -> str:
    """Make every call that creates the key set; return the key's ID."""
    origin = "EXTERNAL" if asked.imports else "AWS_KMS"
    policy = json.dumps(asked.document)
    new = {"Policy": policy, "Tags": [*TAGS, {"TagKey": "mrk:attempt", "TagValue": "1"}]}
    answer = kms.call("CreatePrimaryKey", HOME, "CreateKey", MultiRegion=True, Origin=origin, **new)
    key = answer["KeyMetadata"]["KeyId"]
    if asked.rotates:
        kms.call(
            *("ApplyKeySettings", HOME, "EnableKeyRotation"), KeyId=key, RotationPeriodInDays=365
        )
    kms.call("ApplyKeySettings", HOME, "CreateAlias", AliasName="alias/cards", TargetKeyId=key)
    if asked.imports:
        import_material(kms, HOME, key)
    for region, own in asked.replicas:
        new = {"Policy": json.dumps(own) if own else policy, "Tags": TAGS}
        kms.call("CreateReplicaKey", HOME, "ReplicateKey", KeyId=key, ReplicaRegion=region, **new)
        kms.call("AwaitReplicaKey", region, "DescribeKey", KeyId=key)
        kms.call(
            "ApplyKeySettings", region, "CreateAlias", AliasName="alias/cards", TargetKeyId=key
        )
        if asked.imports:
            import_material(kms, region, key)
    kms.call("ConfirmKeySet", HOME, "DescribeKey", KeyId=key)
    return str(key)


def import_material(kms: LocalKms, region: str, key: str) -> None:
    """Ask for the permissions of an import."""
    kms.call("ImportKeyMaterial", region, "DescribeKey", KeyId=key)
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"}
    kms.ask("ImportKeyMaterial", region, "GetParametersForImport", KeyId=key, **wrapping)
    material = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    kms.ask("ImportKeyMaterial", region, "ImportKeyMaterial", KeyId=key, **material)
    kms.import_material(region, key)


def regions_of(asked: Asked) -> list[str]:
    return [HOME, *(region for region, _ in asked.replicas)]


def repair(kms: LocalKms, asked: Asked, key: str) -> None:
    """Make every call that finds and corrects what is there."""
    documents = dict(asked.replicas) | {HOME: asked.document}
    for region in regions_of(asked):
        maker = "CreatePrimaryKey" if region == HOME else "CreateReplicaKey"
        for operation in ("DescribeKey", "CancelKeyDeletion", "EnableKey"):
            kms.ask(maker, region, operation, KeyId=key)
        for operation in ("DescribeKey", "ListResourceTags", "GetKeyPolicy"):
            kms.call("ApplyKeySettings", region, operation, KeyId=key)
        policy = json.dumps(documents[region] or asked.document)
        kms.call("ApplyKeySettings", region, "UpdateKeyDescription", KeyId=key, Description="new")
        kms.call("ApplyKeySettings", region, "TagResource", KeyId=key, Tags=TAGS)
        kms.call("ApplyKeySettings", region, "PutKeyPolicy", KeyId=key, Policy=policy)
    kms.call("ReconcilePrimaryKey", HOME, "DescribeKey", KeyId=key)
    if asked.rotates:
        kms.call("ApplyKeySettings", HOME, "GetKeyRotationStatus", KeyId=key)


def roll_back(kms: LocalKms, asked: Asked, key: str) -> None:
    """Make every call that removes the key set."""
    days = {"PendingWindowInDays": SETTINGS.deletion_window_days}
    kms.ask("ReconcilePrimaryKey", HOME, "ScheduleKeyDeletion", KeyId=key, **days)
    for region in reversed(regions_of(asked)):
        kms.call("RollBackKeySet", region, "DescribeKey", KeyId=key)
        kms.call("RollBackKeySet", region, "DeleteAlias", AliasName="alias/cards")
        kms.call("RollBackKeySet", region, "ScheduleKeyDeletion", KeyId=key, **days)


# ------------------------------------------------------------------------------- documents

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
        {"StringNotEquals": {"kms:ReplicaRegion": FIRST}},
        {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": "30"}},
        {"NumericGreaterThan": {"kms:RotationPeriodInDays": 180}},
        {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}},
        {"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}},
        {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}},
        {"Null": {"aws:PrincipalOrgID": "true"}},
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
    *[denials_of_the_rest, denials_of_other_actions, to_the_account, to_the_roles, mistakes],
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


# ------------------------------------------------------------------------------- judgement

# What nobody knows before the call, and documents can ask: whether the account is in the organisation that is named.
WORLDS = [{"aws_principalorgid": organisation} for organisation in (None, ORGANISATION)]


@pytest.fixture(scope="module")
def kms() -> LocalKms:
    roles = dict(
        zip(
            KEY_ROLES, zip(SETTINGS.key_role_names, SETTINGS.key_role_ids, strict=True), strict=True
        )
    )
    return LocalKms(ACCOUNT, roles, ["KeyAdmin", "CardService"])


@dataclass(frozen=True)
class Outcome:
    """What the local KMS refused, of what a request, a repair and a rollback need."""

    creation: str | None
    repair: str | None = None
    rollback: str | None = None


def carried_out(kms: LocalKms, asked: Asked, world: dict[str, str | None]) -> Outcome:
    with kms.empty(**world):
        try:
            key = create(kms, asked)
        except RefusedByKms as refusal:
            return Outcome(str(refusal))
        refused = []
        for work in (repair, roll_back):
            try:
                work(kms, asked, key)
                refused.append(None)
            except RefusedByKms as refusal:
                refused.append(str(refusal))
        return Outcome(None, *refused)


def judged(kms: LocalKms, asked: Asked) -> str:
    """Hold the judgement against what happens, and say which kind of request this is."""
    worlds = WORLDS if "PrincipalOrgID" in json.dumps(asked.documents) else WORLDS[:1]
    outcomes = [carried_out(kms, asked, world) for world in worlds]
    problems = problems_of(asked.request)
    if problems:
        if {problem["code"] for problem in problems} & DELIBERATE:
            return "refused as ineffective or open"
        assert all(outcome.creation for outcome in outcomes), f"would have worked: {problems}"
        return "refused"
    if NOBODY in json.dumps(asked.documents):
        assert all("invalid principals" in str(outcome.creation) for outcome in outcomes)
        return "names a principal that IAM alone knows not to exist"
    request = parse_request(asked.request, SETTINGS)
    codes = {warning["code"] for warning in policy_warnings(request, SETTINGS)}
    if "POLICY_DEPENDS_ON_CALL" in codes:
        return "accepted with the warning that it depends on the call"
    for outcome in outcomes:
        assert outcome.creation is None, f"accepted and refused: {outcome.creation}"
        assert bool(outcome.repair) is ("REPAIR_IMPOSSIBLE" in codes), outcome
        assert bool(outcome.rollback) is ("ROLLBACK_IMPOSSIBLE" in codes), outcome
    return "accepted"


def test_a_policy_is_accepted_exactly_when_the_local_kms_lets_the_request_be_carried_out(
    kms: LocalKms,
) -> None:
    kinds: Counter[str] = Counter()

    @hypothesis.settings(max_examples=1_000, database=None, derandomize=True)
    @hypothesis.given(asked=requests())
    def agrees(asked: Asked) -> None:
        kinds[judged(kms, asked)] += 1

    agrees()

    assert min(kinds["accepted"], kinds["refused"]) >= 250, kinds
