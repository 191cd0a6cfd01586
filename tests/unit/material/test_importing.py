from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.domain.material import WrappedMaterial
from provisioner.domain.plan import KeyFacts, KeySetRequest
from provisioner.errors import (
    KeySetIncomplete,
    KeyStateConflict,
    KmsKeyNotFound,
    KmsRequestRefused,
    KmsThrottled,
    ReplicaKeyNotEnabled,
)
from provisioner.material.importing import MaterialState, ensure_key_material
from tests.support.answering import answer, calls_of, refusal
from tests.support.samples import (
    SETTINGS,
    imported_request_of,
    in_days,
    key_arn,
    request_of,
)

HOME, OWN, NEVER, SHARED = "us-east-1", "eu-west-1", "us-west-2", "ap-south-1"
VALID_TO, OWN_VALID_TO = in_days(100), in_days(200)
REQUEST = imported_request_of(
    keyMaterial={"validTo": VALID_TO, "wrappingKeySpec": "RSA_3072"},
    replicas=[
        {"region": OWN, "keyMaterial": {"validTo": OWN_VALID_TO}},
        {"region": NEVER, "keyMaterial": None},
        {"region": SHARED},
    ],
)
EXPIRIES = {HOME: VALID_TO, OWN: OWN_VALID_TO, NEVER: None, SHARED: VALID_TO}

REFUSALS = {
    "IncorrectKeyMaterialException": "INCORRECT_KEY_MATERIAL",
    "InvalidCiphertextException": "KEY_MATERIAL_UNREADABLE",
    "InvalidImportTokenException": "IMPORT_TOKEN_INVALID",
    "ExpiredImportTokenException": "IMPORT_TOKEN_EXPIRED",
}


def key_in(region: str) -> KeyFacts:
    return {"region": region, "arn": key_arn(region), "alias": "alias/cards", "keyState": "?"}


def answer_for(region: str) -> WrappedMaterial:
    return {"region": region, "importToken": "dG9rZW4=", "encryptedKeyMaterial": "d3JhcHBlZA=="}


def shown(state: str, valid_to: str | None = None) -> dict[str, Any]:
    """Return DescribeKey's answer; `ValidTo` is absent where the material does not expire."""
    expiry = {"ValidTo": datetime.fromisoformat(valid_to)} if valid_to else {}
    return {"KeyMetadata": {"KeyState": state, **expiry}}


PARAMETERS = {
    "PublicKey": b"public",
    "ImportToken": b"token",
    "ParametersValidTo": datetime(2026, 11, 25, 20, 0, tzinfo=UTC),
}


