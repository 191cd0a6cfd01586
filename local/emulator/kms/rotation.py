"""Rotation: when it can be set or asked for, and what is reported of it.

https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
"""

from typing import Any

from ministack.core.responses import json_response

from local.emulator.kms import material as kms_material
from local.emulator.kms import states as kms_states
from local.emulator.kms.keys import Key, find, is_replica, primary_of
from local.emulator.kms.refusal import KmsRefusedError, unsupported
from local.emulator.kms.settings import current, now

_DAY = 86400
_DEFAULT_PERIOD = 365

# https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html
_MOST_ON_DEMAND = 25

# https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
_BEFORE_AUTOMATIC = 20 * 60


def enable_key_rotation(parameters: dict[str, Any]) -> Any:
    """Serve EnableKeyRotation; without a period it keeps the one that is set.

    Raises
    ------
    KmsRefusedError
        The key is not there, or KMS does not rotate it.
    """
    key = _rotatable("EnableKeyRotation", parameters)
    _check_spec(key)
    period = parameters.get("RotationPeriodInDays")
    if period is not None or "_rotation" not in key:
        days = period or _DEFAULT_PERIOD
        key["_rotation"] = {
            "RotationPeriodInDays": days,
            "NextRotationDate": round(now() + days * _DAY, 3),
        }
    return json_response({})


def disable_key_rotation(parameters: dict[str, Any]) -> Any:
    """Serve DisableKeyRotation, which a key that KMS never rotates allows as well.

    Raises
    ------
    KmsRefusedError
        The key is not there, is a replica, or its state does not allow it.
    """
    _rotatable("DisableKeyRotation", parameters).pop("_rotation", None)
    return json_response({})


def rotate_key_on_demand(parameters: dict[str, Any]) -> Any:
    """Serve RotateKeyOnDemand; asked for again while it runs, it goes on as it is.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html

    Raises
    ------
    KmsRefusedError
        The key cannot be rotated now, is about to be rotated automatically, was rotated often
        enough, or has no imported material that waits for it everywhere.
    """
    key = _rotatable("RotateKeyOnDemand", parameters)
    _check_spec(key)
    materials = kms_material.of(key)
    if materials.rotation_began_at is None:
        _check_automatic(key)
        _check_room(key)
        if key["Origin"] == "EXTERNAL":
            _check_staged(key)
        else:
            kms_material.make(key)
        kms_material.begin_rotation(key, current().rotating_seconds)
    return json_response({"KeyId": key["Arn"]})


def _check_automatic(key: Key) -> None:
    """Check that no automatic rotation begins within the next 20 minutes."""
    rotation = key.get("_rotation")
    if rotation and rotation["NextRotationDate"] - now() <= _BEFORE_AUTOMATIC:
        # How KMS words it is not known.
        raise KmsRefusedError("ConflictException", "")


def _check_room(key: Key) -> None:
    rotated = [material for material in kms_material.of(key).all if material.rotated_at]
    if sum(material.rotation_type == "ON_DEMAND" for material in rotated) >= _MOST_ON_DEMAND:
        raise KmsRefusedError(
            "LimitExceededException",
            "The on-demand rotations limit has been reached for the given keyId. No more "
            f"on-demand rotations can be performed for this key: {key['Arn']}",
        )


def _check_staged(key: Key) -> None:
    staged = kms_material.of(key).staged
    if staged is None:
        raise KmsRefusedError(
            "KMSInvalidStateException",
            f"No available key material pending rotation for the key: {key['Arn']}.",
        )
    if not kms_material.is_everywhere(key, staged):
        raise KmsRefusedError(
            "KMSInvalidStateException",
            "Cannot perform key material rotation: Key material has not been imported for replicas "
            "of the Multi-Region key.",
        )


def get_key_rotation_status(parameters: dict[str, Any]) -> Any:
    """Serve GetKeyRotationStatus: a replica has its primary's rotation.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html

    Raises
    ------
    KmsRefusedError
        There is no such key.
    """
    key = find("GetKeyRotationStatus", parameters.get("KeyId", ""))
    rotation = primary_of(key).get("_rotation")
    status: dict[str, Any] = {"KeyId": key["Arn"], "KeyRotationEnabled": False}
    if rotation and key["KeyState"] != "PendingDeletion":
        status |= {"KeyRotationEnabled": True, **rotation}
    is_symmetric = key["KeySpec"] == "SYMMETRIC_DEFAULT"
    if is_symmetric and (began := kms_material.of(key).rotation_began_at):
        status["OnDemandRotationStartDate"] = began
    return json_response(status)


def list_key_rotations(parameters: dict[str, Any]) -> Any:
    """Serve ListKeyRotations, in one page.

    Raises
    ------
    KmsRefusedError
        There is no such key, or a marker is given, which no page ends with.
    """
    key = find("ListKeyRotations", parameters.get("KeyId", ""))
    if "Marker" in parameters:
        raise KmsRefusedError("InvalidMarkerException", "")
    every_material = parameters.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    rotations = []
    if key["KeySpec"] == "SYMMETRIC_DEFAULT":
        history = kms_material.history(key)
        rotations = [entry for entry in history if every_material or "RotationDate" in entry]
    return json_response({"Rotations": rotations, "Truncated": False})


def _rotatable(operation: str, parameters: dict[str, Any]) -> Key:
    key = find(operation, parameters.get("KeyId", ""))
    if is_replica(key):
        raise unsupported(
            f"{key['Arn']} is a multi-region replica key which is not valid for {operation}."
        )
    if key["Origin"] == "EXTERNAL" and operation != "RotateKeyOnDemand":
        raise unsupported(f"{key['Arn']} origin is EXTERNAL which is not valid for this operation.")
    kms_states.check(operation, key)
    return key


def _check_spec(key: Key) -> None:
    if key["KeySpec"] != "SYMMETRIC_DEFAULT":
        raise unsupported(f"{key['Arn']} key spec {key['KeySpec']} cannot be rotated.")
