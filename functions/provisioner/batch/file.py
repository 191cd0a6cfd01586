"""Reads a file of requests: JSON Lines, a JSON array, or CSV for people with spreadsheets.

A line that cannot be read is a line with problems, and the lines after it are read all the same.
Where it is not certain which lines are requests, the file is refused as a whole.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from provisioner import json_text
from provisioner.batch import file_text
from provisioner.batch.csv_table import TABLE_ENDINGS, Cell, Row, read_rows, trimmed
from provisioner.errors import BatchUnreadable, Problem, new_problem
from provisioner.intake import documents, field_texts
from provisioner.intake.request import RequestFields
from provisioner.json_text import Json, JsonObject

MAX_LINES = 100_000
"""docs/scale.md says what this comes from."""

_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_PRINCIPALS = ("policy.administrators", "policy.users")
_REPLICAS = "replicas"
_WORDS = "confirm"
_NUMBERS = (
    "rotation.periodInDays",
    "keyMaterial.deadlineInDays",
    "revision",
    "deletionWindowInDays",
)
_DOCUMENTS = ("policy.document",)
_OPEN_GROUPS = ("tags", "ticket")
"""Objects whose fields have the names that the caller chose."""
_TRUE_OR_FALSE = ("keyMaterial.expires", "enabled")
_BOOLEANS = {"true": True, "false": False}
_NUMBER = re.compile(r"([0-9]{1,18})(?:[.,]0{1,2})?")
"""Also as pandas writes a whole number, `365.0`. `1,000` could be one or a thousand."""
_BETWEEN_NAMES = re.compile(r"[\s,;]+")
_BETWEEN_PRINCIPALS = re.compile(r"[\s;]+|,(?=[\s;,]|$|arn:|[0-9]{12}\b)")
"""A comma is allowed in the names of IAM, so it separates only where nothing else can be meant."""


@dataclass(frozen=True)
class Line:
    """One request of a file.

    `number` is that of the line in the file, the first is 1. `text` is the request as it is sent,
    empty where the line cannot be read; `document` is the same as a value.
    """

    number: int
    text: str
    document: Json
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Column:
    """A column of a table: the field of a request that it holds, if any, and its name."""

    field: str | None
    title: str


def read_lines(name: str, content: bytes) -> list[Line]:
    """Read the requests of a file, whose name says what it is.

    `.jsonl`, `.ndjson` and `.json` are JSON; `.csv`, `.tsv` and `.txt` are tables.

    Raises
    ------
    BatchUnreadable
        The file as a whole is not usable.
    """
    if name.lower().endswith(_JSON_ENDINGS):
        lines = list(_json_lines(name, file_text.decode(name, content, is_table=False)))
    elif name.lower().endswith(TABLE_ENDINGS):
        lines = list(_csv_lines(name, file_text.decode(name, content, is_table=True)))
    else:
        raise BatchUnreadable(
            f"{name} is neither JSON Lines (.jsonl) nor CSV (.csv). "
            'A spreadsheet exports "CSV UTF-8".'
        )
    if not lines:
        raise BatchUnreadable(f"{name} holds no request.")
    if len(lines) > MAX_LINES:
        raise BatchUnreadable(f"{name} holds {len(lines)} requests, more than {MAX_LINES}.")
    return lines


def _json_lines(name: str, text: str) -> Iterator[Line]:
    raws = enumerate(file_text.LINE_END.split(text), start=1)
    lines = [(number, trimmed(raw)) for number, raw in raws if trimmed(raw)]
    documents = _one_value(name, text, [raw for _, raw in lines])
    if documents is not None:
        for number, document in enumerate(documents, start=1):
            yield _line(number, document)
        return
    for number, raw in lines:
        try:
            data = raw.encode(errors="surrogateescape")
            yield _line(number, json_text.parse(data, first_line=number))
        except json_text.Unreadable as error:
            yield Line(number, "", error.document, error.problems)


def _one_value(name: str, text: str, lines: list[str]) -> list[object] | None:
    """Read a file that is one JSON text, an array of requests as a rule; None where it is lines.

    Raises
    ------
    BatchUnreadable
        It is one JSON text, and not one that can be read.
    """
    try:
        value = json_text.parse(text)
    except json_text.Unreadable as error:
        is_value = error.problems[0]["code"] == "DUPLICATE_NAME"
        if len(lines) > 1 and (is_value or _begins_an_array(lines[0])):
            reasons = " ".join(problem["message"] for problem in error.problems)
            raise BatchUnreadable(f"{name} is one JSON text. {reasons}") from error
        return None
    if isinstance(value, list) and (len(lines) > 1 or (value and isinstance(value[0], dict))):
        return value
    return [value] if len(lines) > 1 else None


def _begins_an_array(line: str) -> bool:
    try:
        json_text.parse(line)
    except json_text.Unreadable:
        return line.startswith("[")
    return False


def _line(number: int, document: object) -> Line:
    try:
        text = json_text.text(document)
        text.encode()
    except UnicodeEncodeError:
        problem = new_problem("", "NOT_UNICODE", "The line holds half a surrogate pair, not text.")
        return Line(number, "", document, [problem])
    return Line(number, text, document)


def _csv_lines(name: str, text: str) -> Iterator[Line]:
    columns: list[_Column] = []
    for row in read_rows(name, text):
        if columns:
            yield _csv_line(columns, row)
        else:
            columns = _columns(name, row)


def _columns(name: str, header: Row) -> list[_Column]:
    titles = [trimmed(cell.text) for cell in header.cells]
    columns = [_Column(_field(title), title) for title in titles]
    fields = [column.field or column.title for column in columns if column.title]
    repeated = sorted({field for field in fields if fields.count(field) > 1})
    if repeated:
        text = f"Each column of {name} needs a name of its own: {', '.join(repeated)}."
        raise BatchUnreadable(text)
    if "requestId" not in fields:
        text = f"The first line of {name} does not name the column requestId. It names:"
        raise BatchUnreadable(f"{text} {', '.join(fields)}.")
    return columns


@cache
def _fields() -> dict[str, str]:
    """Every field that a column can be named after, by its name in lower case."""
    return {field.lower(): field for field in documents.field_paths(RequestFields)}


def _field(title: str) -> str | None:
    group, _, name = title.partition(".")
    if name and group.lower() in _OPEN_GROUPS:
        return f"{group.lower()}.{name}"
    return _fields().get(title.lower())


def _csv_line(columns: list[_Column], row: Row) -> Line:
    document: JsonObject = {}
    problems: list[Problem] = []
    for column, cell in zip(columns, row.cells, strict=False):
        if not trimmed(cell.text):
            continue
        if column.field is None:
            problems.append(_without_field(column, columns.index(column) + 1))
            continue
        try:
            _put(document, column.field, _value(column.field, cell))
        except json_text.Unreadable as error:
            problems += error.problems
        except ValueError as error:
            problems.append(new_problem(column.field, "BAD_CELL", f"{column.field}: {error}."))
    if any(trimmed(cell.text) for cell in row.cells[len(columns) :]):
        text = f"The line has {len(row.cells)} cells, and there are {len(columns)} columns."
        problems.append(new_problem("", "TOO_MANY_CELLS", text))
    if problems:
        return Line(row.number, "", document, problems)
    return _line(row.number, document)


def _without_field(column: _Column, number: int) -> Problem:
    if not column.title:
        text = f"The line has a value in column {number}, which has no name in the first line."
        return new_problem("", "TOO_MANY_CELLS", text)
    nearest = field_texts.nearest(column.title, _fields().values())
    hint = f" The nearest is {nearest}." if nearest else ""
    text = f"There is no field {column.title[:100]}.{hint}"
    return new_problem(column.title, "UNKNOWN_FIELD", text)


def _value(field: str, cell: Cell) -> object:
    """Turn a cell into the field's value; what does not fit stays text, for the schema to refuse.

    Raises
    ------
    Unreadable
        A cell that must hold JSON does not.
    """
    text = trimmed(cell.text)
    is_list = field in (_REPLICAS, _WORDS, *_PRINCIPALS)
    if field in _DOCUMENTS or (is_list and text.startswith("[")):
        before = cell.text[: cell.text.index(text)]
        first_line = cell.line + len(file_text.LINE_END.findall(before))
        return json_text.parse(text, path=field, first_line=first_line)
    if is_list:
        return _listed(field, text)
    if field in _NUMBERS and (number := _NUMBER.fullmatch(text)):
        return int(number[1])
    if field in _TRUE_OR_FALSE:
        return _BOOLEANS.get(text.lower(), text)
    return text


def _listed(field: str, text: str) -> list[object]:
    between = _BETWEEN_PRINCIPALS if field in _PRINCIPALS else _BETWEEN_NAMES
    names = [name for name in between.split(text) if name]
    return [{"region": name} for name in names] if field == _REPLICAS else names


def _put(document: JsonObject, column: str, value: object) -> None:
    """Put a value where the column says: `tags.team` is the field `team` of `tags`.

    Raises
    ------
    ValueError
        Another column holds the whole of which this is a part, or the other way round.
    """
    *groups, name = column.split(".", 1)
    inner = document
    for group in groups:
        inner = inner.setdefault(group, {})
    if not isinstance(inner, dict) or name in inner:
        raise ValueError("another column says the same field in another way")
    inner[name] = value
