"""Adapter of AWS KMS: one function a call, every failure as an error of ours.

A function takes the client of the Region it works in. `ClientError` codes become errors by one
table, which the KMS API reference documents call by call:
https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from provisioner.aws.client_types import (
    KeyMetadata,
    KeyTag,
    KMSClient,
    RotationsListEntry,
)
from provisioner.clock import instant_text
from provisioner.domain.key_policy import Policy, policy_text, principals_looked_up
from provisioner.domain.key_specs import WrappingAlgorithmName, WrappingKeySpec
from provisioner.domain.last_use import LastUse
from provisioner.domain.plan import KeyPlan, KeySetRequest
from provisioner.errors import (
    AutomaticRotationNear,
    ImportTokenExpired,
    ImportTokenInvalid,
    IncorrectKeyMaterial,
    KeyMaterialUnreadable,
    KeyPolicyRefused,
    KeyStateConflict,
    KmsAccessDenied,
    KmsError,
    KmsKeyNotFound,
    KmsLimitExceeded,
    KmsRequestRefused,
    KmsThrottled,
    KmsUnavailable,
    PrimaryKeyUnconfirmed,
    PromotionUnderWay,
    RegionNotEnabled,
    RotationsUsedUp,
    RotationUnderWay,
)

type Metadata = KeyMetadata
type KeyMaterials = list[RotationsListEntry]
"""What ListKeyRotations returns of all key material of one Region's key."""

_ALIASES_PER_PAGE = 100

_ERRORS: dict[str, type[KmsError]] = {
    "ThrottlingException": KmsThrottled,
    "Throttling": KmsThrottled,
    "RequestLimitExceeded": KmsThrottled,
    "TooManyRequestsException": KmsThrottled,
    "KMSInternalException": KmsUnavailable,
    "DependencyTimeoutException": KmsUnavailable,
    "AccessDeniedException": KmsAccessDenied,
    # What services answer where an account has not enabled their Region, by protocol and age.
    # https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
    "UnrecognizedClientException": RegionNotEnabled,
    "InvalidClientTokenId": RegionNotEnabled,
    "OptInRequired": RegionNotEnabled,
    "AuthFailure": RegionNotEnabled,
    "NotFoundException": KmsKeyNotFound,
    "LimitExceededException": KmsLimitExceeded,
    "MalformedPolicyDocumentException": KeyPolicyRefused,
    "KMSInvalidStateException": KeyStateConflict,
    "DisabledException": KeyStateConflict,
}

_IMPORT_ERRORS: dict[str, type[KmsError]] = {
    "IncorrectKeyMaterialException": IncorrectKeyMaterial,
    "InvalidCiphertextException": KeyMaterialUnreadable,
    "InvalidImportTokenException": ImportTokenInvalid,
    "ExpiredImportTokenException": ImportTokenExpired,
}

_ROTATION_ERRORS: dict[str, type[KmsError]] = {
    "ConflictException": AutomaticRotationNear,
    "LimitExceededException": RotationsUsedUp,
}

_NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
_NO_USABLE_ANSWER = (*_NEVER_SENT, HTTPClientError, SSLError, ResponseParserError)


@contextmanager
def _named_errors(
    operation: str,
    client: KMSClient,
    key_arn: str | None = None,
    own: dict[str, type[KmsError]] | None = None,
) -> Iterator[None]:
    """Raise our errors for botocore's; `own` are those that only this operation raises.

    The message names the key, which KMS itself does for some errors only.

    Raises
    ------
    KmsUnavailable
        For a lost answer or an error inside KMS, after the SDK's retries.
    KmsError
        By `_ERRORS` or `own`; `KmsRequestRefused` for a code that is not listed.
    """
    region = client.meta.region_name
    try:
        yield
    except ClientError as error:
        answer = error.response["Error"]
        kind = (_ERRORS | (own or {})).get(answer["Code"], KmsRequestRefused)
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            kind = KmsUnavailable
        reason = (answer.get("Message") or answer["Code"]).rstrip(".")
        key = f" The key is {key_arn}." if key_arn and key_arn not in reason else ""
        raise kind(f"KMS in {region} refused {operation}: {reason}.{key}") from error
    except (*_NO_USABLE_ANSWER, KeyError) as error:  # botocore takes any body of a 200 for JSON
        raise KmsUnavailable(f"KMS in {region} did not answer {operation}: {error}.") from error


