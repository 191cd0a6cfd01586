from typing import Any

import pytest

from provisioner.key_specs import can_rotate, wrapping_algorithms
from provisioner.request import parse_request
from tests.key_kinds import (
    CHINA_ONLY,
    DEFAULT_USAGES,
    KEY_KINDS,
    KEY_SPECS,
    KEY_USAGES,
    ORIGINS_OF_KMS,
    UNKNOWN_KEY_SPECS,
    UNKNOWN_KEY_USAGES,
    UNKNOWN_ORIGINS,
)
from tests.unit.samples import CHINA, SETTINGS, document_of, pairs_of

EVERY_USAGE = KEY_USAGES + UNKNOWN_KEY_USAGES
EVERY_ORIGIN = ORIGINS_OF_KMS + UNKNOWN_ORIGINS


@pytest.mark.parametrize("spec", KEY_SPECS + UNKNOWN_KEY_SPECS)
def test_exactly_the_kinds_of_key_that_can_be_multi_region_are_accepted_in_china(
    spec: str,
) -> None:
    accepted = [
        (spec, usage, origin)
        for usage in EVERY_USAGE
        for origin in EVERY_ORIGIN
        if not pairs_of(document_of(keySpec=spec, keyUsage=usage, origin=origin), CHINA)
    ]

    assert sorted(accepted) == sorted(kind for kind in KEY_KINDS if kind[0] == spec)


@pytest.mark.parametrize("kind", KEY_KINDS)
@pytest.mark.parametrize("partition", ["aws", "aws-us-gov"])
def test_outside_china_the_china_only_specs_are_refused(
    kind: tuple[str, str, str], partition: str
) -> None:
    region = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1"}[partition]
    elsewhere = SETTINGS.__class__(
        **{**vars(SETTINGS), "partition": partition, "home_region": region}
    )
    document = document_of(keySpec=kind[0], keyUsage=kind[1], origin=kind[2])

    found = pairs_of(document, elsewhere)

    refused = {("keySpec", "KEY_SPEC_NOT_IN_PARTITION")}
    assert found == (refused if kind[0] in CHINA_ONLY else set())


@pytest.mark.parametrize("spec", KEY_SPECS)
@pytest.mark.parametrize("usage", [{}, {"keyUsage": None}], ids=["left out", "null"])
def test_a_usage_is_chosen_where_there_is_only_one(spec: str, usage: dict[str, Any]) -> None:
    document = document_of(keySpec=spec, **usage)

    if spec in DEFAULT_USAGES:
        assert parse_request(document, CHINA)["keyUsage"] == DEFAULT_USAGES[spec]
    else:
        assert pairs_of(document, CHINA) == {("keyUsage", "KEY_USAGE_REQUIRED")}


def test_a_key_is_symmetric_and_of_kms_unless_the_request_says_otherwise() -> None:
    request = parse_request(document_of(), SETTINGS)

    kind = (request["keySpec"], request["keyUsage"], request["origin"])
    assert kind == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")


DIRECT, WITH_AES = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"
# https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html
WRAPPING = {
    "SYMMETRIC_DEFAULT": {DIRECT},
    "HMAC_224": {DIRECT},
    "HMAC_256": {DIRECT},
    "HMAC_384": {DIRECT},
    "HMAC_512": {DIRECT},
    "RSA_2048": {WITH_AES},
    "RSA_3072": {WITH_AES},
    "RSA_4096": {WITH_AES},
    "ECC_NIST_P256": {DIRECT, WITH_AES},
    "ECC_NIST_P384": {DIRECT, WITH_AES},
    "ECC_NIST_P521": {DIRECT, WITH_AES},
    "ECC_SECG_P256K1": {DIRECT, WITH_AES},
    "ECC_NIST_EDWARDS25519": {DIRECT, WITH_AES},
    "SM2": {DIRECT, WITH_AES},
}


def test_every_spec_whose_material_can_be_imported_has_wrapping_algorithms() -> None:
    assert WRAPPING.keys() == {spec for spec, _, origin in KEY_KINDS if origin == "EXTERNAL"}


@pytest.mark.parametrize("spec", WRAPPING)
@pytest.mark.parametrize("size", ["RSA_2048", "RSA_3072", "RSA_4096"])
def test_exactly_the_wrapping_algorithms_of_a_spec_are_accepted(spec: str, size: str) -> None:
    usage = next(usage for kind, usage, _ in KEY_KINDS if kind == spec)

    def problems(algorithm: str) -> set[tuple[str, str]]:
        material = {"wrappingAlgorithm": algorithm, "wrappingKeySpec": size}
        fields = {"keySpec": spec, "keyUsage": usage, "origin": "EXTERNAL"}
        return pairs_of(document_of(**fields, keyMaterial=material), CHINA)

    fit = WRAPPING[spec] - ({DIRECT} if (spec, size) == ("ECC_NIST_P521", "RSA_2048") else set())
    refused = {("keyMaterial.wrappingAlgorithm", "WRAPPING_ALGORITHM_NOT_SUPPORTED")}
    assert set(wrapping_algorithms(spec, size)) == fit
    for algorithm in (DIRECT, WITH_AES):
        assert problems(algorithm) == (set() if algorithm in fit else refused)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_only_symmetric_keys_of_kms_rotate(kind: tuple[str, str, str]) -> None:
    spec, usage, origin = kind
    document = document_of(keySpec=spec, keyUsage=usage, origin=origin, rotation={})

    rotates = kind == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")
    assert can_rotate(spec, origin) == rotates
    refused = {("rotation", "ROTATION_NOT_SUPPORTED")}
    assert pairs_of(document, CHINA) == (set() if rotates else refused)
