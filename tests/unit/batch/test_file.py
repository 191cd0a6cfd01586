"""Files of requests: JSON Lines and CSV, and what is wrong with them."""

import json
from typing import Any

import pytest

from provisioner.batch.file import MAX_LINES, Line, read_lines
from provisioner.errors import BatchUnreadable
from tests.support.samples import ADMIN, USER, problems_of

HEAD = "requestId,alias"


def documents(name: str, text: str | bytes) -> list[Any]:
    content = text if isinstance(text, bytes) else text.encode()
    lines = read_lines(name, content)
    assert not [line for line in lines if line.problems]
    return [line.document for line in lines]


def only(name: str, text: str | bytes) -> Line:
    (line,) = read_lines(name, text if isinstance(text, bytes) else text.encode())
    return line


def test_each_line_of_json_is_a_request_and_is_sent_without_blanks() -> None:
    first, second = read_lines("keys.jsonl", b'{"requestId": "A"}\n\n  \n["no request"]\r\n')

    assert (first.number, first.text, first.document) == (
        *(1, '{"requestId":"A"}'),
        {"requestId": "A"},
    )
    assert (second.number, second.document) == (4, ["no request"])


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "JSONL"])
def test_json_lines_have_several_endings_and_maybe_a_byte_order_mark(ending: str) -> None:
    assert documents(f"a.{ending}", b'\xef\xbb\xbf{"requestId": "A"}') == [{"requestId": "A"}]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"requestId": "B"',
        b"requestId: B",
        b'{"ticket": {"n": NaN}}',
        b'{"ticket": {"n": -Infinity}}',
        b'{"requestId": "\xff"}',
        b"[" * 100_000,
        b'{"ticket": {"n": ' + b"9" * 5_000 + b"}}",
        b'{"ticket": {"n": 1e999}}',
    ],
)
def test_a_line_that_is_no_json_leaves_the_others_alone(bad: bytes) -> None:
    lines = read_lines("keys.jsonl", b'{"requestId": "A"}\n' + bad + b'\n{"requestId": "C"}\n')

    assert [bool(line.problems) for line in lines] == [False, True, False]
    assert (lines[1].text, lines[1].problems[0]["code"]) == ("", "NOT_JSON")


def test_a_row_of_csv_is_a_request() -> None:
    text = (
        "requestId,alias,keySpec,tags.team,tags.cost.center,policy.administrators,policy.users,"
        "rotation.periodInDays,replicas,ticket.id,keyMaterial.expires\n"
        f'A,alias/a,,payments,7,{ADMIN} {USER},{USER},365,eu-west-1 us-west-2,"CHG, 1",TRUE\n'
    )

    assert documents("keys.csv", text) == [
        {
            "requestId": "A",
            "alias": "alias/a",
            "tags": {"team": "payments", "cost.center": "7"},
            "policy": {"administrators": [ADMIN, USER], "users": [USER]},
            "rotation": {"periodInDays": 365},
            "replicas": [{"region": "eu-west-1"}, {"region": "us-west-2"}],
            "ticket": {"id": "CHG, 1"},
            "keyMaterial": {"expires": True},
        }
    ]


