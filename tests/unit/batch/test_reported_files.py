"""Files after public reports, and files that real programs have written."""

from pathlib import Path
from typing import Any

import pytest

from provisioner.batch.file import Line, read_lines
from provisioner.errors import BatchUnreadable
from provisioner.intake.request import parse_request
from tests.support.samples import ADMIN, SETTINGS, USER

FILES = Path(__file__).parent / "files"
ACCOUNT = (
    '{"Sid":"Account","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},'
    '"Action":"kms:*","Resource":"*"}'
)


def problems(line: Line) -> list[tuple[str, str]]:
    return [(problem["path"], problem["code"]) for problem in line.problems]


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (
            'REAL-1,alias/real/1,"Ledger”,eu-west-1\r\nREAL-2,alias/real/2,Receipts,eu-west-1\r\n'
            "REAL-3,alias/real/3,Invoices,eu-west-1\r\n",
            "line 2",
        ),
        (
            'REAL-4,alias/real/4,"Ledger,eu-west-1\r\n'
            'REAL-5,alias/real/5,"Receipts, signed",eu-west-1\r\n'
            "REAL-6,alias/real/6,Invoices,eu-west-1\r\n",
            "line 2.*line 3",
        ),
    ],
)
def test_three_requests_do_not_become_one_where_a_quotation_mark_is_not_closed(
    rows: str, lines: str
) -> None:
    with pytest.raises(BatchUnreadable, match=lines):
        read_lines("keys.csv", f"requestId,alias,description,replicas\r\n{rows}".encode())


@pytest.mark.parametrize(
    ("statement", "repeated"),
    [
        (
            '"Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:Decrypt",'
            '"Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"blue"},'
            '"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}',
            "Condition.StringEquals",
        ),
        (
            '"Principal":{"Service":"logs.us-east-1.amazonaws.com",'
            '"Service":"logs.eu-west-1.amazonaws.com"},"Action":["kms:Encrypt*"]',
            "Principal.Service",
        ),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_policy_does_not_lose_a_condition_or_a_principal(
    ending: str, statement: str, repeated: str
) -> None:
    document = f'{{"Statement":[{ACCOUNT},{{"Effect":"Allow","Resource":"*",{statement}}}]}}'
    quoted = document.replace('"', '""')
    text = {
        "jsonl": f'{{"requestId":"A","alias":"alias/a","policy":{{"document":{document}}}}}\n',
        "csv": f'requestId,alias,policy.document\nA,alias/a,"{quoted}"\n',
    }[ending]

    (line,) = read_lines(f"keys.{ending}", text.encode())

    assert (line.text, line.document["requestId"]) == ("", "A")
    assert problems(line) == [(f"policy.document.Statement[1].{repeated}", "DUPLICATE_NAME")]
    assert repeated in line.problems[0]["message"]


def test_a_request_does_not_lose_its_replica() -> None:
    text = b'{"requestId":"A","alias":"alias/a","replicas":[{"region":"eu-west-1"}],"replicas":[]}'

    (line,) = read_lines("keys.jsonl", text)

    assert problems(line) == [("replicas", "DUPLICATE_NAME")]


def test_several_principals_and_regions_are_separated_as_lists_are_exported() -> None:
    text = (
        "requestId,alias,policy.administrators,policy.users,replicas\r\n"
        f'REAL-1,alias/real/1,"{ADMIN}, {USER}",{USER},eu-west-1\r\n'
        'REAL-2,alias/real/2,,,"eu-west-1, us-west-2"\r\n'
        "REAL-3,alias/real/3,,,eu-west-1;us-west-2\r\n"
    )

    first, *others = read_lines("keys.csv", text.encode())

    assert first.document["policy"] == {"administrators": [ADMIN, USER], "users": [USER]}
    for line in others:
        assert line.document["replicas"] == [{"region": "eu-west-1"}, {"region": "us-west-2"}]


def test_columns_beyond_the_table_say_nothing() -> None:
    text = (
        "requestId,alias,description,replicas,,,\r\nREAL-1,alias/real/1,Ledger,eu-west-1,,,\r\n"
        "REAL-2,alias/real/2,Receipts,,,,\r\n,,,,,,\r\n"
    )

    lines = read_lines("keys.csv", text.encode())

    assert [(line.document["requestId"], line.problems) for line in lines] == [
        ("REAL-1", []),
        ("REAL-2", []),
    ]


def requests() -> list[dict[str, Any]]:
    """Return the requests that each file holds; the README beside them says how it was made."""
    first: dict[str, Any] = {
        "requestId": "FILE-1",
        "alias": "alias/file/one",
        "description": 'Schlüssel für "Kasse", Zürich',
        "replicas": [{"region": "eu-west-1"}, {"region": "us-west-2"}],
        "policy": {"administrators": [ADMIN, USER]},
        "rotation": {"periodInDays": 365},
    }
    second = {
        "requestId": "FILE-2",
        "alias": "alias/file/two",
        "description": "Zeile eins\nZeile zwei",
        "replicas": first["replicas"],
    }
    third = {
        "requestId": "FILE-3",
        "alias": "alias/file/three",
        "rotation": {"periodInDays": 90},
    }
    return [first, second, third]


def readable() -> list[Path]:
    return sorted(path for path in FILES.iterdir() if path.name.startswith("read-"))


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.name)
def test_what_real_programs_write_is_read(path: Path) -> None:
    lines = read_lines(path.name, path.read_bytes())

    assert [line.problems for line in lines] == [[], [], []]
    documents = [line.document for line in lines]
    for document in documents:
        if "description" in document:
            document["description"] = document["description"].replace("\r\n", "\n")
    assert documents == requests()
    for document in documents:
        parse_request(document, SETTINGS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refused-libreoffice-workbook.csv", "is a workbook or an archive, not text"),
        ("refused-openpyxl-workbook.csv", "is a workbook or an archive, not text"),
        ("refused-libreoffice-page.csv", "is HTML or XML"),
    ],
)
def test_what_is_no_table_says_how_to_save_it(name: str, reason: str) -> None:
    with pytest.raises(BatchUnreadable, match=f"{reason}.*CSV in UTF-8"):
        read_lines(name, (FILES / name).read_bytes())


def test_an_index_column_of_pandas_is_refused_at_each_line() -> None:
    path = FILES / "lines-refused-pandas-index.csv"

    lines = read_lines(path.name, path.read_bytes())

    assert [(line.text, line.document["requestId"]) for line in lines] == [
        ("", f"FILE-{number}") for number in (1, 2, 3)
    ]
    assert {line.problems[0]["message"] for line in lines} == {
        "The line has a value in column 1, which has no name in the first line."
    }
