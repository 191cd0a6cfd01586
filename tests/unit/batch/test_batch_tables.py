"""Tables as spreadsheets, scripts and mail clients write them: no row is lost or merged."""

import csv
import io
import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from provisioner.batch.csv_table import read_rows
from provisioner.batch.file import Line, read_lines
from provisioner.errors import BatchUnreadable
from tests.support.samples import ADMIN, USER

HEAD = "requestId,alias,description,replicas"
ROWS = f"{HEAD}\r\nA,alias/a,Müller,eu-west-1\r\nB,alias/b,,\r\n"
READ = [
    {
        "requestId": "A",
        "alias": "alias/a",
        "description": "Müller",
        "replicas": [{"region": "eu-west-1"}],
    },
    {"requestId": "B", "alias": "alias/b"},
]


def documents(content: bytes | str, name: str = "keys.csv") -> list[Any]:
    lines = read(content, name)
    assert not [line.problems for line in lines if line.problems]
    return [line.document for line in lines]


def read(content: bytes | str, name: str = "keys.csv") -> list[Line]:
    return read_lines(name, content.encode() if isinstance(content, str) else content)


def cell(column: str, text: str) -> Any:
    """Read one cell of a table, quoted, and return the value of its field."""
    quoted = text.replace('"', '""')
    (document,) = documents(f'requestId,alias,{column}\nA,alias/a,"{quoted}"\n')
    group, _, name = column.partition(".")
    return document[group][name] if name else document[group]


@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode(),
        ROWS.encode("utf-8-sig"),
        ROWS.encode("windows-1252"),
        ROWS.replace(",", "\t").encode("utf-16"),
        b"\xfe\xff" + ROWS.replace(",", "\t").encode("utf-16-be"),
        ROWS.replace("\r\n", "\n").encode(),
        ROWS.replace("\r\n", "\r").encode(),
        ROWS.replace("\r\n", "\n", 1).encode(),
        ROWS.removesuffix("\r\n").encode(),
        ROWS.encode("utf-32"),
        ("\ufeff" + ROWS).encode("utf-32-be"),
        ROWS.replace(",", ";").encode(),
        ("sep=;\r\n" + ROWS.replace(",", ";")).encode("utf-8-sig"),
        ('"sep=|"\r\n' + ROWS.replace(",", "|")).encode(),
        ("sep=\t\r\n" + ROWS.replace(",", "\t")).encode(),
        ("sep=,\r\n" + ROWS).encode(),
        ("\r\n,,,\r\n\r\n" + ROWS).encode(),
        (ROWS + ",,,\r\n\r\n   \r\n").encode(),
        "\r\n".join(f"{row},,," for row in ROWS.split("\r\n")).encode(),
        ROWS.replace("\r\nB", f"\r\n\ufeff{HEAD}\r\nB").encode("utf-8-sig"),
        ROWS.replace(
            "requestId,alias,description", " RequestID , ALIAS,\ufeffDescription\xa0"
        ).encode(),
        ROWS.replace("Müller", "\xa0\u200bMüller\u200b ").encode(),
        ROWS.replace("Müller", '"Müller"').encode(),
    ],
)
def test_a_table_is_read_however_it_was_saved(content: bytes) -> None:
    assert documents(content) == READ


@pytest.mark.parametrize("name", ["keys.txt", "keys.tsv", "KEYS.TXT"])
def test_text_that_excel_calls_unicode_has_a_name_of_its_own(name: str) -> None:
    assert documents(ROWS.replace(",", "\t").encode("utf-16"), name) == READ


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04rest", "is a workbook or an archive, not text.*CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0rest", "is a workbook of an older Excel"),
        (b"%PDF-1.7", "is a PDF"),
        (b"<!DOCTYPE html>\n<table>", "is HTML or XML"),
        (f"{HEAD}\nA,alias/a,\0\n".encode(), "NUL bytes, first in line 2"),
        (ROWS.encode("utf-16-le"), "UTF-8 at byte|NUL bytes"),
        (b"\xff\xfea\x00\x00", "not UTF-16 at byte"),
        (ROWS.replace("Müller", "Ключи").encode("cp1251"), "not UTF-8 at byte .*CSV UTF-8"),
        (ROWS.replace("Müller", "данных").encode("cp1251"), "not UTF-8"),
        (ROWS.replace("Müller", "Łódź").encode("cp1250"), "not UTF-8"),
        (ROWS.encode("mac-roman"), "not UTF-8"),
        (ROWS.replace("Müller", "鍵").encode("shift-jis"), "not UTF-8"),
        (ROWS.encode() + b"\x81\n", "not UTF-8"),
    ],
)
def test_what_is_not_read_is_refused_with_how_to_save_it(content: bytes, reason: str) -> None:
    with pytest.raises(BatchUnreadable, match=reason):
        read(content)


