"""JSON as it is read: what is not JSON, and what would mean two things."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.json_text import MAX_DEPTH, Unreadable, parse
from tests.support.timing import takes_less_than

NAMES = st.text(min_size=1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


def refused(data: bytes | str, **where: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(Unreadable) as caught:
        parse(data, **where)
    return [(one["path"], one["code"], one["message"]) for one in caught.value.problems]


@given(VALUES)
@settings(max_examples=30)
def test_what_was_written_as_json_is_read_as_it_was(value: Any) -> None:
    assert parse(json.dumps(value)) == parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf{"a": 1}', '\ufeff{"a": 1}', ' {"a":\r\n1}\n'])
def test_a_byte_order_mark_and_blanks_do_no_harm(text: bytes | str) -> None:
    assert parse(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ("requestId: A", "line 1, column 1"),
        ('{"a": 1,}', "line 1, column "),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ('{"a": 1}\n{"a": 2}', "line 2, column 1"),
        ('{"a": "b', "line 1, column 7"),
        ('{"a": "b\nc"}', "line 1, column 9"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"NaN": [1,\n NaN]}', "line 2, column 2"),
        ('{"a": -Infinity}', "line 1, column 7"),
        ('{"a": 1e999}', "line 1, column 7"),
        ('{"a": ' + "9" * 5_000 + "}", "line 1, column 7"),
    ],
)
def test_what_is_not_json_is_refused_at_its_line_and_column(text: str, place: str) -> None:
    ((path, code, message),) = refused(text)

    assert (path, code) == ("", "NOT_JSON")
    assert place in message
    assert len(message) < 120


def test_the_line_is_that_of_the_file_and_the_path_that_of_the_request() -> None:
    ((path, code, message),) = refused("[\n1", path="policy.document", first_line=7)

    assert (path, code) == ("policy.document", "NOT_JSON")
    assert "line 8" in message


def test_what_is_not_utf_8_says_at_which_byte() -> None:
    ((_, code, message),) = refused(b'{"a": "\xff"}')

    assert (code, "byte 8" in message) == ("NOT_JSON", True)


@pytest.mark.parametrize("opening", ['{"a":', "["])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5_000, 100_000])
def test_what_is_nested_too_deep_is_refused_and_ends_nothing(opening: str, levels: int) -> None:
    closing = {"[": "]"}.get(opening, "}")

    assert refused(opening * levels + "1" + closing * levels)[0][1] == "NOT_JSON"
    assert parse(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH)


def test_every_name_that_stands_twice_is_named_with_its_path() -> None:
    text = """
    {"requestId": "A", "replicas": [1], "replicas": [], "policy": {"document": {"Statement": [{}, {
        "Condition": {"StringEquals": {"a": "b"}, "StringEquals": {"c": "d"}, "StringEquals": 1},
        "Principal": {"AWS": "x", "AWS": "y"}}]}}}
    """

    assert refused(text) == [
        ("replicas", "DUPLICATE_NAME", "replicas stands twice in one object."),
        (
            *("policy.document.Statement[1].Condition.StringEquals", "DUPLICATE_NAME"),
            "policy.document.Statement[1].Condition.StringEquals stands twice in one object.",
        ),
        (
            *("policy.document.Statement[1].Principal.AWS", "DUPLICATE_NAME"),
            "policy.document.Statement[1].Principal.AWS stands twice in one object.",
        ),
    ]


def test_a_name_inside_a_value_that_would_be_lost_is_found_too() -> None:
    assert [path for path, *_ in refused('{"a": {"b": 1, "b": 2}, "a": 3}')] == ["a", "a.b"]


def test_names_that_differ_only_in_how_they_are_written_are_the_same() -> None:
    assert refused('{"\\u0061": 1, "a": 2}')[0][0] == "a"


def test_names_are_looked_at_object_by_object_and_as_they_are_spelt() -> None:
    assert parse('[{"a": {"a": 1}, "A": 2}, {"a": 3}]') == [{"a": {"a": 1}, "A": 2}, {"a": 3}]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ('{"requestId": "A", "ticket": {}, "alias": 1, "alias": 2}', {"requestId": "A"}),
        ('{"requestId": "A", "requestId": "B"}', {}),
        ('[{"a": 1, "a": 2}]', {}),
        ('{"requestId": "A", "b": {"a": 1, "a": 2}}', {"requestId": "A"}),
    ],
)
def test_whose_request_was_refused_is_still_known(text: str, known: dict[str, str]) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text)

    assert caught.value.document == known


def test_a_refusal_is_not_larger_than_its_text() -> None:
    repeated = ",".join([f'"{number:040}":1' for number in range(1_000)] * 2)

    assert len(refused("{" + repeated + "}")) <= 100
    ((path, _, message),) = refused(f'{{"{"x" * 5_000}": 1, "{"x" * 5_000}": 2}}')
    assert len(path) + len(message) < 1_000


def test_a_large_text_is_read_in_milliseconds() -> None:
    text = json.dumps([{"a": index, "b": [{"c": "d"}]} for index in range(3_500)])

    assert len(text) > 100_000
    assert takes_less_than(0.5, lambda: parse(text))
