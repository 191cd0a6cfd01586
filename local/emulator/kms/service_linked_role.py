"""The service-linked role of multi-Region keys.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-auth-slr.html
"""

from http import HTTPStatus
from typing import Any

from ministack.services import iam, kms

_SERVICE = "mrk.kms.amazonaws.com"
_NAME = "AWSServiceRoleForKeyManagementServiceMultiRegionKeys"
_EMULATORS_NAME = "AWSServiceRoleForMrk"

_POLICY = "AWSKeyManagementServiceMultiRegionKeysServiceRolePolicy"

# What was seen of the deletion of the role, each time that somebody asked.
_SEEN = ("", "IN_PROGRESS", "FAILED")

_emulator_create = iam._create_service_linked_role
_emulator_delete = iam._delete_service_linked_role
_emulator_deletion_status = iam._get_service_linked_role_deletion_status


def install() -> None:
    """Let IAM create and delete the role as AWS does."""
    iam._IAM_HANDLERS |= {
        "CreateServiceLinkedRole": _create,
        "DeleteServiceLinkedRole": _delete,
        "GetServiceLinkedRoleDeletionStatus": _deletion_status,
    }


def ensure() -> None:
    """Create the role, as KMS does with an account's first multi-Region key."""
    if _NAME not in iam._roles:
        _create({"AWSServiceName": [_SERVICE]})


def _create(parameters: dict[str, Any]) -> Any:
    """Stand in for the emulator's own: the role has one name, whatever suffix is asked for."""
    if iam._p(parameters, "AWSServiceName") != _SERVICE:
        return _emulator_create(parameters)
    if _NAME in iam._roles:
        taken = f"Service role name {_NAME} has been taken in this account"
        return iam._error(400, "InvalidInput", f"{taken}, please try a different suffix.")
    if iam._p(parameters, "CustomSuffix"):
        # That it is refused is known, how IAM words it is not.
        return iam._error(400, "InvalidInput", f"Custom suffix is not allowed for {_SERVICE}")
    status, headers, body = _emulator_create(parameters)
    role = iam._roles.pop(_EMULATORS_NAME)
    iam._roles[_NAME] = {
        **role,
        "RoleName": _NAME,
        "Arn": role["Arn"].replace(_EMULATORS_NAME, _NAME),
        "AttachedPolicies": [f"arn:aws:iam::aws:policy/aws-service-role/{_POLICY}"],
    }
    return status, headers, body.replace(_EMULATORS_NAME.encode(), _NAME.encode())


def _delete(parameters: dict[str, Any]) -> Any:
    """Stand in for the emulator's own: the role stays while there is a multi-Region key."""
    role = iam._roles.get(iam._p(parameters, "RoleName"))
    answer = _emulator_delete(parameters)
    status, _, _ = answer
    if status != HTTPStatus.OK or role["RoleName"] != _NAME:
        return answer
    account = role["Arn"].split(":")[4]
    if any(key["MultiRegion"] and f":{account}:" in key["Arn"] for key in kms._keys.all_values()):
        iam._roles[_NAME] = role
        *_, task = iam._service_linked_role_deletion_tasks.values()
        # The reason is a structure of IAM's, where the emulator has a text.
        reason = "<Reason>Account owns one or more multi-Region keys</Reason>"
        task |= {"Status": "FAILED", "Reason": reason, "_unseen": list(_SEEN)}
    return answer


def _deletion_status(parameters: dict[str, Any]) -> Any:
    """Stand in for the emulator's own: how the deletion ends is not known at once."""
    task = iam._service_linked_role_deletion_tasks.get(iam._p(parameters, "DeletionTaskId"))
    if task and task.get("_unseen"):
        task["Status"] = task["_unseen"].pop(0)
        if not task["Status"]:
            return iam._error(404, "NoSuchEntity", "Cannot find deletion status for given id.")
    return _emulator_deletion_status(parameters)
