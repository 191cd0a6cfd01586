"""Requests that are refused, each with every problem it has, as (path, code).

They are judged by a stack in account 111122223333 and Region us-east-1 whose AllowedRegions is *,
soon after this module is imported: some of them hold times that are counted from then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"

type Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class BadRequest:
    """What is sent, and the problems that its refusal lists."""

    name: str
    document: Any
    problems: frozenset[tuple[str, str]]


def _case(name: str, fields: dict[str, Any], *problems: tuple[str, str]) -> BadRequest:
    """Return a request that is sound but for these fields."""
    sound = {"requestId": f"bad-{name}", "alias": f"alias/bad/{name}"}
    return BadRequest(name, {**sound, **fields}, frozenset(problems))


def _without(name: str, left_out: str, *problems: tuple[str, str]) -> BadRequest:
    case = _case(name, {}, *problems)
    del case.document[left_out]
    return case


def _replica(name: str, fields: dict[str, Any], *problems: tuple[str, str]) -> BadRequest:
    """Return a request whose second replica is sound but for these fields."""
    replicas = [{"region": "eu-west-1"}, {"region": "us-west-2", **fields}]
    return _case(name, {"replicas": replicas}, *((f"replicas[1]{p}", code) for p, code in problems))


def _imported(name: str, material: Any, *problems: tuple[str, str], **fields: Any) -> BadRequest:
    """Return a request of origin EXTERNAL with this keyMaterial; paths begin inside it."""
    inside = ((f"keyMaterial{path}", code) for path, code in problems)
    return _case(name, {"origin": "EXTERNAL", "keyMaterial": material, **fields}, *inside)


def _in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def _document(name: str, document: Any, *problems: tuple[str, str]) -> BadRequest:
    """Return a request with this key policy; the problems' paths begin inside the document."""
    inside = ((f"policy.document{path}", code) for path, code in problems)
    return _case(name, {"policy": {"document": document}}, *inside)


def _statement(name: str, changes: dict[str, Any], *problems: tuple[str, str]) -> BadRequest:
    """Return a request with a key policy whose second statement is sound but for these elements.

    An element that is changed to `...` is left out.
    """
    changed = {**ACCOUNT_STATEMENT, "Sid": "Second", "Principal": {"AWS": ROLE}, **changes}
    statement = {element: value for element, value in changed.items() if value is not ...}
    document = {"Version": "2012-10-17", "Statement": [ACCOUNT_STATEMENT, statement]}
    inside = ((f".Statement[1]{path}", code) for path, code in problems)
    return _document(name, document, *inside)


def _principals(count: int) -> list[str]:
    return [f"arn:aws:iam::{ACCOUNT}:role/team/service-{number:04}" for number in range(count)]


ACCOUNT_STATEMENT: dict[str, Any] = {
    "Sid": "Enable IAM User Permissions",
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": "kms:*",
    "Resource": "*",
}

_NOT_OBJECTS = [
    BadRequest(f"body-{name}", document, frozenset({("", "NOT_AN_OBJECT")}))
    for name, document in {
        "null": None,
        "list": [{"requestId": "bad-in-a-list", "alias": "alias/bad"}],
        "empty-list": [],
        "text": '{"requestId": "bad-in-a-text", "alias": "alias/bad"}',
        "empty-text": "",
        "number": 7,
        "fraction": 0.5,
        "bool": True,
    }.items()
]

_REQUEST_ID = [
    BadRequest("nothing", {}, frozenset({("requestId", "REQUIRED"), ("alias", "REQUIRED")})),
    _without("request-id-missing", "requestId", ("requestId", "REQUIRED")),
    _case("request-id-null", {"requestId": None}, ("requestId", "WRONG_TYPE")),
    _case("request-id-number", {"requestId": 31337}, ("requestId", "WRONG_TYPE")),
    _case("request-id-object", {"requestId": {"id": "CHG1"}}, ("requestId", "WRONG_TYPE")),
    _case("request-id-empty", {"requestId": ""}, ("requestId", "BAD_FORMAT")),
    _case("request-id-81-characters", {"requestId": "r" * 81}, ("requestId", "BAD_FORMAT")),
    _case("request-id-space", {"requestId": "CHG 31337"}, ("requestId", "BAD_FORMAT")),
    _case("request-id-newline", {"requestId": "CHG31337\n"}, ("requestId", "BAD_FORMAT")),
    _case("request-id-control", {"requestId": "CHG\u000731337"}, ("requestId", "BAD_FORMAT")),
    _case(
        "request-id-fullwidth",
        {"requestId": "CHG\uff13\uff11\uff13\uff13\uff17"},
        ("requestId", "BAD_FORMAT"),
    ),
    _case("request-id-cyrillic", {"requestId": "\u0421HG31337"}, ("requestId", "BAD_FORMAT")),
    _case("request-id-path", {"requestId": "../CHG31337"}, ("requestId", "BAD_FORMAT")),
]

_ALIAS = [
    _without("alias-missing", "alias", ("alias", "REQUIRED")),
    _case("alias-null", {"alias": None}, ("alias", "WRONG_TYPE")),
    _case("alias-list", {"alias": ["alias/bad"]}, ("alias", "WRONG_TYPE")),
    _case("alias-empty", {"alias": ""}, ("alias", "BAD_FORMAT")),
    _case("alias-prefix-missing", {"alias": "payments/cards"}, ("alias", "BAD_FORMAT")),
    _case("alias-prefix-only", {"alias": "alias/"}, ("alias", "BAD_FORMAT")),
    _case("alias-prefix-upper", {"alias": "Alias/bad"}, ("alias", "BAD_FORMAT")),
    _case("alias-newline", {"alias": "alias/bad\n"}, ("alias", "BAD_FORMAT")),
    _case("alias-colon", {"alias": "alias/bad:name"}, ("alias", "BAD_FORMAT")),
    _case("alias-cyrillic", {"alias": "alias/\u0440\u0430yments"}, ("alias", "BAD_FORMAT")),
    _case("alias-257-characters", {"alias": "alias/" + "a" * 251}, ("alias", "TOO_LONG")),
    _case("alias-of-aws", {"alias": "alias/aws/payments"}, ("alias", "ALIAS_RESERVED")),
]

