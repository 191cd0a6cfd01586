"""Requests as ticket systems write them, and as they are read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.intake.request import parse_request
from provisioner.intake.ticket_texts import from_ticket
from tests.support.any_json import JSON
from tests.support.samples import SETTINGS, document_of, sample_event


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"revision": "2"}, {"revision": 2}),
        ({"revision": " 2 "}, {"revision": 2}),
        ({"revision": "2.0"}, {"revision": 2}),
        ({"revision": 2.0}, {"revision": 2}),
        ({"revision": "2.5"}, {"revision": "2.5"}),
        ({"revision": 2.5}, {"revision": 2.5}),
        ({"revision": "two"}, {"revision": "two"}),
        ({"revision": "٢"}, {"revision": "٢"}),
        ({"revision": "1" * 5_000}, {"revision": "1" * 5_000}),
        ({"revision": ""}, {}),
        ({"enabled": "True"}, {"enabled": True}),
        ({"enabled": " false "}, {"enabled": False}),
        ({"enabled": "yes"}, {"enabled": "yes"}),
        ({"enabled": "1"}, {"enabled": "1"}),
        ({"rotation": {"periodInDays": "365"}}, {"rotation": {"periodInDays": 365}}),
        ({"replicas": [{"enabled": "true"}]}, {"replicas": [{"enabled": True}]}),
        ({"keyMaterial": {"expires": "true"}}, {"keyMaterial": {"expires": True}}),
        ({"description": " 365 "}, {"description": "365"}),
        ({"description": "true"}, {"description": "true"}),
        ({"description": "  "}, {}),
        ({"description": None}, {"description": None}),
        ({"tags": {"days": "365", "none": " "}}, {"tags": {"days": "365"}}),
        ({"tags": {"document": " a "}}, {"tags": {"document": "a"}}),
        ({"confirm": [" DECOMMISSION", ""]}, {"confirm": ["DECOMMISSION"]}),
        ({"replicas": ""}, {}),
        ({"unknown": " a "}, {"unknown": "a"}),
        ({"unknown": {"a": ""}}, {"unknown": {}}),
        ({"unknown": "7"}, {"unknown": "7"}),
        ({"replicas": "eu-west-1"}, {"replicas": "eu-west-1"}),
        ({"replicas": [["7", " a "]]}, {"replicas": [["7", "a"]]}),
    ],
)
def test_texts_are_read_as_the_fields_want_them(written: Any, read: Any) -> None:
    assert from_ticket(written) == read
    assert json.dumps(from_ticket(written)) == json.dumps(read)


@pytest.mark.parametrize("field", ["ticket", "policy"])
def test_what_is_carried_as_it_is_stays_so(field: str) -> None:
    opaque = {"a": " x ", "b": "", "c": "7"}
    document = {"ticket": opaque} if field == "ticket" else {"policy": {"document": opaque}}

    assert from_ticket(document) == document


@pytest.mark.parametrize("document", [[], None, "text", 7])
def test_what_is_no_object_stays(document: object) -> None:
    assert from_ticket(document) == document


@pytest.mark.parametrize("name", ["key-requested", "key-requested-external"])
def test_a_request_in_its_own_form_stays(name: str) -> None:
    request = sample_event(name)["detail"]

    assert from_ticket(request) == request


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_texts(inner) for inner in value]
    if isinstance(value, bool):
        return str(value)
    return f" {value} " if isinstance(value, int | str) else value


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "revision": st.just(1),
            "enabled": st.just(True),
            "rotation": st.fixed_dictionaries({"periodInDays": st.integers(90, 2560)}),
            "deletionWindowInDays": st.integers(7, 30),
            "description": st.sampled_from(["7", "true", "Card data"]),
            "replicas": st.just([{"region": "eu-west-1", "enabled": True}]),
        },
    )
)
def test_a_request_all_in_texts_is_the_request(fields: dict[str, Any]) -> None:
    document = document_of(**fields)

    assert parse_request(from_ticket(_as_texts(document)), SETTINGS) == parse_request(
        document, SETTINGS
    )


@given(JSON)
def test_any_document_is_read_once_and_for_all(document: Any) -> None:
    once = from_ticket({**document_of(), "more": document})

    assert from_ticket(once) == once
