import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from provisioner.aws import kms
from provisioner.aws.client_types import KeyMetadata
from provisioner.aws.clients import client, send_once_kms
from provisioner.domain.key_policy import policy_text
from provisioner.domain.plan import plan_key
from provisioner.errors import (
    ImportTokenExpired,
    ImportTokenInvalid,
    IncorrectKeyMaterial,
    KeyMaterialUnreadable,
    KeyPolicyRefused,
    KeyStateConflict,
    KmsAccessDenied,
    KmsError,
    KmsKeyNotFound,
    KmsLimitExceeded,
    KmsRequestRefused,
    KmsThrottled,
    KmsUnavailable,
    PrimaryKeyUnconfirmed,
    RegionNotEnabled,
)
from provisioner.intake.request import parse_request
from tests.support.answering import (
    answer,
    answer_on_the_wire,
    calls_of,
    kms_for,
    lose_on_the_wire,
    refusal,
)
from tests.support.key_kinds import KEY_KINDS
from tests.support.samples import KEY_ID, document_of, key_arn, plan_of, request_of, settings_of

REGION = "eu-west-1"
CODES = {
    "ThrottlingException": KmsThrottled,
    "Throttling": KmsThrottled,
    "RequestLimitExceeded": KmsThrottled,
    "TooManyRequestsException": KmsThrottled,
    "KMSInternalException": KmsUnavailable,
    "DependencyTimeoutException": KmsUnavailable,
    "AccessDeniedException": KmsAccessDenied,
    "UnrecognizedClientException": RegionNotEnabled,
    "InvalidClientTokenId": RegionNotEnabled,
    "OptInRequired": RegionNotEnabled,
    "AuthFailure": RegionNotEnabled,
    "NotFoundException": KmsKeyNotFound,
    "LimitExceededException": KmsLimitExceeded,
    "MalformedPolicyDocumentException": KeyPolicyRefused,
    "KMSInvalidStateException": KeyStateConflict,
    "DisabledException": KeyStateConflict,
    "ValidationException": KmsRequestRefused,
    "UnsupportedOperationException": KmsRequestRefused,
    "AlreadyExistsException": KmsRequestRefused,
    "TagException": KmsRequestRefused,
    "SomethingNewException": KmsRequestRefused,
}
CODES_OF_IMPORTS = {
    "IncorrectKeyMaterialException": IncorrectKeyMaterial,
    "InvalidCiphertextException": KeyMaterialUnreadable,
    "InvalidImportTokenException": ImportTokenInvalid,
    "ExpiredImportTokenException": ImportTokenExpired,
}
URL = "https://kms.eu-west-1.amazonaws.com/"
NEVER_SENT: list[Exception] = [
    EndpointConnectionError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    ProxyConnectionError(proxy_url="http://proxy.invalid"),
]
PERHAPS_SENT: list[Exception] = [
    ReadTimeoutError(endpoint_url=URL),
    SSLError(endpoint_url=URL, error=OSError("handshake")),
    HTTPClientError(error="connection was closed"),
]


def describe(kms_client: Any) -> object:
    return kms.describe_key(kms_client, key_arn(REGION))


def create(kms_client: Any, **fields: Any) -> KeyMetadata:
    request = request_of(primaryRegion=REGION, **fields)
    plan = plan_of(REGION, primaryRegion=REGION, **fields)
    return kms.create_primary_key(kms_client, request, plan, {**plan.tags, "mrk:attempt": "1"})


def import_material(kms_client: Any, valid_to: str | None = None) -> None:
    kms.import_key_material(kms_client, key_arn(REGION), b"token", b"wrapped", valid_to)


def error_body(code: str, message: str = "The reason.") -> dict[str, str]:
    return {"__type": code, "message": message}


@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_a_refusal_becomes_an_error_of_ours_that_names_region_operation_and_reason(
    code: str, kind: type[KmsError]
) -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body(code))

    with pytest.raises(kind) as caught:
        describe(ordinary)

    assert type(caught.value) is kind
    text = f"KMS in {REGION} refused DescribeKey: The reason. The key is {key_arn(REGION)}. "
    assert str(caught.value).startswith(text)
    assert str(caught.value).endswith(kind.next_step)