_TEXT_AND_TAGS = [
    _case("description-number", {"description": 5}, ("description", "WRONG_TYPE")),
    _case("description-8193", {"description": "d" * 8193}, ("description", "TOO_LONG")),
    _case("tags-list", {"tags": [{"Key": "a", "Value": "b"}]}, ("tags", "WRONG_TYPE")),
    _case("tag-value-number", {"tags": {"cost": 42}}, ("tags.cost", "WRONG_TYPE")),
    _case("tag-value-null", {"tags": {"cost": None}}, ("tags.cost", "WRONG_TYPE")),
    _case("tag-value-bool", {"tags": {"pci": True}}, ("tags.pci", "WRONG_TYPE")),
    _case("tag-value-257", {"tags": {"cost": "v" * 257}}, ("tags.cost", "TOO_LONG")),
    _case("tag-value-characters", {"tags": {"cost": "4;2"}}, ("tags.cost", "TAG_CHARACTERS")),
    _case("tag-value-control", {"tags": {"cost": "4\u00002"}}, ("tags.cost", "TAG_CHARACTERS")),
    _case("tag-key-129", {"tags": {"k" * 129: "v"}}, (f"tags.{'k' * 129}", "TOO_LONG")),
    _case("tag-key-characters", {"tags": {"a&b": "v"}}, ("tags.a&b", "TAG_CHARACTERS")),
    _case("tag-key-newline", {"tags": {"team\n": "v"}}, ("tags.team\n", "TAG_CHARACTERS")),
    _case("tag-key-of-aws", {"tags": {"aws:team": "v"}}, ("tags.aws:team", "TAG_RESERVED")),
    _case("tag-key-of-AWS", {"tags": {"AWS:team": "v"}}, ("tags.AWS:team", "TAG_RESERVED")),
    _case("tag-key-of-ours", {"tags": {"mrk:stack": "v"}}, ("tags.mrk:stack", "TAG_RESERVED")),
    _case("tags-48", {"tags": {f"t{n}": "v" for n in range(48)}}, ("tags", "TOO_MANY_TAGS")),
    _case(
        "tags-wrong-and-too-many",
        {"tags": {f"t{n}": "v" for n in range(60)} | {"aws:x": "v", "é!": 1}},
        ("tags", "TOO_MANY_TAGS"),
        ("tags.aws:x", "TAG_RESERVED"),
        ("tags.é!", "TAG_CHARACTERS"),
        ("tags.é!", "WRONG_TYPE"),
    ),
]

_KEY_KIND = [
    _case("spec-null", {"keySpec": None}, ("keySpec", "WRONG_TYPE")),
    _case("spec-unknown", {"keySpec": "RSA_1024"}, ("keySpec", "KEY_SPEC_NOT_MULTI_REGION")),
    _case("spec-empty", {"keySpec": ""}, ("keySpec", "KEY_SPEC_NOT_MULTI_REGION")),
    _case("spec-lower", {"keySpec": "rsa_2048"}, ("keySpec", "KEY_SPEC_NOT_MULTI_REGION")),
    _case(
        "spec-of-china",
        {"keySpec": "SM2", "keyUsage": "SIGN_VERIFY"},
        ("keySpec", "KEY_SPEC_NOT_IN_PARTITION"),
    ),
    _case("usage-missing", {"keySpec": "RSA_2048"}, ("keyUsage", "KEY_USAGE_REQUIRED")),
    _case(
        "usage-null-of-several",
        {"keySpec": "ECC_NIST_P384", "keyUsage": None},
        ("keyUsage", "KEY_USAGE_REQUIRED"),
    ),
    _case("usage-unknown", {"keyUsage": "WRAP_UNWRAP"}, ("keyUsage", "NOT_ONE_OF")),
    _case("usage-empty", {"keyUsage": ""}, ("keyUsage", "NOT_ONE_OF")),
    _case(
        "usage-of-other-spec",
        {"keySpec": "HMAC_256", "keyUsage": "SIGN_VERIFY"},
        ("keyUsage", "KEY_USAGE_NOT_SUPPORTED"),
    ),
    _case(
        "usage-of-other-curve",
        {"keySpec": "ECC_SECG_P256K1", "keyUsage": "KEY_AGREEMENT"},
        ("keyUsage", "KEY_USAGE_NOT_SUPPORTED"),
    ),
    _case("origin-cloudhsm", {"origin": "AWS_CLOUDHSM"}, ("origin", "NOT_ONE_OF")),
    _case("origin-key-store", {"origin": "EXTERNAL_KEY_STORE"}, ("origin", "NOT_ONE_OF")),
    _case(
        "origin-external-ml-dsa",
        {"keySpec": "ML_DSA_65", "origin": "EXTERNAL"},
        ("origin", "ORIGIN_NOT_SUPPORTED"),
    ),
    _case(
        "kind-all-wrong",
        {"keySpec": "ML_DSA_44", "keyUsage": "ENCRYPT_DECRYPT", "origin": "EXTERNAL"},
        ("keyUsage", "KEY_USAGE_NOT_SUPPORTED"),
        ("origin", "ORIGIN_NOT_SUPPORTED"),
    ),
]

