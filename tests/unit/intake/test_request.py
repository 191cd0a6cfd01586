import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provisioner import json_text
from provisioner.domain.plan import REVISIONS
from provisioner.errors import RequestRejected
from provisioner.intake.documents import MAX_PROBLEMS_BYTES
from provisioner.intake.request import MAX_REQUEST_BYTES, parse_request
from tests.support.any_json import JSON
from tests.support.clock import Clock
from tests.support.key_kinds import KEY_KINDS
from tests.support.samples import (
    ADMIN,
    CHINA,
    SETTINGS,
    USER,
    document_of,
    imported_request_of,
    in_days,
    pairs_of,
    problems_of,
    request_of,
    sample_event,
)
from tests.support.timing import takes_less_than

FIELDS = [
    *("requestId", "primaryRegion", "keySpec", "keyUsage", "origin", "alias", "description"),
    *("tags", "policy", "rotation", "keyMaterial", "replicas", "onFailure", "revision", "ticket"),
    *("enabled", "desiredState", "deletionWindowInDays", "confirm"),
]
WORDS = ["DECOMMISSION", "PROMOTE:eu-west-1", "REMOVE:us-west-2", "MOVE_ALIAS:eu-west-1"]
POLICIES = st.none() | st.fixed_dictionaries(
    {}, optional={"administrators": st.just([ADMIN, ADMIN]), "users": st.just([USER])}
).filter(bool)
SETTINGS_OF_A_KEY = {
    "description": st.none() | st.text(st.characters(codec="utf-8"), max_size=8),
    "tags": st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
    "policy": POLICIES,
}
EXPIRIES = st.fixed_dictionaries({}, optional={"expires": st.none() | st.just(value=False)}) | (
    st.fixed_dictionaries(
        {"validTo": st.sampled_from([in_days(1), in_days(364)])},
        optional={"expires": st.none() | st.just(value=True)},
    )
)
KEY_MATERIALS = st.builds(
    lambda expiry, more: {**expiry, **more},
    EXPIRIES,
    st.fixed_dictionaries(
        {},
        optional={
            "wrappingAlgorithm": st.none(),
            "wrappingKeySpec": st.sampled_from(["RSA_2048", "RSA_3072", "RSA_4096"]),
            "deadlineInDays": st.integers(1, 30),
        },
    ),
)
REPLICAS = st.lists(
    st.fixed_dictionaries(
        {"region": st.sampled_from(["eu-west-1", "us-west-2", "ap-south-1"])},
        optional={"alias": st.none() | st.just("alias/own"), **SETTINGS_OF_A_KEY},
    ),
    unique_by=lambda replica: str(replica["region"]),
)
CHANGES: dict[str, Any] = {
    "enabled": st.booleans(),
    "desiredState": st.sampled_from(["ACTIVE", "DECOMMISSIONED"]),
    "deletionWindowInDays": st.integers(7, 30),
    "confirm": st.none() | st.lists(st.sampled_from(WORDS), unique=True),
}


@st.composite
def sound_documents(draw: st.DrawFn) -> dict[str, Any]:
    spec, usage, origin = draw(st.sampled_from([k for k in KEY_KINDS if k[0] != "SM2"]))
    optional = {
        "primaryRegion": st.none() | st.just("eu-central-1"),
        "replicas": st.none() | REPLICAS,
        "onFailure": st.sampled_from(["RETAIN", "ROLL_BACK"]),
        "revision": st.integers(1, REVISIONS[-1]),
        "ticket": st.none() | st.dictionaries(st.sampled_from("ab"), st.integers() | st.booleans()),
        **SETTINGS_OF_A_KEY,
    }
    if (spec, origin) == ("SYMMETRIC_DEFAULT", "AWS_KMS"):
        optional["rotation"] = st.none() | st.just({}) | st.just({"periodInDays": 90})
    if origin == "EXTERNAL":
        optional["keyMaterial"] = st.none() | KEY_MATERIALS
    fields: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=optional))
    if fields.get("revision", 1) > 1:
        fields.update(draw(st.fixed_dictionaries({}, optional=CHANGES)))
    if origin == "EXTERNAL":
        for replica in fields.get("replicas") or []:
            own: dict[str, Any] = {"keyMaterial": st.none() | EXPIRIES}
            replica.update(draw(st.fixed_dictionaries({}, optional=own)))
    return document_of(keySpec=spec, keyUsage=usage, origin=origin, **fields)


