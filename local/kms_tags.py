"""TagResource and UntagResource.

https://docs.aws.amazon.com/kms/latest/APIReference/API_TagResource.html
"""

from typing import Any

from ministack.services import kms

from local import kms_labels, kms_states
from local.kms_keys import find


def tag_resource(parameters: dict[str, Any]) -> Any:
    """Serve TagResource.

    Raises
    ------
    KmsRefusedError
        The key is not there or its state does not allow it.
    """
    return _change("TagResource", parameters, kms._tag_resource)


def untag_resource(parameters: dict[str, Any]) -> Any:
    """Serve UntagResource.

    Raises
    ------
    KmsRefusedError
        The key is not there or its state does not allow it.
    """
    return _change("UntagResource", parameters, kms._untag_resource)


def _change(operation: str, parameters: dict[str, Any], emulator_changes: Any) -> Any:
    key = find(operation, parameters.get("KeyId", ""))
    kms_states.check(operation, key)
    answer = emulator_changes({**parameters, "KeyId": key["KeyId"]})
    kms_labels.note_change(key)
    return answer
