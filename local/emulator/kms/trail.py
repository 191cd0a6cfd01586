"""What CloudTrail says of a call of KMS that changes something.

https://docs.aws.amazon.com/kms/latest/developerguide/understanding-kms-entries.html has an example
of each. CloudTrail's event of a call comes as `AWS API Call via CloudTrail`:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
"""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.core.router import extract_access_key_id
from ministack.services import kms

from local.emulator.kms import events as kms_events
from local.emulator.kms.keys import Key, arn, in_region, region_of
from local.emulator.kms.principals import arn_of_role, find
from local.emulator.kms.settings import current, now

DETAIL_TYPE = "AWS API Call via CloudTrail"

_CHANGES = frozenset(
    {
        "CancelKeyDeletion",
        "CreateAlias",
        "CreateKey",
        "DeleteAlias",
        "DeleteImportedKeyMaterial",
        "DisableKey",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "ImportKeyMaterial",
        "PutKeyPolicy",
        "ReplicateKey",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    }
)

# Of the others that return nothing, responseElements names the key since December 2022.
_WITHOUT_RESPONSE = frozenset(
    {"PutKeyPolicy", "TagResource", "UntagResource", "UpdateKeyDescription"}
)

_SECRETS = frozenset({"EncryptedKeyMaterial", "ImportToken"})

# What the request's log entry has where the request itself has nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CreateKey": {
        "BypassPolicyLockoutSafetyCheck": False,
        "Description": "",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "Origin": "AWS_KMS",
    },
    "PutKeyPolicy": {"BypassPolicyLockoutSafetyCheck": False, "PolicyName": "default"},
    "ReplicateKey": {"BypassPolicyLockoutSafetyCheck": False, "Description": ""},
}

_DATES = frozenset({"CreationDate", "DeletionDate", "ValidTo"})

_INTERNAL = "AWS Internal"


@dataclass(frozen=True)
class Call:
    """A call that changes something, as it came in."""

    operation: str
    parameters: dict[str, Any]
    key: Key | None
    """The key that it is about, if there is one yet."""
    user_identity: dict[str, Any]
    user_agent: str


def note(operation: str, parameters: dict[str, Any], headers: dict[str, str]) -> Call | None:
    """Note a call before it is served; None if it changes nothing or nobody wants its event."""
    if operation not in _CHANGES or not current().event_copies:
        return None
    named = parameters.get("TargetKeyId") or parameters.get("KeyId") or parameters.get("AliasName")
    access_key_id = extract_access_key_id(headers, {})
    return Call(
        operation,
        parameters,
        kms._resolve_key(named),
        user_identity(access_key_id),
        headers.get("user-agent", ""),
    )


def put_event(call: Call, answer: dict[str, Any]) -> None:
    """Put the events of a call that succeeded; some have one in a second Region as well."""
    metadata = answer.get("KeyMetadata")
    key = kms._keys[metadata["KeyId"]] if metadata else call.key
    if key is None:
        return
    record = _record(call, key) | {
        "requestParameters": _request_parameters(call.operation, call.parameters),
        "responseElements": _response_elements(call.operation, key, answer),
    }
    _put(record)
    for internal in _internal_records(call, key, answer):
        _put(internal)


def _put(record: dict[str, Any]) -> None:
    region, account = record["awsRegion"], record["recipientAccountId"]
    kms_events.put(DETAIL_TYPE, region, account, record, [])


def _record(call: Call, key: Key) -> dict[str, Any]:
    return {
        "eventVersion": "1.11",
        "userIdentity": call.user_identity,
        "eventTime": _moment(now()).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "kms.amazonaws.com",
        "eventName": call.operation,
        "awsRegion": region_of(key),
        "sourceIPAddress": "127.0.0.1",
        "userAgent": call.user_agent,
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "resources": list(_resources(call, key)),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
        "eventCategory": "Management",
    }