def test_the_least_request_gets_every_default() -> None:
    assert request_of() == {
        "requestId": "CHG1",
        "primaryRegion": "us-east-1",
        "keySpec": "SYMMETRIC_DEFAULT",
        "keyUsage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "alias": "alias/cards",
        "description": "",
        "tags": {},
        "policy": None,
        "rotation": None,
        "keyMaterial": None,
        "replicas": [],
        "onFailure": "RETAIN",
        "revision": 1,
        "ticket": None,
    }


def test_the_contracts_example_is_taken_as_it_is() -> None:
    document = sample_event("validate-request")

    request = parse_request(document, SETTINGS)

    written_out = {"keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT", "revision": 1}
    assert request == {**document, **written_out, "origin": "AWS_KMS", "keyMaterial": None}


@pytest.mark.parametrize(
    ("revision", "code"),
    [
        (0, "OUT_OF_RANGE"),
        (-1, "OUT_OF_RANGE"),
        (REVISIONS[-1] + 1, "OUT_OF_RANGE"),
        (True, "WRONG_TYPE"),
        ("2", "WRONG_TYPE"),
        (1.5, "WRONG_TYPE"),
        (None, "WRONG_TYPE"),
    ],
)
def test_a_revision_is_a_whole_number_from_1(revision: object, code: str) -> None:
    assert pairs_of(document_of(revision=revision)) == {("revision", code)}


@pytest.mark.parametrize("name", ["", "-minimal", "-signing", "-external"])
def test_the_sample_events_are_sound(name: str) -> None:
    assert problems_of(sample_event(f"key-requested{name}")["detail"]) == []


def test_the_bad_sample_event_is_refused_for_all_it_has() -> None:
    assert pairs_of(sample_event("key-requested-bad")["detail"]) == {
        ("alias", "ALIAS_RESERVED"),
        ("replica", "UNKNOWN_FIELD"),
        ("rotation.periodInDays", "OUT_OF_RANGE"),
        ("tags.aws:team", "TAG_RESERVED"),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"requestId": "r" * 80},
        {"requestId": "_-Az09"},
        {"alias": "alias/" + "a" * 250},
        {"alias": "alias/AWS/x-_/1"},
        {"alias": "alias/awsome"},
        {"description": "d" * 8192},
        {"description": "€" * 8192},
        {"tags": {f"t{n}": "" for n in range(47)}},
        {"tags": {"k" * 128: "v" * 256}},
        {"tags": {"Kosten Stelle_.:/=+-@": "Ünïcode 你好 \u0663"}},
        {"rotation": {"periodInDays": 90}},
        {"rotation": {"periodInDays": 2560}},
        {"ticket": {"n": "n" * 4087}},
        {"ticket": {}},
        {"policy": {"administrators": [ADMIN], "users": None}},
        {"replicas": [{"region": "eu-west-1", "alias": None, "tags": None, "policy": None}]},
        {"primaryRegion": "eu-west-1", "replicas": [{"region": "us-east-1"}]},
        {"origin": "EXTERNAL", "keyMaterial": {"deadlineInDays": 1}},
        {"origin": "EXTERNAL", "keyMaterial": {"deadlineInDays": 30, "wrappingAlgorithm": None}},
    ],
)
def test_a_value_at_its_limit_is_taken(fields: dict[str, Any]) -> None:
    assert problems_of(document_of(**fields)) == []


def test_a_rotation_without_a_period_is_yearly() -> None:
    assert request_of(rotation={})["rotation"] == {"periodInDays": 365}


def test_a_replica_keeps_only_what_was_given_for_it() -> None:
    given_fields = {"region": "eu-west-1", "alias": None, "policy": {"users": [USER, USER]}}

    replicas = request_of(replicas=[{"region": "us-west-2"}, given_fields])["replicas"]

    policy = {"administrators": [], "users": [USER]}
    assert replicas == [{"region": "us-west-2"}, {**given_fields, "policy": policy}]


