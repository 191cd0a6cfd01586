"""Ciphertexts that name the key material that they were encrypted with.

After a rotation KMS decrypts what older material encrypted, and says which it was. The emulator's
ciphertexts name their key alone; here the ID of the material stands behind them.

https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
"""

import base64
import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from ministack.core.responses import json_response
from ministack.services import kms

from local.emulator.kms import material as kms_material
from local.emulator.kms import states as kms_states
from local.emulator.kms.keys import Key, find, incorrect_key, named_by
from local.emulator.kms.refusal import KmsRefusedError

_ID_BYTES = 32
# The key's ID, a hash of the encryption context, a nonce; what is encrypted may be nothing.
_LEAST_BYTES = 36 + 32 + 16 + _ID_BYTES


def _encrypt(operation: str, encrypt: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """Serve an operation that encrypts, with the key's current material.

    Raises
    ------
    KmsRefusedError
        The key is not there, or its state does not allow it.
    """
    key = find(operation, parameters.get("KeyId", ""))
    kms_states.check(operation, key)
    answer = encrypt(parameters)
    status, _, body = answer
    current = kms_material.of(key).current
    if status != HTTPStatus.OK or not _is_symmetric(key) or current is None:
        return answer
    answered = json.loads(body)
    for name in ("CiphertextBlob", "PrivateKeyCiphertextBlob"):
        if name in answered:
            named = base64.b64decode(answered[name]) + bytes.fromhex(current.id)
            answered[name] = base64.b64encode(named).decode()
    return json_response(answered)


def _decrypt(parameters: dict[str, Any]) -> Any:
    """Serve Decrypt, with the material that encrypted.

    Raises
    ------
    KmsRefusedError
        The key is not there, is not the ciphertext's, or its state does not allow it, or the
        ciphertext is none of the key's.
    """
    ciphertext = parameters.get("CiphertextBlob", "")
    of_ciphertext = named_by(ciphertext)
    key_id = parameters.get("KeyId") or of_ciphertext
    if not key_id:
        raise _invalid()
    key = find("Decrypt", key_id)
    kms_states.check("Decrypt", key)
    if not _is_symmetric(key):
        return kms._decrypt(parameters)
    blob = base64.b64decode(ciphertext)
    if len(blob) < _LEAST_BYTES or not of_ciphertext:
        raise _invalid()
    if of_ciphertext != key["KeyId"]:
        raise incorrect_key()
    plain = base64.b64encode(blob[:-_ID_BYTES]).decode()
    with kms_material.used(key, blob[-_ID_BYTES:].hex()) as has_it:
        if not has_it:
            raise _invalid()
        return kms._decrypt(parameters | {"KeyId": key["KeyId"], "CiphertextBlob": plain})


def _is_symmetric(key: Key) -> bool:
    return bool(key["KeySpec"] == "SYMMETRIC_DEFAULT")


def _invalid() -> KmsRefusedError:
    return KmsRefusedError("InvalidCiphertextException", "")


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Decrypt": _decrypt,
    **{
        operation: partial(_encrypt, operation, encrypt)
        for operation, encrypt in {
            "Encrypt": kms._encrypt,
            "GenerateDataKey": kms._generate_data_key,
            "GenerateDataKeyPair": kms._generate_data_key_pair,
            "GenerateDataKeyPairWithoutPlaintext": kms._generate_data_key_pair_without_plaintext,
            "GenerateDataKeyWithoutPlaintext": kms._generate_data_key_without_plaintext,
        }.items()
    },
}
