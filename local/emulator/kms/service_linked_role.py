"""The service-linked role of multi-Region keys.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-auth-slr.html
"""

from typing import Any

from ministack.services import iam

_SERVICE = "mrk.kms.amazonaws.com"
_NAME = "AWSServiceRoleForKeyManagementServiceMultiRegionKeys"
_EMULATORS_NAME = "AWSServiceRoleForMrk"

_emulator_create = iam._create_service_linked_role


def install() -> None:
    """Let IAM create the role as AWS does."""
    iam._IAM_HANDLERS["CreateServiceLinkedRole"] = _create


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
    }
    return status, headers, body.replace(_EMULATORS_NAME.encode(), _NAME.encode())