def test_a_row_is_sent_as_json() -> None:
    line = only("keys.csv", f"{HEAD}\nA,alias/a\n")

    assert json.loads(line.text) == line.document == {"requestId": "A", "alias": "alias/a"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_chooses_its_delimiter_line_ends_and_byte_order_mark(delimiter: str) -> None:
    text = f"{HEAD}\r\nA,alias/a\r\n".replace(",", delimiter)

    assert documents("keys.CSV", b"\xef\xbb\xbf" + text.encode()) == [
        {"requestId": "A", "alias": "alias/a"}
    ]


def test_a_cell_may_hold_json_where_text_says_too_little() -> None:
    replicas = [{"region": "eu-west-1", "alias": None}]
    document = {"Version": "2012-10-17", "Statement": []}
    cells = [json.dumps(value).replace('"', '""') for value in (replicas, document)]
    text = f'requestId,replicas,policy.document\nA,"{cells[0]}","{cells[1]}"\n'

    assert documents("keys.csv", text) == [
        {"requestId": "A", "replicas": replicas, "policy": {"document": document}}
    ]


def test_rows_are_numbered_as_the_lines_of_the_file() -> None:
    lines = read_lines("keys.csv", f'\n{HEAD}\nA,"alias/\na"\n,\n\nB,alias/b\n'.encode())

    assert [(line.number, line.document["requestId"]) for line in lines] == [(3, "A"), (7, "B")]


def test_a_row_that_ends_early_has_fewer_fields() -> None:
    assert documents("keys.csv", f"{HEAD},description\nA\nB,alias/b,,,\n") == [
        {"requestId": "A"},
        {"requestId": "B", "alias": "alias/b"},
    ]


def test_a_row_with_more_cells_than_columns_is_refused_alone() -> None:
    first, second = read_lines("keys.csv", f"{HEAD}\nA,alias/a,x\nB,alias/b\n".encode())

    assert (first.text, first.problems[0]["code"]) == ("", "TOO_MANY_CELLS")
    assert not second.problems


@pytest.mark.parametrize(
    ("columns", "cells", "code"),
    [
        ("policy.document", "no json", "NOT_JSON"),
        ("policy.document", '"{""a"": 1, ""a"": 2}"', "DUPLICATE_NAME"),
        ("replicas", "[1", "NOT_JSON"),
        ("policy.users", '"[""x"","', "NOT_JSON"),
        ("policy,policy.users", "x,y", "BAD_CELL"),
        ("policy.users,policy", "x,y", "BAD_CELL"),
    ],
)
def test_a_cell_that_cannot_be_read_refuses_its_row(columns: str, cells: str, code: str) -> None:
    line = only("keys.csv", f"requestId,{columns}\nA,{cells}\n")

    assert line.text == ""
    assert [problem["code"] for problem in line.problems] == [code]
    assert line.document["requestId"] == "A"


def test_a_row_can_change_a_key_set() -> None:
    text = (
        "requestId,alias,revision,enabled,desiredState,deletionWindowInDays,confirm\n"
        'A,alias/a,2,False,DECOMMISSIONED,7.0,"DISABLE:eu-west-1; DECOMMISSION,REMOVE:us-west-2"\n'
        'B,alias/b,2,TRUE,,,"[""DECOMMISSION""]"\n'
    )

    assert documents("keys.csv", text) == [
        {
            "requestId": "A",
            "alias": "alias/a",
            "revision": 2,
            "enabled": False,
            "desiredState": "DECOMMISSIONED",
            "deletionWindowInDays": 7,
            "confirm": ["DISABLE:eu-west-1", "DECOMMISSION", "REMOVE:us-west-2"],
        },
        {
            "requestId": "B",
            "alias": "alias/b",
            "revision": 2,
            "enabled": True,
            "confirm": ["DECOMMISSION"],
        },
    ]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("rotation.periodInDays", "a year"),
        ("keyMaterial.expires", "maybe"),
        ("enabled", "no"),
        ("deletionWindowInDays", "a month"),
    ],
)
def test_a_cell_of_the_wrong_kind_is_the_schemas_to_refuse(column: str, cell: str) -> None:
    line = only("keys.csv", f"{HEAD},{column}\nA,alias/a,{cell}\n")

    assert not line.problems
    assert column in {problem["path"] for problem in problems_of(line.document)}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("keys.xlsx", b"PK", "neither JSON Lines"),
        ("keys", b"{}", "neither JSON Lines"),
        ("keys.jsonl", b"\n\n", "holds no request"),
        ("keys.csv", b"", "holds no request"),
        ("keys.csv", b"requestId\n", "holds no request"),
        ("keys.csv", b"alias\nalias/a\n", "does not name the column requestId"),
        ("keys.csv", b"requestId,requestId\nA,B\n", "name of its own"),
        ("keys.csv", b"requestId,alias, Alias \nA,B,C\n", "name of its own: alias"),
        ("keys.jsonl", b"{}\n" * (MAX_LINES + 1), "more than"),
    ],
)
def test_a_file_that_is_not_usable_as_a_whole_says_why(
    name: str, content: bytes, reason: str
) -> None:
    with pytest.raises(BatchUnreadable, match=reason):
        read_lines(name, content)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keys.jsonl", '{"requestId": "A", "description": "\\ud800"}'),
        ("keys.csv", 'requestId,policy.document\nA,"{""a"": ""\\ud800""}"'),
    ],
)
def test_half_a_surrogate_pair_cannot_be_sent(name: str, text: str) -> None:
    line = only(name, text)

    assert (line.text, line.document["requestId"]) == ("", "A")
    assert [problem["code"] for problem in line.problems] == ["NOT_UNICODE"]


def test_a_line_is_sent_in_utf_8_however_it_was_written() -> None:
    text = '{"requestId": "A", "description": "\\u9375 \\ud842\\udfb7"}'

    assert only("keys.jsonl", text).text == '{"requestId":"A","description":"鍵 𠮷"}'
