"""The permissions and condition keys of KMS.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
"""

from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import kms

from local.emulator.checks import Check, Request
from local.emulator.kms import keys as kms_keys
from local.emulator.kms import labels as kms_labels
from local.emulator.kms.settings import current

# These take no key as their resource, even where a parameter names one.
_ACCOUNT_OPERATIONS = frozenset(
    {"CreateKey", "GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants"}
)

# Parameters that are condition keys of their own.
_PARAMETER_KEYS = {
    ("EnableKeyRotation", "RotationPeriodInDays"): "kms:RotationPeriodInDays",
    ("GetParametersForImport", "WrappingAlgorithm"): "kms:WrappingAlgorithm",
    ("GetParametersForImport", "WrappingKeySpec"): "kms:WrappingKeySpec",
    ("ImportKeyMaterial", "ExpirationModel"): "kms:ExpirationModel",
    ("ImportKeyMaterial", "ValidTo"): "kms:ValidTo",
    ("ReplicateKey", "ReplicaRegion"): "kms:ReplicaRegion",
    ("ScheduleKeyDeletion", "PendingWindowInDays"): "kms:ScheduleKeyDeletionPendingWindowInDays",
    ("UpdatePrimaryRegion", "PrimaryRegion"): "kms:PrimaryRegion",
}


def checks(request: Request, asked: Check) -> list[Check]:
    """List every permission that KMS asks IAM for.

    Parameters
    ----------
    request
        The request to KMS.
    asked
        What the emulator would check: the operation's own permission, with its request tags.
    """
    asked = _with(asked, _request_context(request))
    if request.operation == "CreateKey":
        return _creation(request, _with(asked, _new_key_context(request.parameters)))
    if request.operation.endswith("Alias"):
        return _alias_checks(request, asked)
    if request.operation in _ACCOUNT_OPERATIONS:
        return [Check(asked.action, asked.region, context=asked.context)]
    # The emulator does not see that a ciphertext names a multi-Region key.
    named = request.parameters.get("KeyId") or kms_keys.named_by(
        request.parameters.get("CiphertextBlob") or ""
    )
    key = kms._resolve_key(named or asked.resource)
    if request.operation == "ReplicateKey":
        replicate = _without_request_tags(asked)
        creation = _replica_creation(request, asked, key) if key else []
        return [_key_check(replicate, key), *creation]
    if request.operation == "UpdatePrimaryRegion":
        return [_key_check(asked, key), *_replica_checks(request, asked, key)]
    return [_key_check(asked, key)]


def policy_change(key: kms_keys.Key) -> Check:
    """Return the permission to change a key's policy."""
    return _key_check(_policy_change(kms_keys.region_of(key)), key)


def new_key_policy_change(parameters: dict[str, Any]) -> Check:
    """Return the permission to change the policy of the key that CreateKey makes."""
    return _new_policy_change(get_region(), _new_key_context(parameters), parameters)


def new_replica_policy_change(primary: kms_keys.Key, parameters: dict[str, Any]) -> Check:
    """Return the permission to change the policy of the key that ReplicateKey makes."""
    return _new_policy_change(parameters["ReplicaRegion"], _replica_context(primary), parameters)


def _new_policy_change(region: str, context: dict[str, Any], parameters: dict[str, Any]) -> Check:
    """Return the permission to change the policy of a key that is being made.

    Whether it must cover every key, as the one to tag such a key, and whether the new key's tags
    count in it is not known. Here it must cover every key; of the tags the settings decide.
    """
    change = _policy_change(region)
    if current().lockout_sees_tags:
        context |= {
            f"aws:ResourceTag/{tag['TagKey']}": tag["TagValue"]
            for tag in parameters.get("Tags") or []
        }
    return Check(change.action, region, _every_key(region), change.context | context)


def _policy_change(region: str) -> Check:
    context = {"kms:CallerAccount": get_account_id(), **_bypass_context({})}
    return Check("kms:PutKeyPolicy", region, context=context)


def _without_request_tags(check: Check) -> Check:
    """Take the request's tags away: kms:ReplicateKey has no condition keys for them.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
    """
    context = {
        name: value
        for name, value in check.context.items()
        if not name.lower().startswith(("aws:requesttag/", "aws:tagkeys"))
    }
    return Check(check.action, check.region, check.resource, context)


def _request_context(request: Request) -> dict[str, Any]:
    context = {
        name: str(request.parameters[parameter])
        for (operation, parameter), name in _PARAMETER_KEYS.items()
        if operation == request.operation and parameter in request.parameters
    }
    context["kms:CallerAccount"] = get_account_id()
    if request.operation in ("CreateKey", "PutKeyPolicy"):
        context |= _bypass_context(request.parameters)
    return context


