"""The published contracts: made of the code, complete, and never taken back."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from checks.contracts import __main__ as contracts
from checks.contracts.asyncapi import RECEIVED, SENT, asyncapi
from checks.contracts.fields import promises
from checks.contracts.openapi import OPERATIONS, openapi
from checks.contracts.schemas import PLACE, closed
from keys_api import app
from tests.support.contracts import answer_problems, event_problems
from tests.support.samples import sample_event
from tests.support.template import load_template

ROUTES = {
    (event["Properties"]["Method"].upper(), event["Properties"]["Path"])
    for resource in load_template()["Resources"].values()
    for event in resource.get("Properties", {}).get("Events", {}).values()
    if event["Type"] == "Api"
}


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for one in node for name in references(one)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [name for one in node.values() for name in references(one)]


def test_what_is_committed_is_made_of_the_code() -> None:
    assert contracts.main([]) == 0


def test_every_route_of_the_stack_is_described_and_no_other() -> None:
    assert OPERATIONS.keys() == ROUTES


def test_every_event_that_the_stack_sends_is_described() -> None:
    sources = [path.read_text() for path in Path("functions").rglob("*.py")]
    kinds = {
        kind for text in sources for kind in re.findall(r'"(Multi-Region Key [A-Z][^"]+)"', text)
    }

    assert kinds <= SENT.keys() | RECEIVED.keys()


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_schema_is_sound_and_every_reference_leads_somewhere(document: Any) -> None:
    schemas = document["components"]["schemas"]

    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert "__" not in name
    in_schemas = {one.removeprefix(PLACE) for one in references(document) if PLACE in one}
    assert in_schemas == schemas.keys()


def test_the_samples_are_what_the_contracts_take() -> None:
    document = openapi()
    for method, path in OPERATIONS:
        body = document["paths"][path][method.lower()].get("requestBody", {})
        content = body.get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(example["value"])


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_the_api_answers_its_contracts(name: str, context: Any) -> None:
    answered = app.handler({**sample_event("api-get-schema"), "path": f"/{name}"}, context)

    assert answered["statusCode"] == 200
    assert json.loads(answered["body"]) == json.loads((contracts.SHOWN / name).read_text())


def test_a_released_field_does_not_disappear(monkeypatch: pytest.MonkeyPatch) -> None:
    text = contracts.RELEASED.read_text()
    assert contracts.broken(text) == []

    more = f"{text}KeySetStatus.colour\nKeySetStatus.colour is always there\n"
    assert contracts.broken(more) == [
        "KeySetStatus.colour",
        "KeySetStatus.colour is always there",
    ]
    monkeypatch.setattr(contracts, "VERSION", "2.0.0")
    assert contracts.broken(more) == []


def test_a_promise_is_all_that_others_rely_on() -> None:
    found = promises(openapi(), asyncapi())

    for one in (
        "POST /keys takes query planId",
        "POST /keys takes Request",
        "POST /keys answers 202 Accepted",
        "event Multi-Region Key Created has Outcome",
        "Status can be WAITING_FOR_APPROVAL",
        "KeySetStatus.key is always there",
        "Request.replicas may be left out",
        "Request.onFailure can be ROLL_BACK",
    ):
        assert one in found
    assert "KeySetStatus.materials is always there" not in found
    assert "Request.alias may be left out" not in found


def test_an_answer_outside_the_contract_is_seen() -> None:
    problem = {"path": "", "code": "NOT_FOUND", "message": "There is none."}
    accepted = {"requestId": "a", "executionArn": None, "status": "IN_PROGRESS"}

    assert answer_problems("POST", "/keys?plan=false", 202, accepted) == []
    assert answer_problems("GET", "/keys/a/history", 404, {"errors": [problem]}) == []
    for method, path, status, body in (
        ("POST", "/keys", 202, {**accepted, "colour": "red"}),
        ("POST", "/keys", 202, {**accepted, "status": "DONE"}),
        ("POST", "/keys", 201, accepted),
        ("GET", "/keys/a", 404, {"message": "Not found"}),
        ("GET", "/keys/a/b/c", 200, {}),
    ):
        assert answer_problems(method, path, status, body), (method, path, status)


def test_an_event_outside_the_contract_is_seen() -> None:
    refused: dict[str, Any] = {"requestId": None, "errors": []}
    event = {
        "source": "mrk.provisioner",
        "detail-type": "Multi-Region Key Material Refused",
        "detail": refused,
    }

    assert event_problems(event) == []
    assert event_problems({**event, "detail": {**refused, "colour": "red"}})
    assert event_problems({**event, "detail-type": "Multi-Region Key Painted"})


def test_a_closed_schema_refuses_what_it_does_not_name() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "required": ["a"]}

    assert Draft202012Validator(schema).is_valid({"a": 1, "b": 2})
    assert not Draft202012Validator(closed(schema)).is_valid({"a": 1, "b": 2})