@contextmanager
def _named_principals(policy: Policy) -> Iterator[None]:
    """Add to the refusal of a key policy whom it names, where KMS does not say which is wrong.

    https://github.com/terraform-aws-modules/terraform-aws-kms/issues/30 has what KMS says.
    """
    try:
        yield
    except KeyPolicyRefused as error:
        reason, names = error.what_happened, principals_looked_up(policy)
        if _LOCKOUT in reason or any(name in reason for name in names):
            raise
        some = [name for name in names if not name.endswith(":root")][:_PRINCIPALS_NAMED]
        shown = f", {', '.join(some)} among them" if some else ""
        raise KeyPolicyRefused(
            f"{reason} KMS looks up {len(names)} principal(s) of this policy{shown}."
        ) from error


_LOCKOUT = "update the key policy in the future"
_PRINCIPALS_NAMED = 5


def create_primary_key(
    client: KMSClient, request: KeySetRequest, plan: KeyPlan, tags: dict[str, str]
) -> Metadata:
    """Create the multi-Region primary key, with its policy, description and tags from the start.

    Parameters
    ----------
    client
        From `clients.send_once_kms`: this call must reach KMS at most once.

    Returns
    -------
    Metadata
        KMS's KeyMetadata.

    Raises
    ------
    PrimaryKeyUnconfirmed
        No usable answer: the key may exist.
    KmsError
        KMS refused the call, or was not reached at all: no key exists.
    """
    try:
        with _named_principals(plan.policy), _named_errors("CreateKey", client):
            answer = client.create_key(
                MultiRegion=True,
                KeySpec=request["keySpec"],
                KeyUsage=request["keyUsage"],
                Origin=request["origin"],
                Description=plan.description,
                Policy=policy_text(plan.policy),
                Tags=_tag_list(tags),
            )
            return answer["KeyMetadata"]
    except KmsUnavailable as error:
        if isinstance(error.__cause__, _NEVER_SENT):
            raise
        raise PrimaryKeyUnconfirmed(
            f"CreateKey was sent to KMS in {plan.region} and no usable answer came back."
        ) from error


def replicate_key(client: KMSClient, primary_arn: str, plan: KeyPlan) -> Metadata | None:
    """Create the replica key of a Region, with its policy, description and tags from the start.

    Returns
    -------
    Metadata or None
        The replica's KeyMetadata; None where that Region has a replica already, whatever its state.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    operation = f"ReplicateKey to {plan.region}"
    with _named_principals(plan.policy), _named_errors(operation, client, primary_arn):
        try:
            answer = client.replicate_key(
                KeyId=primary_arn,
                ReplicaRegion=plan.region,
                Description=plan.description,
                Policy=policy_text(plan.policy),
                Tags=_tag_list(plan.tags),
            )
        except client.exceptions.AlreadyExistsException:
            return None
        return answer["ReplicaKeyMetadata"]


def update_primary_region(client: KMSClient, key_arn: str, region: str) -> None:
    """Make the replica key of a Region the primary key; KMS does so in the seconds that follow.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html

    Parameters
    ----------
    client
        From `clients.send_once_kms`, of the primary key's Region: this call must reach KMS at most
        once.

    Raises
    ------
    PromotionUnderWay
        No usable answer: the call may have taken effect.
    KmsError
        KMS refused the call, or was not reached at all: nothing has changed.
    """
    try:
        with _named_errors(f"UpdatePrimaryRegion to {region}", client, key_arn):
            client.update_primary_region(KeyId=key_arn, PrimaryRegion=region)
    except KmsUnavailable as error:
        if isinstance(error.__cause__, _NEVER_SENT):
            raise
        raise PromotionUnderWay(
            f"UpdatePrimaryRegion of {key_arn} to {region} was sent to KMS and no usable answer "
            "came back."
        ) from error


def rotate_key_on_demand(client: KMSClient, key_arn: str) -> None:
    """Ask KMS to rotate a primary key; it does so in the minutes that follow.

    Asked again while it does, KMS answers success and goes on; asked again after that, it rotates
    once more.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html

    Parameters
    ----------
    client
        From `clients.send_once_kms`, of the primary key's Region: this call must reach KMS at most
        once.

    Raises
    ------
    RotationUnderWay
        No usable answer: the call may have taken effect.
    AutomaticRotationNear
        The key rotates by itself now or within 20 minutes.
    RotationsUsedUp
        It was rotated on demand as often as KMS does that.
    KmsError
        KMS refused the call, or was not reached at all: nothing has changed.
    """
    try:
        with _named_errors("RotateKeyOnDemand", client, key_arn, _ROTATION_ERRORS):
            client.rotate_key_on_demand(KeyId=key_arn)
    except KmsUnavailable as error:
        if isinstance(error.__cause__, _NEVER_SENT):
            raise
        raise RotationUnderWay(
            f"RotateKeyOnDemand of {key_arn} was sent to KMS and no usable answer came back."
        ) from error


def read_running_rotation(client: KMSClient, key_arn: str) -> datetime | None:
    """Read since when a rotation on demand is running, or None where there is none.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("GetKeyRotationStatus", client, key_arn):
        return client.get_key_rotation_status(KeyId=key_arn).get("OnDemandRotationStartDate")