def _bypass_context(parameters: dict[str, Any]) -> dict[str, str]:
    bypass = parameters.get("BypassPolicyLockoutSafetyCheck", False)
    return {"kms:BypassPolicyLockoutSafetyCheck": _text(bypass)}


def _new_key_context(parameters: dict[str, Any]) -> dict[str, str]:
    multi_region = bool(parameters.get("MultiRegion"))
    spec = parameters.get("KeySpec") or parameters.get("CustomerMasterKeySpec")
    context = {
        "kms:KeyOrigin": parameters.get("Origin", "AWS_KMS"),
        "kms:KeySpec": spec or "SYMMETRIC_DEFAULT",
        "kms:KeyUsage": parameters.get("KeyUsage", "ENCRYPT_DECRYPT"),
        "kms:MultiRegion": _text(multi_region),
    }
    if multi_region:
        context["kms:MultiRegionKeyType"] = "PRIMARY"
    return context


def _key_context(key: dict[str, Any]) -> dict[str, Any]:
    """Return the condition keys that describe an existing key."""
    labels = kms_labels.counted(key)
    context: dict[str, Any] = {
        f"aws:ResourceTag/{name}": value for name, value in labels.tags.items()
    }
    context |= {
        "kms:KeyOrigin": key["Origin"],
        "kms:KeySpec": key["KeySpec"],
        "kms:KeyUsage": key["KeyUsage"],
        "kms:MultiRegion": _text(key["MultiRegion"]),
    }
    if labels.aliases:
        context["kms:ResourceAliases"] = labels.aliases
    if key["MultiRegion"]:
        context["kms:MultiRegionKeyType"] = key["_mrk_type"]
    return context


def _creation(request: Request, creation: Check) -> list[Check]:
    """CreateKey, and TagResource if the new key has tags.

    That one must cover every key of the account and Region: there is no key yet to name.
    https://docs.aws.amazon.com/kms/latest/developerguide/manage-tags-api.html
    """
    needed = [Check("kms:CreateKey", creation.region, context=creation.context)]
    if request.parameters.get("Tags"):
        every_key = _every_key(creation.region)
        needed.append(Check("kms:TagResource", creation.region, every_key, creation.context))
    return needed


def _every_key(region: str) -> str:
    return f"arn:aws:kms:{region}:{get_account_id()}:key/*"


def _replica_creation(request: Request, asked: Check, key: dict[str, Any]) -> list[Check]:
    """Check that ReplicateKey may create a key in the replica's Region.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-auth.html
    """
    context = {name: value for name, value in asked.context.items() if name != "kms:ReplicaRegion"}
    context |= _replica_context(key) | _bypass_context(request.parameters)
    region = request.parameters.get("ReplicaRegion", "")
    return _creation(request, Check("kms:CreateKey", region, context=context))


def _replica_context(primary: dict[str, Any]) -> dict[str, Any]:
    described = _key_context(primary)
    context = {name: described[name] for name in ("kms:KeyOrigin", "kms:KeySpec", "kms:KeyUsage")}
    return context | {"kms:MultiRegion": "true", "kms:MultiRegionKeyType": "REPLICA"}


def _replica_checks(request: Request, asked: Check, primary: dict[str, Any] | None) -> list[Check]:
    """Check that UpdatePrimaryRegion may change the replica, too.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html
    """
    region = request.parameters.get("PrimaryRegion", "")
    replica = kms_keys.in_region(primary, region) if primary else None
    if replica is None:
        return []
    return [_key_check(Check(asked.action, region, asked.resource, asked.context), replica)]


def _alias_checks(request: Request, asked: Check) -> list[Check]:
    """Check the alias, by IAM alone, and each key that it names or will name.

    https://docs.aws.amazon.com/kms/latest/developerguide/alias-access.html
    """
    name = request.parameters.get("AliasName", "")
    arn = f"arn:aws:kms:{get_region()}:{get_account_id()}:{name}"
    alias = Check(asked.action, asked.region, arn, asked.context)
    named = kms._resolve_key(name) if request.operation != "CreateAlias" else None
    to_name = kms._resolve_key(request.parameters.get("TargetKeyId"))
    return [alias, *(_key_check(asked, key) for key in (named, to_name) if key)]


def _key_check(asked: Check, key: dict[str, Any] | None) -> Check:
    if key is None:
        # KMS says that a key or alias is not there to whoever may use the operation at all.
        return Check(asked.action, asked.region, asked.resource, asked.context, anywhere=True)
    context = {**asked.context, **_key_context(key)}
    return Check(asked.action, asked.region, key["Arn"], context)


def _with(check: Check, context: dict[str, Any]) -> Check:
    return Check(check.action, check.region, check.resource, {**check.context, **context})


def _text(value: object) -> str:
    return str(bool(value)).lower()
