"""Which key specs can be multi-Region, and what each one can be used for.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

type KeySpec = Literal[
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "ECC_NIST_EDWARDS25519",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "SM2",
]
type KeyUsageName = Literal[
    "ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"
]
type OriginName = Literal["AWS_KMS", "EXTERNAL"]
type WrappingAlgorithmName = Literal["RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"]
type WrappingKeySpec = Literal["RSA_2048", "RSA_3072", "RSA_4096"]


class KeyUsage(StrEnum):
    """What the key is for; fixed at creation."""

    ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT"
    SIGN_VERIFY = "SIGN_VERIFY"
    GENERATE_VERIFY_MAC = "GENERATE_VERIFY_MAC"
    KEY_AGREEMENT = "KEY_AGREEMENT"


class Origin(StrEnum):
    """Key material origins that multi-Region keys can have."""

    AWS_KMS = "AWS_KMS"
    EXTERNAL = "EXTERNAL"


class WrappingAlgorithm(StrEnum):
    """How key material is encrypted on its way into KMS."""

    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"
    RSA_AES_KEY_WRAP_SHA_256 = "RSA_AES_KEY_WRAP_SHA_256"


@dataclass(frozen=True)
class SpecRules:
    """What one key spec allows. `partitions` is empty where every partition has it."""

    usages: tuple[KeyUsage, ...]
    origins: tuple[Origin, ...] = (Origin.AWS_KMS, Origin.EXTERNAL)
    partitions: tuple[str, ...] = ()


_ENCRYPT, _SIGN = KeyUsage.ENCRYPT_DECRYPT, KeyUsage.SIGN_VERIFY
_MAC, _AGREE = KeyUsage.GENERATE_VERIFY_MAC, KeyUsage.KEY_AGREEMENT

KEY_SPECS: dict[str, SpecRules] = {
    "SYMMETRIC_DEFAULT": SpecRules((_ENCRYPT,)),
    **{f"HMAC_{bits}": SpecRules((_MAC,)) for bits in (224, 256, 384, 512)},
    **{f"RSA_{bits}": SpecRules((_ENCRYPT, _SIGN)) for bits in (2048, 3072, 4096)},
    **{f"ECC_NIST_P{bits}": SpecRules((_SIGN, _AGREE)) for bits in (256, 384, 521)},
    "ECC_SECG_P256K1": SpecRules((_SIGN,)),
    "ECC_NIST_EDWARDS25519": SpecRules((_SIGN,)),
    **{f"ML_DSA_{level}": SpecRules((_SIGN,), (Origin.AWS_KMS,)) for level in (44, 65, 87)},
    "SM2": SpecRules((_ENCRYPT, _SIGN, _AGREE), partitions=("aws-cn",)),
}


_NOT_DIRECTLY_UNDER_RSA_2048 = ("ECC_NIST_P521", "ECC_NIST_EDWARDS25519")


def can_rotate(key_spec: str, origin: str) -> bool:
    """Whether KMS rotates such a key by itself.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable.html
    """
    return key_spec == "SYMMETRIC_DEFAULT" and origin == Origin.AWS_KMS


def wrapping_algorithms(
    key_spec: str, wrapping_key_spec: str, partition: str
) -> tuple[WrappingAlgorithm, ...]:
    """Name the algorithms that can wrap key material for a key spec, the usual one first.

    RSAES_OAEP wraps no RSA private keys, and of some curves none under RSA_2048. KMS unwraps keys
    with AES for asymmetric keys only, and not in the China Regions. So there may be none.
    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html#select-wrapping-algorithm
    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-encrypt-key-material.html
    """
    direct, with_aes = WrappingAlgorithm
    takes_direct = not key_spec.startswith("RSA_") and not (
        key_spec in _NOT_DIRECTLY_UNDER_RSA_2048 and wrapping_key_spec == "RSA_2048"
    )
    takes_aes = key_spec.startswith(("RSA_", "ECC_", "SM2")) and partition != "aws-cn"
    return (direct,) * takes_direct + (with_aes,) * takes_aes
