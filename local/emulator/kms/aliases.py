"""The rules of aliases.

https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
https://docs.aws.amazon.com/kms/latest/developerguide/alias-create.html
"""

from typing import Any

from ministack.core.responses import json_response
from ministack.services import kms

from local.emulator.kms import labels as kms_labels
from local.emulator.kms import states as kms_states
from local.emulator.kms.keys import Key, aliases_of, arn, find, is_alias_visible
from local.emulator.kms.refusal import KmsRefusedError, invalid
from local.emulator.kms.settings import current, now

# https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
_MOST_OF_A_KEY = 50


def create_alias(parameters: dict[str, Any]) -> Any:
    """Serve CreateAlias.

    Raises
    ------
    KmsRefusedError
        The name is not allowed or taken, or the key is not there, is leaving or has enough.
    """
    name = str(parameters.get("AliasName", ""))
    _check_name(name)
    key = _target("CreateAlias", parameters)
    alias_arn = arn(name)
    if alias_arn in kms._aliases:
        raise KmsRefusedError(
            "AlreadyExistsException", f"An alias with the name {alias_arn} already exists"
        )
    kms_states.check("CreateAlias", key)
    _check_room(key)
    answer = kms._create_alias({**parameters, "TargetKeyId": key["KeyId"]})
    kms._alias_dates[alias_arn]["_visible_at"] = now() + current().propagation_seconds
    kms_labels.note_change(key)
    return answer


def update_alias(parameters: dict[str, Any]) -> Any:
    """Serve UpdateAlias.

    Raises
    ------
    KmsRefusedError
        The alias or the key is not there, or the key is leaving or has enough.
    """
    alias_arn = _existing(parameters)
    key = _target("UpdateAlias", parameters)
    kms_states.check("UpdateAlias", key)
    before = kms._aliases[alias_arn]
    if before != key["KeyId"]:
        _check_room(key)
    answer = kms._update_alias({**parameters, "TargetKeyId": key["KeyId"]})
    _note_change(before, key["KeyId"])
    return answer


def delete_alias(parameters: dict[str, Any]) -> Any:
    """Serve DeleteAlias, which every state of the key allows.

    Raises
    ------
    KmsRefusedError
        There is no such alias.
    """
    target = kms._aliases[_existing(parameters)]
    answer = kms._delete_alias(parameters)
    _note_change(target)
    return answer


def list_aliases(parameters: dict[str, Any]) -> Any:
    """Serve ListAliases: the aliases that can be seen, of one key or of all.

    Raises
    ------
    KmsRefusedError
        There is no such key.
    """
    key_id = parameters.get("KeyId")
    wanted = find("ListAliases", key_id)["KeyId"] if key_id else None
    aliases = [
        {
            "AliasName": alias_arn.split(":", 5)[5],
            "AliasArn": alias_arn,
            "TargetKeyId": target,
            "CreationDate": kms._alias_dates[alias_arn]["CreationDate"],
            "LastUpdatedDate": kms._alias_dates[alias_arn]["LastUpdatedDate"],
        }
        for alias_arn, target in kms._aliases.items()
        if is_alias_visible(alias_arn) and target == (wanted or target)
    ]
    return json_response({"Aliases": aliases, "Truncated": False})


def _note_change(*key_ids: str) -> None:
    for key_id in key_ids:
        key = kms._keys.get(key_id)
        if key:
            kms_labels.note_change(key)


def _check_name(name: str) -> None:
    if name.startswith("alias/aws/"):
        raise KmsRefusedError("NotAuthorizedException", "")
    if not name.startswith("alias/") or name == "alias/":
        raise invalid(
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if ":" in name:
        raise invalid(f"{name} contains invalid characters for an alias")


def _target(operation: str, parameters: dict[str, Any]) -> Key:
    target = str(parameters.get("TargetKeyId", ""))
    if target.startswith("alias/") or ":alias/" in target:
        raise invalid("Aliases must refer to keys. Not aliases")
    return find(operation, target)


def _existing(parameters: dict[str, Any]) -> str:
    alias_arn = arn(str(parameters.get("AliasName", "")))
    if alias_arn not in kms._aliases or not is_alias_visible(alias_arn):
        raise KmsRefusedError("NotFoundException", f"Alias {alias_arn} is not found.")
    return alias_arn


def _check_room(key: Key) -> None:
    if len(aliases_of(key)) >= _MOST_OF_A_KEY:
        raise KmsRefusedError(
            "LimitExceededException", f"{key['Arn']} has {_MOST_OF_A_KEY} aliases already."
        )