def kms_for(
    region: str, *descriptions: dict[str, Any], **instead: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Let a Region's KMS show its key like this, in turn, and take what it is given.

    `instead` are other answers, by the name of the operation. Gives KMS's calls.
    """
    kms = client("kms", region)
    answers = {"ImportKeyMaterial": {}, "GetParametersForImport": PARAMETERS, **instead}
    for operation, answered in answers.items():
        answer(kms, operation, answered)
    if descriptions:
        answer(kms, "DescribeKey", *descriptions)
    return calls_of(kms)


def ready(region: str) -> MaterialState:
    return {
        "key": {**key_in(region), "keyState": "Enabled", "validTo": EXPIRIES[region]},
        "materials": [],
        "problems": [],
        "blocked": [],
    }


def ensure(
    region: str, given: WrappedMaterial | None = None, request: KeySetRequest = REQUEST
) -> MaterialState:
    return ensure_key_material(
        request, key_in(region), given, client=client("kms", region), settings=SETTINGS
    )


def names(calls: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in calls]


@pytest.mark.parametrize("region", EXPIRIES)
@pytest.mark.parametrize("answered", [True, False])
def test_a_key_that_has_its_material_is_left_alone(region: str, *, answered: bool) -> None:
    calls = kms_for(region, shown("Enabled", EXPIRIES[region]))

    state = ensure(region, answer_for(region) if answered else None)

    assert state == ready(region)
    assert calls == [("DescribeKey", {"KeyId": key_arn(region)})]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("PendingDeletion", "and such a key takes no key material"),
        ("PendingReplicaDeletion", "and such a key takes no key material"),
        ("Disabled", "and an import of key material would enable it"),
    ],
)
def test_a_key_that_somebody_took_out_of_use_gets_no_material(state: str, reason: str) -> None:
    calls = kms_for(HOME, shown(state, OWN_VALID_TO))

    answered = ensure(HOME, answer_for(HOME))

    assert names(calls) == ["DescribeKey"]
    (blocked,) = answered["blocked"]
    assert (blocked["region"], blocked["error"]) == (HOME, "KeyStateConflict")
    assert f"{key_arn(HOME)} is {state}, {reason}." in blocked["cause"]


def test_a_key_that_is_creating_is_waited_for() -> None:
    calls = kms_for(OWN, shown("Creating"))

    with pytest.raises(ReplicaKeyNotEnabled, match="is Creating and takes no key material yet"):
        ensure(OWN, answer_for(OWN))

    assert names(calls) == ["DescribeKey"]


def test_a_disabled_key_that_has_its_material_is_ready() -> None:
    kms_for(HOME, shown("Disabled", VALID_TO))

    assert ensure(HOME)["blocked"] == []


@pytest.mark.parametrize("region", EXPIRIES)
def test_a_key_without_material_is_shown_with_what_wraps_it(region: str) -> None:
    calls = kms_for(region, shown("PendingImport"))

    state = ensure(region)

    assert state == {
        "key": {**key_in(region), "keyState": "PendingImport", "validTo": None},
        "materials": [
            {
                "region": region,
                "keyArn": key_arn(region),
                "keySpec": "SYMMETRIC_DEFAULT",
                "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
                "wrappingKeySpec": "RSA_3072",
                "publicKey": "cHVibGlj",
                "importToken": "dG9rZW4=",
                "validUntil": "2026-11-25T20:00:00Z",
            }
        ],
        "problems": [],
        "blocked": [],
    }
    wanted = {
        "KeyId": key_arn(region),
        "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "WrappingKeySpec": "RSA_3072",
    }
    assert calls[1:] == [("GetParametersForImport", wanted)]


@pytest.mark.parametrize("region", EXPIRIES)
def test_an_answer_is_imported_with_its_regions_expiry_and_read_back(region: str) -> None:
    valid_to = EXPIRIES[region]
    calls = kms_for(region, shown("PendingImport"), shown("Enabled", valid_to))

    state = ensure(region, answer_for(region))

    assert state == ready(region)
    assert names(calls) == ["DescribeKey", "ImportKeyMaterial", "DescribeKey"]
    imported = calls[1][1]
    assert imported["KeyId"] == key_arn(region)
    assert (imported["ImportToken"], imported["EncryptedKeyMaterial"]) == (b"token", b"wrapped")
    expires = datetime.fromisoformat(valid_to) if valid_to else None
    assert imported.get("ValidTo") == expires
    model = "KEY_MATERIAL_EXPIRES" if valid_to else "KEY_MATERIAL_DOES_NOT_EXPIRE"
    assert imported["ExpirationModel"] == model


@pytest.mark.parametrize(
    ("region", "other"), [(HOME, NEVER), (HOME, OWN), (OWN, HOME), (NEVER, HOME)]
)
def test_material_that_expires_when_another_regions_should_is_needed_once_more(
    region: str, other: str
) -> None:
    there = EXPIRIES[other]
    calls = kms_for(region, shown("Enabled", there))

    state = ensure(region)

    assert (state["key"]["keyState"], state["key"].get("validTo")) == ("Enabled", there)
    assert [material["region"] for material in state["materials"]] == [region]
    assert names(calls) == ["DescribeKey", "GetParametersForImport"]


def test_material_is_imported_again_under_a_later_expiry() -> None:
    calls = kms_for(OWN, shown("Enabled", VALID_TO), shown("Enabled", OWN_VALID_TO))

    state = ensure(OWN, answer_for(OWN))

    assert (state["key"].get("validTo"), state["materials"]) == (OWN_VALID_TO, [])
    assert calls[1][1]["ValidTo"] == datetime.fromisoformat(OWN_VALID_TO)


@pytest.mark.parametrize(("code", "told_as"), REFUSALS.items())
@pytest.mark.parametrize(
    ("region", "path"),
    [(HOME, "primaryRegion"), (OWN, "replicas[0].region"), (SHARED, "replicas[2].region")],
)
def test_material_that_kms_does_not_take_is_told_and_asked_for_again(
    code: str, told_as: str, region: str, path: str
) -> None:
    refused = refusal(code, "Not this.")
    calls = kms_for(region, shown("PendingImport"), ImportKeyMaterial=refused)

    state = ensure(region, answer_for(region))

    (problem,) = state["problems"]
    assert (problem["path"], problem["code"]) == (path, told_as)
    assert f"KMS in {region} refused ImportKeyMaterial: Not this." in problem["message"]
    assert problem["message"].endswith("answer again.")
    says_which = "KMS takes only the key material that this key set has" in problem["message"]
    assert says_which == (told_as == "INCORRECT_KEY_MATERIAL")
    assert [material["importToken"] for material in state["materials"]] == ["dG9rZW4="]
    assert names(calls) == ["DescribeKey", "ImportKeyMaterial", "GetParametersForImport"]


@pytest.mark.parametrize(
    "then", [shown("PendingImport"), shown("Enabled"), shown("Enabled", OWN_VALID_TO)]
)
def test_material_that_is_not_visible_yet_is_looked_for_again(then: dict[str, Any]) -> None:
    kms_for(HOME, shown("PendingImport"), then)

    with pytest.raises(KeySetIncomplete, match=f"does not show the key material of {key_arn()}"):
        ensure(HOME, answer_for(HOME))


def test_an_import_whose_answer_was_lost_is_not_made_twice() -> None:
    calls = kms_for(
        HOME, shown("PendingImport"), shown("PendingImport"), shown("Enabled", VALID_TO)
    )

    with pytest.raises(KeySetIncomplete):
        ensure(HOME, answer_for(HOME))
    state = ensure(HOME, answer_for(HOME))

    assert state["materials"] == []
    assert names(calls).count("ImportKeyMaterial") == 1


@pytest.mark.parametrize(
    ("operation", "code", "error"),
    [
        ("DescribeKey", "NotFoundException", KmsKeyNotFound),
        ("ImportKeyMaterial", "ThrottlingException", KmsThrottled),
        ("ImportKeyMaterial", "ValidationException", KmsRequestRefused),
        ("ImportKeyMaterial", "KMSInvalidStateException", KeyStateConflict),
    ],
)
def test_what_is_not_about_the_material_ends_the_step(
    operation: str, code: str, error: type[Exception]
) -> None:
    kms_for(HOME, **{"DescribeKey": shown("PendingImport"), operation: refusal(code)})

    with pytest.raises(error):
        ensure(HOME, answer_for(HOME))


def test_parameters_that_kms_does_not_give_end_the_step() -> None:
    throttled = refusal("ThrottlingException")
    kms_for(HOME, shown("PendingImport"), GetParametersForImport=throttled)

    with pytest.raises(KmsThrottled, match="GetParametersForImport"):
        ensure(HOME)


def test_a_key_of_kms_has_no_material_to_import() -> None:
    with pytest.raises(RuntimeError, match="is not of origin EXTERNAL"):
        ensure(HOME, request=request_of())


def test_a_request_that_does_not_say_how_material_comes_in_is_a_fault() -> None:
    kms_for(HOME, shown("PendingImport"))
    unsaid: Any = {**imported_request_of(), "keyMaterial": None}

    with pytest.raises(RuntimeError, match="CHG1 does not say how material comes in"):
        ensure(HOME, request=unsaid)
