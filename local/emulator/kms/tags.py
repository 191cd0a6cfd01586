"""TagResource and UntagResource.

https://docs.aws.amazon.com/kms/latest/APIReference/API_TagResource.html
"""

from typing import Any

from ministack.services import kms

from local.emulator.kms import labels as kms_labels
from local.emulator.kms import states as kms_states
from local.emulator.kms.keys import find
from local.emulator.kms.refusal import KmsRefusedError

_MOST = 50


def check(parameters: dict[str, Any], present: Any = ()) -> None:
    """Check the tags that a request has, and that a key has.

    Every message is one that KMS was recorded with:
    https://github.com/localstack/localstack/blob/main/tests/aws/services/kms/test_kms.snapshot.json

    Raises
    ------
    KmsRefusedError
        One key is there twice or reserved, or there are too many.
    """
    keys = [tag["TagKey"] for tag in parameters.get("Tags") or []]
    if len(set(keys)) < len(keys):
        raise KmsRefusedError("TagException", "Duplicate tag keys")
    if any(key.lower().startswith("aws:") for key in keys):
        raise KmsRefusedError("TagException", "Tags beginning with aws: are reserved")
    if len({*keys, *present}) > _MOST:
        raise KmsRefusedError("TagException", "Too many tags")


def tag_resource(parameters: dict[str, Any]) -> Any:
    """Serve TagResource.

    Raises
    ------
    KmsRefusedError
        The key is not there, its state does not allow it, or the tags are refused.
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
    check(parameters, [tag["TagKey"] for tag in key["Tags"]])
    answer = emulator_changes({**parameters, "KeyId": key["KeyId"]})
    kms_labels.note_change(key)
    return answer
