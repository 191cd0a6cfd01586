from typing import Any, get_args

import pytest
from botocore.model import StringShape

from provisioner.aws.clients import client
from provisioner.domain import key_specs
from provisioner.domain.key_specs import can_rotate, wrapping_algorithms
from provisioner.intake.request import parse_request
from tests.support.key_kinds import (
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
from tests.support.samples import CHINA, SETTINGS, document_of, pairs_of, settings_of

EVERY_USAGE = KEY_USAGES + UNKNOWN_KEY_USAGES
EVERY_ORIGIN = ORIGINS_OF_KMS + UNKNOWN_ORIGINS


@pytest.mark.parametrize("spec", KEY_SPECS + UNKNOWN_KEY_SPECS)
@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_exactly_the_kinds_of_key_that_can_be_multi_region_are_accepted(
    spec: str, partition: str
) -> None:
    settings = {"aws": SETTINGS, "aws-cn": CHINA}[partition]
    accepted = [
        (spec, usage, origin)
        for usage in EVERY_USAGE
        for origin in EVERY_ORIGIN
        if not pairs_of(document_of(keySpec=spec, keyUsage=usage, origin=origin), settings)
    ]

    kinds = [kind for kind in KEY_KINDS if kind[0] == spec]
    if partition == "aws":
        kinds = [kind for kind in kinds if spec not in CHINA_ONLY]
    else:
        kinds = [kind for kind in kinds if not (spec in RSA and kind[2] == "EXTERNAL")]
    assert sorted(accepted) == sorted(kinds)


def test_the_specs_are_those_of_the_sdk_that_functions_run_with() -> None:
    assert set(KEY_SPECS) <= names_in_the_sdk("KeySpec")
    assert set(KEY_USAGES) <= names_in_the_sdk("KeyUsageType")


def names_in_the_sdk(shape_name: str) -> set[str]:
    shape = client("kms", "us-east-1").meta.service_model.shape_for(shape_name)
    assert isinstance(shape, StringShape)
    return set(shape.enum)


def test_the_types_of_a_request_have_the_names_that_its_rules_have() -> None:
    assert set(get_args(key_specs.KeySpec.__value__)) == set(key_specs.KEY_SPECS)
    assert set(get_args(key_specs.KeyUsageName.__value__)) == set(key_specs.KeyUsage)
    assert set(get_args(key_specs.OriginName.__value__)) == set(key_specs.Origin)
    algorithms = get_args(key_specs.WrappingAlgorithmName.__value__)
    assert set(algorithms) == set(key_specs.WrappingAlgorithm)


@pytest.mark.parametrize("spec", ["ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"])
def test_a_key_for_encapsulation_is_refused(spec: str) -> None:
    document = document_of(keySpec=spec, keyUsage="ENCAPSULATE_DECAPSULATE")

    assert pairs_of(document, SETTINGS) == {
        ("keySpec", "KEY_SPEC_NOT_MULTI_REGION"),
        ("keyUsage", "NOT_ONE_OF"),
    }


@pytest.mark.parametrize("material", [{}, {"keyMaterial": None}, {"keyMaterial": {}}], ids=str)
def test_in_china_no_rsa_key_gets_imported_material(material: dict[str, Any]) -> None:
    fields = {"keySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY", "origin": "EXTERNAL"}

    refused = {("origin", "ORIGIN_NOT_SUPPORTED")}
    assert pairs_of(document_of(**fields, **material), CHINA) == refused


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


RSA = ("RSA_2048", "RSA_3072", "RSA_4096")
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


# The curves whose keys RSAES_OAEP does not wrap under RSA_2048.
NOT_UNDER_RSA_2048 = {"ECC_NIST_P521", "ECC_NIST_EDWARDS25519"}


@pytest.mark.parametrize("spec", WRAPPING)
@pytest.mark.parametrize("size", RSA)
@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_exactly_the_wrapping_algorithms_of_a_spec_are_accepted(
    spec: str, size: str, partition: str
) -> None:
    settings = {"aws": SETTINGS, "aws-cn": CHINA}[partition]
    usage = next(usage for kind, usage, _ in KEY_KINDS if kind == spec)

    def problems(algorithm: str) -> set[tuple[str, str]]:
        material = {"wrappingAlgorithm": algorithm, "wrappingKeySpec": size}
        fields = {"keySpec": spec, "keyUsage": usage, "origin": "EXTERNAL"}
        return pairs_of(document_of(**fields, keyMaterial=material), settings)

    fit = set(WRAPPING[spec])
    if spec in NOT_UNDER_RSA_2048 and size == "RSA_2048":
        fit -= {DIRECT}
    # https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-encrypt-key-material.html
    if partition == "aws-cn":
        fit -= {WITH_AES}
    refused = {("keyMaterial.wrappingAlgorithm", "WRAPPING_ALGORITHM_NOT_SUPPORTED")}
    if not fit:
        refused = {("keyMaterial.wrappingKeySpec", "WRAPPING_KEY_SPEC_NOT_SUPPORTED")}
    if not fit and spec in RSA:
        refused = {("origin", "ORIGIN_NOT_SUPPORTED")}
    if partition == "aws" and spec in CHINA_ONLY:
        return
    assert set(wrapping_algorithms(spec, size, partition)) == fit
    for algorithm in (DIRECT, WITH_AES):
        assert problems(algorithm) == (set() if algorithm in fit else refused)


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_only_symmetric_keys_of_kms_rotate(kind: tuple[str, str, str]) -> None:
    spec, usage, origin = kind
    document = document_of(keySpec=spec, keyUsage=usage, origin=origin, rotation={})

    rotates = kind == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")
    assert can_rotate(spec, origin) == rotates
    refused = {("rotation", "ROTATION_NOT_SUPPORTED")}
    assert pairs_of(document, settings_of(spec)) == (set() if rotates else refused)
