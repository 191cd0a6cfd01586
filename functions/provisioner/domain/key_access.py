"""Whether key policies let the roles of this stack do what a request needs of its keys.

`NEEDS` lists each role's calls on a key and what each is for. What the request itself cannot do
without is refused, and so is a policy that no later change could replace; what only a rollback, a
repair, one kind of change or the watch over the keys needs is a warning in the plan, and so is
whatever depends on a condition that is not known before the call. CreateKey, the tags of a new key
and ListAliases are not in it: KMS asks IAM alone for them.
https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from provisioner.domain.key_policy import Policy, evaluated
from provisioner.domain.key_specs import Origin, can_rotate
from provisioner.domain.policy_evaluation import Context, KeyPolicy, Role, Value, Verdict
from provisioner.errors import Problem, new_problem
from provisioner.settings import Settings

KEY_ROLES = (
    "CreatePrimaryKey",
    "ReconcilePrimaryKey",
    "ApplyKeySettings",
    "CreateReplicaKey",
    "ImportKeyMaterial",
    "ConfirmKeySet",
    "RollBackKeySet",
    "PlanChange",
    "RestoreKey",
    "PromoteReplicaKey",
    "ApplyChange",
    "RetireKey",
    "ConfirmChange",
)
"""The steps that call KMS about a key of a request, in the order in which template.yaml names them.

The sweep is not among them: what it reads of a key, ConfirmKeySet reads first. Nor is the API,
which goes without what it cannot read.
"""


class Purpose(StrEnum):
    """What a call on a key is for: what is lost where the key policy does not allow it."""

    CREATION = "creation"
    ROLLBACK = "rollback"
    REPAIR = "repair"
    NEW_POLICY = "new policy"
    """What replaces the key policy in a change, which is what every other change needs as well."""
    CHANGE = "change"


@dataclass(frozen=True)
class Key:
    """One key that a request asks for, under a key policy that it has as a document.

    What is None is not known, since that field of the request is wrong.
    """

    path: str
    """Where the document stands in the request: for a replica it may be the primary's."""
    policy: KeyPolicy
    is_primary: bool
    region: str | None
    primary_region: str | None
    replicas: tuple[str, ...]
    """The Regions that a primary key is replicated to."""
    has_alias: bool
    spec: tuple[str, str, str] | None
    """Key spec, key usage and origin."""
    rotation_period: int | None
    wrapping: tuple[str, str] | None
    """Algorithm and wrapping key spec, where key material is imported."""


@dataclass(frozen=True)
class Need:
    """A call that a role makes on a key."""

    role: str
    action: str
    purpose: Purpose
    what_for: str
    applies: Callable[[Key], bool]


def _always(_key: Key) -> bool:
    return True


def _primary(key: Key) -> bool:
    return key.is_primary


def _replica(key: Key) -> bool:
    return not key.is_primary


def _replicated(key: Key) -> bool:
    return key.is_primary and bool(key.replicas)


def _named(key: Key) -> bool:
    return key.has_alias


def _rotating(key: Key) -> bool:
    return key.is_primary and key.rotation_period is not None


def _rotatable(key: Key) -> bool:
    """Whether an earlier content of the request may have asked for rotation, unlike this one."""
    return (
        key.is_primary
        and key.rotation_period is None
        and key.spec is not None
        and can_rotate(key.spec[0], key.spec[2])
    )


def _imported(key: Key) -> bool:
    return key.spec is not None and key.spec[2] == Origin.EXTERNAL


def _of_several(key: Key) -> bool:
    """Whether the key or a replica of it can become the primary key."""
    return not key.is_primary or bool(key.replicas)


def _rotatable_primary(key: Key) -> bool:
    return key.is_primary and _can_rotate(key)


def _can_rotate(key: Key) -> bool:
    """Whether the key can be rotated while it is the primary key, as a replica may be one day."""
    return key.spec is not None and can_rotate(key.spec[0], key.spec[2])


def _with_materials(key: Key) -> bool:
    """Whether imported key material of the key can be rotated while it is the primary key."""
    return _imported(key) and key.spec is not None and key.spec[0] == "SYMMETRIC_DEFAULT"