CHANGED = {
    "revision": 2,
    "enabled": False,
    "desiredState": "DECOMMISSIONED",
    "deletionWindowInDays": 7,
    "confirm": ["DECOMMISSION", "REMOVE:eu-west-1"],
}


def test_a_later_revision_can_say_what_becomes_of_the_keys() -> None:
    request = request_of(**CHANGED, replicas=[{"region": "us-west-2", "enabled": False}])

    assert request.items() >= CHANGED.items()
    assert request["replicas"] == [{"region": "us-west-2", "enabled": False}]


@pytest.mark.parametrize("confirm", [None, []])
def test_what_a_request_says_of_changes_is_left_out_where_it_is_the_default(
    confirm: list[str] | None,
) -> None:
    usual = {"enabled": True, "desiredState": "ACTIVE", "deletionWindowInDays": 30}

    assert request_of(**usual, confirm=confirm) == request_of()


@pytest.mark.parametrize("days", [7, 29])
def test_a_first_revision_may_name_the_window_of_later_removals(days: int) -> None:
    assert request_of(deletionWindowInDays=days)["deletionWindowInDays"] == days


def test_a_word_may_name_a_region_that_is_allowed_by_its_name_alone() -> None:
    settings = replace(SETTINGS, allowed_regions=("us-east-1", "eu-new-1"))
    words = ["REMOVE:eu-new-1", "REMOVE:eu-west-1"]

    assert problems_of(document_of(revision=2, confirm=words), settings) == []


def test_imported_key_material_gets_every_default() -> None:
    assert imported_request_of()["keyMaterial"] == {
        "expires": False,
        "validTo": None,
        "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "wrappingKeySpec": "RSA_4096",
        "deadlineInDays": 7,
    }


@pytest.mark.parametrize(
    ("spec", "usage", "size", "algorithm"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "RSA_2048", "RSAES_OAEP_SHA_256"),
        ("HMAC_512", "GENERATE_VERIFY_MAC", "RSA_2048", "RSAES_OAEP_SHA_256"),
        ("ECC_NIST_P384", "KEY_AGREEMENT", "RSA_2048", "RSAES_OAEP_SHA_256"),
        ("ECC_NIST_P521", "SIGN_VERIFY", "RSA_3072", "RSAES_OAEP_SHA_256"),
        ("ECC_NIST_P521", "SIGN_VERIFY", "RSA_2048", "RSA_AES_KEY_WRAP_SHA_256"),
        ("RSA_2048", "SIGN_VERIFY", "RSA_4096", "RSA_AES_KEY_WRAP_SHA_256"),
    ],
)
def test_the_usual_wrapping_algorithm_is_the_one_that_fits(
    spec: str, usage: str, size: str, algorithm: str
) -> None:
    request = imported_request_of(
        keySpec=spec, keyUsage=usage, keyMaterial={"wrappingKeySpec": size}
    )

    assert request["keyMaterial"]
    assert request["keyMaterial"]["wrappingAlgorithm"] == algorithm


def test_a_wrapping_algorithm_that_fits_is_kept() -> None:
    wanted = {"wrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256"}

    request = imported_request_of(
        keySpec="ECC_NIST_P256", keyUsage="SIGN_VERIFY", keyMaterial=wanted
    )

    assert request["keyMaterial"]
    assert request["keyMaterial"]["wrappingAlgorithm"] == "RSA_AES_KEY_WRAP_SHA_256"


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31T00:00:00.999+00:00", "2027-01-31T00:00:00Z"),
        ("2027-01-31T01:30:00+01:30", "2027-01-31T00:00:00Z"),
        ("2027-01-30T19:00:00-05:00", "2027-01-31T00:00:00Z"),
        ("20270131T000000Z", "2027-01-31T00:00:00Z"),
    ],
)
def test_an_instant_is_kept_in_utc_and_whole_seconds(
    given_as: str, kept_as: str, clock: Clock
) -> None:
    clock.time = datetime(2026, 11, 24, tzinfo=UTC)
    material = {"validTo": given_as}

    request = imported_request_of(
        keyMaterial=material, replicas=[{"region": "eu-west-1", "keyMaterial": material}]
    )

    assert request["keyMaterial"]
    assert request["keyMaterial"]["validTo"] == kept_as
    assert request["replicas"][0]["keyMaterial"] == {"expires": True, "validTo": kept_as}


