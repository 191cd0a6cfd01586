"""The calls of a rotation as they are sent, and what becomes of what KMS answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from provisioner.aws import kms
from provisioner.aws.clients import client, send_once_kms
from provisioner.errors import (
    AutomaticRotationNear,
    IncorrectKeyMaterial,
    KeyStateConflict,
    KmsError,
    KmsRequestRefused,
    KmsUnavailable,
    RotationsUsedUp,
    RotationUnderWay,
)
from tests.support.answering import answer, answer_on_the_wire, calls_of, lose_on_the_wire
from tests.support.samples import key_arn

REGION = "eu-west-1"
ARN = key_arn(REGION)
BEGAN = datetime(2026, 11, 27, 5, tzinfo=UTC)
URL = "https://kms.test"
STAGED = "b" * 64
IMPORTED = (b"token", b"wrapped")
FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def error_body(code: str) -> dict[str, str]:
    return {"__type": code, "message": "The reason."}


@pytest.mark.parametrize("error", [None, ReadTimeoutError(endpoint_url=URL)])
def test_a_rotation_is_sent_once(error: Exception | None) -> None:
    sending = send_once_kms(REGION)
    if error:
        sent = lose_on_the_wire(sending, error)
        with pytest.raises(RotationUnderWay, match="no usable answer"):
            kms.rotate_key_on_demand(sending, ARN)
    else:
        sent = answer_on_the_wire(sending, 200, {"KeyId": ARN})
        kms.rotate_key_on_demand(sending, ARN)

    assert len(sent) == 1


def test_a_rotation_that_never_left_did_not_begin() -> None:
    sending = send_once_kms(REGION)
    lose_on_the_wire(sending, ConnectTimeoutError(endpoint_url=URL))

    with pytest.raises(KmsUnavailable):
        kms.rotate_key_on_demand(sending, ARN)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ConflictException", AutomaticRotationNear),
        ("LimitExceededException", RotationsUsedUp),
        ("DisabledException", KeyStateConflict),
        ("UnsupportedOperationException", KmsRequestRefused),
    ],
)
def test_a_refused_rotation_says_why(code: str, kind: type[KmsError]) -> None:
    sending = send_once_kms(REGION)
    answer_on_the_wire(sending, 400, error_body(code))

    with pytest.raises(kind, match="refused RotateKeyOnDemand"):
        kms.rotate_key_on_demand(sending, ARN)


@pytest.mark.parametrize("began", [BEGAN, None])
def test_a_running_rotation_is_known_by_its_start(began: datetime | None) -> None:
    ordinary = client("kms", REGION)
    running = {"OnDemandRotationStartDate": began} if began else {}
    answer(ordinary, "GetKeyRotationStatus", {"KeyRotationEnabled": False, **running})

    assert kms.read_running_rotation(ordinary, ARN) == began


def test_every_page_of_key_material_is_read() -> None:
    ordinary = client("kms", REGION)
    calls = calls_of(ordinary)
    pages: list[dict[str, Any]] = [
        {"Rotations": [{"KeyMaterialId": "a"}], "Truncated": True, "NextMarker": "m"},
        {"Rotations": [{"KeyMaterialId": "b"}], "Truncated": False},
    ]
    answer(ordinary, "ListKeyRotations", *pages)

    found = kms.list_key_materials(ordinary, ARN)

    assert [one["KeyMaterialId"] for one in found] == ["a", "b"]
    asked = {"KeyId": ARN, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
    assert calls == [("ListKeyRotations", asked), ("ListKeyRotations", {**asked, "Marker": "m"})]


def stage(ordinary: Any) -> None:
    kms.stage_new_key_material(ordinary, ARN, IMPORTED, None, "mrk:CHG1/op-1")


@pytest.mark.parametrize(
    ("call", "more"),
    [
        (stage, {"ImportType": "NEW_KEY_MATERIAL", "KeyMaterialDescription": "mrk:CHG1/op-1"}),
        (
            lambda c: kms.import_staged_key_material(c, ARN, IMPORTED, None, material_id=STAGED),
            {"ImportType": "EXISTING_KEY_MATERIAL", "KeyMaterialId": STAGED},
        ),
        (
            lambda c: kms.import_staged_key_material(
                c, ARN, IMPORTED, None, material_id=STAGED, description="mrk:CHG1/op-1"
            ),
            {
                "ImportType": "EXISTING_KEY_MATERIAL",
                "KeyMaterialId": STAGED,
                "KeyMaterialDescription": "mrk:CHG1/op-1",
            },
        ),
    ],
)
def test_new_material_is_named_as_such_and_staged_material_by_its_id(
    call: Callable[[Any], None], more: dict[str, Any]
) -> None:
    ordinary = client("kms", REGION)
    calls = calls_of(ordinary)
    answer(ordinary, "ImportKeyMaterial", {})

    call(ordinary)

    given = {"KeyId": ARN, "ImportToken": b"token", "EncryptedKeyMaterial": b"wrapped"}
    assert calls == [("ImportKeyMaterial", {**given, **FOREVER, **more})]


def test_material_that_kms_knows_is_no_new_one() -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body("IncorrectKeyMaterialException"))

    with pytest.raises(IncorrectKeyMaterial):
        stage(ordinary)
