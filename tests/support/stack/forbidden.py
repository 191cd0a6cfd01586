"""Calls that IAM must deny: made with a role's own credentials, past all of our code.

Whether the call itself makes sense does not matter: IAM is asked first.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError

from local.settings import ACCOUNT_ID, ROOT_CREDENTIALS, STACK_NAME
from local.stack.endpoint import Credentials
from local.stack.stack import Stack
from tests.support.stack.privileges import COPY, Grant, Privileges
from tests.support.stack.workflow_paths import FAR, HOME, NEAR

OUTSIDE = "ap-south-1"
"""A Region that `AllowedRegions` does not name."""
OTHER_BUCKET = "somebody-elses"

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_CLIENTS = {"states": "stepfunctions", "tag": "resourcegroupstaggingapi"}
_OPERATIONS = {
    "lambda:InvokeFunction": "invoke",
    "s3:ListBucket": "list_objects_v2",
    "s3:ListMultipartUploadParts": "list_parts",
}
_POLICY = '{"Version": "2012-10-17", "Statement": []}'
_OAEP = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"}
_FOREVER = "KEY_MATERIAL_DOES_NOT_EXPIRE"
_ITEM = {"requestId": {"S": "x"}}


def tag_list(**tags: str) -> list[dict[str, str]]:
    """Write tags as KMS takes them; `request_id` and `stack` stand for ours."""
    names = {"request_id": "mrk:request-id", "stack": "mrk:stack"}
    return [{"TagKey": names.get(name, name), "TagValue": value} for name, value in tags.items()]


_IMPORTING = ("ImportKeyMaterialFunctionRole", "ImportNewKeyMaterialFunctionRole")
_LOOKS = "LookAtKeysFunctionRole"
MAY_LIST = ("KeysApiFunctionRole", _LOOKS, "SweepRegionFunctionRole")
"""The roles that may read the whole table of requests."""
OURS = tag_list(request_id="x", stack=STACK_NAME)
NEW_PRIMARY: dict[str, Any] = {"MultiRegion": True, "Tags": OURS}


def _table(arn: str) -> dict[str, str]:
    table, _, index = arn.split(":table/")[1].partition("/index/")
    return {"TableName": table, **({"IndexName": index} if index else {})}


def _object(arn: str) -> dict[str, str]:
    bucket, _, key = arn.split(":::")[1].partition("/")
    return {"Bucket": bucket, "Key": key.replace("*", "x")}


# What an action is called with on a resource, given by its ARN. A new action is added here.
CALLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "dynamodb:BatchGetItem": lambda arn: {
        "RequestItems": {_table(arn)["TableName"]: {"Keys": [_ITEM]}}
    },
    "dynamodb:DeleteItem": lambda arn: {**_table(arn), "Key": _ITEM},
    "dynamodb:DeleteTable": _table,
    "dynamodb:DescribeTable": _table,
    "dynamodb:GetItem": lambda arn: {**_table(arn), "Key": _ITEM},
    "dynamodb:PutItem": lambda arn: {**_table(arn), "Item": _ITEM},
    "dynamodb:Query": lambda arn: {**_table(arn), "KeyConditionExpression": "x = :x"},
    "dynamodb:Scan": _table,
    "dynamodb:UpdateItem": lambda arn: {**_table(arn), "Key": _ITEM},
    "ec2:DescribeRegions": lambda _: {},
    "events:PutEvents": lambda arn: _event(arn, "mrk.provisioner"),
    "iam:AttachRolePolicy": lambda arn: {"RoleName": _last(arn), "PolicyArn": _ADMINISTRATOR},
    "iam:CreateServiceLinkedRole": lambda _: {"AWSServiceName": "mrk.kms.amazonaws.com"},
    "iam:PutRolePolicy": lambda arn: {
        "RoleName": _last(arn),
        "PolicyName": "more",
        "PolicyDocument": _POLICY,
    },
    "secretsmanager:GetSecretValue": lambda arn: {"SecretId": arn},
    "logs:DescribeLogGroups": lambda _: {},
    "logs:DescribeResourcePolicies": lambda _: {},
    "logs:PutResourcePolicy": lambda _: {"policyName": "x", "policyDocument": _POLICY},
    "kms:CancelKeyDeletion": lambda arn: {"KeyId": arn},
    "kms:CreateAlias": lambda arn: {"AliasName": "alias/x", "TargetKeyId": arn},
    "kms:CreateGrant": lambda arn: {
        "KeyId": arn,
        "GranteePrincipal": f"arn:aws:iam::{ACCOUNT_ID}:root",
        "Operations": ["Decrypt"],
    },
    "kms:CreateKey": lambda _: NEW_PRIMARY,
    "kms:Decrypt": lambda arn: {"KeyId": arn, "CiphertextBlob": b"x"},
    "kms:DeleteAlias": lambda arn: {"AliasName": arn.split(":")[-1]},
    "kms:DeleteImportedKeyMaterial": lambda arn: {"KeyId": arn},
    "kms:DeriveSharedSecret": lambda arn: {
        "KeyId": arn,
        "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": b"x",
    },
    "kms:DescribeKey": lambda arn: {"KeyId": arn},
    "kms:DisableKey": lambda arn: {"KeyId": arn},
    "kms:DisableKeyRotation": lambda arn: {"KeyId": arn},
    "kms:EnableKey": lambda arn: {"KeyId": arn},
    "kms:EnableKeyRotation": lambda arn: {"KeyId": arn},
    "kms:Encrypt": lambda arn: {"KeyId": arn, "Plaintext": b"x"},
    "kms:GenerateDataKey": lambda arn: {"KeyId": arn, "KeySpec": "AES_256"},
    "kms:GenerateDataKeyPair": lambda arn: {"KeyId": arn, "KeyPairSpec": "RSA_2048"},
    "kms:GenerateDataKeyPairWithoutPlaintext": lambda arn: {
        "KeyId": arn,
        "KeyPairSpec": "RSA_2048",
    },
    "kms:GenerateDataKeyWithoutPlaintext": lambda arn: {"KeyId": arn, "KeySpec": "AES_256"},
    "kms:GenerateMac": lambda arn: {
        "KeyId": arn,
        "Message": b"x",
        "MacAlgorithm": "HMAC_SHA_256",
    },
    "kms:GetKeyLastUsage": lambda arn: {"KeyId": arn},
    "kms:GetKeyPolicy": lambda arn: {"KeyId": arn},
    "kms:GetKeyRotationStatus": lambda arn: {"KeyId": arn},
    "kms:GetParametersForImport": lambda arn: {"KeyId": arn, **_OAEP},
    "kms:GetPublicKey": lambda arn: {"KeyId": arn},
    "kms:ImportKeyMaterial": lambda arn: {
        "KeyId": arn,
        "ImportToken": b"x",
        "EncryptedKeyMaterial": b"x",
        "ExpirationModel": _FOREVER,
    },
    "kms:ListAliases": lambda _: {},
    "kms:ListKeyRotations": lambda arn: {"KeyId": arn},
    "kms:ListKeys": lambda _: {},
    "kms:ListResourceTags": lambda arn: {"KeyId": arn},
    "kms:PutKeyPolicy": lambda arn: {"KeyId": arn, "Policy": _POLICY},
    "kms:ReplicateKey": lambda arn: {"KeyId": arn, "ReplicaRegion": NEAR, "Tags": OURS},
    "kms:RotateKeyOnDemand": lambda arn: {"KeyId": arn},
    "kms:ScheduleKeyDeletion": lambda arn: {"KeyId": arn, "PendingWindowInDays": 7},
    "kms:Sign": lambda arn: {
        "KeyId": arn,
        "Message": b"x",
        "SigningAlgorithm": "ECDSA_SHA_256",
    },
    "kms:TagResource": lambda arn: {"KeyId": arn, "Tags": OURS},
    "kms:UntagResource": lambda arn: {"KeyId": arn, "TagKeys": ["team"]},
    "kms:UpdateAlias": lambda arn: {"AliasName": "alias/x", "TargetKeyId": arn},
    "kms:UpdateKeyDescription": lambda arn: {"KeyId": arn, "Description": "x"},
    "kms:UpdatePrimaryRegion": lambda arn: {"KeyId": arn, "PrimaryRegion": NEAR},
    "kms:Verify": lambda arn: {
        "KeyId": arn,
        "Message": b"x",
        "Signature": b"x",
        "SigningAlgorithm": "ECDSA_SHA_256",
    },
    "kms:VerifyMac": lambda arn: {
        "KeyId": arn,
        "Message": b"x",
        "Mac": b"x",
        "MacAlgorithm": "HMAC_SHA_256",
    },
    "lambda:InvokeFunction": lambda arn: {"FunctionName": arn},
    "lambda:UpdateFunctionCode": lambda arn: {"FunctionName": arn, "ZipFile": b"x"},
    "s3:AbortMultipartUpload": lambda arn: {**_object(arn), "UploadId": "x"},
    "s3:GetObject": _object,
    "s3:ListBucket": lambda arn: {"Bucket": arn.split(":::")[1]},
    "s3:ListMultipartUploadParts": lambda arn: {**_object(arn), "UploadId": "x"},
    "s3:PutObject": _object,
    "sqs:ChangeMessageVisibility": lambda arn: {
        "QueueUrl": _queue_url(arn),
        "ReceiptHandle": "x",
        "VisibilityTimeout": 0,
    },
    "sqs:DeleteMessage": lambda arn: {"QueueUrl": _queue_url(arn), "ReceiptHandle": "x"},
    "sqs:GetQueueAttributes": lambda arn: {"QueueUrl": _queue_url(arn)},
    "sqs:ReceiveMessage": lambda arn: {"QueueUrl": _queue_url(arn)},
    "sqs:SendMessage": lambda arn: {"QueueUrl": _queue_url(arn), "MessageBody": "x"},
    "states:DescribeExecution": lambda arn: {"executionArn": arn.replace("*", "x")},
    "states:ListExecutions": lambda arn: {"stateMachineArn": arn},
    "states:SendTaskFailure": lambda _: {"taskToken": "x"},
    "states:SendTaskSuccess": lambda _: {"taskToken": "x", "output": "{}"},
    "states:StartExecution": lambda arn: {"stateMachineArn": arn},
    "states:StopExecution": lambda arn: {"executionArn": arn.replace("*", "x")},
    "states:UpdateStateMachine": lambda arn: {"stateMachineArn": arn},
    "sts:AssumeRole": lambda arn: {"RoleArn": arn, "RoleSessionName": "other"},
    "tag:GetResources": lambda _: {},
}
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"

_PLANNERS = ("KeysApiFunctionRole", "PlanChangeFunctionRole")
_READ_TAGS = [
    (role, "kms:ListResourceTags")
    for role in (
        "AdoptKeyFunctionRole",
        "ApplyChangeFunctionRole",
        "ApplyKeySettingsFunctionRole",
        _LOOKS,
        "ReleaseKeyFunctionRole",
        *_PLANNERS,
    )
]
_COMPARE = [
    (role, f"kms:{action}")
    for role in (*_PLANNERS, _LOOKS, "SweepRegionFunctionRole")
    for action in ("GetKeyPolicy", "GetKeyRotationStatus")
]
_ADOPT = ("AdoptKeyFunctionRole", "kms:TagResource")

NO_ATTEMPTS = ("LogDelivery", "LogDeliveries", "logs:DescribeLogGroups", "xray:")
"""Parts of actions that are no API operation, or that AWS's managed policies give to others."""

