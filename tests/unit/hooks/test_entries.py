"""The entries of the webhooks' secret: what is usable, and that a broken one keeps its secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.hooks import new_entries
from provisioner.hooks.entries import Entry, read_entries

SECRET = "0123456789abcdef"  # noqa: S105 - none but the tests' own
SOUND: dict[str, Any] = {
    "scheme": "token",
    "header": "X-Token",
    "secrets": [SECRET],
    "request": "/request",
}


def test_every_sample_is_usable_once_its_secrets_are_filled_in() -> None:
    entries = read_entries(json.dumps(new_entries()))

    assert entries.broken == {}
    assert entries.usable.keys() == new_entries().keys()


def test_the_placeholders_of_the_samples_are_refused() -> None:
    """Whoever copies the samples and forgets to fill in the secrets opens no door."""
    entries = read_entries(Path("events/hooks/entries.json").read_text())

    assert entries.usable == {}
    assert {*entries.broken.values()} == {"a secret has fewer than 16 bytes"}


def test_an_empty_secret_has_no_entries() -> None:
    assert read_entries("{}") == ({}, {})


def test_an_entry_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(read_entries(json.dumps({"a": SOUND})))


@pytest.mark.parametrize("text", ["", "[]", "null", SECRET, f'{{"{SECRET}": ', "{" * 200])
def test_what_is_no_json_object_is_broken_as_a_whole(text: str) -> None:
    entries = read_entries(text)

    assert entries.usable == {}
    assert entries.broken.keys() == {""}
    assert SECRET not in str(entries.broken)


def test_a_source_that_stands_twice_is_broken_as_a_whole() -> None:
    one = json.dumps(SOUND)

    assert read_entries(f'{{"a": {one}, "a": {one}}}').broken.keys() == {""}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"secrets": ["0123456789abcde"]}, "fewer than 16 bytes"),
        ({"secrets": [SECRET, ""]}, "fewer than 16 bytes"),
        ({"secrets": []}, "1 to 8"),
        ({"secrets": [SECRET] * 9}, "1 to 8"),
        ({"secrets": SECRET}, "1 to 8"),
        ({"secrets": [16]}, "not a text"),
        ({"secrets": [SECRET + "\ud800"]}, "not Unicode"),
        ({"scheme": "none"}, "scheme is not one of"),
        ({"scheme": ["token"]}, "scheme is not one of"),
        ({"scheme": "basic", "header": None}, "not user:password"),
        ({"scheme": "basic", "header": None, "secrets": [f"{SECRET}:short"]}, "16 bytes"),
        ({"scheme": "standard-webhooks", "header": None, "secrets": ["whsec_é"]}, "base64"),
        (
            {"scheme": "standard-webhooks", "header": None, "secrets": ["whsec_c2hvcnQ="]},
            "16 bytes",
        ),
        ({"scheme": "basic", "secrets": [f"a:{SECRET}"]}, "header is of no use"),
        ({"header": "x token"}, "not the name of a header"),
        ({"header": None}, "not the name of a header"),
        ({"request": "issue"}, "request is not a JSON pointer"),
        ({"request": "/a~2"}, "request is not a JSON pointer"),
        ({"request": None}, "request is not a JSON pointer"),
        ({"when": ["/a"]}, "when is not a JSON object"),
        ({"when": {"a": 1}}, "a name in when is not a JSON pointer"),
        ({"when": {"/a": [1]}}, "a value in when"),
        ({"actor": 1}, "actor is not a JSON pointer"),
        ({"ticket": {"system": "jira"}}, "ticket is not an object"),
        ({"ticket": {"system": "a b", "id": "/a"}}, "ticket.system"),
        ({"ticket": {"system": "jira", "id": "a"}}, "ticket.id is not a JSON pointer"),
        ({"whem": {"/a": "b"}}, "a field other than"),
    ],
)
def test_a_broken_entry_says_why_and_closes_only_itself(
    changed: dict[str, Any], reason: str
) -> None:
    broken = {name: value for name, value in {**SOUND, **changed}.items() if value is not None}

    entries = read_entries(json.dumps({"sound": SOUND, "broken": broken}))

    assert entries.usable.keys() == {"sound"}
    assert reason in entries.broken["broken"]
    assert SECRET[:8] not in str(entries.broken)


@pytest.mark.parametrize("source", ["", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_a_source_is_a_plain_name(source: str) -> None:
    entries = read_entries(json.dumps({source: SOUND}))

    assert entries.usable == {}
    assert entries.broken.keys() == {""}


def test_an_entry_is_not_an_object() -> None:
    assert read_entries('{"a": "0123456789abcdef"}').broken == {"a": "it is not a JSON object"}


def test_the_names_of_headers_count_in_any_case() -> None:
    entry = read_entries(json.dumps({"a": SOUND})).usable["a"]

    assert isinstance(entry, Entry)
    assert entry.header == "x-token"
