r"""JSON as this product sends it and reads it.

It sends it compact, and in UTF-8 rather than as `\uXXXX`: AWS counts the bytes of a text in UTF-8.
Written as `\uXXXX`, a letter of two bytes takes six, so a request that was measured in one form and
sent in the other could be three times as large.

It reads it strictly. A name that stands twice in one object is refused, where Python's reader keeps
the last one without a word: of two conditions of a policy's statement, one would be lost.
https://www.rfc-editor.org/rfc/rfc8259#section-4
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from provisioner.errors import Problem, new_problem

type Json = Any
"""A value of which only whoever checks or sends it knows the type."""
type JsonObject = dict[str, Json]

MAX_DEPTH = 100
"""Far more levels than a request has use for, and far fewer than any reader of it can take."""
_BYTE_ORDER_MARK = "\ufeff"
_MAX_REPEATED = 100
"""Of the names that stand twice in a text: a refusal has to fit where the request did."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\]:,]+', re.DOTALL)

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def text(value: object) -> str:
    """Write a value as it is sent.

    Raises
    ------
    ValueError
        It holds NaN or Infinity, which JSON has not.
    """
    return _ENCODER.encode(value)


def size(value: object) -> int:
    """Count the bytes that a value has as it is sent.

    Raises
    ------
    UnicodeEncodeError
        It holds half a surrogate pair, which is no character.
    ValueError
        It holds NaN or Infinity, which JSON has not.
    """
    return len(text(value).encode())


class Unreadable(Exception):
    """A text is not JSON, or not JSON that means one thing.

    Attributes
    ----------
    problems
        Where, and why.
    document
        Of the object that the text is, the fields that are texts and mean one thing; empty where
        the text is not JSON.
    """

    def __init__(self, problems: list[Problem], document: dict[str, str] | None = None) -> None:
        self.problems = problems
        self.document = document or {}
        super().__init__(problems[0]["message"])


class _NotANumber(Exception):
    """A number that JSON does not have, or that nothing can hold."""


class _Repeating(list[tuple[str, object]]):
    """The fields of an object in which a name stands twice."""


def parse(data: bytes | str, *, path: str = "", first_line: int = 1) -> object:
    """Read a JSON text; a byte order mark before it does no harm.

    Parameters
    ----------
    path
        Where the text stands in the request, if it is a part of one.
    first_line
        The number of the text's first line in the file that it comes from.

    Raises
    ------
    Unreadable
        The code is `NOT_JSON`, with the line and the column, or `DUPLICATE_NAME` for each name
        that stands twice in one object, with the path of that field.
    """
    text = _decoded(data, path).removeprefix(_BYTE_ORDER_MARK)
    try:
        value = _DECODER.decode(text)
        repeats = _has_repetitions([value])
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" at").removesuffix(" starting")
        raise _not_json(text, error.pos, reason, path, first_line) from error
    except _NotANumber as error:
        number = str(error)
        start = next(token.start() for token in _TOKEN.finditer(text) if token.group() == number)
        reason = f"{number[:20]} is not a number that JSON can hold"
        raise _not_json(text, start, reason, path, first_line) from error
    except RecursionError as error:
        raise _too_deep(path) from error
    if repeats:
        raise Unreadable(list(_repeated_names(value, path))[:_MAX_REPEATED], _plain_fields(value))
    return value


def _decoded(data: bytes | str, path: str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = f"Not JSON: the text is not UTF-8 at byte {error.start + 1}. Save it as UTF-8."
        raise Unreadable([new_problem(path, "NOT_JSON", text)]) from error


def _not_json(text: str, position: int, reason: str, path: str, first_line: int) -> Unreadable:
    line = first_line + text.count("\n", 0, position)
    column = position - text.rfind("\n", 0, position)
    message = f"Not JSON at line {line}, column {column}: {reason}."
    return Unreadable([new_problem(path, "NOT_JSON", message)])


def _too_deep(path: str) -> Unreadable:
    text = f"Objects and lists stand in one another more than {MAX_DEPTH} levels deep."
    return Unreadable([new_problem(path, "NOT_JSON", text)])


def _number(text: str) -> float:
    """Read a number; an integer of any length that a float can hold stays one."""
    number = float(text)
    if not math.isfinite(number):
        raise _NotANumber(text)
    return number


def _integer(text: str) -> int:
    _number(text)
    return int(text)


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object] | _Repeating:
    document = dict(pairs)
    return document if len(document) == len(pairs) else _Repeating(pairs)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_fields, parse_int=_integer, parse_float=_number, parse_constant=_number
)


def _has_repetitions(values: list[object]) -> bool:
    """Whether a name stands twice in any object of some values.

    Raises
    ------
    RecursionError
        One has more than `MAX_DEPTH` levels.
    """
    level: list[JsonObject | list[Json]] = [values]
    found = False
    for _ in range(MAX_DEPTH + 1):
        inside: list[object] = []
        for outer in level:
            if isinstance(outer, dict):
                inside.extend(outer.values())
            elif isinstance(outer, _Repeating):
                found = True
                inside.extend(inner for _, inner in outer)
            else:
                inside.extend(outer)
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return found
    raise RecursionError


def _pairs(value: object) -> list[tuple[str, object]]:
    """List the fields of an object, and nothing for what is no object."""
    if isinstance(value, dict):
        return list(value.items())
    return value if isinstance(value, _Repeating) else []


def _repeated_names(value: object, path: str) -> Iterator[Problem]:
    if isinstance(value, list) and not isinstance(value, _Repeating):
        for index, inner in enumerate(value):
            yield from _repeated_names(inner, f"{path}[{index}]")
        return
    pairs = _pairs(value)
    times = Counter(name for name, _ in pairs)
    for name, count in times.items():
        if count > 1:
            problem = new_problem(_joined(path, name), "DUPLICATE_NAME", "")
            problem["message"] = f"{problem['path']} stands twice in one object."
            yield problem
    for name, inner in pairs:
        yield from _repeated_names(inner, _joined(path, name))


def _plain_fields(value: object) -> dict[str, str]:
    times = Counter(name for name, _ in _pairs(value))
    return {
        name: inner for name, inner in _pairs(value) if isinstance(inner, str) and times[name] == 1
    }


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
