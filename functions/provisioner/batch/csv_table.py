"""Reads CSV strictly: each row of a file comes out as a row of its own, or the file is refused.

A reader that forgives a quotation mark that is not closed takes the rows after it for the text of
one cell, and nobody notices. Here a cell is quoted as RFC 4180 has it, or not at all.
https://www.rfc-editor.org/rfc/rfc4180#section-2
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from provisioner.batch.file_text import LINE_END
from provisioner.errors import BatchUnreadable

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
"""What the names of tables end with; Excel saves Unicode text as .txt."""
_ID_COLUMN = "requestid"
_ALIAS_COLUMN = "alias"
_DELIMITERS = (",", ";", "\t", "|")
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060"
_OPENING = ("“", "”", "„", "‟", "«")
_TYPOGRAPHIC = re.compile("[“”„‟«»]")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w"])"?[,;\s]*', re.IGNORECASE)
"""Excel's own first line, which says what stands between the cells of the table."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)("?)')


class Cell(NamedTuple):
    """A cell's text without its quotation marks, and the line of the file in which it begins."""

    text: str
    line: int


@dataclass(frozen=True)
class Row:
    """A row of a table. `number` is that of its first line in the file; the first is 1."""

    number: int
    cells: list[Cell]


def trimmed(text: str) -> str:
    """Leave out the blanks around a text, also those without any width."""
    while (shorter := text.strip().strip(_INVISIBLE)) != text:
        text = shorter
    return text


def read_rows(name: str, text: str) -> Iterator[Row]:
    """Read the rows of a table, the header first.

    Rows without any text are left out, and so are repetitions of the header.

    Raises
    ------
    BatchUnreadable
        A quotation mark stands where none can, or a cell holds what looks like a row of the table.
    """
    first = LINE_END.split(text, 1)[0]
    if separator := _SEPARATOR_LINE.fullmatch(first):
        return _Reader(name, text, separator[1], len(first)).rows()
    head = next((line for line in LINE_END.split(text) if re.search(r"\w", line)), "")
    return _Reader(name, text, max(_DELIMITERS, key=head.count), 0).rows()


class _Reader:
    """Goes through a text from cell to cell."""

    def __init__(self, name: str, text: str, delimiter: str, position: int) -> None:
        self._name = name
        self._text = text
        self._delimiter = delimiter
        self._end_of_plain = re.compile(f"[{re.escape(delimiter)}\r\n]")
        self._position = position
        self._line = 1

    def rows(self) -> Iterator[Row]:
        header: list[str] = []
        while self._position < len(self._text):
            start, number = self._position, self._line
            row = Row(number, self._cells())
            texts = [trimmed(cell.text).casefold() for cell in row.cells]
            if not any(texts) or texts == header:
                continue
            if not header:
                header = texts
            elif self._line > number + 1:
                self._refuse_swallowed_rows(start, number, header)
            yield row

    def _cells(self) -> list[Cell]:
        """Read the cells up to the end of the row, and go on to the next one."""
        cells = [self._cell()]
        while self._text.startswith(self._delimiter, self._position):
            self._position += 1
            cells.append(self._cell())
        if end := LINE_END.match(self._text, self._position):
            self._position = end.end()
        self._line += 1
        return cells

    def _cell(self) -> Cell:
        line = self._line
        if quoted := _QUOTED.match(self._text, self._position):
            return Cell(self._unquoted(*quoted.groups()), line)
        end = self._end_of_plain.search(self._text, self._position)
        text = self._text[self._position : end.start() if end else None]
        self._position += len(text)
        # Only where tabs separate do some programs quote nothing, and write JSON as it is.
        marks = text.count('"')
        if marks % 2 or (marks and self._delimiter != "\t"):
            raise self._unreadable(
                line, "a quotation mark stands in a cell that does not begin with one"
            )
        if text.startswith(_OPENING) and len(_TYPOGRAPHIC.findall(text)) == 1:
            raise self._unreadable(
                line,
                f'a cell begins with {text[0]} and does not end with it; CSV quotes with " only',
            )
        return Cell(text, line)

    def _unquoted(self, inner: str, closing: str) -> str:
        opened = self._line
        self._position += len(inner) + 2
        self._line += len(LINE_END.findall(inner))
        if not closing:
            raise self._unreadable(
                opened, "a cell begins with a quotation mark that is never closed"
            )
        if self._text[self._position : self._position + 1] not in ("", self._delimiter, "\r", "\n"):
            raise self._unreadable(
                opened,
                "a cell begins with a quotation mark, and after the next one, in line "
                f"{self._line}, the cell does not end",
            )
        return inner.replace('""', '"')

    def _refuse_swallowed_rows(self, start: int, number: int, header: list[str]) -> None:
        """Refuse a row of which a later line could be a row: some quotation mark was forgotten."""
        lines = LINE_END.split(self._text[start : self._position])
        for offset, line in enumerate(lines[1:], start=1):
            if self._is_like_a_row(line, header):
                raise self._unreadable(
                    number,
                    f"a cell begins that goes on in line {number + offset}, and that line looks "
                    "like a row of its own; a quotation mark seems to be missing",
                )

    def _is_like_a_row(self, line: str, header: list[str]) -> bool:
        cells = [trimmed(cell).strip('"') for cell in line.split(self._delimiter)]
        values = dict(zip(header, cells, strict=False))
        is_id = _ID.fullmatch(values.get(_ID_COLUMN, ""))
        has_alias = values.get(_ALIAS_COLUMN, "").casefold().startswith("alias/")
        return has_alias or (is_id is not None and len(cells) >= len(header))

    def _unreadable(self, line: int, reason: str) -> BatchUnreadable:
        return BatchUnreadable(f"{self._name} cannot be read: in line {line}, {reason}.")
