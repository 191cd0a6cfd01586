"""Reads a file's bytes as text, in the encodings that spreadsheets and mail clients write."""

import re

from provisioner.errors import BatchUnreadable

BYTE_ORDER_MARK = "\ufeff"
LINE_END = re.compile(r"\r\n|\r|\n")
_HOW_TO_SAVE = 'Save it as UTF-8; Excel calls that "CSV UTF-8 (Comma delimited)".'
_NOT_TEXT = {
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an older Excel",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a compressed file",
}
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WESTERN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûü€‚„…‘’“”•–—™§©«®°´·»\xa0"  # noqa: RUF001
)
_THREE_LETTERS = re.compile("[À-ÿ]{3}")
"""Words of Western Europe's languages do not have three such letters in a row. Almost every word of
Cyrillic or Greek in one byte a letter has them, or of a script with two bytes a letter."""


def decode(name: str, content: bytes, *, is_table: bool) -> str:
    """Read a file's text: UTF-8, UTF-16 with a byte order mark, or a table in Windows-1252.

    JSON is UTF-8 by definition, and a byte of it that is not stands in the text as
    `surrogateescape` has it, so that the other lines can be read.

    A byte order mark at the beginning of any line is left out: files that were put one after
    another have it in the middle.

    Raises
    ------
    BatchUnreadable
        It is not text, or its encoding cannot be determined.
    """
    for start, kind in _NOT_TEXT.items():
        if content.startswith(start):
            text = f"{name} is {kind}, not text. Export the sheet as CSV in UTF-8"
            raise BatchUnreadable(f'{text} (in Excel: Save As, "CSV UTF-8").')
    text = _decoded(name, content, is_table=is_table).removeprefix(BYTE_ORDER_MARK)
    if "\0" in text:
        line = line_of(text, text.index("\0"))
        raise BatchUnreadable(f"{name} holds NUL bytes, first in line {line}. {_HOW_TO_SAVE}")
    if text.lstrip().startswith("<"):
        raise BatchUnreadable(
            f"{name} is HTML or XML, whatever its name is. Export the table as CSV in UTF-8."
        )
    return re.sub(f"(?<=[\r\n]){BYTE_ORDER_MARK}", "", text)


def line_of(text: str, position: int) -> int:
    """Count the line that a position of a text is in; the first is 1."""
    return len(LINE_END.findall(text, 0, position)) + 1


def _decoded(name: str, content: bytes, *, is_table: bool) -> str:
    encoding = next((mark for start, mark in _MARKS.items() if content.startswith(start)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        text = None
        if encoding == "utf-8" and is_table:
            text = _western(content)
        elif encoding == "utf-8":
            text = content.decode(errors="surrogateescape")
        if text is None:
            reason = f"{name} is not {encoding.upper()} at byte {error.start + 1}"
            raise BatchUnreadable(f"{reason}. {_HOW_TO_SAVE}") from error
        return text


def _western(content: bytes) -> str | None:
    """Read Windows-1252, as Excel's plain CSV has it; None where it may be another encoding.

    Nothing in a file says that it is Windows-1252, and a wrong guess would put wrong letters into
    the description of a key.
    """
    try:
        text = content.decode("windows-1252")
    except UnicodeDecodeError:
        return None
    others = {char for char in text if not char.isascii()}
    return text if others <= _WESTERN and not _THREE_LETTERS.search(text) else None
