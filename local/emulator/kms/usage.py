"""GetKeyLastUsage: when a key was last used, and for what.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html

Each key of a set has a use of its own. KMS may show it an hour late, the emulator at once. Of a
ReEncrypt it notes the key that the ciphertext is for.
"""

from functools import cache
from typing import Any

import botocore.session
from ministack.core.responses import json_response

from local.emulator.kms.keys import find, named_by
from local.emulator.kms.settings import now


def note(operation: str, parameters: dict[str, Any]) -> None:
    """Note that a key was used, if an operation that KMS has done is a use of one."""
    if operation not in _uses():
        return
    if key_id := parameters.get("KeyId") or named_by(parameters.get("CiphertextBlob") or ""):
        find(operation, key_id)["_last_use"] = {"Operation": operation, "Timestamp": now()}


def get_key_last_usage(parameters: dict[str, Any]) -> Any:
    """Serve GetKeyLastUsage.

    Raises
    ------
    KmsRefusedError
        There is no such key.
    """
    key = find("GetKeyLastUsage", parameters.get("KeyId", ""))
    return json_response(
        {
            "KeyId": key["Arn"],
            "KeyLastUsage": key.get("_last_use", {}),
            "TrackingStartDate": key["CreationDate"],
            "KeyCreationDate": key["CreationDate"],
        }
    )


@cache
def _uses() -> frozenset[str]:
    """Return the operations that are a use of a key, by the SDK's model."""
    model = botocore.session.get_session().get_service_model("kms")
    use: Any = model.shape_for("KeyLastUsageData")
    return frozenset(use.members["Operation"].enum)