@pytest.mark.parametrize(
    ("valid_to", "taken"),
    [
        ("2026-11-24T00:00:00Z", False),
        ("2026-11-24T00:00:01Z", True),
        ("2027-11-23T23:59:59Z", True),
        ("2027-11-24T00:00:00Z", False),
    ],
)
def test_key_material_expires_within_365_days(valid_to: str, *, taken: bool, clock: Clock) -> None:
    clock.time = datetime(2026, 11, 24, tzinfo=UTC)
    document = document_of(origin="EXTERNAL", keyMaterial={"validTo": valid_to})

    refused = {("keyMaterial.validTo", "OUT_OF_RANGE")}
    assert pairs_of(document) == (set() if taken else refused)


@pytest.mark.parametrize(
    "given_as", [None, {}, {"expires": False}, {"expires": None, "validTo": None}]
)
def test_a_replicas_key_material_expires_only_where_it_says_so(given_as: Any) -> None:
    (replica,) = imported_request_of(
        keyMaterial={"validTo": in_days(7)},
        replicas=[{"region": "eu-west-1", "keyMaterial": given_as}],
    )["replicas"]

    never = {"expires": False, "validTo": None}
    assert replica["keyMaterial"] == (None if given_as is None else never)


def test_null_is_no_key_material_and_allowed_for_a_key_of_kms() -> None:
    request = request_of(keyMaterial=None, replicas=[{"region": "eu-west-1", "keyMaterial": None}])

    assert request["keyMaterial"] is None


def test_only_allowed_regions_are_taken() -> None:
    settings = replace(SETTINGS, allowed_regions=("us-east-1", "eu-west-1"))
    document = document_of(
        replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}, {"region": "mars-1"}]
    )

    assert pairs_of(document, settings) == {
        ("replicas[1].region", "REGION_NOT_ALLOWED"),
        ("replicas[2].region", "REGION_UNKNOWN"),
    }


def test_the_stacks_own_region_must_be_allowed_too() -> None:
    settings = replace(SETTINGS, allowed_regions=("eu-west-1",))

    assert pairs_of(document_of(), settings) == {("primaryRegion", "REGION_NOT_ALLOWED")}


def test_a_region_the_sdk_does_not_know_can_be_allowed_by_name() -> None:
    settings = replace(SETTINGS, allowed_regions=("*", "eu-new-1"))

    assert problems_of(document_of(primaryRegion="eu-new-1"), settings) == []


def test_a_partition_has_its_own_regions_and_principals() -> None:
    policy = {"users": ["arn:aws-cn:iam::111122223333:role/CardService"]}

    request = parse_request(
        document_of(policy=policy, replicas=[{"region": "cn-northwest-1"}]), CHINA
    )

    assert request["primaryRegion"] == "cn-north-1"
    assert pairs_of(document_of(policy={"users": [USER]}, primaryRegion="us-east-1"), CHINA) == {
        ("policy.users[0]", "PRINCIPAL_INVALID"),
        ("primaryRegion", "REGION_UNKNOWN"),
    }


@pytest.mark.parametrize("field", ["ticket", "description", "\ud800"])
def test_half_a_surrogate_pair_is_refused_as_a_whole(field: str) -> None:
    document = document_of(**{field: "\ud800"})

    assert pairs_of(json.loads(json.dumps(document))) == {("", "NOT_UNICODE")}


def test_a_document_nested_too_deeply_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]

    assert pairs_of(document_of(replicas=nested)) == {("", "TOO_DEEP")}


@pytest.mark.parametrize(("levels", "problems"), [(62, set()), (63, {("", "TOO_DEEP")})])
def test_a_request_is_at_most_64_levels_deep(levels: int, problems: set[tuple[str, str]]) -> None:
    ticket: dict[str, Any] = {}
    for _ in range(levels):
        ticket = {"a": ticket}

    assert pairs_of(document_of(ticket=ticket)) == problems


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["ticket", "policy", "rotation"])
def test_what_is_no_number_in_json_is_refused(field: str, number: float) -> None:
    inside = {
        "ticket": {"n": number},
        "policy": {"document": {"Statement": number}},
        "rotation": {"periodInDays": number},
    }

    assert problems_of(document_of(**{field: inside[field]})) != []