_CREATION, _ROLLBACK, _REPAIR = Purpose.CREATION, Purpose.ROLLBACK, Purpose.REPAIR
_NEW_POLICY, _CHANGE = Purpose.NEW_POLICY, Purpose.CHANGE
NEEDS = (
    # KMS refuses a policy under which whoever creates the key could not change it again.
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html#KMS-CreateKey-request-Policy
    Need("CreatePrimaryKey", "PutKeyPolicy", _CREATION, "create a key with this policy", _primary),
    Need("CreatePrimaryKey", "DescribeKey", _REPAIR, "find the key again", _primary),
    Need("CreatePrimaryKey", "CancelKeyDeletion", _REPAIR, "restore the key", _primary),
    Need("CreatePrimaryKey", "EnableKey", _REPAIR, "enable the key again", _primary),
    Need("ReconcilePrimaryKey", "DescribeKey", _REPAIR, "adopt a key that went unheard", _primary),
    Need("ReconcilePrimaryKey", "ScheduleKeyDeletion", _ROLLBACK, "retire a second key", _primary),
    Need("ApplyKeySettings", "CreateAlias", _CREATION, "create the alias", _named),
    Need("ApplyKeySettings", "EnableKeyRotation", _CREATION, "enable rotation", _rotating),
    Need("ApplyKeySettings", "DescribeKey", _CREATION, "wait until the key is enabled", _replica),
    Need("ApplyKeySettings", "DescribeKey", _REPAIR, "compare the description", _primary),
    Need("ApplyKeySettings", "UpdateKeyDescription", _REPAIR, "correct the description", _always),
    Need("ApplyKeySettings", "ListResourceTags", _REPAIR, "compare the tags", _always),
    Need("ApplyKeySettings", "TagResource", _REPAIR, "correct the tags", _always),
    Need("ApplyKeySettings", "GetKeyPolicy", _REPAIR, "compare the key policy", _always),
    Need("ApplyKeySettings", "PutKeyPolicy", _REPAIR, "correct the key policy", _always),
    Need("ApplyKeySettings", "GetKeyRotationStatus", _REPAIR, "compare the rotation", _rotating),
    Need("ApplyKeySettings", "UntagResource", _REPAIR, "take an old tag away", _always),
    Need("ApplyKeySettings", "DeleteAlias", _REPAIR, "take an old alias away", _always),
    Need("ApplyKeySettings", "GetKeyRotationStatus", _REPAIR, "compare the rotation", _rotatable),
    Need("ApplyKeySettings", "DisableKeyRotation", _REPAIR, "stop rotation", _rotatable),
    Need("CreateReplicaKey", "ReplicateKey", _CREATION, "replicate the key", _replicated),
    Need("CreateReplicaKey", "PutKeyPolicy", _CREATION, "create a key with this policy", _replica),
    Need("CreateReplicaKey", "DescribeKey", _REPAIR, "find the key again", _replica),
    Need("CreateReplicaKey", "CancelKeyDeletion", _REPAIR, "restore the key", _replica),
    Need("CreateReplicaKey", "EnableKey", _REPAIR, "enable the key again", _replica),
    Need("ImportKeyMaterial", "DescribeKey", _CREATION, "read the key's state", _imported),
    Need("ImportKeyMaterial", "GetParametersForImport", _CREATION, "ask for material", _imported),
    Need("ImportKeyMaterial", "ImportKeyMaterial", _CREATION, "import key material", _imported),
    Need("ConfirmKeySet", "DescribeKey", _CREATION, "read the finished key", _primary),
    Need("RollBackKeySet", "DescribeKey", _ROLLBACK, "read the key's state", _always),
    Need("RollBackKeySet", "DeleteAlias", _ROLLBACK, "delete the alias", _named),
    Need("RollBackKeySet", "ScheduleKeyDeletion", _ROLLBACK, "schedule the deletion", _always),
    Need("PlanChange", "DescribeKey", _NEW_POLICY, "plan a change", _always),
    Need("PlanChange", "GetKeyPolicy", _NEW_POLICY, "plan a change", _always),
    Need("PlanChange", "GetKeyRotationStatus", _NEW_POLICY, "plan a change", _rotatable_primary),
    Need("PlanChange", "ListKeyRotations", _CHANGE, "add a Region", _with_materials),
    # KMS refuses a policy under which whoever writes it could not change it again.
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html#KMS-PutKeyPolicy-request-Policy
    Need("ApplyChange", "PutKeyPolicy", _NEW_POLICY, "replace the key policy", _always),
    Need("ConfirmChange", "DescribeKey", _NEW_POLICY, "confirm a change", _always),
    Need("ApplyChange", "DescribeKey", _CHANGE, "find why a call was denied", _always),
    Need("ApplyChange", "ListResourceTags", _CHANGE, "find why a call was denied", _always),
    Need("ApplyChange", "UpdateKeyDescription", _CHANGE, "change the description", _always),
    Need("ApplyChange", "TagResource", _CHANGE, "change the tags", _always),
    Need("ApplyChange", "UntagResource", _CHANGE, "take tags away", _always),
    Need("ApplyChange", "CreateAlias", _CHANGE, "create another alias", _always),
    Need("ApplyChange", "UpdateAlias", _CHANGE, "move an alias here", _always),
    Need("ApplyChange", "DeleteAlias", _CHANGE, "take the alias away", _always),
    Need("ApplyChange", "GetKeyRotationStatus", _CHANGE, "compare the rotation", _can_rotate),
    Need("ApplyChange", "EnableKeyRotation", _CHANGE, "change the rotation", _can_rotate),
    Need("ApplyChange", "DisableKeyRotation", _CHANGE, "stop rotation", _can_rotate),
    Need("PromoteReplicaKey", "DescribeKey", _CHANGE, "promote a replica key", _of_several),
    Need("PromoteReplicaKey", "UpdatePrimaryRegion", _CHANGE, "promote a replica key", _of_several),
    Need("RestoreKey", "DescribeKey", _CHANGE, "restore the key", _always),
    Need("RestoreKey", "CancelKeyDeletion", _CHANGE, "restore the key", _always),
    Need("RestoreKey", "EnableKey", _CHANGE, "enable the key again", _always),
    Need("RetireKey", "DescribeKey", _CHANGE, "read the key's state", _always),
    Need("RetireKey", "DisableKey", _CHANGE, "disable the key", _always),
    Need("RetireKey", "ScheduleKeyDeletion", _CHANGE, "remove the key", _always),
)