CRYPTOGRAPHY = [
    f"kms:{operation}"
    for operation in (
        "CreateGrant",
        "Decrypt",
        "DeriveSharedSecret",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetPublicKey",
        "Sign",
        "Verify",
        "VerifyMac",
    )
]
MANAGEMENT = [
    f"kms:{operation}"
    for operation in (
        "CancelKeyDeletion",
        "CreateAlias",
        "DeleteImportedKeyMaterial",
        "DisableKey",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GetParametersForImport",
        "ImportKeyMaterial",
        "ListResourceTags",
        "PutKeyPolicy",
        "ReplicateKey",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    )
]


@dataclass(frozen=True)
class Keys:
    """ARNs of keys to try things on, all in the home Region."""

    ours: str
    ours_external: str
    ours_named: str
    """With an alias, as a key that is finished."""
    of_another_stack: str
    """Multi-Region, origin EXTERNAL."""
    in_use: str
    """Multi-Region, origin EXTERNAL, with an alias and without our tags."""
    single_region: str
    """Without tags and alias, as every single-Region key is to be left alone."""
    unused: str
    """Multi-Region, without tags and alias."""
    alias: str
    """Of `in_use`."""


def make_keys(stack: Stack) -> Keys:
    """Make the keys and somebody else's bucket, as the account's root."""
    stack.client("s3").create_bucket(Bucket=OTHER_BUCKET)
    kms = stack.client("kms", HOME)

    def make(**parameters: Any) -> str:
        arn: str = kms.create_key(**parameters)["KeyMetadata"]["Arn"]
        return arn

    external = {"MultiRegion": True, "Origin": "EXTERNAL"}
    other = tag_list(request_id="x", stack="another-stack")
    in_use, alias = make(**external), "alias/somebody-elses"
    kms.create_alias(AliasName=alias, TargetKeyId=in_use)
    ours_named = make(**NEW_PRIMARY)
    kms.create_alias(AliasName="alias/ours", TargetKeyId=ours_named)
    return Keys(
        ours=make(**NEW_PRIMARY),
        ours_external=make(**external, Tags=OURS),
        ours_named=ours_named,
        of_another_stack=make(**external, Tags=other),
        in_use=in_use,
        single_region=make(),
        unused=make(MultiRegion=True),
        alias=f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{alias}",
    )


