"""Importing key material.

https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html
"""

import base64
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ministack.core.responses import json_response
from ministack.services import kms

from local.emulator.kms import material as kms_material
from local.emulator.kms import states as kms_states
from local.emulator.kms.keys import Key, find, is_replica
from local.emulator.kms.material import Imported, Material
from local.emulator.kms.refusal import KmsRefusedError, invalid, invalid_value, unsupported
from local.emulator.kms.settings import now

_DAY = 86400
_OAEP = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_AES_KEY_WRAP = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
_ALGORITHMS = (*_OAEP, *_AES_KEY_WRAP, "RSAES_PKCS1_V1_5", "SM2PKE")
_NOT_DIRECTLY_UNDER_RSA_2048 = ("ECC_NIST_P521", "ECC_NIST_EDWARDS25519")
_WRAPPING_SPECS = ("RSA_2048", "RSA_3072", "RSA_4096", "SM2")
_EXPIRES, _DOES_NOT_EXPIRE = "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"
_NEW, _EXISTING = "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"

# Parameters of symmetric encryption keys alone.
_SYMMETRIC_ONLY = ("ImportType", "KeyMaterialDescription", "KeyMaterialId")


@dataclass(frozen=True)
class _Token:
    """What an import token stands for."""

    key_arn: str
    algorithm: str
    wrapping_spec: str
    valid_to: float


# Every token that was given out: one does not end another, and each can be used more than once.
_tokens: dict[str, _Token] = {}


@cache
def _wrapping_key(spec: str) -> rsa.RSAPrivateKey:
    """Make the key pair that all material of a wrapping key spec is wrapped with.

    KMS makes one for each GetParametersForImport; to make one of RSA_4096 takes seconds here. What
    a token is for does not depend on it.
    """
    return rsa.generate_private_key(public_exponent=65537, key_size=int(spec.partition("_")[2]))