def may_read(policy: Policy, role: Role, region: str, settings: Settings) -> bool:
    """Whether a key policy lets a role look at a key; in doubt it does.

    What is asked for is DescribeKey, GetKeyPolicy and ListResourceTags.
    """
    context = {**_ABSENT, **_of_caller(role, settings), "aws:requestedregion": (region,)}
    evaluated_policy = evaluated(policy, "policy")
    return all(
        evaluated_policy.may(role, f"kms:{action}", context).allowed is not False
        for action in ("DescribeKey", "GetKeyPolicy", "ListResourceTags")
    )


@dataclass(frozen=True)
class _Finding:
    need: Need
    region: str | None
    verdict: Verdict


def problems(keys: Iterable[Key], settings: Settings) -> Iterator[Problem]:
    """Find calls that a key policy does not allow, and the request or every change of it needs."""
    for (path, statements), found in _grouped(keys, settings).items():
        if needed := _refused(found, Purpose.CREATION):
            yield _problem(path, statements, needed, "POLICY_LOCKS_OUT")
        elif for_ever := _refused(found, Purpose.NEW_POLICY):
            yield _problem(path, statements, for_ever, "POLICY_LOCKS_OUT", _FOR_EVER)


def warnings(keys: Iterable[Key], settings: Settings) -> Iterator[Problem]:
    """Find what the request can do without, and what is not known before the call."""
    for (path, statements), found in _grouped(keys, settings).items():
        if lost := _refused(found, Purpose.ROLLBACK):
            yield _problem(path, statements, lost, "ROLLBACK_IMPOSSIBLE")
        if lost := _refused(found, Purpose.REPAIR):
            yield _problem(path, statements, lost, "REPAIR_IMPOSSIBLE")
        if lost := _refused(found, Purpose.CHANGE):
            yield _problem(path, statements, lost, "CHANGE_IMPOSSIBLE")
        if unknown := [one for one in found if one.verdict.allowed is None]:
            yield _problem(path, statements, unknown, "POLICY_DEPENDS_ON_CALL")


def _refused(found: list[_Finding], purpose: Purpose) -> list[_Finding]:
    return [one for one in found if one.verdict.allowed is False and one.need.purpose == purpose]


