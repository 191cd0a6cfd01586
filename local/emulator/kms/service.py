"""KMS as the emulator serves it: the emulator's own, made as strict as KMS.

`install` puts `_handle_request` in the place of the emulator's; it is called once a request is
authorised. The rules are in the modules beside this one: `kms_model` (what parameters are like),
`kms_states` (what each key state allows), `kms_specs`, `kms_policies`, `kms_policy_text`,
`kms_tags`, `kms_aliases`, `kms_rotation`, `kms_import`, `kms_multi_region`, `kms_lifecycle`,
`kms_ciphertexts` and `kms_quotas`. An operation that none of them serves is checked against the
state of its key and left to the emulator. What has changed something is reported by `kms_trail`.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import kms

from local.emulator.kms import aliases as kms_aliases
from local.emulator.kms import ciphertexts as kms_ciphertexts
from local.emulator.kms import events as kms_events
from local.emulator.kms import importing as kms_import
from local.emulator.kms import keys as kms_keys
from local.emulator.kms import lifecycle as kms_lifecycle
from local.emulator.kms import model as kms_model
from local.emulator.kms import multi_region as kms_multi_region
from local.emulator.kms import policy_text as kms_policy_text
from local.emulator.kms import quotas as kms_quotas
from local.emulator.kms import rotation as kms_rotation
from local.emulator.kms import service_linked_role as kms_service_linked_role
from local.emulator.kms import states as kms_states
from local.emulator.kms import tags as kms_tags
from local.emulator.kms import trail as kms_trail
from local.emulator.kms.refusal import KmsRefusedError

_OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "CancelKeyDeletion": kms_lifecycle.cancel_key_deletion,
    "CreateAlias": kms_aliases.create_alias,
    "CreateKey": kms_lifecycle.create_key,
    "DeleteAlias": kms_aliases.delete_alias,
    "DeleteImportedKeyMaterial": kms_import.delete_imported_key_material,
    "DisableKeyRotation": kms_rotation.disable_key_rotation,
    "EnableKeyRotation": kms_rotation.enable_key_rotation,
    "GetKeyPolicy": kms_policy_text.get_key_policy,
    "GetKeyRotationStatus": kms_rotation.get_key_rotation_status,
    "GetParametersForImport": kms_import.get_parameters_for_import,
    "ImportKeyMaterial": kms_import.import_key_material,
    "ListAliases": kms_aliases.list_aliases,
    "ListKeyRotations": kms_rotation.list_key_rotations,
    "ListKeys": kms_lifecycle.list_keys,
    "PutKeyPolicy": kms_lifecycle.put_key_policy,
    "ReplicateKey": kms_multi_region.replicate_key,
    "RotateKeyOnDemand": kms_rotation.rotate_key_on_demand,
    "ScheduleKeyDeletion": kms_lifecycle.schedule_key_deletion,
    "TagResource": kms_tags.tag_resource,
    "UntagResource": kms_tags.untag_resource,
    "UpdateAlias": kms_aliases.update_alias,
    "UpdatePrimaryRegion": kms_multi_region.update_primary_region,
    **kms_ciphertexts.OPERATIONS,
}

_emulator_handle_request = kms.handle_request


def install() -> None:
    """Put our KMS in the place of the emulator's."""
    kms.handle_request = _handle_request
    kms_keys.install()
    kms_service_linked_role.install()


async def _handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Any:
    """Stand in for `ministack.services.kms.handle_request`."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        return error_response_json("SerializationException", "", 400)
    try:
        kms_model.check(operation, parameters)
        kms_quotas.take(operation, parameters)
        kms_states.pass_time()
        kms_events.keep_time(kms_states.pass_time)
        call = kms_trail.note(operation, parameters, headers)
        if operation in _OPERATIONS:
            answer = _OPERATIONS[operation](parameters)
        else:
            _check_key(operation, parameters)
            answer = await _emulator_handle_request(method, path, headers, body, query_params)
    except KmsRefusedError as refusal:
        return error_response_json(refusal.code, refusal.message, 400)
    status, _, answered = answer
    if call and status == HTTPStatus.OK:
        kms_trail.put_event(call, json.loads(answered or b"{}"))
    return answer


def _check_key(operation: str, parameters: dict[str, Any]) -> None:
    """Check that the key of a request is there, and in a state that allows it."""
    key_id = parameters.get("KeyId")
    if key_id:
        kms_states.check(operation, kms_keys.find(operation, key_id))