@pytest.mark.parametrize("width", [8, 80])
def test_a_refusal_is_bounded_by_its_bytes_and_says_how_many_problems_are_left(width: int) -> None:
    problems = problems_of(document_of(**{f"{n:0{width}}": n for n in range(1200)}))

    *kept, last = problems
    assert last == {
        "path": "",
        "code": "TOO_MANY_PROBLEMS",
        "message": f"There are {1200 - len(kept)} more problems like these.",
    }
    size = sum(json_text.size(problem) for problem in kept)
    assert size <= MAX_PROBLEMS_BYTES < size + json_text.size(kept[0])


def test_a_refusal_that_fits_lists_every_problem() -> None:
    problems = problems_of(document_of(**{f"field-{n}": n for n in range(500)}))

    assert {problem["code"] for problem in problems} == {"UNKNOWN_FIELD"}
    assert len(problems) == 500


@pytest.mark.parametrize(
    "replica", [{}, {"region": "x", "alias": 1}, {"policy": {"users": [1]}}, {"keyMaterial": {}}]
)
def test_no_number_of_wrong_replicas_takes_long(replica: dict[str, Any]) -> None:
    most = (MAX_REQUEST_BYTES - 200) // (json_text.size(replica) + 1)
    document = document_of(replicas=[replica] * most)

    assert problems_of(document)[-1]["code"] == "TOO_MANY_PROBLEMS"
    assert takes_less_than(3, lambda: problems_of(document))


def test_the_path_of_a_long_name_is_cut() -> None:
    (problem,) = problems_of(document_of(**{"x" * 5000: 1}))

    assert problem["path"] == "x" * 256


def test_the_policy_of_many_principals_fits_or_is_refused_by_its_size() -> None:
    names = [f"arn:aws:iam::111122223333:role/{n:0200}" for n in range(60)]

    assert problems_of(document_of(policy={"users": names})) == []
    assert pairs_of(document_of(policy={"users": names, "administrators": names[:20]})) == {
        ("policy", "POLICY_TOO_LARGE")
    }


def test_principals_are_checked_although_the_kind_of_key_is_wrong() -> None:
    document = document_of(keySpec="AES", policy={"users": ["me"]})

    assert pairs_of(document) == {
        ("keySpec", "KEY_SPEC_NOT_MULTI_REGION"),
        ("policy.users[0]", "PRINCIPAL_INVALID"),
    }


def test_a_refusal_counts_its_problems_and_says_what_to_do() -> None:
    with pytest.raises(RequestRejected, match=r"has 2 problem.*Correct every field"):
        parse_request({}, SETTINGS)


@given(document=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
@example(document={"policy": {"document": {"Statement": [{"Principal": {"AWS": [None]}}]}}})
@example(document={"replicas": [{"region": []}, {"region": {}}]})
@example(document={"keySpec": [], "tags": {"a": []}})
def test_any_json_is_taken_or_refused_with_its_problems(document: object) -> None:
    for problem in problems_of(document):
        assert problem["code"]
        assert problem["message"]


@given(statement=st.dictionaries(st.sampled_from(["Effect", "Principal", "Condition"]), JSON))
@example(statement={"Effect": "Allow", "Principal": {"AWS": "*"}, "Condition": {"StringLike": {}}})
def test_any_statement_is_taken_or_refused_with_its_problems(statement: dict[str, Any]) -> None:
    whole = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", **statement}

    for problem in problems_of(document_of(policy={"document": {"Statement": [whole]}})):
        assert problem["path"].startswith("policy")
        assert problem["message"]


@given(document=sound_documents())
def test_a_normalised_request_stays_the_same_when_it_is_checked_again(
    document: dict[str, Any],
) -> None:
    request = parse_request(document, SETTINGS)

    assert parse_request(json.loads(json.dumps(request)), SETTINGS) == request


@given(document=sound_documents())
def test_checking_leaves_the_document_as_it_was(document: dict[str, Any]) -> None:
    before = json.dumps(document)

    parse_request(document, SETTINGS)

    assert json.dumps(document) == before