def test_a_number_of_a_spreadsheet_is_a_whole_number() -> None:
    for text in ("365", " 365 ", "365.0", "365,0", "365.00", "\xa0365"):
        assert cell("rotation.periodInDays", text) == 365
    for text in ("1,000", "365.5", "1e3", "365 days", "9" * 30):
        assert cell("rotation.periodInDays", text) == text


@pytest.mark.parametrize("text", ["true", "TRUE", " True "])
def test_a_truth_is_one_in_any_case(text: str) -> None:
    assert cell("keyMaterial.expires", text) is True


@pytest.mark.parametrize(
    "between", [" ", ", ", ",", "; ", ";", "\n", ",\r\n", " ,", "\xa0", ",,", "\t"]
)
def test_several_in_one_cell_are_separated_as_people_do(between: str) -> None:
    assert cell("policy.users", between.join((ADMIN, USER))) == [ADMIN, USER]
    assert cell("policy.users", between.join((ADMIN, USER, ""))) == [ADMIN, USER]
    assert cell("policy.users", between.join((ADMIN, "111122223333"))) == [ADMIN, "111122223333"]
    regions = between.join(("eu-west-1", "us-west-2"))
    assert cell("replicas", regions) == [{"region": "eu-west-1"}, {"region": "us-west-2"}]


def test_a_comma_within_a_name_of_iam_stays() -> None:
    name = "arn:aws:iam::111122223333:role/Key,Admin"

    assert cell("policy.users", f"{name}, {USER}") == [name, USER]


def test_several_in_one_cell_may_be_json() -> None:
    assert cell("policy.users", json.dumps([ADMIN, USER])) == [ADMIN, USER]


def test_a_name_twice_in_a_cell_of_json_is_named_with_its_line() -> None:
    rows = 'A,"\n{""Statement"": [{""a"": 1, ""a"": 2}]}"\nB,"\n{""a"":\n!}"\n'

    first, second = read(f"requestId,policy.document\n{rows}")

    assert first.document == {"requestId": "A"}
    assert [(one["path"], one["code"]) for one in first.problems] == [
        ("policy.document.Statement[0].a", "DUPLICATE_NAME")
    ]
    assert second.problems[0]["message"].startswith("Not JSON at line 6, column 1")


def test_a_column_without_a_name_is_refused_only_where_it_holds_a_value() -> None:
    first, second, third = read("requestId,,alias,\nA,,alias/a,\nB,0,alias/b,\nC,,alias/c,x,\n")

    assert not first.problems
    assert [(one.text, one.number, one.document["requestId"]) for one in (second, third)] == [
        ("", 3, "B"),
        ("", 4, "C"),
    ]
    assert "column 2, which has no name" in second.problems[0]["message"]


def test_a_column_of_no_field_is_refused_where_it_holds_a_value_and_names_the_nearest() -> None:
    first, second = read("requestId,alias,Descripton\nA,alias/a,Ledger\nB,alias/b,\n")

    assert [(one["path"], one["code"]) for one in first.problems] == [
        ("Descripton", "UNKNOWN_FIELD")
    ]
    assert "The nearest is description." in first.problems[0]["message"]
    assert not second.problems


def test_a_column_like_no_field_names_none() -> None:
    (line,) = read("requestId,zzzzzzzz\nA,1\n")

    assert line.problems[0]["message"] == "There is no field zzzzzzzz."


