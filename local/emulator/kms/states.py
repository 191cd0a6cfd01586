"""Key states: which operations each allows, and how they pass with time.

https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

from ministack.services import kms

from local.emulator.kms import events as kms_events
from local.emulator.kms import material as kms_material
from local.emulator.kms.keys import Key, aliases_of, in_region, members, region_of
from local.emulator.kms.refusal import KmsRefusedError
from local.emulator.kms.settings import now

_DAY = 86400

# Two days after its DeletionDate a replica was seen to be really gone, as its primary's own
# DeletionDate told. The guide promises no more than that it can be a day later than asked for:
# https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
_GONE_AFTER = 2 * _DAY

_USES_OF_MATERIAL = frozenset(
    {
        "CreateGrant",
        "Decrypt",
        "DeriveSharedSecret",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetPublicKey",
        "ReEncrypt",
        "ReplicateKey",
        "Sign",
        "UpdatePrimaryRegion",
        "Verify",
        "VerifyMac",
    }
)
_ROTATION = frozenset({"DisableKeyRotation", "EnableKeyRotation", "RotateKeyOnDemand"})
_SWITCHES = frozenset({"DisableKey", "EnableKey"})
_IMPORTS = frozenset({"GetParametersForImport", "ImportKeyMaterial"})

_REFUSED_BEFORE_DELETION = (
    _USES_OF_MATERIAL
    | _ROTATION
    | _SWITCHES
    | _IMPORTS
    | {
        "CreateAlias",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
    }
)

# What each state refuses, and the end of the message that says so.
_REFUSALS: dict[str, tuple[frozenset[str], str]] = {
    "Creating": (
        _USES_OF_MATERIAL | _ROTATION | _SWITCHES | _IMPORTS | {"DeleteImportedKeyMaterial"},
        "is creating.",
    ),
    "Updating": (
        _SWITCHES
        | {
            "DeleteImportedKeyMaterial",
            "GetParametersForImport",
            "ReplicateKey",
            "ScheduleKeyDeletion",
        },
        "is updating.",
    ),
    "Disabled": (_USES_OF_MATERIAL | _ROTATION, "is disabled."),
    # An EXTERNAL key is not rotated automatically: `local.emulator.kms.rotation` refuses that.
    "PendingImport": (_USES_OF_MATERIAL | _SWITCHES | {"RotateKeyOnDemand"}, "is pending import."),
    "PendingDeletion": (_REFUSED_BEFORE_DELETION, "is pending deletion."),
    "PendingReplicaDeletion": (_REFUSED_BEFORE_DELETION, "is pending replica deletion."),
}


def check(operation: str, key: Key) -> None:
    """Check that a key's state allows an operation.

    Raises
    ------
    KmsRefusedError
        It does not.
    """
    state = key["KeyState"]
    leaving = state in ("PendingDeletion", "PendingReplicaDeletion")
    if operation == "CancelKeyDeletion" and not leaving:
        raise KmsRefusedError("KMSInvalidStateException", f"{key['Arn']} is not pending deletion.")
    refused, message = _REFUSALS.get(state, (frozenset(), ""))
    if operation in refused:
        code = "DisabledException" if state == "Disabled" else "KMSInvalidStateException"
        raise KmsRefusedError(code, f"{key['Arn']} {message}")


def enter(key: Key, state: str, seconds: float = 0) -> None:
    """Put a key into a state, which ends by itself after `seconds` if it is a passing one."""
    key["KeyState"] = state
    key["Enabled"] = state == "Enabled"
    key.pop("_ends_at", None)
    if state in ("Creating", "Updating"):
        key["_ends_at"] = now() + seconds
    if state not in ("PendingDeletion", "PendingReplicaDeletion"):
        key.pop("DeletionDate", None)
        key.pop("_pending_window_days", None)


def settle(key: Key) -> None:
    """Bring a key with imported material to the state that its material allows by now."""
    if key["KeyState"] == "Creating":
        return
    complete = kms_material.place(key)
    if key["KeyState"] in ("Enabled", "Disabled") and not complete:
        enter(key, "PendingImport")
    elif key["KeyState"] == "PendingImport" and complete:
        enter(key, "Enabled")


def schedule_deletion(key: Key, days: int, asked_at: float) -> None:
    """Let a key wait for its deletion; a primary waits for its replicas to be gone first.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    """
    key["_pending_window_days"] = days
    if key["MultiRegion"] and key["_mrk_type"] == "PRIMARY" and len(key["_mrk_regions"]) > 1:
        enter(key, "PendingReplicaDeletion")
    else:
        enter(key, "PendingDeletion")
        key["DeletionDate"] = round(asked_at + days * _DAY, 3)


def pass_time() -> None:
    """Bring every key to the state that it has by now."""
    moment = now()
    for key in kms._keys.all_values():
        if key.get("_ends_at", moment + 1) <= moment:
            enter(key, "Enabled")
        if "_materials" in key:
            kms_material.pass_time(key)
        if "_rotation" in key:
            kms_material.rotate_if_due(key)
        if key["Origin"] == "EXTERNAL":
            kms_material.expire(key)
            settle(key)
    # A primary's own time begins when its last replica is gone: then it may be over as well.
    while gone := [key for key in kms._keys.all_values() if _gone_at(key) <= moment]:
        for key in gone:
            _remove(key)


def _gone_at(key: Key) -> float:
    if key["KeyState"] != "PendingDeletion":
        return float("inf")
    return float(key["DeletionDate"]) + _GONE_AFTER


def _remove(key: Key) -> None:
    """Delete a key and its aliases, and take it from its set.

    https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
    """
    region, account = region_of(key), key["Arn"].split(":")[4]
    for alias_arn in aliases_of(key):
        kms._aliases.pop_scoped(account, region, alias_arn)
        kms._alias_dates.pop_scoped(account, region, alias_arn, None)
    kms._keys.pop_scoped(account, region, key["KeyId"])
    kms_events.deleted(key)
    if not key["MultiRegion"]:
        return
    left = [other for other in key["_mrk_regions"] if other != region]
    for member in members(key):
        member["_mrk_regions"] = left
    primary = in_region(key, key["_mrk_primary_region"])
    if primary and primary["KeyState"] == "PendingReplicaDeletion" and len(left) == 1:
        schedule_deletion(primary, primary["_pending_window_days"], _gone_at(key))