def list_key_materials(client: KMSClient, key_arn: str) -> KeyMaterials:
    """List all key material that a key has had, has, and is to have.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("ListKeyRotations", client, key_arn):
        pages = client.get_paginator("list_key_rotations").paginate(
            KeyId=key_arn, IncludeKeyMaterial="ALL_KEY_MATERIAL"
        )
        return [entry for page in pages for entry in page["Rotations"]]


def describe_key(client: KMSClient, key_id: str) -> Metadata:
    """Read a key's KeyMetadata by its ARN.

    Raises
    ------
    KmsKeyNotFound
        There is no such key, or it is not visible yet.
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("DescribeKey", client, key_id if key_id.startswith("arn:") else None):
        return client.describe_key(KeyId=key_id)["KeyMetadata"]


def expiry_of(metadata: Metadata) -> str | None:
    """Return when a key's imported key material expires, ISO 8601 in UTC; None where it does not.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    """
    valid_to = metadata.get("ValidTo")
    return instant_text(valid_to) if valid_to else None


def list_aliases(client: KMSClient) -> Iterator[dict[str, str]]:
    """List every alias of the client's Region, a page at a time.

    Yields
    ------
    dict
        The page's aliases with the IDs of the keys that they point to.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("ListAliases", client):
        for page in client.get_paginator("list_aliases").paginate(
            PaginationConfig={"PageSize": _ALIASES_PER_PAGE}
        ):
            yield {
                alias["AliasName"]: alias["TargetKeyId"]
                for alias in page["Aliases"]
                if "TargetKeyId" in alias
            }


def find_alias(client: KMSClient, alias: str) -> str | None:
    """Return the ARN of the key that an alias points to, or None where there is no such alias.

    DescribeKey asks for permission on the key. Where it is denied, the key keeps the caller out or
    there is no key; the list of the aliases, which asks for none on a key, says which.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    try:
        return read_alias(client, alias)
    except KmsAccessDenied:
        return _find_in_list(client, alias)


def read_alias(client: KMSClient, alias: str) -> str | None:
    """Return the ARN of the key that an alias points to, or None where there is no such alias.

    Raises
    ------
    KmsAccessDenied
        The key keeps the caller out, or there is no key.
    KmsError
        KMS refused the call for another reason or did not answer.
    """
    try:
        with _named_errors(f"DescribeKey of {alias}", client):
            return client.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    except KmsKeyNotFound:
        return None


def _find_in_list(client: KMSClient, alias: str) -> str | None:
    with _named_errors(f"ListAliases to find {alias}", client):
        for page in client.get_paginator("list_aliases").paginate():
            for entry in page["Aliases"]:
                if entry["AliasName"] == alias:
                    place = entry["AliasArn"].removesuffix(alias)
                    return f"{place}key/{entry['TargetKeyId']}"
    return None


