from typing import Any

import pytest

from provisioner.key_specs import can_rotate
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


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_only_symmetric_keys_of_kms_rotate(kind: tuple[str, str, str]) -> None:
    spec, usage, origin = kind
    document = document_of(keySpec=spec, keyUsage=usage, origin=origin, rotation={})

    rotates = kind == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")
    assert can_rotate(spec, origin) == rotates
    refused = {("rotation", "ROTATION_NOT_SUPPORTED")}
    assert pairs_of(document, CHINA) == (set() if rotates else refused)