def _internal_records(call: Call, key: Key, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the record of what KMS itself does in another Region for the caller.

    https://docs.aws.amazon.com/kms/latest/developerguide/ct-update-primary-region.html
    https://docs.aws.amazon.com/kms/latest/developerguide/ct-replicate-key.html
    """
    region = call.parameters.get("PrimaryRegion") or call.parameters.get("ReplicaRegion")
    other = in_region(key, region) if region and region != region_of(key) else None
    if other is None:
        return
    record = _record(call, other) | {
        "userIdentity": call.user_identity | {"invokedBy": _INTERNAL},
        "sourceIPAddress": _INTERNAL,
        "userAgent": _INTERNAL,
    }
    if call.operation == "ReplicateKey":
        names = ("Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin")
        record |= {
            "eventName": "CreateKey",
            "requestParameters": _request_parameters("CreateKey", {n: other[n] for n in names}),
            "responseElements": {"keyMetadata": camel(answer["ReplicaKeyMetadata"])},
        }
    else:
        record |= {
            "requestParameters": {"keyId": other["Arn"], "primaryRegion": region},
            "responseElements": {"keyId": other["Arn"]},
        }
    yield record


def _resources(call: Call, key: Key) -> Iterator[dict[str, str]]:
    """List the key, and the alias; the guide's examples have both as AWS::KMS::Key."""
    arns = [key["Arn"]]
    if "AliasName" in call.parameters:
        alias = arn(call.parameters["AliasName"])
        arns = [*arns, alias] if call.operation == "CreateAlias" else [alias, *arns]
    for one in arns:
        yield {"accountId": one.split(":")[4], "type": "AWS::KMS::Key", "ARN": one}


def _request_parameters(operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what CloudTrail has of a request: all but what is secret."""
    shown = {name: value for name, value in parameters.items() if name not in _SECRETS}
    named: dict[str, Any] = camel(_DEFAULTS.get(operation, {}) | shown)
    if operation == "CreateKey":
        named["customerMasterKeySpec"] = named["keySpec"]
    return named


def _response_elements(operation: str, key: Key, answer: dict[str, Any]) -> dict[str, Any] | None:
    if operation in _WITHOUT_RESPONSE:
        return None
    elements: dict[str, Any] = camel(answer)
    return elements or {"keyId": key["Arn"]}


def camel(value: Any, name: str = "") -> Any:
    """Write what the API calls KeyId as CloudTrail does: keyId, and dates as text."""
    if isinstance(value, dict):
        return {f"{key[0].lower()}{key[1:]}": camel(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [camel(inner) for inner in value]
    if name in _DATES and isinstance(value, int | float):
        moment = _moment(value)
        hour = moment.hour % 12 or 12
        return moment.strftime(f"%b {moment.day}, %Y, {hour}:%M:%S %p")
    return value


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def user_identity(access_key_id: str) -> dict[str, Any]:
    """Return who called, as CloudTrail describes it.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
    """
    account = get_account_id()
    caller = iam_evaluator.resolve_caller_identity(access_key_id) or {}
    caller_arn = caller.get("userArn") or f"arn:aws:iam::{account}:root"
    identity = {
        "type": "Root",
        "principalId": caller.get("userId") or account,
        "arn": caller_arn,
        "accountId": account,
        "accessKeyId": access_key_id,
    }
    record = find(caller_arn)
    if record is None:
        return identity
    if "UserId" in record:
        return identity | {"type": "IAMUser", "userName": record["UserName"]}
    role_id, session = record["RoleId"], caller_arn.rpartition("/")[2]
    issuer = {
        "type": "Role",
        "principalId": role_id,
        "arn": arn_of_role(caller_arn),
        "accountId": account,
        "userName": record["RoleName"],
    }
    began = _moment(now()).strftime("%Y-%m-%dT%H:%M:%SZ")
    return identity | {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{session}",
        "sessionContext": {
            "sessionIssuer": issuer,
            "attributes": {"creationDate": began, "mfaAuthenticated": "false"},
        },
    }