def test_a_refusal_without_a_message_is_told_by_its_code() -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body("DisabledException", ""))

    with pytest.raises(KeyStateConflict, match="refused DescribeKey: DisabledException"):
        describe(ordinary)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("code", ["KMSInternalException", "ValidationException", "Unknown"])
def test_an_error_inside_kms_is_no_refusal(status: int, code: str) -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, status, error_body(code))

    with pytest.raises(KmsUnavailable, match=rf"{REGION}.*DescribeKey"):
        describe(ordinary)


@pytest.mark.parametrize("error", NEVER_SENT + PERHAPS_SENT, ids=lambda error: type(error).__name__)
def test_no_answer_is_named_as_such(error: Exception) -> None:
    ordinary = client("kms", REGION)
    lose_on_the_wire(ordinary, error)

    with pytest.raises(KmsUnavailable, match=f"KMS in {REGION} did not answer DescribeKey"):
        describe(ordinary)


def test_an_ordinary_client_sends_again() -> None:
    ordinary = client("kms", REGION)
    sent = answer_on_the_wire(ordinary, 500, error_body("KMSInternalException"))

    with pytest.raises(KmsUnavailable):
        describe(ordinary)

    assert sent == ["DescribeKey"] * 3


@pytest.mark.parametrize(
    "break_it",
    [
        lambda c: answer_on_the_wire(c, 500, error_body("KMSInternalException")),
        lambda c: answer_on_the_wire(c, 503, "<html>"),
        lambda c: answer_on_the_wire(c, 400, error_body("DependencyTimeoutException")),
        *(lambda c, e=error: lose_on_the_wire(c, e) for error in PERHAPS_SENT),
    ],
)
def test_create_key_is_sent_once_and_is_unconfirmed_where_a_key_may_exist(
    break_it: Callable[[Any], list[str]],
) -> None:
    send_once = send_once_kms(REGION)
    sent = break_it(send_once)

    with pytest.raises(PrimaryKeyUnconfirmed, match=f"CreateKey was sent to KMS in {REGION}"):
        create(send_once)

    assert sent == ["CreateKey"]


@pytest.mark.parametrize("error", NEVER_SENT, ids=lambda error: type(error).__name__)
def test_a_create_key_that_never_left_made_no_key(error: Exception) -> None:
    send_once = send_once_kms(REGION)
    sent = lose_on_the_wire(send_once, error)

    with pytest.raises(KmsUnavailable):
        create(send_once)

    assert sent == ["CreateKey"]


UNAMBIGUOUS = {code: kind for code, kind in CODES.items() if kind is not KmsUnavailable}


@pytest.mark.parametrize(("code", "kind"), UNAMBIGUOUS.items())
def test_a_create_key_that_is_refused_made_no_key(code: str, kind: type[KmsError]) -> None:
    send_once = send_once_kms(REGION)
    sent = answer_on_the_wire(send_once, 400, error_body(code))

    with pytest.raises(kind, match=f"KMS in {REGION} refused CreateKey"):
        create(send_once)

    assert sent == ["CreateKey"]


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_create_key_asks_for_the_whole_key_at_once(kind: tuple[str, str, str]) -> None:
    spec, usage, origin = kind
    document = document_of(
        keySpec=spec, keyUsage=usage, origin=origin, description="Card data", tags={"team": "cards"}
    )
    settings = settings_of(spec)
    request = parse_request(document, settings)
    plan = plan_key(request, settings.home_region, settings)
    send_once = send_once_kms(settings.home_region)
    calls = calls_of(send_once)
    answer(send_once, "CreateKey", {"KeyMetadata": {"KeyId": KEY_ID}})

    metadata = kms.create_primary_key(send_once, request, plan, {**plan.tags, "mrk:attempt": "1"})

    parameters = {
        "MultiRegion": True,
        "KeySpec": spec,
        "KeyUsage": usage,
        "Origin": origin,
        "Description": "Card data",
        "Policy": policy_text(plan.policy),
        "Tags": [
            {"TagKey": "team", "TagValue": "cards"},
            {"TagKey": "mrk:request-id", "TagValue": "CHG1"},
            {"TagKey": "mrk:stack", "TagValue": "mrk-provisioner"},
            {"TagKey": "mrk:attempt", "TagValue": "1"},
        ],
    }
    assert calls == [("CreateKey", parameters)]
    assert metadata == {"KeyId": KEY_ID}


