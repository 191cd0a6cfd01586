"""Automatic rotation: when it can be set, and what is told of it. The emulator rotates nothing.

https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable-disable.html
"""

from typing import Any

from ministack.core.responses import json_response
from ministack.services import kms

from local import kms_states
from local.kms_keys import Key, find, is_replica, primary_of
from local.kms_refusal import invalid_value, unsupported
from local.kms_settings import now

_DAY = 86400
_DEFAULT_PERIOD = 365
_SHORTEST, _LONGEST = 90, 2560


def enable_key_rotation(parameters: dict[str, Any]) -> Any:
    """Serve EnableKeyRotation; without a period it keeps the one that is set.

    Raises
    ------
    KmsRefusedError
        The key is not there, KMS does not rotate it, or the period is not allowed.
    """
    key = _rotatable("EnableKeyRotation", parameters)
    _check_spec(key)
    period = parameters.get("RotationPeriodInDays")
    if period is not None and period > _LONGEST:
        raise _wrong_period(period, f"have value less than or equal to {_LONGEST}")
    if period is not None and period < _SHORTEST:
        raise _wrong_period(period, f"have value greater than or equal to {_SHORTEST}")
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
    """Serve RotateKeyOnDemand as far as KMS refuses it.

    Raises
    ------
    KmsRefusedError
        Always; a key that KMS would rotate is refused because the emulator cannot.
    """
    key = _rotatable("RotateKeyOnDemand", parameters)
    _check_spec(key)
    raise unsupported("The emulator does not rotate key material on demand.")


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
    return json_response(status)


def list_key_rotations(parameters: dict[str, Any]) -> Any:
    """Serve ListKeyRotations of a key that was never rotated.

    Raises
    ------
    KmsRefusedError
        There is no such key.
    """
    key = find("ListKeyRotations", parameters.get("KeyId", ""))
    rotations = []
    if parameters.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL":
        material = {
            "KeyId": key["Arn"],
            "KeyMaterialId": kms._key_material_id(key),
            "KeyMaterialState": "CURRENT",
        }
        rotations.append(material)
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


def _wrong_period(period: int, constraint: str) -> Exception:
    return invalid_value("rotationPeriodInDays", period, constraint)