def has_alias(client: KMSClient, key_arn: str) -> bool:
    """Whether any alias points to the key.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    return bool(read_aliases(client, key_arn))


def read_aliases(client: KMSClient, key_arn: str) -> list[str]:
    """Read the names of the aliases that point to a key.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("ListAliases", client, key_arn):
        pages = client.get_paginator("list_aliases").paginate(KeyId=key_arn)
        return [entry["AliasName"] for page in pages for entry in page["Aliases"]]


def create_alias(client: KMSClient, alias: str, key_arn: str) -> bool:
    """Create an alias in the key's own Region; False where the alias exists already.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors(f"CreateAlias {alias}", client, key_arn):
        try:
            client.create_alias(AliasName=alias, TargetKeyId=key_arn)
        except client.exceptions.AlreadyExistsException:
            return False
    return True


def move_alias(client: KMSClient, alias: str, key_arn: str) -> None:
    """Let an alias of another key point to this one, in the same Region.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors(f"UpdateAlias {alias}", client, key_arn):
        client.update_alias(AliasName=alias, TargetKeyId=key_arn)


def delete_alias(client: KMSClient, alias: str) -> None:
    """Delete an alias; one that is gone already is no error.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors(f"DeleteAlias {alias}", client):
        try:
            client.delete_alias(AliasName=alias)
        except client.exceptions.NotFoundException:
            return


def read_tags(client: KMSClient, key_arn: str) -> dict[str, str]:
    """Read the tags of one Region's key.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("ListResourceTags", client, key_arn):
        pages = client.get_paginator("list_resource_tags").paginate(KeyId=key_arn)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}


def read_policy(client: KMSClient, key_arn: str) -> str:
    """Read the key policy of one Region's key, as JSON text.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("GetKeyPolicy", client, key_arn):
        return client.get_key_policy(KeyId=key_arn)["Policy"]


def read_rotation_period(client: KMSClient, key_arn: str) -> int | None:
    """Read the rotation period in days, or None where the key does not rotate by itself.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("GetKeyRotationStatus", client, key_arn):
        status = client.get_key_rotation_status(KeyId=key_arn)
        return status.get("RotationPeriodInDays", 365) if status["KeyRotationEnabled"] else None


def read_last_use(client: KMSClient, key_arn: str) -> LastUse | None:
    """Read when a key was last used, or None where this SDK has no such call.

    The call is newer than the oldest SDK that a runtime of Lambda's was met with.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    if not hasattr(client, "get_key_last_usage"):
        return None
    with _named_errors("GetKeyLastUsage", client, key_arn):
        answer = client.get_key_last_usage(KeyId=key_arn)
    use = answer.get("KeyLastUsage", {})
    at, since = use.get("Timestamp"), answer.get("TrackingStartDate")
    return LastUse(
        lastUsedAt=instant_text(at) if at else None,
        lastUsedFor=use.get("Operation"),
        usageTrackedSince=instant_text(since) if since else None,
    )


def get_import_parameters(
    client: KMSClient,
    key_arn: str,
    algorithm: WrappingAlgorithmName,
    wrapping_key_spec: WrappingKeySpec,
) -> dict[str, str]:
    """Ask for the public key and the token that let key material into one Region's key.

    KMS answers this once a second. The parameters are valid for 24 hours, and older ones stay valid
    beside them (`import.older-token` in tests/support/stack/kms_observed.json).
    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html

    Returns
    -------
    dict
        `publicKey` (DER) and `importToken`, both in base64, and `validUntil`, ISO 8601 in UTC.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors("GetParametersForImport", client, key_arn):
        answer = client.get_parameters_for_import(
            KeyId=key_arn, WrappingAlgorithm=algorithm, WrappingKeySpec=wrapping_key_spec
        )
        return {
            "publicKey": base64.b64encode(answer["PublicKey"]).decode(),
            "importToken": base64.b64encode(answer["ImportToken"]).decode(),
            "validUntil": instant_text(answer["ParametersValidTo"]),
        }