@pytest.mark.usefixtures("aws")
def test_a_created_key_is_a_multi_region_primary() -> None:
    metadata = create(send_once_kms(REGION), description="Card data", tags={"team": "cards"})

    ordinary = kms_for(REGION)
    found = kms.describe_key(ordinary, metadata["Arn"])
    assert found["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"
    assert found["KeyId"].startswith("mrk-")
    assert found["Description"] == "Card data"
    assert kms.read_tags(ordinary, metadata["Arn"]) == {
        "team": "cards",
        "mrk:request-id": "CHG1",
        "mrk:stack": "mrk-provisioner",
        "mrk:attempt": "1",
    }
    assert json.loads(kms.read_policy(ordinary, metadata["Arn"]))["Id"] == "key-default-1"


def test_replicate_key_asks_for_the_whole_key_at_once() -> None:
    plan = plan_of(REGION, replicas=[{"region": REGION, "description": "own", "tags": {"a": "b"}}])
    primary = client("kms", "us-east-1")
    calls = calls_of(primary)
    answer(primary, "ReplicateKey", {"ReplicaKeyMetadata": {"KeyState": "Creating"}})

    metadata = kms.replicate_key(primary, key_arn(), plan)

    assert metadata == {"KeyState": "Creating"}
    parameters = {
        "KeyId": key_arn(),
        "ReplicaRegion": REGION,
        "Description": "own",
        "Policy": policy_text(plan.policy),
        "Tags": [
            {"TagKey": "a", "TagValue": "b"},
            {"TagKey": "mrk:request-id", "TagValue": "CHG1"},
            {"TagKey": "mrk:stack", "TagValue": "mrk-provisioner"},
        ],
    }
    assert calls == [("ReplicateKey", parameters)]


def test_a_replica_that_exists_is_no_error() -> None:
    primary = client("kms", "us-east-1")
    answer(primary, "ReplicateKey", refusal("AlreadyExistsException"))

    plan = plan_of(REGION, replicas=[{"region": REGION}])
    assert kms.replicate_key(primary, key_arn(), plan) is None


def test_a_replication_that_is_refused_names_both_regions() -> None:
    primary = client("kms", "us-east-1")
    answer(primary, "ReplicateKey", refusal("KMSInvalidStateException", "It is pending import."))

    with pytest.raises(KeyStateConflict, match=f"us-east-1 refused ReplicateKey to {REGION}"):
        kms.replicate_key(primary, key_arn(), plan_of(REGION, replicas=[{"region": REGION}]))


@pytest.mark.usefixtures("aws")
def test_an_alias_is_created_found_and_deleted() -> None:
    ordinary = client("kms", REGION)
    arn = create(send_once_kms(REGION))["Arn"]

    assert kms.find_alias(ordinary, "alias/cards") is None
    assert kms.create_alias(ordinary, "alias/cards", arn)
    assert kms.find_alias(ordinary, "alias/cards") == arn
    assert not kms.create_alias(ordinary, "alias/cards", arn)
    other = ordinary.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.move_alias(ordinary, "alias/cards", other)
    assert kms.find_alias(ordinary, "alias/cards") == other
    kms.delete_alias(ordinary, "alias/cards")
    assert kms.find_alias(ordinary, "alias/cards") is None
    kms.delete_alias(ordinary, "alias/cards")


@pytest.mark.parametrize("status", [400, 403])
def test_a_region_that_is_not_enabled_is_named_and_how_to_enable_it(status: int) -> None:
    ordinary = client("kms", "eu-south-1")
    reason = "The security token included in the request is invalid."
    answer_on_the_wire(ordinary, status, error_body("UnrecognizedClientException", reason))

    with pytest.raises(RegionNotEnabled, match="KMS in eu-south-1 refused DescribeKey") as caught:
        describe(ordinary)

    assert reason in str(caught.value)
    assert "enable it (aws account enable-region) or remove it from" in str(caught.value)


def alias_entry(name: str, key_id: str) -> dict[str, str]:
    arn = f"arn:aws:kms:{REGION}:111122223333:{name}"
    return {"AliasName": name, "AliasArn": arn, "TargetKeyId": key_id}


def test_an_alias_whose_key_may_not_be_described_is_found_in_the_list_of_aliases() -> None:
    ordinary = client("kms", REGION)
    answer(ordinary, "DescribeKey", refusal("AccessDeniedException", "not authorized"))
    first = {"Aliases": [alias_entry("alias/a", "mrk-1")], "NextMarker": "m", "Truncated": True}
    answer(ordinary, "ListAliases", first, {"Aliases": [alias_entry("alias/cards", KEY_ID)]})

    assert kms.find_alias(ordinary, "alias/cards") == key_arn(REGION)


def test_an_alias_that_may_not_be_described_and_is_not_listed_does_not_exist() -> None:
    ordinary = client("kms", REGION)
    answer(ordinary, "DescribeKey", refusal("AccessDeniedException", "not authorized"))
    answer(ordinary, "ListAliases", {"Aliases": [alias_entry("alias/cards-2", KEY_ID)]})

    assert kms.find_alias(ordinary, "alias/cards") is None


def test_every_page_of_tags_is_read() -> None:
    ordinary = client("kms", REGION)
    first = {"Tags": [{"TagKey": "a", "TagValue": "1"}], "NextMarker": "m", "Truncated": True}
    second = {"Tags": [{"TagKey": "b", "TagValue": "2"}], "Truncated": False}
    answer(ordinary, "ListResourceTags", first, second)

    assert kms.read_tags(ordinary, key_arn(REGION)) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("status", "period"),
    [
        ({"KeyRotationEnabled": False}, None),
        ({"KeyRotationEnabled": False, "RotationPeriodInDays": 180}, None),
        ({"KeyRotationEnabled": True, "RotationPeriodInDays": 180}, 180),
        ({"KeyRotationEnabled": True}, 365),
    ],
)
def test_a_rotation_period_is_read(status: dict[str, Any], period: int | None) -> None:
    ordinary = client("kms", REGION)
    answer(ordinary, "GetKeyRotationStatus", status)

    assert kms.read_rotation_period(ordinary, key_arn(REGION)) == period