def get_parameters_for_import(parameters: dict[str, Any]) -> Any:
    """Serve GetParametersForImport.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html

    Raises
    ------
    KmsRefusedError
        The key takes no import now, or none that is wrapped like this.
    """
    algorithm = str(parameters.get("WrappingAlgorithm", ""))
    spec = str(parameters.get("WrappingKeySpec", ""))
    for name, value, known in (
        ("wrappingAlgorithm", algorithm, _ALGORITHMS),
        ("wrappingKeySpec", spec, _WRAPPING_SPECS),
    ):
        _check_enum(name, value, known)
    key = _external("GetParametersForImport", parameters)
    if not _can_wrap(algorithm, spec, key["KeySpec"]):
        raise invalid(
            f"Wrapping algorithm {algorithm} and wrapping key spec {spec} cannot be used to import "
            f"a {key['KeySpec']} key."
        )
    token = base64.b64encode(os.urandom(256)).decode()
    valid_to = now() + _DAY
    _tokens[token] = _Token(key["Arn"], algorithm, spec, valid_to)
    public_key = (
        _wrapping_key(spec)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return json_response(
        {
            "KeyId": key["Arn"],
            "ImportToken": token,
            "PublicKey": base64.b64encode(public_key).decode(),
            "ParametersValidTo": valid_to,
        }
    )


def _can_wrap(algorithm: str, wrapping_spec: str, key_spec: str) -> bool:
    """Say whether material of a key spec can be wrapped so.

    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html
    RSAES_PKCS1_V1_5 has been withdrawn, and SM2PKE is for China. How KMS words that is not known.
    """
    if algorithm in _AES_KEY_WRAP:
        return wrapping_spec != "SM2" and key_spec.startswith(("RSA_", "ECC_"))
    if algorithm in _OAEP:
        not_under = key_spec in _NOT_DIRECTLY_UNDER_RSA_2048 and wrapping_spec == "RSA_2048"
        return wrapping_spec != "SM2" and not key_spec.startswith("RSA_") and not not_under
    return False


def import_key_material(parameters: dict[str, Any]) -> Any:
    """Serve ImportKeyMaterial.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

    Raises
    ------
    KmsRefusedError
        The key takes no import now, the token is not its, or the material is not what it should be.
    """
    key = _external("ImportKeyMaterial", parameters)
    valid_to = _valid_to(parameters)
    import_type = _import_type(key, parameters)
    material = _material(key, parameters)
    material_id = kms_material.identify(key, material)
    if import_type == _NEW:
        associated = _associate(key, material_id)
    else:
        associated = _associated(key, material_id, parameters.get("KeyMaterialId"))
    if "KeyMaterialDescription" in parameters:
        associated.description = parameters["KeyMaterialDescription"]
    kms_material.imports(key)[material_id] = Imported(material, valid_to)
    for member in kms_material.alike(key):
        kms_states.settle(member)
    if associated.state != "STAGED" and key["KeyState"] == "Disabled":
        # A disabled key was seen Enabled right after its material was imported again.
        kms_states.enter(key, "Enabled")
    return json_response(_answer(key, material_id))


def delete_imported_key_material(parameters: dict[str, Any]) -> Any:
    """Serve DeleteImportedKeyMaterial, which does nothing where nothing is.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DeleteImportedKeyMaterial.html

    Raises
    ------
    KmsRefusedError
        The key's state does not allow it, or it never had the material.
    """
    key = _external("DeleteImportedKeyMaterial", parameters)
    _check_symmetric_only(key, parameters)
    materials, named = kms_material.of(key), parameters.get("KeyMaterialId")
    material = materials.find(named) if named else materials.current
    if material is None:
        if named:
            raise invalid(
                f"Key material (id: {named}) has never been imported into KMS key {key['Arn']}."
            )
        return json_response({"KeyId": key["Arn"]})
    kms_material.remove(key, material)
    kms_states.settle(key)
    return json_response(_answer(key, material.id))


def _external(operation: str, parameters: dict[str, Any]) -> Key:
    key = find(operation, parameters.get("KeyId", ""))
    if key["Origin"] != "EXTERNAL":
        raise unsupported(
            f"{key['Arn']} origin is {key['Origin']} which is not valid for this operation."
        )
    kms_states.check(operation, key)
    return key


def _answer(key: Key, material_id: str) -> dict[str, str]:
    if key["KeySpec"] != "SYMMETRIC_DEFAULT":
        return {"KeyId": key["Arn"]}
    return {"KeyId": key["Arn"], "KeyMaterialId": material_id}


def _valid_to(parameters: dict[str, Any]) -> float | None:
    model, valid_to = parameters.get("ExpirationModel", _EXPIRES), parameters.get("ValidTo")
    _check_enum("expirationModel", model, (_DOES_NOT_EXPIRE, _EXPIRES))
    if model == _DOES_NOT_EXPIRE:
        if valid_to is not None:
            raise invalid(f"A validTo date cannot be set if the ExpirationModel is {model}")
        return None
    if valid_to is None:
        raise invalid(f"A validTo date must be set if the ExpirationModel is {model}")
    if valid_to > now() + 365 * _DAY:
        raise invalid("ValidTo must be less than 365 days in the future")
    if valid_to <= now():
        # That it is refused is documented; how KMS words it is not known.
        raise invalid("ValidTo must be in the future")
    # KMS was seen to keep whole seconds.
    return float(int(valid_to))


def _import_type(key: Key, parameters: dict[str, Any]) -> str:
    """Return the import type; the first import brings new material, whatever is said of it."""
    _check_symmetric_only(key, parameters)
    default = _EXISTING if kms_material.of(key).all else _NEW
    import_type: str = parameters.get("ImportType", default)
    _check_enum("importType", import_type, (_EXISTING, _NEW))
    if import_type == _NEW and "KeyMaterialId" in parameters:
        raise invalid(f"Input parameter keyMaterialId cannot be used with {_NEW} importType.")
    if import_type == _NEW and is_replica(key):
        raise invalid(
            f"Input parameter ImportType {_NEW} cannot be used on replica Multi-Region keys"
        )
    if "KeyMaterialDescription" in parameters and is_replica(key):
        raise invalid("Key material description can only be specified on primary Multi-Region keys")
    return import_type


def _check_symmetric_only(key: Key, parameters: dict[str, Any]) -> None:
    # That these are for symmetric encryption keys is documented; how KMS words it is not known.
    for name in _SYMMETRIC_ONLY:
        if name in parameters and key["KeySpec"] != "SYMMETRIC_DEFAULT":
            raise invalid(f"{name} can be used with symmetric encryption keys only.")


def _material(key: Key, parameters: dict[str, Any]) -> dict[str, Any]:
    """Unwrap the material of a request; return it as fields of the emulator's key."""
    # KMS says nothing beyond the names of these exceptions; the expired token's is as documented.
    token = _tokens.get(str(parameters.get("ImportToken")))
    if token is None or token.key_arn != key["Arn"]:
        raise KmsRefusedError("InvalidImportTokenException", "")
    if now() > token.valid_to:
        raise KmsRefusedError("ExpiredImportTokenException", "")
    try:
        wrapped = base64.b64decode(parameters.get("EncryptedKeyMaterial", ""))
        secret = kms._unwrap_key_material(
            _wrapping_key(token.wrapping_spec), token.algorithm, wrapped
        )
    except (ValueError, keywrap.InvalidUnwrap):
        raise KmsRefusedError("InvalidCiphertextException", "") from None
    material = {"KeySpec": key["KeySpec"]}
    # What a key of another spec, or another key's private key, would be refused with is not known.
    if kms._store_imported_material(material, secret) is not None:
        raise KmsRefusedError("InvalidCiphertextException", "")
    del material["KeySpec"]
    return material


def _associate(key: Key, material_id: str) -> Material:
    """Associate new material with a key: the first is current, another waits for a rotation."""
    materials = kms_material.of(key)
    if materials.find(material_id):
        raise _incorrect(
            f"Key material (id: {material_id}) being imported as {_NEW} is already associated with "
            f"KMS key {key['Arn']}."
        )
    if materials.staged:
        raise KmsRefusedError(
            "KMSInvalidStateException",
            f"New key material (id: {material_id}) cannot be imported into KMS key {key['Arn']}, "
            f"because another key material (id: {materials.staged.id}) is pending rotation.",
        )
    material = Material(material_id, "STAGED" if materials.all else "CURRENT")
    materials.all.append(material)
    return material


def _associated(key: Key, material_id: str, named: str | None) -> Material:
    materials = kms_material.of(key)
    material = materials.find(material_id)
    if material and named in (None, material_id):
        return material
    if key["KeySpec"] != "SYMMETRIC_DEFAULT":
        # These have no identifiers to tell; what KMS says instead is not known.
        raise _incorrect("")
    expected = named or (materials.current.id if materials.current else "")
    raise _incorrect(f"Imported key material does not have the expected identifier ({expected}).")


def _incorrect(message: str) -> KmsRefusedError:
    return KmsRefusedError("IncorrectKeyMaterialException", message)


def _check_enum(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise invalid_value(name, value, f"satisfy enum value set: [{', '.join(sorted(known))}]")
