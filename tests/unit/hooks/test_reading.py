"""Where a request is in what a ticket system sent, and what is sent beside it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import RequestRejected
from provisioner.hooks.entries import Entry, TicketPlace
from provisioner.hooks.reading import actor_in, holds, request_in, ticket_in

REQUEST = {"requestId": "A", "alias": "alias/a"}
JSON = json.dumps(REQUEST)


def entry(request: str = "/text", **fields: Any) -> Entry:
    return Entry(scheme="token", secrets=(b"x",), request=request, **fields)


# https://www.rfc-editor.org/rfc/rfc6901#section-5
RFC = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_leads_where_its_standard_says(pointer: str, value: object) -> None:
    assert holds(entry(when={pointer: value}), RFC)
    assert not holds(entry(when={pointer: "other"}), RFC)


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/x", "/no", "/foo/0/a"])
def test_what_is_not_there_is_not_so(pointer: str) -> None:
    assert not holds(entry(when={pointer: None}), RFC)


@pytest.mark.parametrize(
    ("found", "value", "is_so"),
    [(1, 1, True), (1.0, 1, True), (True, 1, False), (1, True, False), (None, None, True)],
)
def test_true_is_not_one(found: object, value: object, is_so: bool) -> None:
    assert holds(entry(when={"/a": value}), {"a": found}) == is_so


def test_all_conditions_have_to_hold() -> None:
    both = entry(when={"/a": "x", "/b": "y"})

    assert holds(both, {"a": "x", "b": "y"})
    assert not holds(both, {"a": "x", "b": "z"})
    assert holds(entry(), {})


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"  \r\n{JSON}\r\n",
        f"Please.\n```json\n{JSON}\n```\nThanks.",
        f"Please.\r\n\r\n```json\r\n{JSON}\r\n```\r\nThanks.",
        f"```\n{JSON}\n```",
        f"~~~~ JSON\n{JSON}\n~~~~~",
        f"  ```json\n{JSON}\n  ```",
        f"```json\n{JSON}",
        f"```\nnot this\n```\n```json\n{JSON}\n```",
        f"{{code:json}}\n{JSON}\n{{code}}",
        f"Text {{code:title=a.json|theme=x}}{JSON}{{code}} text",
        f"{{noformat}}\n{JSON}\n{{noformat}}",
    ],
)
def test_a_request_stands_in_a_text(text: str) -> None:
    assert request_in(entry(), {"text": text}) == REQUEST


def test_a_request_is_an_object_or_all_that_was_sent() -> None:
    assert request_in(entry(), {"text": REQUEST}) == REQUEST
    assert request_in(entry(""), REQUEST) == REQUEST


def test_a_fence_in_a_text_of_the_request_is_no_block() -> None:
    request = {**REQUEST, "description": "```\n{code}x{code}\n```"}

    assert request_in(entry(), {"text": json.dumps(request)}) == request


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "NO_REQUEST"),
        ({"text": None}, "NO_REQUEST"),
        ({"text": " \n"}, "NO_REQUEST"),
        ({"text": [REQUEST]}, "NOT_AN_OBJECT"),
        ({"text": 7}, "NOT_AN_OBJECT"),
        ({"text": "[1]"}, "NOT_AN_OBJECT"),
        ({"text": "a key, please"}, "NOT_JSON"),
        ({"text": f"{JSON} please"}, "NOT_JSON"),
        ({"text": "```json\n\n```"}, "NOT_JSON"),
        ({"text": '{"a": NaN}'}, "NOT_JSON"),
        ({"text": '{"a": ' * 200}, "NOT_JSON"),
        ({"text": '{"a": 1, "a": 2}'}, "DUPLICATE_NAME"),
        ({"text": f"```\n{JSON}\n```\n```\n{JSON}\n```"}, "SEVERAL_REQUESTS"),
        ({"text": f"```json\n{JSON}\n```\n```json\n{JSON}\n```"}, "SEVERAL_REQUESTS"),
    ],
)
def test_what_is_no_request_is_refused_with_its_place(payload: Any, code: str) -> None:
    with pytest.raises(RequestRejected) as rejected:
        request_in(entry(), payload)

    (problem,) = rejected.value.problems
    assert problem["code"] == code
    assert problem["path"].startswith("/text")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n "b": }', 2),
        ('\n\n{"a": }', 3),
        ('Please\n```json\n{\n "a": }\n```', 4),
        ('Please\n```json\n\n\n{"a": }\n```', 5),
        ('Please\n{code:json}\n{"a": }\n{code}', 3),
        ('One\n\nPlease {code:json}{"a": }{code}', 3),
    ],
)
def test_the_line_of_a_mistake_is_the_texts_own(text: str, line: int) -> None:
    with pytest.raises(RequestRejected) as rejected:
        request_in(entry(), {"text": text})

    assert f"at line {line}, " in rejected.value.problems[0]["message"]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("KEYS-1", "KEYS-1"),
        (" KEYS-1 ", "KEYS-1"),
        (12, "12"),
        ("", None),
        (" ", None),
        (None, None),
        (True, None),
        (1.5, None),
        (["KEYS-1"], None),
        ("a" * 257, None),
        ("KEYS-1\nX", None),
        ("KEYS\u202e", None),
        ("\ud800", None),
    ],
)
def test_actors_and_tickets_are_short_texts_of_one_line(found: object, text: str | None) -> None:
    named = entry(actor="/a", ticket=TicketPlace("jira", "/a"))
    ticket = None if text is None else {"system": "jira", "id": text}

    assert actor_in(named, {"a": found}) == text
    assert ticket_in(named, {"a": found}) == ticket
    assert actor_in(entry(), {"a": found}) is None
    assert ticket_in(entry(), {"a": found}) is None


@given(st.text(st.sampled_from('`~{}code:json \r\n\t"a\u2028'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(RequestRejected):
        assert isinstance(request_in(entry(), {"text": text}), dict)


@pytest.mark.parametrize(
    "text", ["{code}" * 43_000, "```\n" * 65_000, "`" * 260_000, "```" + "a" * 260_000 + "`"]
)
def test_no_text_takes_long(text: str) -> None:
    with pytest.raises(RequestRejected):
        request_in(entry(), {"text": text})