_SIZE = ".wrappingKeySpec"
_KEY_MATERIAL = [
    *(
        _imported(f"material-{kind}", material, ("", "WRONG_TYPE"))
        for kind, material in (("text", "RSA_4096"), ("list", []), ("bool", True), ("number", 7))
    ),
    _imported("material-unknown-field", {"deadline": 7}, (".deadline", "UNKNOWN_FIELD")),
    _imported("expires-text", {"expires": "false"}, (".expires", "WRONG_TYPE")),
    _imported("expires-number", {"expires": 0}, (".expires", "WRONG_TYPE")),
    _imported("expires-when", {"expires": True}, (".validTo", "VALID_TO_REQUIRED")),
    _imported(
        "expires-never-and-once",
        {"expires": False, "validTo": _in_days(100)},
        ("", "EXPIRY_AMBIGUOUS"),
    ),
    _imported(
        "expires-never-and-long-ago",
        {"expires": False, "validTo": _in_days(-1)},
        ("", "EXPIRY_AMBIGUOUS"),
        (".validTo", "OUT_OF_RANGE"),
    ),
    *(
        _imported(f"valid-to-{kind}", {"validTo": valid_to}, (".validTo", code))
        for kind, valid_to, code in (
            ("number", 1_800_000_000, "WRONG_TYPE"),
            ("object", {"days": 7}, "WRONG_TYPE"),
            ("empty", "", "BAD_FORMAT"),
            ("word", "tomorrow", "BAD_FORMAT"),
            ("days", "P30D", "BAD_FORMAT"),
            ("day-that-is-none", "2027-02-30T00:00:00Z", "BAD_FORMAT"),
            ("day-alone", _in_days(30)[:10], "BAD_FORMAT"),
            ("without-time-zone", _in_days(30)[:19], "BAD_FORMAT"),
            ("before-the-calendar", "0001-01-01T00:00:00+01:00", "BAD_FORMAT"),
            ("after-the-calendar", "9999-12-31T23:59:59-01:00", "BAD_FORMAT"),
            ("over", _in_days(-1), "OUT_OF_RANGE"),
            ("just-over", _in_days(0), "OUT_OF_RANGE"),
            ("in-366-days", _in_days(366), "OUT_OF_RANGE"),
        )
    ),
    *(
        _imported(
            f"wrapping-{kind}", {"wrappingAlgorithm": algorithm}, (".wrappingAlgorithm", code)
        )
        for kind, algorithm, code in (
            ("of-sha-1", "RSAES_OAEP_SHA_1", "NOT_ONE_OF"),
            ("of-pkcs", "RSAES_PKCS1_V1_5", "NOT_ONE_OF"),
            ("lower", "rsaes_oaep_sha_256", "NOT_ONE_OF"),
            ("number", 256, "WRONG_TYPE"),
        )
    ),
    *(
        _imported(
            f"wrapping-of-{spec.lower().replace('_', '-')}",
            {"wrappingAlgorithm": algorithm, "wrappingKeySpec": "RSA_2048"},
            (".wrappingAlgorithm", "WRAPPING_ALGORITHM_NOT_SUPPORTED"),
            keySpec=spec,
            keyUsage=usage,
        )
        for spec, usage, algorithm in (
            ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSA_AES_KEY_WRAP_SHA_256"),
            ("HMAC_224", "GENERATE_VERIFY_MAC", "RSA_AES_KEY_WRAP_SHA_256"),
            ("HMAC_256", "GENERATE_VERIFY_MAC", "RSA_AES_KEY_WRAP_SHA_256"),
            ("HMAC_384", "GENERATE_VERIFY_MAC", "RSA_AES_KEY_WRAP_SHA_256"),
            ("HMAC_512", "GENERATE_VERIFY_MAC", "RSA_AES_KEY_WRAP_SHA_256"),
            ("RSA_2048", "ENCRYPT_DECRYPT", "RSAES_OAEP_SHA_256"),
            ("RSA_3072", "SIGN_VERIFY", "RSAES_OAEP_SHA_256"),
            ("RSA_4096", "SIGN_VERIFY", "RSAES_OAEP_SHA_256"),
            ("ECC_NIST_P521", "SIGN_VERIFY", "RSAES_OAEP_SHA_256"),
        )
    ),
    _imported("wrapping-key-1024", {"wrappingKeySpec": "RSA_1024"}, (_SIZE, "NOT_ONE_OF")),
    _imported("wrapping-key-null", {"wrappingKeySpec": None}, (_SIZE, "WRONG_TYPE")),
    _imported("wrapping-key-number", {"wrappingKeySpec": 4096}, (_SIZE, "WRONG_TYPE")),
    *(
        _imported(f"deadline-{kind}", {"deadlineInDays": days}, (".deadlineInDays", code))
        for kind, days, code in (
            ("0", 0, "OUT_OF_RANGE"),
            ("31", 31, "OUT_OF_RANGE"),
            ("fraction", 1.5, "WRONG_TYPE"),
            ("text", "7", "WRONG_TYPE"),
            ("bool", True, "WRONG_TYPE"),
            ("null", None, "WRONG_TYPE"),
        )
    ),
    _case(
        "material-of-kms",
        {"keyMaterial": {"expires": False}},
        ("keyMaterial", "KEY_MATERIAL_NOT_IMPORTED"),
    ),
    _case(
        "material-of-kms-empty", {"keyMaterial": {}}, ("keyMaterial", "KEY_MATERIAL_NOT_IMPORTED")
    ),
    _case(
        "material-of-kms-and-wrong",
        {"origin": "AWS_KMS", "keyMaterial": {"deadlineInDays": 0}},
        ("keyMaterial", "KEY_MATERIAL_NOT_IMPORTED"),
        ("keyMaterial.deadlineInDays", "OUT_OF_RANGE"),
    ),
    _replica(
        "material-of-kms-replica",
        {"keyMaterial": {"expires": False}},
        (".keyMaterial", "KEY_MATERIAL_NOT_IMPORTED"),
    ),
    _case(
        "material-of-ml-dsa",
        {
            "keySpec": "ML_DSA_65",
            "origin": "EXTERNAL",
            "keyMaterial": {"wrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256"},
        },
        ("origin", "ORIGIN_NOT_SUPPORTED"),
    ),
    _case(
        "material-of-no-spec",
        {
            "keySpec": "AES_256",
            "origin": "EXTERNAL",
            "keyMaterial": {"wrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256"},
        },
        ("keySpec", "KEY_SPEC_NOT_MULTI_REGION"),
    ),
    _case(
        "material-of-replicas",
        {
            "origin": "EXTERNAL",
            "replicas": [
                {"region": "eu-west-1", "keyMaterial": {"deadlineInDays": 7}},
                {"region": "us-west-2", "keyMaterial": {"wrappingKeySpec": "RSA_4096"}},
                {"region": "us-west-1", "keyMaterial": {"expires": True}},
                {"region": "eu-central-1", "keyMaterial": {"validTo": _in_days(-7)}},
                {"region": "eu-north-1", "keyMaterial": "never"},
            ],
        },
        ("replicas[0].keyMaterial.deadlineInDays", "UNKNOWN_FIELD"),
        ("replicas[1].keyMaterial.wrappingKeySpec", "UNKNOWN_FIELD"),
        ("replicas[2].keyMaterial.validTo", "VALID_TO_REQUIRED"),
        ("replicas[3].keyMaterial.validTo", "OUT_OF_RANGE"),
        ("replicas[4].keyMaterial", "WRONG_TYPE"),
    ),
    _imported(
        "material-all-wrong",
        {
            "expires": True,
            "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "deadlineInDays": 99,
            "until": "2027-01-31",
        },
        (".validTo", "VALID_TO_REQUIRED"),
        (".wrappingAlgorithm", "WRAPPING_ALGORITHM_NOT_SUPPORTED"),
        (".deadlineInDays", "OUT_OF_RANGE"),
        (".until", "UNKNOWN_FIELD"),
        keySpec="RSA_2048",
        keyUsage="SIGN_VERIFY",
    ),
    _imported(
        "material-of-wrong-types",
        {"expires": 1, "validTo": 1, "wrappingAlgorithm": 1, "wrappingKeySpec": 1},
        (".expires", "WRONG_TYPE"),
        (".validTo", "WRONG_TYPE"),
        (".wrappingAlgorithm", "WRONG_TYPE"),
        (_SIZE, "WRONG_TYPE"),
    ),
]

