"""CreateKey, the deletion of keys, and what is reported of which keys there are.

https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
"""

import json
from http import HTTPStatus
from typing import Any

from ministack.core.responses import json_response
from ministack.services import kms

from local.emulator.kms import authorization as kms_authorization
from local.emulator.kms import labels as kms_labels
from local.emulator.kms import policies as kms_policies
from local.emulator.kms import policy_text as kms_policy_text
from local.emulator.kms import service_linked_role as kms_service_linked_role
from local.emulator.kms import specs as kms_specs
from local.emulator.kms import states as kms_states
from local.emulator.kms import tags as kms_tags
from local.emulator.kms.keys import find, is_visible, metadata
from local.emulator.kms.refusal import invalid_value
from local.emulator.kms.settings import current, now

_SHORTEST_WINDOW, _LONGEST_WINDOW = 7, 30


def create_key(parameters: dict[str, Any]) -> Any:
    """Serve CreateKey.

    Raises
    ------
    KmsRefusedError
        The spec, usage or origin, the tags or the policy is refused.
    """
    kms_specs.check(parameters)
    kms_tags.check(parameters)
    kms_policies.check(parameters, kms_authorization.new_key_policy_change(parameters))
    answer = kms._create_key(kms_specs.for_emulator(parameters))
    status, _, body = answer
    if status != HTTPStatus.OK:
        return answer
    key = kms._keys[json.loads(body)["KeyMetadata"]["KeyId"]]
    kms_specs.finish(key, parameters)
    key["CreationDate"] = now()
    key["_visible_at"] = now() + current().propagation_seconds
    kms_labels.note_change(key)
    if key["MultiRegion"]:
        kms_service_linked_role.ensure()
    kms_policy_text.note_principals(key)
    return json_response({"KeyMetadata": metadata(key)})


def list_keys(parameters: dict[str, Any]) -> Any:
    """Serve ListKeys: the keys that can be seen."""
    limit = parameters.get("Limit", 1000)
    keys = [
        {"KeyId": key["KeyId"], "KeyArn": key["Arn"]}
        for key in kms._keys.values()
        if is_visible(key)
    ]
    return json_response({"Keys": keys[:limit], "Truncated": len(keys) > limit})


def put_key_policy(parameters: dict[str, Any]) -> Any:
    """Serve PutKeyPolicy, which every state of the key allows.

    Raises
    ------
    KmsRefusedError
        The key is not there or the policy is refused.
    """
    key = find("PutKeyPolicy", parameters.get("KeyId", ""))
    kms_policies.check(parameters, kms_authorization.policy_change(key))
    answer = kms._put_key_policy({**parameters, "KeyId": key["KeyId"]})
    kms_policy_text.note_principals(key)
    return answer


def schedule_key_deletion(parameters: dict[str, Any]) -> Any:
    """Serve ScheduleKeyDeletion.

    Raises
    ------
    KmsRefusedError
        The key is not there, its state does not allow it, or the window is too short or long.
    """
    days = parameters.get("PendingWindowInDays", _LONGEST_WINDOW)
    if days < _SHORTEST_WINDOW:
        least = f"have value greater than or equal to {_SHORTEST_WINDOW}"
        raise invalid_value("pendingWindowInDays", days, least)
    if days > _LONGEST_WINDOW:
        most = f"have value less than or equal to {_LONGEST_WINDOW}"
        raise invalid_value("pendingWindowInDays", days, most)
    key = find("ScheduleKeyDeletion", parameters.get("KeyId", ""))
    kms_states.check("ScheduleKeyDeletion", key)
    kms_states.schedule_deletion(key, days, now())
    answer = {"KeyId": key["Arn"], "KeyState": key["KeyState"], "PendingWindowInDays": days}
    if "DeletionDate" in key:
        answer["DeletionDate"] = key["DeletionDate"]
    return json_response(answer)


def cancel_key_deletion(parameters: dict[str, Any]) -> Any:
    """Serve CancelKeyDeletion, which leaves the key disabled, or waiting for its material.

    Raises
    ------
    KmsRefusedError
        The key is not there or is not scheduled for deletion.
    """
    key = find("CancelKeyDeletion", parameters.get("KeyId", ""))
    kms_states.check("CancelKeyDeletion", key)
    kms_states.enter(key, "Disabled")
    if key["Origin"] == "EXTERNAL":
        kms_states.settle(key)
    return json_response({"KeyId": key["Arn"]})