def test_names_that_the_caller_chose_keep_their_case() -> None:
    text = "REQUESTID,Tags.Team,TICKET.Id,KeyMaterial.ValidTo\nA,x,y,z\n"

    assert documents(text) == [
        {
            "requestId": "A",
            "tags": {"Team": "x"},
            "ticket": {"Id": "y"},
            "keyMaterial": {"validTo": "z"},
        }
    ]


def test_a_header_without_the_request_id_says_what_it_names() -> None:
    with pytest.raises(BatchUnreadable, match=r"requestId. It names: Number, alias\."):
        read("Number,,alias\nA,,alias/a\n")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ('A,alias/a,"Ledger”,eu-west-1\nB,alias/b,x,\n', "in line 2,.* is never closed"),
        ('A,alias/a,x,\nB,alias/b,"Ledger', "in line 3,.* is never closed"),
        (
            'A,alias/a,"Ledger,\nB,alias/b,"x, y",eu-west-1\n',
            "in line 2,.* in line 3, the cell does",
        ),
        ('A,alias/a,"Ledger,\nB,alias/b,x,\nC,alias/c,"\nx",\n', "goes on in line 3.* looks like"),
        ('A,alias/a,"Ledger,\nB,alias/b,"\n', "goes on in line 3.* looks like a row"),
        ('A,alias/a,"Ledger\nB,cards,x,\n"\n', "goes on in line 3.* looks like a row"),
        ('A,alias/a,5" disk,\n', "in line 2, a quotation mark stands in a cell"),
        ('A,alias/a, "x, y",\n', "in line 2, a quotation mark stands in a cell"),
        ('A,alias/a,"x" ,\n', "in line 2,.* the cell does not end"),
        ("A,alias/a,“x, y”,\n", "in line 2, a cell begins with “"),
        ("A,alias/a,„x, y“,\n", "in line 2, a cell begins with „"),
    ],
)
def test_a_quotation_mark_where_none_can_be_is_an_error_at_its_line(rows: str, reason: str) -> None:
    with pytest.raises(BatchUnreadable, match=reason):
        read(f"{HEAD}\n{rows}")


@pytest.mark.parametrize(
    "text",
    [
        "Zeile eins\nZeile zwei",
        "Zeile eins\r\n\r\nZeile zwei, mit Komma",
        'The "ledger", signed',
        "“Ledger” of „Kasse“",
        "5″ disk",
        '"',
        "\n  {\n",
        "Dear all, we need\na key, please, and soon\nregards, B.",
    ],
)
def test_what_may_be_meant_in_a_quoted_cell_is_kept(text: str) -> None:
    assert cell("description", text) == text.strip()


def test_text_separated_by_tabs_has_quotation_marks_that_quote_nothing() -> None:
    text = 'requestId\talias\tpolicy.document\nA\talias/a\t{"Version": "2012-10-17"}\n'

    assert documents(text)[0]["policy"] == {"document": {"Version": "2012-10-17"}}


def test_a_policy_that_was_written_over_several_lines_is_read() -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Action": ["kms:*", "kms:Decrypt"]}]}

    assert cell("policy.document", json.dumps(policy, indent=2)) == policy


def test_a_table_of_one_column_loses_no_row_either() -> None:
    with pytest.raises(BatchUnreadable, match="looks like a row"):
        read('requestId\n"A\nB"\n')


PARTS = st.sampled_from(["é", " ", ",", ";", "\t", '"', "\n", "\r", "\r\n", "'"])
TEXTS = st.lists(PARTS).map("".join)
DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", ";", "\t"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "lineterminator": st.sampled_from(["\r\n", "\n", "\r"]),
    }
)


def written(texts: list[str], dialect: dict[str, Any]) -> tuple[list[list[str]], str]:
    rows = [["requestId", "alias", "description", "tags.a"]]
    rows += [[f"R{n}", f"alias/r{n}", text, text[:3]] for n, text in enumerate(texts)]
    file = io.StringIO(newline="")
    csv.writer(file, **dialect).writerows(rows)
    return rows, file.getvalue()