_PERIOD = "rotation.periodInDays"
_ROTATION = [
    _case("rotation-number", {"rotation": 365}, ("rotation", "WRONG_TYPE")),
    _case("rotation-bool", {"rotation": True}, ("rotation", "WRONG_TYPE")),
    _case("rotation-89", {"rotation": {"periodInDays": 89}}, (_PERIOD, "OUT_OF_RANGE")),
    _case("rotation-2561", {"rotation": {"periodInDays": 2561}}, (_PERIOD, "OUT_OF_RANGE")),
    _case("rotation-period-null", {"rotation": {"periodInDays": None}}, (_PERIOD, "WRONG_TYPE")),
    _case("rotation-period-bool", {"rotation": {"periodInDays": True}}, (_PERIOD, "WRONG_TYPE")),
    _case("rotation-period-text", {"rotation": {"periodInDays": "365"}}, (_PERIOD, "WRONG_TYPE")),
    _case("rotation-period-nan", {"rotation": {"periodInDays": "NaN"}}, (_PERIOD, "WRONG_TYPE")),
    _case(
        "rotation-period-fraction",
        {"rotation": {"periodInDays": 365.5}},
        (_PERIOD, "WRONG_TYPE"),
    ),
    _case(
        "rotation-unknown-field",
        {"rotation": {"periodInDays": 365, "period": 1}},
        ("rotation.period", "UNKNOWN_FIELD"),
    ),
    _case(
        "rotation-of-hmac",
        {"keySpec": "HMAC_512", "rotation": {"periodInDays": 365}},
        ("rotation", "ROTATION_NOT_SUPPORTED"),
    ),
    _case(
        "rotation-of-imported",
        {"origin": "EXTERNAL", "rotation": {}},
        ("rotation", "ROTATION_NOT_SUPPORTED"),
    ),
    _case(
        "rotation-of-hmac-out-of-range",
        {"keySpec": "HMAC_512", "rotation": {"periodInDays": 1}},
        ("rotation", "ROTATION_NOT_SUPPORTED"),
        (_PERIOD, "OUT_OF_RANGE"),
    ),
]

_REGIONS = [
    _case("primary-number", {"primaryRegion": 1}, ("primaryRegion", "WRONG_TYPE")),
    _case("primary-empty", {"primaryRegion": ""}, ("primaryRegion", "REGION_UNKNOWN")),
    _case("primary-unknown", {"primaryRegion": "eu-west-9"}, ("primaryRegion", "REGION_UNKNOWN")),
    _case("primary-zone", {"primaryRegion": "us-east-1a"}, ("primaryRegion", "REGION_UNKNOWN")),
    _case("primary-upper", {"primaryRegion": "US-EAST-1"}, ("primaryRegion", "REGION_UNKNOWN")),
    _case("primary-global", {"primaryRegion": "aws-global"}, ("primaryRegion", "REGION_UNKNOWN")),
    _case("primary-china", {"primaryRegion": "cn-north-1"}, ("primaryRegion", "REGION_UNKNOWN")),
    _case(
        "primary-lookalike",
        {"primaryRegion": "us\u2011east\u20111"},
        ("primaryRegion", "REGION_UNKNOWN"),
    ),
    _case("replicas-object", {"replicas": {"region": "eu-west-1"}}, ("replicas", "WRONG_TYPE")),
    _case("replicas-text", {"replicas": "eu-west-1"}, ("replicas", "WRONG_TYPE")),
    _case("replicas-of-texts", {"replicas": ["eu-west-1"]}, ("replicas[0]", "WRONG_TYPE")),
    _case("replica-null", {"replicas": [None]}, ("replicas[0]", "WRONG_TYPE")),
    _case("replica-nothing", {"replicas": [{}]}, ("replicas[0].region", "REQUIRED")),
    _replica("replica-region-null", {"region": None}, (".region", "WRONG_TYPE")),
    _replica("replica-region-unknown", {"region": "mars-1"}, (".region", "REGION_UNKNOWN")),
    _replica("replica-region-space", {"region": "us-west-2 "}, (".region", "REGION_UNKNOWN")),
    _replica("replica-gov", {"region": "us-gov-west-1"}, (".region", "REGION_UNKNOWN")),
    _replica("replica-twice", {"region": "eu-west-1"}, (".region", "DUPLICATE_REGION")),
    _replica("replica-at-home", {"region": "us-east-1"}, (".region", "DUPLICATE_REGION")),
    _case(
        "replica-in-primary-region",
        {"primaryRegion": "eu-west-1", "replicas": [{"region": "eu-west-1"}]},
        ("replicas[0].region", "DUPLICATE_REGION"),
    ),
]

