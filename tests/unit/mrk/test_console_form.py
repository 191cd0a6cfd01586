"""The console's form and the declaration that it stands for."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mrk.console import choices, form
from mrk.console.form import document_of, field_of, promoted, values_of
from mrk.console.pages import Form
from provisioner.domain.key_specs import KEY_SPECS, Origin
from provisioner.domain.plan import is_enabled, plan_key, regions
from provisioner.errors import RequestRejected
from provisioner.intake.request import parse_request
from tests.support.samples import ADMIN, SETTINGS, USER

FULL: dict[str, Any] = {
    "requestId": "CHG1",
    "primaryRegion": "us-east-1",
    "keySpec": "SYMMETRIC_DEFAULT",
    "keyUsage": "ENCRYPT_DECRYPT",
    "origin": "AWS_KMS",
    "alias": "alias/payments/cards",
    "description": "Card data",
    "tags": {"team": "payments", "a=b": "c=d"},
    "policy": {"administrators": [ADMIN], "users": [USER]},
    "rotation": {"periodInDays": 180},
    "replicas": [
        {"region": "eu-west-1"},
        {
            "region": "us-west-2",
            "alias": "alias/cards-us",
            "description": None,
            "tags": {"team": "us"},
            "policy": {"administrators": [ADMIN], "users": []},
        },
        {"region": "eu-north-1", "alias": None, "tags": None, "policy": None},
    ],
    "onFailure": "RETAIN",
    "ticket": {"system": "jira", "id": "OPS-1"},
}


def meaning(document: dict[str, Any]) -> Any:
    request = parse_request(document, SETTINGS)
    keys = {one: vars(plan_key(request, one, SETTINGS)) for one in regions(request)}
    enabled = {one: is_enabled(request, one) for one in regions(request)}
    return {**request, "replicas": [], "enabled": []}, keys, enabled


def test_a_form_that_is_filled_in_with_a_declaration_stands_for_it() -> None:
    request = parse_request(FULL, SETTINGS)
    again, problems = document_of(values_of(request), {})

    assert problems == []
    assert meaning(again) == meaning(FULL)


TEXTS = st.text("abcdefghi ", max_size=8)
TAGS = st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.text("xyz", max_size=3))
POLICIES = st.none() | st.fixed_dictionaries(
    {"administrators": st.just([ADMIN]), "users": st.lists(st.just(USER), max_size=1)}
)
SETTING = {
    "description": st.none() | TEXTS.map(str.strip),
    "tags": st.none() | TAGS,
    "policy": POLICIES,
}
REPLICAS = st.lists(
    st.fixed_dictionaries(
        {"region": st.sampled_from(["eu-west-1", "us-west-2", "eu-north-1"])},
        optional={**SETTING, "alias": st.none() | st.just("alias/own"), "enabled": st.booleans()},
    ),
    max_size=3,
    unique_by=lambda one: str(one["region"]),
)
DECLARATIONS = st.fixed_dictionaries(
    {
        "requestId": st.just("CHG1"),
        "alias": st.just("alias/cards"),
        "revision": st.just(2),
        "replicas": REPLICAS,
        **SETTING,
    },
    optional={"enabled": st.booleans()},
)


@given(DECLARATIONS)
def test_any_declaration_survives_the_form(declaration: dict[str, Any]) -> None:
    request = json.loads(json.dumps(parse_request(declaration, SETTINGS)))
    again, problems = document_of(values_of(request), request)

    assert problems == []
    assert meaning(again) == meaning(declaration)


@given(DECLARATIONS.filter(lambda one: one["replicas"]))
def test_a_promotion_changes_places_and_nothing_else(declaration: dict[str, Any]) -> None:
    request = json.loads(json.dumps(parse_request(declaration, SETTINGS)))
    region = request["replicas"][-1]["region"]
    swapped = promoted(request, region)

    def by_region(document: dict[str, Any]) -> dict[str, Any]:
        _, plans, enabled = meaning(document)
        if not plans[region]["alias"]:
            plans[region]["alias"] = "alias/cards"  # A primary key has one.
        for one in plans.values():
            one["rotation"] = None  # Of the primary key alone.
        return {**plans, **{f"{one} enabled": is_it for one, is_it in enabled.items()}}

    assert parse_request(swapped, SETTINGS)["primaryRegion"] == region
    assert by_region(swapped) == by_region(request)


def test_what_the_form_has_no_field_for_stays() -> None:
    material = {"expires": True, "validTo": "2027-06-01T00:00:00Z"}
    base = {
        "requestId": "CHG1",
        "alias": "alias/cards",
        "keyMaterial": material,
        "confirm": ["DECOMMISSION"],
        "replicas": [{"region": "eu-west-1", "keyMaterial": {"expires": False}}],
    }
    changed, _ = document_of(values_of(base) | {"alias": "alias/other"}, base)

    assert changed["keyMaterial"] == material
    assert changed["replicas"][0]["keyMaterial"] == {"expires": False}
    assert changed["alias"] == "alias/other"
    assert "confirm" not in changed  # Each revision has words of its own.


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        ({"tags[0].key": "a", "tags[1].key": "a"}, "tags[1].key", "DUPLICATE_NAME"),
        ({"tags[0].value": "a"}, "tags[0].key", "REQUIRED"),
        ({"ticket": "{"}, "ticket", "NOT_JSON"),
        ({"ticket": '{"a": 1, "a": 2}'}, "ticket", "NOT_JSON"),
        ({"ticket": "[" * 100_000}, "ticket", "NOT_JSON"),
        (
            {"policy:choice": "document", "policy.document": "{x"},
            "policy.document",
            "NOT_JSON",
        ),
        (
            {"rotation:choice": "own", "rotation.periodInDays": "ten"},
            "rotation.periodInDays",
            "NOT_A_NUMBER",
        ),
        ({"deletionWindowInDays": "7.5"}, "deletionWindowInDays", "NOT_A_NUMBER"),
    ],
)
def test_what_cannot_be_read_is_a_problem_at_its_field(
    values: dict[str, str], path: str, code: str
) -> None:
    _, problems = document_of({"alias": "alias/cards", **values}, {})

    assert [(one["path"], one["code"]) for one in problems] == [(path, code)]


def test_a_replica_is_added_and_taken_away() -> None:
    values = values_of(FULL)
    more = form.with_replica(values)
    fewer = form.without_replica(values, 0)

    assert document_of(more, {})[0]["replicas"][3]["region"] == ""
    left = [one["region"] for one in document_of(fewer, {})[0]["replicas"]]
    assert left == ["us-west-2", "eu-north-1"]
    assert document_of(fewer, {})[0]["replicas"] == document_of(values, {})[0]["replicas"][1:]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("alias", "alias"),
        ("replicas[1].region", "replicas[1].region"),
        ("policy.users[0]", "policy.users"),
        ("policy", "policy:choice"),
        ("replicas[0].policy.document.Statement[0].Action", "replicas[0].policy.document"),
        ("tags", "tags[0].key"),
        ("rotation", "rotation:choice"),
        ("keyMaterial.validTo", None),
        ("", None),
    ],
)
def test_a_path_of_the_api_finds_its_field(path: str, field: str | None) -> None:
    assert field_of(path, set(form.names_of(values_of(FULL)))) == field


@given(st.dictionaries(st.sampled_from(form.names_of(values_of(FULL))), st.text(max_size=40)))
def test_every_problem_of_any_input_is_shown_once(values: dict[str, str]) -> None:
    document, problems = document_of(values_of(FULL) | values, {})
    try:
        parse_request(document, SETTINGS)
    except RequestRejected as rejection:
        problems += [{k: str(v) for k, v in one.items()} for one in rejection.problems]
    filled = Form(values_of(FULL) | values, {}, problems)

    shown = [text for _, text in filled.summary]
    assert len(shown) == len(problems)
    assert all(any(one["message"] in text for text in shown) for one in problems)


def test_a_problem_of_a_tag_is_in_the_tags_own_row() -> None:
    problems = [{"path": "tags.aws:x", "code": "TAG_RESERVED", "message": "Reserved."}]
    filled = Form({"tags[0].key": "team", "tags[1].key": "aws:x"}, {}, problems)

    assert filled.at("tags[1].key") == ["Reserved."]


def test_the_form_offers_the_key_specs_that_the_product_has() -> None:
    offered = {
        name: (spec.usages, spec.can_import)
        for specs in choices.key_types("aws-cn").values()
        for name, spec in specs.items()
    }

    assert offered == {
        name: (tuple(rules.usages), Origin.EXTERNAL in rules.origins)
        for name, rules in KEY_SPECS.items()
    }
    assert "SM2" not in {name for specs in choices.key_types("aws").values() for name in specs}