def _grouped(
    keys: Iterable[Key], settings: Settings
) -> dict[tuple[str, tuple[str, ...]], list[_Finding]]:
    """Gather what is not allowed, by the document and the statements that decide it."""
    grouped: dict[tuple[str, tuple[str, ...]], list[_Finding]] = defaultdict(list)
    roles = _roles(settings)
    for key in keys:
        known = {name: _known(key, role, settings) for name, role in roles.items()}
        for need in NEEDS:
            for context in _contexts(need, key, known[need.role], settings):
                verdict = key.policy.may(roles[need.role], f"kms:{need.action}", context)
                if not verdict.allowed:
                    found = grouped[key.path, verdict.statements]
                    found.append(_Finding(need, key.region, verdict))
    return grouped


def _roles(settings: Settings) -> dict[str, Role]:
    account = f"arn:{settings.partition}:iam::{settings.account_id}"
    arns = [f"{account}:role/{name}" for name in settings.key_role_names]
    return dict(zip(KEY_ROLES, map(Role, arns, settings.key_role_ids), strict=True))


def _known(key: Key, role: Role, settings: Settings) -> Context:
    """Return the condition keys that all calls of a role on a key have alike."""
    return {**_ABSENT, **_of_caller(role, settings), **_of_key(key)}


def _contexts(need: Need, key: Key, known: Context, settings: Settings) -> Iterator[Context]:
    """Return the condition keys of each of these calls on a key; nothing where none is made."""
    if not need.applies(key):
        return
    own = _of_operation(need, key, settings)
    context = {**known, **own} if own else known
    if need.action == "ReplicateKey":
        for region in key.replicas:
            yield {**context, "kms:replicaregion": (region,)}
    else:
        yield context


_ABSENT: dict[str, tuple[Value, ...]] = dict.fromkeys(
    (
        # The functions run in no VPC, and no service calls KMS for them.
        *("aws:sourcevpc", "aws:sourcevpcarn", "aws:sourcevpce", "aws:vpcsourceip"),
        *("aws:vpceaccount", "aws:vpceorgid", "aws:vpceorgpaths", "aws:ec2instancesourcevpc"),
        *("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"),
        *("aws:principalservicename", "aws:principalservicenameslist", "aws:calledvia"),
        *("aws:calledviafirst", "aws:calledvialast", "kms:viaservice"),
        # Sessions of a role that a service has assumed.
        *("aws:username", "aws:multifactorauthage", "aws:sourceidentity", "aws:federatedprovider"),
        # Other operations than ours have these.
        *("aws:requesttag/", "aws:tagkeys", "kms:encryptioncontext:", "kms:encryptioncontextkeys"),
        *("kms:encryptionalgorithm", "kms:signingalgorithm", "kms:macalgorithm"),
        *("kms:messagetype", "kms:keyagreementalgorithm", "kms:datakeypairspec"),
        *("kms:reencryptonsamekey", "kms:requestalias", "kms:recipientattestation:"),
        *("kms:grantconstrainttype", "kms:grantisforawsresource", "kms:grantoperations"),
        *("kms:granteeprincipal", "kms:retiringprincipal", "kms:primaryregion"),
        *("kms:bypasspolicylockoutsafetycheck", "kms:expirationmodel", "kms:validto"),
        *("kms:replicaregion", "kms:rotationperiodindays", "kms:wrappingalgorithm"),
        *("kms:wrappingkeyspec", "kms:schedulekeydeletionpendingwindowindays"),
    ),
    (None,),
)
"""Condition keys that calls of ours do not have, unless `_of_operation` says so.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
"""


def _of_caller(role: Role, settings: Settings) -> dict[str, tuple[Value, ...] | None]:
    account = (role.account_id,)
    return {
        "aws:principalarn": (role.arn,),
        "aws:principalaccount": account,
        "aws:principaltype": ("AssumedRole",),
        "aws:principalisawsservice": ("false",),
        # Lambda names the session after the function.
        "aws:userid": (f"{role.id}:{settings.stack_name}",),
        "aws:viaawsservice": ("false",),
        "aws:securetransport": ("true",),
        # Temporary credentials have it, and no source says so of those of a service's role.
        "aws:multifactorauthpresent": (None, "false"),
        "aws:resourceaccount": account,
        "kms:calleraccount": account,
    }