_REPLICA_SETTINGS = [
    _replica("replica-alias-empty", {"alias": ""}, (".alias", "BAD_FORMAT")),
    _replica("replica-alias-of-aws", {"alias": "alias/aws/kms"}, (".alias", "ALIAS_RESERVED")),
    _replica("replica-description", {"description": "d" * 8193}, (".description", "TOO_LONG")),
    _replica("replica-tag", {"tags": {"aws:a": "b"}}, (".tags.aws:a", "TAG_RESERVED")),
    _replica(
        "replica-tags", {"tags": {f"t{n}": "" for n in range(50)}}, (".tags", "TOO_MANY_TAGS")
    ),
    _replica("replica-policy-empty", {"policy": {}}, (".policy", "POLICY_EMPTY")),
    _replica(
        "replica-principal",
        {"policy": {"users": [ROLE, "CardService"]}},
        (".policy.users[1]", "PRINCIPAL_INVALID"),
    ),
    _replica(
        "replica-document",
        {"policy": {"document": {"Statement": []}}},
        (".policy.document.Statement", "POLICY_MALFORMED"),
    ),
    _replica("replica-rotation", {"rotation": {}}, (".rotation", "UNKNOWN_FIELD")),
    _replica("replica-spec", {"keySpec": "RSA_2048"}, (".keySpec", "UNKNOWN_FIELD")),
    _replica("replica-misspelt", {"Region": "us-west-2"}, (".Region", "UNKNOWN_FIELD")),
]

_OTHER_FIELDS = [
    _case("misspelt", {"replica": [{"region": "eu-west-1"}]}, ("replica", "UNKNOWN_FIELD")),
    _case(
        "misspelt-case",
        {"requestID": "x", "Alias": 1},
        ("requestID", "UNKNOWN_FIELD"),
        ("Alias", "UNKNOWN_FIELD"),
    ),
    _case("multi-region", {"multiRegion": True}, ("multiRegion", "UNKNOWN_FIELD")),
    _case("failure-unknown", {"onFailure": "DELETE"}, ("onFailure", "NOT_ONE_OF")),
    _case("failure-lower", {"onFailure": "retain"}, ("onFailure", "NOT_ONE_OF")),
    _case("failure-empty", {"onFailure": ""}, ("onFailure", "NOT_ONE_OF")),
    _case("ticket-text", {"ticket": "CHG0031337"}, ("ticket", "WRONG_TYPE")),
    _case("ticket-list", {"ticket": [1, 2]}, ("ticket", "WRONG_TYPE")),
    _case("ticket-large", {"ticket": {"note": "n" * 4100}}, ("ticket", "TICKET_TOO_LARGE")),
    _case("ticket-bytes", {"ticket": {"note": "é" * 2050}}, ("ticket", "TICKET_TOO_LARGE")),
    _case("request-large", {"description": "d" * 140_000}, ("", "REQUEST_TOO_LARGE")),
    _case("request-bytes", {"ticket": {"note": "€" * 45_000}}, ("", "REQUEST_TOO_LARGE")),
]

_POLICY = [
    _case("policy-text", {"policy": "default"}, ("policy", "WRONG_TYPE")),
    _case("policy-empty", {"policy": {}}, ("policy", "POLICY_EMPTY")),
    _case(
        "policy-nobody",
        {"policy": {"administrators": [], "users": []}},
        ("policy", "POLICY_EMPTY"),
    ),
    _case(
        "policy-nulls",
        {"policy": {"administrators": None, "users": None, "document": None}},
        ("policy", "POLICY_EMPTY"),
    ),
    _case(
        "policy-as-document", {"policy": {"Statement": []}}, ("policy.Statement", "UNKNOWN_FIELD")
    ),
    _case(
        "policy-both",
        {"policy": {"users": [ROLE], "document": {"Statement": [ACCOUNT_STATEMENT]}}},
        ("policy", "POLICY_AMBIGUOUS"),
    ),
    _case(
        "policy-both-wrong",
        {"policy": {"administrators": ["me"], "document": {"Statement": []}}},
        ("policy", "POLICY_AMBIGUOUS"),
        ("policy.administrators[0]", "PRINCIPAL_INVALID"),
        ("policy.document.Statement", "POLICY_MALFORMED"),
    ),
    _case(
        "administrators-text",
        {"policy": {"administrators": ROLE}},
        ("policy.administrators", "WRONG_TYPE"),
    ),
    _case("users-of-null", {"policy": {"users": [None]}}, ("policy.users[0]", "WRONG_TYPE")),
    _case(
        "principals-malformed",
        {
            "policy": {
                "administrators": [
                    "",
                    "*",
                    "KeyAdmin",
                    ACCOUNT,
                    f"arn:aws:iam::{ACCOUNT}:role/*",
                    f"arn:aws:iam::{ACCOUNT}:role/",
                    f"{ROLE}\n",
                    ROLE,
                ],
                "users": [
                    "arn:aws:iam::12345:role/Short",
                    "arn:aws:iam::\uff11\uff11\uff11\uff11\uff12\uff12\uff12\uff12\uff13\uff13\uff13\uff13:role/Fullwidth",
                    f"arn:aws:s3::{ACCOUNT}:role/Bucket",
                    f"arn:aws:iam:us-east-1:{ACCOUNT}:role/Regional",
                    ROLE.upper(),
                    "arn:aws:iam::111122223333:role/\u041aey",
                ],
            }
        },
        *((f"policy.administrators[{n}]", "PRINCIPAL_INVALID") for n in range(7)),
        *((f"policy.users[{n}]", "PRINCIPAL_INVALID") for n in range(6)),
    ),
    _case(
        "principal-of-other-partition",
        {"policy": {"users": [f"arn:aws-cn:iam::{ACCOUNT}:role/CardService"]}},
        ("policy.users[0]", "PRINCIPAL_INVALID"),
    ),
    _case(
        "policy-built-too-large",
        {"policy": {"users": _principals(340)}},
        ("policy", "POLICY_TOO_LARGE"),
    ),
]

