"""Key specs: which usages and origins each allows, and the keys that the emulator cannot make.

https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
"""

from typing import Any

from ministack.core.responses import get_region

from local.emulator.kms.keys import Key
from local.emulator.kms.refusal import invalid, invalid_value, unsupported

_ENCRYPT, _SIGN, _MAC, _AGREE = (
    "ENCRYPT_DECRYPT",
    "SIGN_VERIFY",
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
)
_USAGES: dict[str, tuple[str, ...]] = {
    "SYMMETRIC_DEFAULT": (_ENCRYPT,),
    **dict.fromkeys(("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), (_MAC,)),
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), (_ENCRYPT, _SIGN)),
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"), (_SIGN, _AGREE)),
    **dict.fromkeys(("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"), (_SIGN,)),
    **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), (_SIGN,)),
    "SM2": (_ENCRYPT, _SIGN, _AGREE),
}
_ORIGINS = ("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")

# The emulator makes no key of these specs. It makes one of the other spec, of which
# `finish` leaves what can be described: these keys compute nothing.
_MADE_AS = {
    **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), "ECC_NIST_P256"),
    "SM2": "ECC_NIST_P256",
}
_MATERIAL = ("_private_key", "_public_key_der")

_ALGORITHMS = {
    ("ML_DSA", _SIGN): {"SigningAlgorithms": ["ML_DSA_SHAKE_256"]},
    ("SM2", _ENCRYPT): {"EncryptionAlgorithms": ["SM2PKE"]},
    ("SM2", _SIGN): {"SigningAlgorithms": ["SM2DSA"]},
    ("SM2", _AGREE): {"KeyAgreementAlgorithms": ["ECDH"]},
    ("ECC", _AGREE): {"KeyAgreementAlgorithms": ["ECDH"]},
}


def check(parameters: dict[str, Any]) -> None:
    """Check the spec, usage and origin of a new key.

    Raises
    ------
    KmsRefusedError
        One is none of KMS's, or they do not go together.
    """
    spec, usage, origin = _spec(parameters), parameters.get("KeyUsage"), _origin(parameters)
    usages = sorted({known for usages in _USAGES.values() for known in usages})
    for parameter, value, known in (
        ("keySpec", spec, sorted(_USAGES)),
        ("keyUsage", usage, usages),
        ("origin", origin, sorted(_ORIGINS)),
    ):
        if value is not None and value not in known:
            allowed = f"satisfy enum value set: [{', '.join(known)}]"
            raise invalid_value(parameter, value, allowed)
    if usage is None and spec != "SYMMETRIC_DEFAULT":
        raise invalid(
            "You must specify a KeyUsage value for all KMS keys except for symmetric "
            "encryption keys."
        )
    if usage is not None and usage not in _USAGES[spec]:
        raise invalid(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    _check_availability(parameters, spec, origin)


def _check_availability(parameters: dict[str, Any], spec: str, origin: str) -> None:
    if spec == "SM2" and not get_region().startswith("cn-"):
        raise unsupported(f"KeySpec SM2 is not supported in {get_region()}.")
    if spec.startswith("ML_DSA") and origin == "EXTERNAL":
        raise unsupported(f"KeySpec {spec} is not supported with Origin EXTERNAL.")
    if parameters.get("MultiRegion") and origin not in ("AWS_KMS", "EXTERNAL"):
        # https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
        raise unsupported(f"Multi-Region keys are not supported with Origin {origin}.")


def _spec(parameters: dict[str, Any]) -> str:
    spec = parameters.get("KeySpec") or parameters.get("CustomerMasterKeySpec")
    return str(spec or "SYMMETRIC_DEFAULT")


def _origin(parameters: dict[str, Any]) -> str:
    return str(parameters.get("Origin") or "AWS_KMS")


def for_emulator(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with which the emulator makes a key of this or a like spec."""
    spec = _spec(parameters)
    return {**parameters, "KeySpec": _MADE_AS.get(spec, spec)}


def finish(key: Key, parameters: dict[str, Any]) -> None:
    """Set the spec and algorithms that a key which the emulator made should have."""
    spec = _spec(parameters)
    if spec in _MADE_AS:
        for name in _MATERIAL:
            key.pop(name, None)
    key["KeySpec"] = spec
    algorithms = _ALGORITHMS.get((_family(spec), key["KeyUsage"]))
    if algorithms:
        for name in ("EncryptionAlgorithms", "SigningAlgorithms", "KeyAgreementAlgorithms"):
            key[name] = algorithms.get(name, [])


def _family(spec: str) -> str:
    return "ML_DSA" if spec.startswith("ML_DSA") else spec.partition("_")[0]