@pytest.mark.usefixtures("aws")
def test_tags_are_set_beside_those_that_are_there() -> None:
    ordinary = client("kms", REGION)
    arn = create(send_once_kms(REGION), tags={"a": "1", "b": "1"})["Arn"]

    kms.write_tags(ordinary, arn, {"b": "2"})

    tags = kms.read_tags(ordinary, arn)
    assert (tags["a"], tags["b"]) == ("1", "2")


def test_import_parameters_are_asked_for_and_given_as_text() -> None:
    ordinary = client("kms", REGION)
    calls = calls_of(ordinary)
    parameters = {
        "PublicKey": b"public",
        "ImportToken": b"token",
        "ParametersValidTo": datetime(2026, 11, 25, 20, 0, 0, 400_000, UTC),
    }
    answer(ordinary, "GetParametersForImport", parameters)

    asked = kms.get_import_parameters(
        ordinary, key_arn(REGION), "RSA_AES_KEY_WRAP_SHA_256", "RSA_3072"
    )

    assert asked == {
        "publicKey": "cHVibGlj",
        "importToken": "dG9rZW4=",
        "validUntil": "2026-11-25T20:00:00Z",
    }
    wanted = {
        "KeyId": key_arn(REGION),
        "WrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
        "WrappingKeySpec": "RSA_3072",
    }
    assert calls == [("GetParametersForImport", wanted)]


