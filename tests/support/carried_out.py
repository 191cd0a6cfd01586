"""What becomes of a request with given policy documents, on the local KMS and in validation.

Neither side has the other's code or table. Validation has its own evaluator and the table
`key_access.NEEDS`. The local KMS imports nothing of `provisioner`: actions, conditions and the
roles' IAM policies are evaluated by ministack, which others wrote; what a role needs follows from
the calls below and from the permissions that AWS's Service Authorization Reference lists for each.
Ours on that side, from AWS's pages, is how key policy and IAM are combined, NotPrincipal, and that
a Resource other than `*` has no effect (`local/emulator/kms/access.py`).
`test_policy_evaluation.py` has AWS's documented examples of these.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from provisioner.domain.key_access import KEY_ROLES
from provisioner.intake.request import parse_request, policy_warnings
from tests.support.local_kms import LocalKms, RefusedByKms
from tests.support.samples import ACCOUNT, SETTINGS, problems_of

HOME = "us-east-1"
ORGANISATION = "o-a1b2c3d4e5"
NOBODY = f"arn:aws:iam::{ACCOUNT}:role/Nobody"
"""A role that there is not."""
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
        kms.call("ApplyKeySettings", region, "DescribeKey", KeyId=key)
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
        # What a correction leaves out.
        kms.call("ApplyKeySettings", region, "UntagResource", KeyId=key, TagKeys=["team"])
        kms.call("ApplyKeySettings", region, "DeleteAlias", AliasName="alias/cards")
        kms.call(
            "ApplyKeySettings", region, "CreateAlias", AliasName="alias/cards", TargetKeyId=key
        )
    kms.call("ReconcilePrimaryKey", HOME, "DescribeKey", KeyId=key)
    if not asked.imports:
        kms.call("ApplyKeySettings", HOME, "GetKeyRotationStatus", KeyId=key)
    if not asked.imports and not asked.rotates:
        kms.call("ApplyKeySettings", HOME, "DisableKeyRotation", KeyId=key)


def roll_back(kms: LocalKms, asked: Asked, key: str) -> None:
    """Make every call that removes the key set."""
    days = {"PendingWindowInDays": SETTINGS.deletion_window_days}
    kms.ask("ReconcilePrimaryKey", HOME, "ScheduleKeyDeletion", KeyId=key, **days)
    for region in reversed(regions_of(asked)):
        kms.call("RollBackKeySet", region, "DescribeKey", KeyId=key)
        kms.call("RollBackKeySet", region, "DeleteAlias", AliasName="alias/cards")
        kms.call("RollBackKeySet", region, "ScheduleKeyDeletion", KeyId=key, **days)


def replace_policy(kms: LocalKms, asked: Asked, key: str) -> None:
    """Make every call of a change that replaces the key policies."""
    for region in regions_of(asked):
        kms.call("PlanChange", region, "DescribeKey", KeyId=key)
        kms.call("PlanChange", region, "GetKeyPolicy", KeyId=key)
    if not asked.imports:
        kms.call("PlanChange", HOME, "GetKeyRotationStatus", KeyId=key)
    documents = dict(asked.replicas) | {HOME: asked.document}
    for region in regions_of(asked):
        policy = json.dumps(documents[region] or asked.document)
        kms.call("ApplyChange", region, "PutKeyPolicy", KeyId=key, Policy=policy)
        kms.call("ConfirmChange", region, "DescribeKey", KeyId=key)


def change(kms: LocalKms, asked: Asked, key: str) -> None:
    """Make or ask for every other call of any change."""
    for region in regions_of(asked):
        for operation in ("DescribeKey", "ListResourceTags"):
            kms.call("ApplyChange", region, operation, KeyId=key)
        kms.call("ApplyChange", region, "UpdateKeyDescription", KeyId=key, Description="other")
        kms.call("ApplyChange", region, "TagResource", KeyId=key, Tags=TAGS)
        kms.call("ApplyChange", region, "UntagResource", KeyId=key, TagKeys=["team"])
        kms.call("ApplyChange", region, "CreateAlias", AliasName="alias/new", TargetKeyId=key)
        kms.call("ApplyChange", region, "UpdateAlias", AliasName="alias/new", TargetKeyId=key)
        kms.call("ApplyChange", region, "DeleteAlias", AliasName="alias/new")
        if not asked.imports:
            days = {"RotationPeriodInDays": 365}
            kms.ask("ApplyChange", region, "GetKeyRotationStatus", KeyId=key)
            kms.ask("ApplyChange", region, "EnableKeyRotation", KeyId=key, **days)
            kms.ask("ApplyChange", region, "DisableKeyRotation", KeyId=key)
        if asked.replicas:
            other = {"PrimaryRegion": asked.replicas[0][0] if region == HOME else HOME}
            kms.ask("PromoteReplicaKey", region, "DescribeKey", KeyId=key)
            kms.ask("PromoteReplicaKey", region, "UpdatePrimaryRegion", KeyId=key, **other)
        for operation in ("DescribeKey", "CancelKeyDeletion", "EnableKey"):
            kms.ask("RestoreKey", region, operation, KeyId=key)
        for operation in ("DescribeKey", "DisableKey"):
            kms.ask("RetireKey", region, operation, KeyId=key)
        kms.ask("RetireKey", region, "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=30)


# What nobody knows before the call is whether the account is in the organisation that is named.
WORLDS = [{"aws_principalorgid": organisation} for organisation in (None, ORGANISATION)]


@cache
def local_kms() -> LocalKms:
    """Return the KMS of an account that has this stack, two further roles and a user."""
    named = zip(SETTINGS.key_role_names, SETTINGS.key_role_ids, strict=True)
    roles = dict(zip(KEY_ROLES, named, strict=True))
    users = [f"arn:aws:iam::{ACCOUNT}:user/team/build.agent@example.com"]
    return LocalKms(ACCOUNT, roles, ["KeyAdmin", "CardService"], users)


@dataclass(frozen=True)
class Outcome:
    """What the local KMS refused, of what a request, its changes, repair and rollback need."""

    creation: str | None
    new_policy: str | None = None
    change: str | None = None
    repair: str | None = None
    rollback: str | None = None


def carried_out(kms: LocalKms, asked: Asked, world: dict[str, str | None]) -> Outcome:
    with kms.empty(**world):
        try:
            key = create(kms, asked)
        except RefusedByKms as refusal:
            return Outcome(str(refusal))
        refused: list[str | None] = []
        for work in (replace_policy, change, repair, roll_back):
            try:
                work(kms, asked, key)
                refused.append(None)
            except RefusedByKms as refusal:
                refused.append(str(refusal))
        return Outcome(None, *refused)


def judged(asked: Asked) -> str:
    """Hold the judgement against what happens, and say which kind of request this is."""
    worlds = WORLDS if "PrincipalOrgID" in json.dumps(asked.documents) else WORLDS[:1]
    outcomes = [carried_out(local_kms(), asked, world) for world in worlds]
    problems = problems_of(asked.request)
    if problems:
        if {problem["code"] for problem in problems} & DELIBERATE:
            return "refused as ineffective or open"
        worked = [one for one in outcomes if not (one.creation or one.new_policy)]
        assert not worked, f"would have worked: {problems}"
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
        assert outcome.new_policy is None, f"accepted and for ever: {outcome.new_policy}"
        assert bool(outcome.change) is ("CHANGE_IMPOSSIBLE" in codes), outcome
        assert bool(outcome.repair) is ("REPAIR_IMPOSSIBLE" in codes), outcome
        assert bool(outcome.rollback) is ("ROLLBACK_IMPOSSIBLE" in codes), outcome
    return "accepted"
