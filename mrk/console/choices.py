"""What the form offers: Regions, key specs and what each is for.

The stack has the last word. What it does not allow is a problem at the field.
"""

from dataclasses import dataclass

from botocore.session import Session


@dataclass(frozen=True)
class Spec:
    """A key spec that can be multi-Region. The first usage is the one that is chosen with it.

    https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
    """

    usages: tuple[str, ...]
    can_import: bool = True


_ENCRYPT, _SIGN = "ENCRYPT_DECRYPT", "SIGN_VERIFY"
_MAC, _AGREE = "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"

USAGES = {
    _ENCRYPT: "Encrypt and decrypt",
    _SIGN: "Sign and verify",
    _MAC: "Generate and verify MAC",
    _AGREE: "Key agreement",
}

KEY_TYPES: dict[str, dict[str, Spec]] = {
    "Symmetric": {"SYMMETRIC_DEFAULT": Spec((_ENCRYPT,))},
    "Asymmetric, RSA": {f"RSA_{bits}": Spec((_ENCRYPT, _SIGN)) for bits in (2048, 3072, 4096)},
    "Asymmetric, elliptic curve": {
        **{f"ECC_NIST_P{bits}": Spec((_SIGN, _AGREE)) for bits in (256, 384, 521)},
        "ECC_SECG_P256K1": Spec((_SIGN,)),
        "ECC_NIST_EDWARDS25519": Spec((_SIGN,)),
    },
    "Asymmetric, ML-DSA": {
        f"ML_DSA_{level}": Spec((_SIGN,), can_import=False) for level in (44, 65, 87)
    },
    "HMAC": {f"HMAC_{bits}": Spec((_MAC,)) for bits in (224, 256, 384, 512)},
}
_CHINA_ONLY = {"Asymmetric, SM2": {"SM2": Spec((_ENCRYPT, _SIGN, _AGREE))}}
_CHINA = "aws-cn"


def key_types(partition: str) -> dict[str, dict[str, Spec]]:
    """Return the key specs that a partition has, by key type."""
    return KEY_TYPES | _CHINA_ONLY if partition == _CHINA else KEY_TYPES


def partition_of(session: Session) -> str:
    """Return the partition of the session's Region."""
    partition: str = session.get_partition_for_region(session.get_config_variable("region"))
    return partition


def regions_of(session: Session) -> list[str]:
    """List the Regions of the session's partition that have KMS."""
    return sorted(session.get_available_regions("kms", partition_of(session)))