@pytest.mark.parametrize(
    ("valid_to", "expiry"),
    [
        (None, {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}),
        (
            "2027-01-31T00:00:00Z",
            {
                "ExpirationModel": "KEY_MATERIAL_EXPIRES",
                "ValidTo": datetime(2027, 1, 31, tzinfo=UTC),
            },
        ),
    ],
)
def test_key_material_is_imported_with_its_expiry(
    valid_to: str | None, expiry: dict[str, Any]
) -> None:
    ordinary = client("kms", REGION)
    calls = calls_of(ordinary)
    answer(ordinary, "ImportKeyMaterial", {})

    import_material(ordinary, valid_to)

    given = {"KeyId": key_arn(REGION), "ImportToken": b"token", "EncryptedKeyMaterial": b"wrapped"}
    assert calls == [("ImportKeyMaterial", {**given, **expiry})]


@pytest.mark.parametrize(("code", "kind"), (CODES | CODES_OF_IMPORTS).items())
def test_an_import_that_is_refused_tells_the_material_from_the_rest(
    code: str, kind: type[KmsError]
) -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body(code))

    with pytest.raises(kind, match=f"KMS in {REGION} refused ImportKeyMaterial") as caught:
        import_material(ordinary)

    assert type(caught.value) is kind


@pytest.mark.parametrize("code", CODES_OF_IMPORTS)
def test_only_an_import_is_refused_for_its_material(code: str) -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body(code))

    with pytest.raises(KmsRequestRefused):
        describe(ordinary)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("ListAliases to find alias/a", lambda c: kms.find_alias(c, "alias/a")),
        ("ListAliases", lambda c: kms.read_aliases(c, key_arn())),
        ("CreateAlias alias/a", lambda c: kms.create_alias(c, "alias/a", key_arn())),
        ("UpdateAlias alias/a", lambda c: kms.move_alias(c, "alias/a", key_arn())),
        ("DeleteAlias alias/a", lambda c: kms.delete_alias(c, "alias/a")),
        ("ListResourceTags", lambda c: kms.read_tags(c, key_arn())),
        ("GetKeyPolicy", lambda c: kms.read_policy(c, key_arn())),
        ("GetKeyRotationStatus", lambda c: kms.read_rotation_period(c, key_arn())),
        (
            "GetParametersForImport",
            lambda c: kms.get_import_parameters(c, key_arn(), "RSAES_OAEP_SHA_256", "RSA_2048"),
        ),
        ("ImportKeyMaterial", import_material),
        ("EnableKey", lambda c: kms.write(c, "EnableKey", KeyId=key_arn())),
        ("TagResource", lambda c: kms.write_tags(c, key_arn(), {"a": "b"})),
    ],
)
def test_every_call_tells_which_one_it_was(name: str, call: Callable[[Any], object]) -> None:
    ordinary = client("kms", REGION)
    answer_on_the_wire(ordinary, 400, error_body("AccessDeniedException", "not authorized"))

    with pytest.raises(KmsAccessDenied, match=f"KMS in {REGION} refused {name}: not authorized"):
        call(ordinary)


USED = {"Operation": "Decrypt", "Timestamp": datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)}
SINCE = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("use", "shown"),
    [
        ({"KeyLastUsage": USED}, ("2026-11-02T03:04:05Z", "Decrypt")),
        ({"KeyLastUsage": {}}, (None, None)),
        ({}, (None, None)),
    ],
    ids=["used", "empty", "absent"],
)
def test_the_last_use_of_a_key_is_read(use: Any, shown: tuple[str | None, str | None]) -> None:
    ordinary = client("kms", REGION)
    answer(ordinary, "GetKeyLastUsage", {**use, "TrackingStartDate": SINCE})

    found = kms.read_last_use(ordinary, key_arn(REGION))

    assert found
    assert (found["lastUsedAt"], found["lastUsedFor"]) == shown
    assert found["usageTrackedSince"] == "2026-04-01T00:00:00Z"


def test_of_an_sdk_without_the_call_no_last_use_is_known() -> None:
    old: Any = SimpleNamespace(meta=client("kms", REGION).meta)

    assert kms.read_last_use(old, key_arn(REGION)) is None