@dataclass(frozen=True)
class Attempt:
    """A call with a role's credentials."""

    role: str
    action: str
    parameters: dict[str, Any]
    region: str = HOME

    def __str__(self) -> str:
        return f"{self.role} {self.action} in {self.region} {self.parameters}"


def _new_session() -> boto3.Session:
    key_id, secret, *_ = ROOT_CREDENTIALS.values()
    return boto3.Session(key_id, secret)


@dataclass
class Attempts:
    """Makes attempts and counts those that IAM denied."""

    stack: Stack
    privileges: Privileges
    denied: int = 0
    _session: boto3.Session = field(default_factory=_new_session)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)
    _credentials: dict[str, Credentials] = field(default_factory=dict)

    def is_denied(self, attempt: Attempt) -> bool:
        """Make an attempt; say whether IAM denied it."""
        service, name = attempt.action.split(":")
        operation = _OPERATIONS.get(attempt.action, xform_name(name))
        client = self._client(attempt.role, _CLIENTS.get(service, service), attempt.region)
        try:
            getattr(client, operation)(**attempt.parameters)
        except ClientError as error:
            is_denied = error.response["Error"]["Code"] in _DENIED
            self.denied += is_denied
            return is_denied
        return False

    def not_denied(self, attempts: Iterator[Attempt]) -> list[str]:
        """Make attempts; list those that IAM did not deny."""
        return [str(attempt) for attempt in attempts if not self.is_denied(attempt)]

    def of_every_kind(self, keys: Keys) -> dict[str, tuple[int, list[str]]]:
        """Make all that must not work; give each kind's number of denied, and the others."""
        kinds = {
            "what another role may do and this one may not": of_other_roles(self.privileges, keys),
            "what no role may do: cryptography, IAM, code, records": of_nobody(
                self.privileges, self.stack, keys
            ),
            "keys of another stack, without our tag, or single-Region": on_foreign_keys(
                self.privileges, keys
            ),
            "what lies just beyond a role's own grants": at_the_edges(
                self.privileges, self.stack, keys
            ),
        }
        results = {}
        for kind, attempts in kinds.items():
            before = self.denied
            others = self.not_denied(attempts)
            results[kind] = (self.denied - before, others)
        return results

    def _client(self, role: str, service: str, region: str) -> Any:
        """Return a client that signs as a role.

        A client for each role would take longer to make than all the calls: all roles share one,
        whose credentials are changed.
        """
        if role not in self._credentials:
            self._credentials[role] = self._assume(self.privileges.roles[role])
        wanted, signing = self._credentials[role], self._session.get_credentials()
        assert signing
        signing.access_key, signing.secret_key = wanted.access_key, wanted.secret_key
        signing.token = wanted.token
        if (service, region) not in self._clients:
            new_client: Callable[..., Any] = self._session.client
            self._clients[service, region] = new_client(
                service, region_name=region, endpoint_url=self.stack.url
            )
        return self._clients[service, region]

    def _assume(self, name: str) -> Credentials:
        """Assume a role; one that only a service of this account may assume, as a copy of it."""
        try:
            return self.stack.credentials_of(name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
        copy = f"{name}{COPY}"
        self.stack.create_role(copy)
        iam = self.stack.client("iam")
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            iam.put_role_policy(
                RoleName=copy, PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.attach_role_policy(RoleName=copy, PolicyArn=policy["PolicyArn"])
        return self.stack.credentials_of(copy)


def of_other_roles(privileges: Privileges, keys: Keys) -> Iterator[Attempt]:
    """Let each role try every action on every resource that another role has and it has not."""
    grants = privileges.grants()
    wanted = sorted({(grant.action, grant.resource) for grant in grants})
    for role in privileges.roles:
        own = [grant for grant in grants if grant.role == role]
        for action, resource in wanted:
            if any(part in action for part in NO_ATTEMPTS):
                continue
            if "SendTask" in action and any(grant.action == action for grant in own):
                # A call names a token and no state machine.
                continue
            if not any(grant.covers(action, resource) for grant in own):
                yield Attempt(role, action, CALLS[action](_existing(resource, keys)))


def _existing(resource: str, keys: Keys) -> str:
    """Return the ARN of something that a grant's resource covers."""
    for ending, arn in {
        ":key/mrk-*": keys.ours_external,
        ":key/*": keys.single_region,
        ":alias/*": keys.alias,
    }.items():
        if resource.endswith(ending):
            return arn
    return resource


def of_nobody(privileges: Privileges, stack: Stack, keys: Keys) -> Iterator[Attempt]:
    """Let each role try what no role may do."""
    table = f"arn:aws:dynamodb:{HOME}:{ACCOUNT_ID}:table/{stack.outputs['RequestsTableName']}"
    machine = stack.outputs["StateMachineArn"]
    function = stack.functions()["ValidateRequestFunction"]
    for role, name in privileges.roles.items():
        own_role = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
        other_role = next(n for n in privileges.roles.values() if n != name)
        for action, resource in [
            ("dynamodb:DeleteItem", table),
            ("dynamodb:DeleteTable", table),
            *([] if role in MAY_LIST else [("dynamodb:Scan", table)]),
            ("iam:AttachRolePolicy", own_role),
            ("iam:PutRolePolicy", own_role),
            ("kms:ListKeys", "*"),
            ("lambda:UpdateFunctionCode", function),
            ("states:StopExecution", f"{machine.replace(':stateMachine:', ':execution:')}:x"),
            ("states:UpdateStateMachine", machine),
            ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT_ID}:role/{other_role}"),
        ]:
            yield Attempt(role, action, CALLS[action](resource))
        for action in CRYPTOGRAPHY:
            yield Attempt(role, action, CALLS[action](keys.ours))


def on_foreign_keys(privileges: Privileges, keys: Keys) -> Iterator[Attempt]:
    """Let each role try every action on keys that are not this stack's."""
    for role in privileges.roles:
        for key in (keys.of_another_stack, keys.in_use):
            for action in MANAGEMENT:
                if (role, action) in (*_READ_TAGS, *_COMPARE, _ADOPT):
                    continue
                yield Attempt(role, action, CALLS[action](key))
        for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource"):
            yield Attempt(role, action, CALLS[action](keys.single_region))
        yield Attempt(role, "kms:DeleteAlias", CALLS["kms:DeleteAlias"](keys.alias))


def at_the_edges(privileges: Privileges, stack: Stack, keys: Keys) -> Iterator[Attempt]:
    """Let each role try what lies just beyond its own grants."""
    yield from _other_keys(keys)
    yield from _other_imports(keys)
    yield from _other_tags(keys)
    yield from _other_items(stack)
    for grant in privileges.grants():
        for parameters in _elsewhere(grant, stack):
            yield Attempt(grant.role, grant.action, parameters)


def _other_keys(keys: Keys) -> Iterator[Attempt]:
    primary, replica = "CreatePrimaryKeyFunctionRole", "CreateReplicaKeyFunctionRole"
    without_id, of_others = tag_list(stack=STACK_NAME), tag_list(request_id="x", stack="other")
    bypass = {"BypassPolicyLockoutSafetyCheck": True}

    yield Attempt(primary, "kms:CreateKey", {"MultiRegion": False, "Tags": OURS})
    for role in (primary, replica):
        yield Attempt(role, "kms:CreateKey", {"MultiRegion": True})
        for tags in (without_id, of_others):
            yield Attempt(role, "kms:CreateKey", {"MultiRegion": True, "Tags": tags})
        yield Attempt(role, "kms:CreateKey", NEW_PRIMARY, OUTSIDE)
        yield Attempt(role, "kms:CreateKey", {**NEW_PRIMARY, "KeySpec": "RSA_2048"})
        yield Attempt(role, "kms:CreateKey", {**NEW_PRIMARY, **bypass})
    yield Attempt(replica, "kms:CreateKey", NEW_PRIMARY)
    new_replica = {"KeyId": keys.ours, "ReplicaRegion": FAR, "Tags": OURS}
    for change in (
        {"ReplicaRegion": OUTSIDE},
        {"Tags": without_id},
        {"Tags": of_others},
        bypass,
    ):
        yield Attempt(replica, "kms:ReplicateKey", {**new_replica, **change})
    put_policy = {**CALLS["kms:PutKeyPolicy"](keys.ours), **bypass}
    other_service = {"AWSServiceName": "autoscaling.amazonaws.com"}
    for role in (primary, replica):
        yield Attempt(role, "kms:PutKeyPolicy", CALLS["kms:PutKeyPolicy"](keys.ours_named))
        yield Attempt(role, "iam:CreateServiceLinkedRole", other_service)
    for role in ("ApplyKeySettingsFunctionRole", primary, replica):
        yield Attempt(role, "kms:PutKeyPolicy", put_policy)

    for keys_of_tags in (["mrk:stack"], ["team", "mrk:request-id"]):
        untag = {"KeyId": keys.ours, "TagKeys": keys_of_tags}
        yield Attempt("ApplyKeySettingsFunctionRole", "kms:UntagResource", untag)


def _other_imports(keys: Keys) -> Iterator[Attempt]:
    """Let the roles that import key material try keys that take none, and weak wrapping."""
    weak = {"KeyId": keys.ours_external, **_OAEP, "WrappingAlgorithm": "RSAES_OAEP_SHA_1"}
    for importing in _IMPORTING:
        for action in ("kms:GetParametersForImport", "kms:ImportKeyMaterial"):
            yield Attempt(importing, action, CALLS[action](keys.ours))
        yield Attempt(importing, "kms:GetParametersForImport", weak)


def _other_tags(keys: Keys) -> Iterator[Attempt]:
    """Let the roles that adopt and release keys try other tags than the stack's own."""
    for tags in (
        tag_list(team="x", stack=STACK_NAME),
        tag_list(team="x"),
        tag_list(request_id="x", stack="other"),
    ):
        for key in (keys.ours, keys.unused):
            yield Attempt(*_ADOPT, {"KeyId": key, "Tags": tags})
    release = ("ReleaseKeyFunctionRole", "kms:UntagResource")
    for keys_of_tags in (["team"], ["team", "mrk:stack"]):
        yield Attempt(*release, {"KeyId": keys.ours, "TagKeys": keys_of_tags})
    yield Attempt(*release, {"KeyId": keys.of_another_stack, "TagKeys": ["mrk:stack"]})


def _other_items(stack: Stack) -> Iterator[Attempt]:
    """Let the roles that write approvals or operations alone try the records of requests."""
    table = {"TableName": stack.outputs["RequestsTableName"], "Key": _ITEM}
    yield Attempt(_LOOKS, "dynamodb:UpdateItem", table)
    for role in ("PlanChangeFunctionRole", "SweepFunctionRole"):
        yield Attempt(role, "dynamodb:DeleteItem", table)


def _elsewhere(grant: Grant, stack: Stack) -> Iterator[dict[str, Any]]:
    """Return calls of a grant's own action on things of the same kind that are not this stack's."""
    machine = f"{stack.outputs['StateMachineArn']}-other"
    bucket = f"arn:aws:s3:::{OTHER_BUCKET}"
    others = {
        "dynamodb": f"arn:aws:dynamodb:{HOME}:{ACCOUNT_ID}:table/other",
        "events": f"arn:aws:events:{HOME}:{ACCOUNT_ID}:event-bus/default",
        "lambda": f"arn:aws:lambda:{HOME}:{ACCOUNT_ID}:function:other",
        "s3": f"{bucket}/x",
        "s3:ListBucket": bucket,
        "sqs": f"arn:aws:sqs:{HOME}:{ACCOUNT_ID}:other",
        "states:DescribeExecution": f"{machine.replace(':stateMachine:', ':execution:')}:x",
        "states:ListExecutions": machine,
        "states:StartExecution": machine,
        "states:StopExecution": f"{machine.replace(':stateMachine:', ':execution:')}:x",
    }
    other = others.get(grant.action) or others.get(grant.action.split(":")[0])
    if other:
        yield CALLS[grant.action](other)
    if grant.action == "events:PutEvents":
        yield _event(grant.resource, "com.example.tickets")


def within_the_edges(privileges: Privileges, keys: Keys) -> Iterator[Attempt]:
    """Let roles do what `at_the_edges` changes one thing of: all of this is allowed."""
    primary, replica = "CreatePrimaryKeyFunctionRole", "CreateReplicaKeyFunctionRole"
    importing = ["GetParametersForImport", "ImportKeyMaterial"]
    yield Attempt(primary, "kms:CreateKey", NEW_PRIMARY)
    new_replica = {"KeyId": keys.ours, "ReplicaRegion": FAR, "Tags": OURS}
    yield Attempt(replica, "kms:ReplicateKey", new_replica)
    for role, actions, key in (
        (
            "ApplyKeySettingsFunctionRole",
            ["PutKeyPolicy", "TagResource", "UntagResource"],
            keys.ours,
        ),
        *((role, importing, keys.ours_external) for role in _IMPORTING),
        ("RollBackKeySetFunctionRole", ["ScheduleKeyDeletion"], keys.ours),
        (primary, ["EnableKey", "CancelKeyDeletion"], keys.ours),
        ("AdoptKeyFunctionRole", ["TagResource"], keys.ours),
    ):
        for action in actions:
            yield Attempt(role, f"kms:{action}", CALLS[f"kms:{action}"](key))
    for grant in privileges.grants():
        if grant.action == "events:PutEvents":
            yield Attempt(grant.role, grant.action, _own_event(grant))
        if grant.action == "states:StartExecution":
            given = {"stateMachineArn": grant.resource, "input": "{}"}
            yield Attempt(grant.role, grant.action, given)


def still_possible(keys: Keys) -> list[tuple[Attempt, str]]:
    """List what no condition that AWS documents can deny, each with what it means."""
    primary, replica = "CreatePrimaryKeyFunctionRole", "CreateReplicaKeyFunctionRole"
    tag_unused = CALLS["kms:TagResource"](keys.unused)
    put_unused = CALLS["kms:PutKeyPolicy"](keys.unused)
    untagged = {"KeyId": keys.ours, "ReplicaRegion": FAR}
    takes_over = (
        "A multi-Region key of somebody else that has neither an alias nor a `mrk:stack` tag can "
        "be given our tags: IAM cannot tell it from a key that is being created. The sweep reports "
        "it as `SURPLUS_KEY`."
    )
    lets_in = (
        "The key policy of such a key, or of one of ours that has no alias yet, can be replaced, "
        "where that policy leaves the key to IAM: KMS asks for PutKeyPolicy when a key is created, "
        "and whether it sees the new key's tags then is open. CloudTrail has PutKeyPolicy calls of "
        "these roles only if somebody made them past our code."
    )
    reads_tags = (
        "The tags of every multi-Region key can be read. No condition distinguishes a key that has "
        "lost our tag from others; only its tags show that."
    )
    compares = (
        "The key policy and the rotation of every multi-Region key can be read: a set is compared "
        "with its declaration before it has our tags, where it is to be adopted, and after "
        "somebody has taken them away."
    )
    adopts = (
        "Any multi-Region key of the account can be given our two tags, and no other tag: that is "
        "what an adoption does. Its function reads the tags first, and leaves the key of another "
        "manager alone unless it is to be taken over. After that the stack's roles may act on it."
    )
    single_region = (
        "ReplicateKey asks for CreateKey, and what it shows of the replica is open; so this role "
        "can create single-Region keys in allowed Regions. They cost money and are nobody's."
    )
    return [
        (Attempt(primary, "kms:TagResource", tag_unused), takes_over),
        (Attempt(replica, "kms:TagResource", tag_unused), takes_over),
        (Attempt(primary, "kms:PutKeyPolicy", put_unused), lets_in),
        (Attempt(replica, "kms:PutKeyPolicy", put_unused), lets_in),
        (Attempt(replica, "kms:CreateKey", {"MultiRegion": False}), single_region),
        *(
            (Attempt(*grant, CALLS["kms:ListResourceTags"](keys.in_use)), reads_tags)
            for grant in _READ_TAGS
        ),
        *((Attempt(*grant, CALLS[grant[1]](keys.in_use)), compares) for grant in _COMPARE),
        (Attempt(*_ADOPT, CALLS["kms:TagResource"](keys.in_use)), adopts),
        (
            Attempt(replica, "kms:ReplicateKey", untagged),
            "A key of ours can be replicated without tags into an allowed Region: ReplicateKey has "
            "no condition key for them. Nobody but the account's administrators can touch that "
            "replica.",
        ),
    ]


def _own_event(grant: Grant) -> dict[str, Any]:
    """Return an event that a role may put: an outcome, or the door's one kind."""
    if grant.role == "ReceiveHookFunctionRole":
        return _event(grant.resource, "mrk.hooks", "Multi-Region Key Requested")
    return _event(grant.resource, "mrk.provisioner")


def _event(bus_arn: str, source: str, detail_type: str = "x") -> dict[str, Any]:
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": "{}",
        "EventBusName": _last(bus_arn),
    }
    return {"Entries": [entry]}


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[1]


def _queue_url(arn: str) -> str:
    return f"http://sqs.local/{ACCOUNT_ID}/{arn.rsplit(':', 1)[1]}"