def _of_key(key: Key) -> dict[str, tuple[Value, ...] | None]:
    spec, usage, origin = key.spec or (None, None, None)
    known = {
        **dict.fromkeys(("kms:keyspec", "kms:customermasterkeyspec"), spec),
        **dict.fromkeys(("kms:keyusage", "kms:customermasterkeyusage"), usage),
        "kms:keyorigin": origin,
    }
    return {
        "kms:multiregion": ("true",),
        "kms:multiregionkeytype": ("PRIMARY" if key.is_primary else "REPLICA",),
        "aws:requestedregion": (key.region,) if key.region else None,
        **{name: (value,) if value else None for name, value in known.items()},
    }


_NOT_KNOWN = {
    "UpdatePrimaryRegion": ("kms:primaryregion",),
    "TagResource": ("aws:requesttag/", "aws:tagkeys"),
    "UntagResource": ("aws:tagkeys",),
    # Sent again, the request may renew its material otherwise.
    "ImportKeyMaterial": ("kms:expirationmodel", "kms:validto"),
}
"""What some of our calls have whose value is not known before."""


def _of_operation(need: Need, key: Key, settings: Settings) -> dict[str, tuple[Value, ...] | None]:
    """Return what this operation alone has, or has otherwise."""
    own: dict[str, tuple[Value, ...] | None] = dict.fromkeys(_NOT_KNOWN.get(need.action, ()))
    match need.action:
        case "PutKeyPolicy":
            own["kms:bypasspolicylockoutsafetycheck"] = (None, "false")
            if need.role == "CreateReplicaKey":
                # KMS asks it for a ReplicateKey that was called in the primary's Region.
                regions = (key.region, key.primary_region)
                own["aws:requestedregion"] = regions if all(regions) else None
        case "EnableKeyRotation":
            period = key.rotation_period
            own["kms:rotationperiodindays"] = (str(period),) if period is not None else None
        case "GetParametersForImport":
            algorithm, wrapping_key_spec = key.wrapping or (None, None)
            own["kms:wrappingalgorithm"] = (algorithm,) if algorithm else None
            own["kms:wrappingkeyspec"] = (wrapping_key_spec,) if wrapping_key_spec else None
        case "ScheduleKeyDeletion":
            # A change may ask for more days, and does unless its declaration says otherwise.
            days = 30 if need.role == "RetireKey" else settings.deletion_window_days
            own["kms:schedulekeydeletionpendingwindowindays"] = (str(days),)
    return own


_ENDINGS = {
    "POLICY_LOCKS_OUT": "Without that, this request cannot be carried out.",
    "ROLLBACK_IMPOSSIBLE": "Without that, a request that fails leaves its keys behind.",
    "REPAIR_IMPOSSIBLE": "Without that, a request that failed cannot be finished or corrected.",
    "CHANGE_IMPOSSIBLE": "Without that, a later revision cannot change the key in this way.",
    "POLICY_DEPENDS_ON_CALL": "Nobody knows before the call whether KMS will allow it.",
}
_FOR_EVER = "Without that, no later revision could change the key or replace this policy."
_SHOWN = 6
"""How many actions, Regions and statements a message names at most."""


def _problem(
    path: str, statements: tuple[str, ...], found: list[_Finding], code: str, ending: str = ""
) -> Problem:
    reasons: dict[str, dict[str, None]] = defaultdict(dict)
    for one in found:
        reasons[one.need.action][f"to {one.need.what_for}"] = None
    calls = _some(f"kms:{action} ({', '.join(whys)})" for action, whys in reasons.items())
    regions = _some(one.region for one in found if one.region)
    deciding = _some(statement.removeprefix(f"{path}.") for statement in statements)
    if code == "POLICY_DEPENDS_ON_CALL":
        reason = f"a condition of {deciding} decides on"
    else:
        reason = f"{deciding} denies" if statements else "no statement allows"
    where = f" in {regions}" if regions else ""
    text = f"This stack's roles{where}: {reason} {calls}. {ending or _ENDINGS[code]}"
    return new_problem(statements[0] if statements else path, code, text)


def _some(texts: Iterable[str]) -> str:
    distinct = [*dict.fromkeys(texts)]
    return ", ".join([*distinct[:_SHOWN], *(["and more"] if len(distinct) > _SHOWN else [])])
