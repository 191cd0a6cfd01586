"""The emulator's keys: finding them, what belongs together, what DescribeKey returns of them.

A key is the emulator's own record, a dict, kept for each account and Region. What it has beyond
the emulator's fields:

| field | meaning |
|---|---|
| `_ends_at` | when its passing state, `Creating` or `Updating`, is over |
| `_visible_at` | when the key can be seen |
| `_labels` | changes of the key's tags and aliases: see `local.emulator.kms.labels` |
| `_unique_ids` | IDs of the roles and users that its policy names, by ARN |
| `_rotation` | on a primary or single-Region key: its automatic rotation |
| `_materials`, `_imports` | its key material: see `local.emulator.kms.material` |
| `_material_id` | on a symmetric key with imported or rotated material: the current one's ID |
| `KeyAgreementAlgorithms` | as in KeyMetadata |
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import kms

from local.emulator.kms.refusal import KmsRefusedError, not_found
from local.emulator.kms.settings import now

type Key = dict[str, Any]

_KEY_ID = re.compile(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_ID_BYTES = 36

_emulator_metadata = kms._key_metadata
_emulator_material_id = kms._key_material_id

# https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html: the operations whose
# KeyId may be an alias.
_TAKE_ALIASES = frozenset(
    {
        "Decrypt",
        "DeriveSharedSecret",
        "DescribeKey",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetPublicKey",
        "ReEncrypt",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)


def install() -> None:
    """Let the emulator describe keys, and name their current material, as KMS does."""
    kms._key_metadata = metadata
    kms._key_material_id = _material_id


def _material_id(key: Key) -> str:
    current: str | None = key.get("_material_id")
    return current or str(_emulator_material_id(key))


def find(operation: str, key_id: str) -> Key:
    """Find the key that a request's KeyId names.

    A key or alias is not there until it is visible: every operation, reads and writes alike, can
    return NotFoundException for a while after CreateKey, ReplicateKey or CreateAlias.
    https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency

    Raises
    ------
    KmsRefusedError
        There is no such key, or the operation takes no alias.
    """
    resource = _resource(operation, key_id)
    if resource.startswith("alias/"):
        return _aliased(operation, resource)
    key = kms._keys.get(resource.removeprefix("key/"))
    if key is None or not is_visible(key):
        raise not_found(arn(resource))
    found: Key = key
    return found


def _resource(operation: str, key_id: str) -> str:
    """Return `key/…` or `alias/…` of a KeyId in any of its four forms."""
    if key_id.startswith("alias/"):
        return key_id
    if not key_id.startswith("arn:"):
        if not _KEY_ID.fullmatch(key_id):
            raise KmsRefusedError("NotFoundException", f"Invalid keyId '{key_id}'")
        return f"key/{key_id}"
    parts = key_id.split(":", 5)
    if len(parts) == 6 and (parts[3], parts[4]) == (get_region(), get_account_id()):  # noqa: PLR2004
        return parts[5]
    if operation == "Decrypt":
        raise incorrect_key()
    raise KmsRefusedError("NotFoundException", f"Invalid arn {get_region()}")


def named_by(ciphertext: str) -> str:
    """Return the ID of the key that a symmetric ciphertext, in base64, names; else nothing."""
    try:
        named = base64.b64decode(ciphertext)[:_KEY_ID_BYTES].decode()
    except ValueError:
        return ""
    return named if _KEY_ID.fullmatch(named) else ""


def incorrect_key() -> KmsRefusedError:
    """Refuse to decrypt with a key what another encrypted."""
    return KmsRefusedError(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


def _aliased(operation: str, alias: str) -> Key:
    if operation not in _TAKE_ALIASES:
        raise KmsRefusedError(
            "InvalidArnException", "Key Aliases are not supported for this operation."
        )
    alias_arn = arn(alias)
    key = kms._keys.get(kms._aliases.get(alias_arn))
    if key is None or not is_alias_visible(alias_arn):
        raise KmsRefusedError("NotFoundException", f"Alias {alias_arn} is not found.")
    found: Key = key
    return found


def arn(resource: str) -> str:
    """Return the ARN of `key/…` or `alias/…` in the account and Region called."""
    return f"arn:aws:kms:{get_region()}:{get_account_id()}:{resource}"


def is_visible(key: Key) -> bool:
    """Say whether a key has been there long enough to be seen."""
    return bool(key.get("_visible_at", 0) <= now())


def is_alias_visible(alias_arn: str) -> bool:
    """Say whether an alias has been there long enough to be seen."""
    return bool(kms._alias_dates.get(alias_arn, {}).get("_visible_at", 0) <= now())


def aliases_of(key: Key) -> list[str]:
    """List the ARNs of a key's aliases."""
    _, _, _, region, account, _ = key["Arn"].split(":", 5)
    pairs = kms._aliases.items_scoped(account, region)
    return [alias_arn for alias_arn, key_id in pairs if key_id == key["KeyId"]]


def in_region(key: Key, region: str) -> Key | None:
    """Find the member of a key's set in another Region."""
    account = key["Arn"].split(":")[4]
    member: Key | None = kms._keys.get_scoped(account, region, key["KeyId"])
    return member


def members(key: Key) -> Iterator[Key]:
    """List the primary and the replicas of a key's set."""
    for region in key["_mrk_regions"]:
        member = in_region(key, region)
        if member is not None:
            yield member


def primary_of(key: Key) -> Key:
    """Return the primary of a key's set; a single-Region key is its own."""
    if not key["MultiRegion"]:
        return key
    return in_region(key, key["_mrk_primary_region"]) or key


def region_of(key: Key) -> str:
    """Return a key's Region."""
    region: str = key["Arn"].split(":")[3]
    return region


def is_replica(key: Key) -> bool:
    """Say whether a key is a replica."""
    return bool(key["MultiRegion"] and key["_mrk_type"] == "REPLICA")


def metadata(key: Key) -> dict[str, Any]:
    """Return KeyMetadata.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    """
    described: dict[str, Any] = _emulator_metadata(key)
    described["AWSAccountId"] = key["Arn"].split(":")[4]
    for name in ("EncryptionAlgorithms", "SigningAlgorithms", "KeyAgreementAlgorithms"):
        algorithms = sorted(key.get(name) or [])
        described.pop(name, None)
        # KMS returns the algorithms of the key's own usage, and no empty list.
        if algorithms:
            described[name] = algorithms
    if key["MultiRegion"]:
        described["MultiRegionConfiguration"]["ReplicaKeys"].sort(key=lambda k: k["Region"])
    if "_material_id" in key:
        described["CurrentKeyMaterialId"] = key["_material_id"]
    if key["KeyState"] == "Creating":
        described.pop("CurrentKeyMaterialId", None)
    return described
