"""Which key specs can be multi-Region, and what each one can be used for.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
"""

from dataclasses import dataclass
from enum import StrEnum


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


def can_rotate(key_spec: str, origin: str) -> bool:
    """Whether KMS rotates such a key by itself.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable.html
    """
    return key_spec == "SYMMETRIC_DEFAULT" and origin == Origin.AWS_KMS