_DOCUMENT = [
    _case("document-list", {"policy": {"document": []}}, ("policy.document", "WRONG_TYPE")),
    _case("document-text", {"policy": {"document": "{}"}}, ("policy.document", "WRONG_TYPE")),
    _document("document-empty", {}, (".Statement", "POLICY_MALFORMED")),
    _document("document-statement-text", {"Statement": "*"}, (".Statement", "POLICY_MALFORMED")),
    _document("document-statement-null", {"Statement": None}, (".Statement", "POLICY_MALFORMED")),
    _document(
        "document-outside",
        {"Version": "2012-10-18", "Id": 7, "statement": [], "Statement": [ACCOUNT_STATEMENT]},
        (".Version", "POLICY_MALFORMED"),
        (".Id", "POLICY_MALFORMED"),
        (".statement", "POLICY_MALFORMED"),
    ),
    _document(
        "document-statements-not-objects",
        {"Statement": [ACCOUNT_STATEMENT, "Allow", None]},
        (".Statement[1]", "POLICY_MALFORMED"),
        (".Statement[2]", "POLICY_MALFORMED"),
    ),
    _document(
        "document-large",
        {"Statement": [{**ACCOUNT_STATEMENT, "Sid": "s" * 32_768}]},
        ("", "POLICY_TOO_LARGE"),
    ),
    _document(
        "document-large-in-bytes",
        {"Statement": [{**ACCOUNT_STATEMENT, "Sid": "é" * 16_384}]},
        ("", "POLICY_TOO_LARGE"),
    ),
    _document(
        "document-locks-out",
        {"Statement": [{**ACCOUNT_STATEMENT, "Principal": {"AWS": ROLE}}]},
        ("", "POLICY_LOCKS_OUT"),
    ),
    _document(
        "document-locks-out-by-action",
        {"Statement": [{**ACCOUNT_STATEMENT, "Action": ["kms:Get*", "kms:Put?"]}]},
        ("", "POLICY_LOCKS_OUT"),
    ),
    _document(
        "document-locks-out-by-condition",
        {"Statement": [{**ACCOUNT_STATEMENT, "Condition": {"Bool": {"aws:SecureTransport": "1"}}}]},
        ("", "POLICY_LOCKS_OUT"),
    ),
    _document(
        "document-locks-out-by-deny",
        {
            "Statement": [
                ACCOUNT_STATEMENT,
                {**ACCOUNT_STATEMENT, "Effect": "Deny", "Principal": "*", "Action": "kms:Put*"},
            ]
        },
        (".Statement[1]", "POLICY_LOCKS_OUT"),
    ),
    _document(
        "document-locks-out-by-a-condition-of-a-deny",
        {
            "Statement": [
                ACCOUNT_STATEMENT,
                {
                    **ACCOUNT_STATEMENT,
                    "Effect": "Deny",
                    "Principal": "*",
                    "Condition": {"ArnNotLike": {"aws:PrincipalArn": ROLE}},
                },
            ]
        },
        (".Statement[1]", "POLICY_LOCKS_OUT"),
    ),
    _case(
        "document-without-replication",
        {
            "policy": {
                "document": {
                    "Statement": [
                        {**ACCOUNT_STATEMENT, "Action": [f"kms:{verb}*" for verb in "CDEGLPSTU"]}
                    ]
                }
            },
            "replicas": [{"region": "eu-west-1"}],
        },
        ("policy.document", "POLICY_LOCKS_OUT"),
    ),
    _statement(
        "principal-service",
        {"Principal": {"Service": "x.amazon.com"}},
        (".Principal", "POLICY_PRINCIPAL_INVALID"),
    ),
    _statement(
        "condition-on-tags",
        {"Condition": {"StringEquals": {"aws:ResourceTag/a": "b"}}},
        (".Condition.StringEquals.aws:ResourceTag/a", "POLICY_CONDITION_NOT_TAKEN"),
    ),
    _document(
        "document-of-other-account",
        {
            "Statement": [
                {**ACCOUNT_STATEMENT, "Principal": {"AWS": "arn:aws:iam::444455556666:root"}}
            ]
        },
        ("", "POLICY_LOCKS_OUT"),
    ),
    _statement("statement-element", {"Actions": "kms:*"}, (".Actions", "POLICY_MALFORMED")),
    _statement("statement-effect", {"Effect": "allow"}, (".Effect", "POLICY_MALFORMED")),
    _statement("statement-effect-missing", {"Effect": ...}, (".Effect", "POLICY_MALFORMED")),
    _statement("statement-sid", {"Sid": 1}, (".Sid", "POLICY_MALFORMED")),
    _statement(
        "statement-action-missing", {"Action": ...}, ("", "POLICY_STATEMENT_WITHOUT_ACTION")
    ),
    _statement("statement-action-none", {"Action": []}, ("", "POLICY_STATEMENT_WITHOUT_ACTION")),
    _statement("statement-action-empty", {"Action": ""}, ("", "POLICY_STATEMENT_WITHOUT_ACTION")),
    _statement("statement-action-of-s3", {"Action": "s3:*"}, (".Action", "POLICY_ACTION_NOT_KMS")),
    _statement(
        "statement-action-bare",
        {"Action": ["kms:Encrypt", "Decrypt"]},
        (".Action[1]", "POLICY_ACTION_NOT_KMS"),
    ),
    _statement(
        "statement-resource-missing", {"Resource": ...}, ("", "POLICY_STATEMENT_WITHOUT_RESOURCE")
    ),
    _statement(
        "statement-resource-empty", {"Resource": []}, ("", "POLICY_STATEMENT_WITHOUT_RESOURCE")
    ),
    _statement("statement-condition", {"Condition": []}, (".Condition", "POLICY_MALFORMED")),
    _statement(
        "statement-condition-keys",
        {"Condition": {"StringEquals": "aws:PrincipalOrgID"}},
        (".Condition", "POLICY_MALFORMED"),
    ),
    _statement("principal-missing", {"Principal": ...}, (".Principal", "POLICY_MALFORMED")),
    _statement("principal-text", {"Principal": ROLE}, (".Principal", "POLICY_MALFORMED")),
    _statement("principal-nobody", {"Principal": {"AWS": []}}, (".Principal", "POLICY_MALFORMED")),
    _statement(
        "principal-type", {"Principal": {"CanonicalUser": "x"}}, (".Principal", "POLICY_MALFORMED")
    ),
    _statement(
        "principal-wildcard",
        {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}},
        (".Principal", "POLICY_PRINCIPAL_INVALID"),
    ),
    _statement(
        "principal-partition",
        {"Principal": {"AWS": [ROLE, f"arn:aws-us-gov:iam::{ACCOUNT}:root"]}},
        (".Principal", "POLICY_PRINCIPAL_INVALID"),
    ),
    _statement("open-star", {"Principal": "*"}, (".Principal", "POLICY_OPEN_TO_ALL")),
    _statement("open-aws", {"Principal": {"AWS": ["*"]}}, (".Principal", "POLICY_OPEN_TO_ALL")),
    _statement(
        "open-other-condition",
        {"Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        (".Principal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "open-negated",
        {"Principal": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}},
        (".Principal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "open-if-exists",
        {"Principal": "*", "Condition": {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}},
        (".Principal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "open-wildcard",
        {"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalOrgID": ["o-1", "*"]}}},
        (".Principal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "open-every-address",
        {"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}},
        (".Principal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "open-not-principal",
        {"Principal": ..., "NotPrincipal": {"AWS": ROLE}},
        (".NotPrincipal", "POLICY_OPEN_TO_ALL"),
    ),
    _statement(
        "statement-all-wrong",
        {"Effect": "Permit", "Sid": None, "Action": "ec2:*", "Resource": ..., "Principal": {}},
        (".Effect", "POLICY_MALFORMED"),
        (".Sid", "POLICY_MALFORMED"),
        (".Action", "POLICY_ACTION_NOT_KMS"),
        ("", "POLICY_STATEMENT_WITHOUT_RESOURCE"),
        (".Principal", "POLICY_MALFORMED"),
    ),
]

_SEVERAL = [
    BadRequest(
        "every-field",
        {
            "requestId": "bad every field",
            "primaryRegion": "moon-1",
            "keySpec": "AES_256",
            "keyUsage": "WRAP",
            "origin": "HSM",
            "alias": "alias/aws/x",
            "description": ["d"],
            "tags": {"mrk:x": 1, "ok": "a|b"},
            "policy": {},
            "rotation": {"periodInDays": 10, "unit": "days"},
            "replicas": [
                {"region": "eu-west-1"},
                {"region": "eu-west-1", "alias": "x", "tags": {"aws:x": "y"}},
                {"policy": {"administrators": ["root"], "users": []}},
                "us-west-2",
            ],
            "onFailure": "IGNORE",
            "ticket": {"note": "n" * 5000},
            "extra": None,
        },
        frozenset(
            {
                ("requestId", "BAD_FORMAT"),
                ("primaryRegion", "REGION_UNKNOWN"),
                ("keySpec", "KEY_SPEC_NOT_MULTI_REGION"),
                ("keyUsage", "NOT_ONE_OF"),
                ("origin", "NOT_ONE_OF"),
                ("alias", "ALIAS_RESERVED"),
                ("description", "WRONG_TYPE"),
                ("tags.mrk:x", "TAG_RESERVED"),
                ("tags.mrk:x", "WRONG_TYPE"),
                ("tags.ok", "TAG_CHARACTERS"),
                ("policy", "POLICY_EMPTY"),
                ("rotation.periodInDays", "OUT_OF_RANGE"),
                ("rotation.unit", "UNKNOWN_FIELD"),
                ("replicas[1].region", "DUPLICATE_REGION"),
                ("replicas[1].alias", "BAD_FORMAT"),
                ("replicas[1].tags.aws:x", "TAG_RESERVED"),
                ("replicas[2].region", "REQUIRED"),
                ("replicas[2].policy.administrators[0]", "PRINCIPAL_INVALID"),
                ("replicas[3]", "WRONG_TYPE"),
                ("onFailure", "NOT_ONE_OF"),
                ("ticket", "TICKET_TOO_LARGE"),
                ("extra", "UNKNOWN_FIELD"),
            }
        ),
    ),
    _case(
        "every-rule",
        {
            "primaryRegion": "us-gov-east-1",
            "keySpec": "RSA_4096",
            "rotation": {"periodInDays": 365},
            "tags": {f"t{n}": "v" for n in range(48)},
            "policy": {"users": ["me"]},
            "replicas": [
                {"region": "cn-north-1", "policy": {"document": {"Version": "1", "Statement": 1}}},
                {"region": "us-gov-east-1", "tags": {f"t{n}": "v" for n in range(49)}},
                {"region": "eu-west-1", "policy": {"administrators": ["you"], "users": [ROLE, ""]}},
            ],
        },
        ("primaryRegion", "REGION_UNKNOWN"),
        ("keyUsage", "KEY_USAGE_REQUIRED"),
        ("rotation", "ROTATION_NOT_SUPPORTED"),
        ("tags", "TOO_MANY_TAGS"),
        ("policy.users[0]", "PRINCIPAL_INVALID"),
        ("replicas[0].region", "REGION_UNKNOWN"),
        ("replicas[0].policy.document.Version", "POLICY_MALFORMED"),
        ("replicas[0].policy.document.Statement", "POLICY_MALFORMED"),
        ("replicas[1].region", "REGION_UNKNOWN"),
        ("replicas[1].tags", "TOO_MANY_TAGS"),
        ("replicas[2].policy.administrators[0]", "PRINCIPAL_INVALID"),
        ("replicas[2].policy.users[1]", "PRINCIPAL_INVALID"),
    ),
]

_EASILY_MISSED = [
    _case("region-star", {"primaryRegion": "*"}, ("primaryRegion", "REGION_UNKNOWN")),
    _replica("replica-star", {"region": "*"}, (".region", "REGION_UNKNOWN")),
    _case(
        "policy-both-fields-wrong",
        {"policy": {"administrators": [5], "users": ["bad"]}},
        ("policy.administrators[0]", "WRONG_TYPE"),
        ("policy.users[0]", "PRINCIPAL_INVALID"),
    ),
    _case(
        "policy-unknown-field-and-more",
        {"policy": {"admins": [], "users": ["bad"]}},
        ("policy.admins", "UNKNOWN_FIELD"),
        ("policy.users[0]", "PRINCIPAL_INVALID"),
    ),
    _case(
        "field-named-like-a-path",
        {"policy.users": [], "policy": {}},
        ("policy.users", "UNKNOWN_FIELD"),
        ("policy", "POLICY_EMPTY"),
    ),
    *(
        _case(
            f"principal-{kind}",
            {"policy": {"users": [arn]}},
            ("policy.users[0]", "PRINCIPAL_INVALID"),
        )
        for kind, arn in (
            ("group", f"arn:aws:iam::{ACCOUNT}:group/Admins"),
            ("policy", f"arn:aws:iam::{ACCOUNT}:policy/Admins"),
            ("sts-root", f"arn:aws:sts::{ACCOUNT}:root"),
        )
    ),
    _case("usage-number", {"keyUsage": 5}, ("keyUsage", "WRONG_TYPE")),
    _case("failure-null", {"onFailure": None}, ("onFailure", "WRONG_TYPE")),
    _document(
        "document-resource",
        {
            "Statement": [
                {**ACCOUNT_STATEMENT, "Resource": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/other"}
            ]
        },
        (".Statement[0].Resource", "POLICY_RESOURCE_IGNORED"),
    ),
    _document(
        "document-one-statement",
        {"Statement": {**ACCOUNT_STATEMENT, "Effect": "x"}},
        (".Statement.Effect", "POLICY_MALFORMED"),
    ),
    _document(
        "document-kelvin",
        {"Statement": [ACCOUNT_STATEMENT, {**ACCOUNT_STATEMENT, "Action": "\u212ams:*"}]},
        ("", "POLICY_CHARACTERS"),
        (".Statement[1].Action", "POLICY_ACTION_NOT_KMS"),
    ),
    _document(
        "document-characters",
        {"Statement": [{**ACCOUNT_STATEMENT, "Sid": "\u9375"}]},
        ("", "POLICY_CHARACTERS"),
    ),
    _statement(
        "statement-operator",
        {"Condition": {"StringIs": {"aws:PrincipalOrgID": "o-1"}}},
        (".Condition", "POLICY_MALFORMED"),
    ),
    _statement(
        "statement-condition-null",
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": None}}},
        (".Condition", "POLICY_MALFORMED"),
    ),
    _statement("statement-action-twice", {"NotAction": "kms:Decrypt"}, ("", "POLICY_MALFORMED")),
    _statement("statement-resource-twice", {"NotResource": "*"}, ("", "POLICY_MALFORMED")),
    _statement("statement-action-types", {"Action": ["kms:*", 5]}, (".Action", "POLICY_MALFORMED")),
    _statement(
        "statement-not-action-of-s3",
        {"Action": ..., "NotAction": "s3:*"},
        (".NotAction", "POLICY_ACTION_NOT_KMS"),
    ),
    _statement(
        "service-star", {"Principal": {"Service": "*"}}, (".Principal", "POLICY_PRINCIPAL_INVALID")
    ),
    _statement(
        "federated-star",
        {"Principal": {"Federated": "*"}},
        (".Principal", "POLICY_PRINCIPAL_INVALID"),
    ),
]

_CHANGES = [
    _case("enabled-null", {"revision": 2, "enabled": None}, ("enabled", "WRONG_TYPE")),
    _case("enabled-text", {"revision": 2, "enabled": "false"}, ("enabled", "WRONG_TYPE")),
    _replica("replica-enabled-number", {"enabled": 0}, (".enabled", "WRONG_TYPE")),
    _case("first-disabled", {"enabled": False}, ("enabled", "NOT_IN_FIRST_REVISION")),
    _replica("first-replica-disabled", {"enabled": False}, (".enabled", "NOT_IN_FIRST_REVISION")),
    _case(
        "first-decommissioned",
        {"revision": 1, "desiredState": "DECOMMISSIONED"},
        ("desiredState", "NOT_IN_FIRST_REVISION"),
    ),
    _case("desired-state-lower", {"desiredState": "active"}, ("desiredState", "NOT_ONE_OF")),
    _case("desired-state-null", {"desiredState": None}, ("desiredState", "WRONG_TYPE")),
    _case("window-6", {"deletionWindowInDays": 6}, ("deletionWindowInDays", "OUT_OF_RANGE")),
    _case("window-31", {"deletionWindowInDays": 31}, ("deletionWindowInDays", "OUT_OF_RANGE")),
    _case("window-text", {"deletionWindowInDays": "30"}, ("deletionWindowInDays", "WRONG_TYPE")),
    _case("window-bool", {"deletionWindowInDays": True}, ("deletionWindowInDays", "WRONG_TYPE")),
    _case("confirm-text", {"revision": 2, "confirm": "DECOMMISSION"}, ("confirm", "WRONG_TYPE")),
    _case(
        "confirm-unknown",
        {
            "revision": 2,
            "confirm": [
                *("YES", "", "DELETE:eu-west-1", "remove:eu-west-1", "REMOVE", "REMOVE:"),
                *("DECOMMISSION:eu-west-1", "DECOMMISSION\n", " DECOMMISSION", "RESTORE:a\n"),
            ],
        },
        *((f"confirm[{index}]", "BAD_FORMAT") for index in range(10)),
    ),
    _case("confirm-null-inside", {"revision": 2, "confirm": [None]}, ("confirm[0]", "WRONG_TYPE")),
    _case(
        "confirm-region-unknown",
        {"revision": 2, "confirm": ["REMOVE:eu-west-1", "PROMOTE:mars-1", "DISABLE:*"]},
        ("confirm[1]", "REGION_UNKNOWN"),
        ("confirm[2]", "REGION_UNKNOWN"),
    ),
    _case(
        "confirm-twice",
        {"revision": 2, "confirm": ["DECOMMISSION", "DECOMMISSION"]},
        ("confirm[1]", "DUPLICATE_CONFIRMATION"),
    ),
    _case(
        "first-confirm",
        {"confirm": ["DECOMMISSION", "PROMOTE:eu-west-1"]},
        ("confirm[0]", "CONFIRMATION_UNUSED"),
        ("confirm[1]", "CONFIRMATION_UNUSED"),
    ),
]

BAD_REQUESTS: list[BadRequest] = [
    *_NOT_OBJECTS,
    *_REQUEST_ID,
    *_ALIAS,
    *_TEXT_AND_TAGS,
    *_KEY_KIND,
    *_KEY_MATERIAL,
    *_ROTATION,
    *_REGIONS,
    *_REPLICA_SETTINGS,
    *_OTHER_FIELDS,
    *_POLICY,
    *_DOCUMENT,
    *_SEVERAL,
    *_EASILY_MISSED,
    *_CHANGES,
]