def import_key_material(
    client: KMSClient, key_arn: str, token: bytes, encrypted: bytes, valid_to: str | None
) -> None:
    """Import wrapped key material into one Region's key.

    Importing the same material again changes nothing but when it expires.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

    Parameters
    ----------
    valid_to
        When KMS deletes the material, ISO 8601; None for never.

    Raises
    ------
    KeyMaterialRefused
        KMS does not take this material or this token.
    KmsError
        KMS refused the call for another reason or did not answer.
    """
    expiry = _expiry(valid_to)
    with _named_errors("ImportKeyMaterial", client, key_arn, _IMPORT_ERRORS):
        client.import_key_material(
            KeyId=key_arn, ImportToken=token, EncryptedKeyMaterial=encrypted, **expiry
        )


def stage_new_key_material(
    client: KMSClient,
    key_arn: str,
    wrapped: tuple[bytes, bytes],
    valid_to: str | None,
    description: str,
) -> None:
    """Associate new key material with a symmetric primary key, which waits for a rotation.

    KMS keeps the description with the material, and lists it in every Region.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

    Parameters
    ----------
    wrapped
        The import token and the wrapped key material.
    valid_to
        When KMS deletes the material, ISO 8601; None for never.

    Raises
    ------
    KeyMaterialRefused
        KMS does not take this material or this token; material that the key has already is no new
        one.
    KeyStateConflict
        Other material waits for a rotation already.
    KmsError
        KMS refused the call for another reason or did not answer.
    """
    expiry, (token, encrypted) = _expiry(valid_to), wrapped
    with _named_errors("ImportKeyMaterial", client, key_arn, _IMPORT_ERRORS):
        client.import_key_material(
            KeyId=key_arn,
            ImportToken=token,
            EncryptedKeyMaterial=encrypted,
            ImportType="NEW_KEY_MATERIAL",
            KeyMaterialDescription=description,
            **expiry,
        )


def import_staged_key_material(
    client: KMSClient,
    key_arn: str,
    wrapped: tuple[bytes, bytes],
    valid_to: str | None,
    *,
    material_id: str,
    description: str | None = None,
) -> None:
    """Import key material that is associated with a symmetric key into one Region's key.

    Repeating it changes nothing but when it expires, and the description where there is one.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

    Parameters
    ----------
    wrapped
        The import token and the wrapped key material.
    valid_to
        When KMS deletes the material, ISO 8601; None for never.
    material_id
        Of the material that it has to be.
    description
        A new one, which a primary key alone takes.

    Raises
    ------
    KeyMaterialRefused
        KMS does not take this token, or this is other material.
    KmsError
        KMS refused the call for another reason or did not answer.
    """
    expiry, (token, encrypted) = _expiry(valid_to), wrapped
    described: dict[str, Any] = {"KeyMaterialDescription": description} if description else {}
    with _named_errors("ImportKeyMaterial", client, key_arn, _IMPORT_ERRORS):
        client.import_key_material(
            KeyId=key_arn,
            ImportToken=token,
            EncryptedKeyMaterial=encrypted,
            ImportType="EXISTING_KEY_MATERIAL",
            KeyMaterialId=material_id,
            **described,
            **expiry,
        )


def _expiry(valid_to: str | None) -> dict[str, Any]:
    if valid_to is None:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    instant = datetime.fromisoformat(valid_to)
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": instant}


def write(client: KMSClient, operation: str, **arguments: object) -> None:
    """Make a call that sets one thing on a key, is safe to repeat, and answers nothing of use.

    Parameters
    ----------
    operation
        KMS's own name, such as `EnableKey`.
    arguments
        Its parameters under KMS's own names.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_errors(operation, client, str(arguments["KeyId"])):
        getattr(client, xform_name(operation))(**arguments)


def write_policy(client: KMSClient, key_arn: str, policy: Policy) -> None:
    """Set the key policy of one Region's key.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    with _named_principals(policy):
        write(client, "PutKeyPolicy", KeyId=key_arn, Policy=policy_text(policy))


def write_tags(client: KMSClient, key_arn: str, tags: dict[str, str]) -> None:
    """Set tags on one Region's key and leave its other tags alone.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    write(client, "TagResource", KeyId=key_arn, Tags=_tag_list(tags))


def _tag_list(tags: dict[str, str]) -> list[KeyTag]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]
