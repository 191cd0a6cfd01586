"""Reads a file of requests: JSON Lines, or CSV for people with spreadsheets.

A line that cannot be read is a line with problems, and the lines after it are read all the same.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from provisioner import json_text
from provisioner.errors import BatchUnreadable, Problem, new_problem

MAX_LINES = 100_000
"""docs/scale.md says what this comes from."""

_LISTS = ("policy.administrators", "policy.users")
_NUMBERS = ("rotation.periodInDays", "keyMaterial.deadlineInDays")
_DOCUMENTS = ("policy.document",)
_REPLICAS = "replicas"
_BOOLEANS = {"true": True, "false": False}
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Line:
    """One request of a file.

    `number` is that of the line in the file, the first is 1. `text` is the request as it is sent,
    empty where the line cannot be read; `document` is the same as a value.
    """

    number: int
    text: str
    document: Any
    problems: list[Problem] = field(default_factory=list)


def read_lines(name: str, content: bytes) -> list[Line]:
    """Read the requests of a file, whose name says what it is: `.jsonl`, `.ndjson` or `.csv`.

    Raises
    ------
    BatchUnreadable
        The file as a whole is not usable.
    """
    ending = name.rpartition(".")[2].lower()
    readers = {"jsonl": _json_lines, "ndjson": _json_lines, "csv": _csv_lines}
    if ending not in readers:
        raise BatchUnreadable(f"{name} is neither JSON Lines (.jsonl) nor CSV (.csv).")
    lines = list(readers[ending](name, content.removeprefix(b"\xef\xbb\xbf")))
    if not lines:
        raise BatchUnreadable(f"{name} holds no request.")
    if len(lines) > MAX_LINES:
        raise BatchUnreadable(f"{name} holds {len(lines)} requests, more than {MAX_LINES}.")
    return lines


def _json_lines(_name: str, content: bytes) -> Iterator[Line]:
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            yield _line(number, json.loads(raw.decode(), parse_constant=_refuse_constant))
        except (ValueError, RecursionError) as error:
            yield Line(number, "", None, [new_problem("", "NOT_JSON", f"Not JSON: {error}.")])


def _line(number: int, document: Any) -> Line:
    try:
        text = json_text.text(document)
        text.encode()
    except UnicodeEncodeError:
        problem = new_problem("", "NOT_UNICODE", "The line holds half a surrogate pair, not text.")
        return Line(number, "", document, [problem])
    except ValueError:
        problem = new_problem("", "NOT_JSON", "A number of the line is too large.")
        return Line(number, "", document, [problem])
    return Line(number, text, document)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _csv_lines(name: str, content: bytes) -> Iterator[Line]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BatchUnreadable(f"{name} is not UTF-8 at byte {error.start}.") from error
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: list[str] = []
    before = 0
    try:
        for row in rows:
            number, before = before + 1, rows.line_num
            if not any(cell.strip() for cell in row):
                continue
            if columns:
                yield _csv_line(number, columns, row)
            else:
                columns = _columns(name, row)
    except csv.Error as error:
        raise BatchUnreadable(f"{name} is no CSV at line {rows.line_num}: {error}.") from error


def _columns(name: str, row: list[str]) -> list[str]:
    columns = [cell.strip() for cell in row]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if "" in columns or repeated:
        raise BatchUnreadable(f"Each column of {name} needs a name of its own: {repeated}.")
    if "requestId" not in columns:
        raise BatchUnreadable(f"The first line of {name} does not name the column requestId.")
    return columns


def _csv_line(number: int, columns: list[str], row: list[str]) -> Line:
    if len(row) > len(columns) and any(row[len(columns) :]):
        text = f"The line has {len(row)} cells, and there are {len(columns)} columns."
        return Line(number, "", None, [new_problem("", "TOO_MANY_CELLS", text)])
    document: dict[str, Any] = {}
    problems = []
    for column, cell in zip(columns, row, strict=False):
        if not cell.strip():
            continue
        try:
            _put(document, column, _value(column, cell.strip()))
        except ValueError as error:
            problems.append(new_problem(column, "BAD_CELL", f"{column}: {error}."))
    if problems:
        return Line(number, "", document, problems)
    return _line(number, document)


def _value(column: str, cell: str) -> Any:
    """Turn a cell into the field's value; what does not fit stays text, for the schema to refuse.

    Raises
    ------
    ValueError
        A cell that must hold JSON does not.
    """
    if column in _DOCUMENTS or (column == _REPLICAS and cell.startswith("[")):
        return json.loads(cell, parse_constant=_refuse_constant)
    if column == _REPLICAS:
        return [{"region": region} for region in cell.split()]
    if column in _LISTS:
        return cell.split()
    if column in _NUMBERS and cell.isdecimal():
        return int(cell)
    if column == "keyMaterial.expires":
        return _BOOLEANS.get(cell.lower(), cell)
    return cell


def _put(document: dict[str, Any], column: str, value: Any) -> None:
    """Put a value where the column says: `tags.team` is the field `team` of `tags`.

    Raises
    ------
    ValueError
        Another column gives the whole of which this is a part, or the other way round.
    """
    *groups, name = column.split(".", 1)
    inner = document
    for group in groups:
        inner = inner.setdefault(group, {})
    if not isinstance(inner, dict) or name in inner:
        raise ValueError("another column says the same field in another way")
    inner[name] = value