@given(st.lists(TEXTS, max_size=6), DIALECTS)
def test_every_row_that_is_written_comes_back_exactly(
    texts: list[str], dialect: dict[str, Any]
) -> None:
    rows, text = written(texts, dialect)

    read_back = [[one.text for one in row.cells] for row in read_rows("keys.csv", text)]

    assert read_back == rows


@given(st.lists(TEXTS, min_size=1, max_size=6), DIALECTS, st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_with_one_quotation_mark_wrong_no_row_is_lost_or_merged(
    texts: list[str], dialect: dict[str, Any], chance: random.Random
) -> None:
    _, text = written(texts, dialect)
    start = re.search("[\r\n]", text)
    assert start
    at = chance.randrange(start.end(), len(text))
    if chance.random() < 0.5:
        changed = text[:at] + chance.choice('"”') + text[at:]
    else:
        places = [found.start() for found in re.finditer('"', text) if found.start() > start.end()]
        assume(places)
        at = chance.choice(places)
        changed = text[:at] + chance.choice(["", "”", "“", "'"]) + text[at + 1 :]

    try:
        rows = list(read_rows("keys.csv", changed))
    except BatchUnreadable:
        return

    read_back = [re.sub('["“”]', "", "".join(one.text for one in row.cells)) for row in rows[1:]]
    found = [re.findall(r"alias/r[0-9]", joined) for joined in read_back]
    assert found == [[f"alias/r{number}"] for number in range(len(texts))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keys.json", '[{"requestId": "A"},\n {"requestId": "B"}]'),
        ("keys.jsonl", '[{"requestId": "A"}, {"requestId": "B"}]'),
        ("keys.jsonl", '\ufeff[\n{"requestId": "A"},\n{"requestId": "B"}\n]\n'),
        ("keys.jsonl", '\ufeff{"requestId": "A"}\r\n\ufeff{"requestId": "B"}\r\n'),
        ("keys.json", '{"requestId": "A"}\r{"requestId": "B"}'),
    ],
)
def test_a_json_array_is_a_file_of_requests(name: str, text: str) -> None:
    lines = read(text, name)

    assert [line.document["requestId"] for line in lines] == ["A", "B"]
    assert [line.number for line in lines] == [1, 2]
    assert documents(text.encode("utf-16"), name) == [line.document for line in lines]


def test_one_request_may_stand_on_several_lines() -> None:
    assert documents('{\n  "requestId": "A"\n}\n', "keys.json") == [{"requestId": "A"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"requestId": "A"},\n {"requestId": "B"}', "line 2, column "),
        ('[\n{"requestId": "A", "alias": 1, "alias": 2}]', r"\[0\].alias stands twice"),
        ('{\n"requestId": "A", "alias": 1, "alias": 2}', "alias stands twice"),
        ("[\n]", "holds no request"),
    ],
)
def test_a_json_array_that_cannot_be_read_is_refused_as_a_whole(text: str, reason: str) -> None:
    with pytest.raises(BatchUnreadable, match=reason):
        read(text, "keys.json")


@pytest.mark.parametrize("text", ['["A"]', "[]", '["A"]\n{"requestId": "B"}', "[1]\n[2"])
def test_a_line_that_is_a_list_is_a_line(text: str) -> None:
    assert [line.number for line in read(text, "keys.jsonl")] == [*range(1, text.count("\n") + 2)]


def test_a_line_with_a_name_twice_is_refused_alone_and_says_whose_it_is() -> None:
    first, second = read(
        '{"requestId": "A", "alias": "a", "alias": "b"}\n{"requestId": "B"}', "a.jsonl"
    )

    assert (first.text, first.document) == ("", {"requestId": "A"})
    assert [(one["path"], one["code"]) for one in first.problems] == [("alias", "DUPLICATE_NAME")]
    assert not second.problems


def test_a_line_of_another_encoding_is_refused_alone() -> None:
    content = b'{"requestId": "A", "description": "M\xfcller"}\n{"requestId": "B"}\n'

    first, second = read_lines("keys.jsonl", content)

    assert "not UTF-8 at byte 37" in first.problems[0]["message"]
    assert not second.problems
