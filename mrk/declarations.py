"""Declarations of key sets, read from files, standard input or a directory, as JSON or YAML.

A name that stands twice in one object is refused, as the API refuses it: of two conditions of a
policy's statement, one would be lost without a word.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrk.errors import MrkError, Problem, Refused
from mrk.json_value import Json

STANDARD_INPUT = "-"
_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Declaration:
    """What one document declares, and where it was read, such as `keys/cards.yaml`."""

    source: str
    document: dict[str, Any]

    @property
    def request_id(self) -> str:
        """The requestId; empty where the document has none, which the API refuses."""
        found = self.document.get("requestId")
        return found if isinstance(found, str) else ""

    @property
    def regions(self) -> list[str]:
        """The Regions that are named, the primary's first."""
        replicas = self.document.get("replicas")
        members = [{"region": self.document.get("primaryRegion")}]
        members += replicas if isinstance(replicas, list) else []
        named = [one.get("region") for one in members if isinstance(one, dict)]
        return [region for region in named if isinstance(region, str)]


def read_declarations(place: str) -> list[Declaration]:
    """Read a file, standard input (`-`), or every JSON and YAML file of a directory.

    A YAML file may hold several declarations, each after a line `---`.

    Raises
    ------
    MrkError
        Something cannot be read, or declares nothing.
    Refused
        A text is no JSON or YAML, a name stands twice in an object, or two declarations have one
        requestId.
    """
    found = [one for path in _files(place) for one in _declarations(path)]
    if not found:
        raise MrkError(f"{place} declares nothing: it has no *.json, *.yaml or *.yml with content.")
    times = Counter(one.request_id for one in found if one.request_id)
    twice = [
        Problem(path=one.source, code="DUPLICATE_REQUEST", message=f"{one.request_id} stands twice")
        for one in found
        if times[one.request_id] > 1
    ]
    if twice:
        raise Refused("Two declarations of one request would undo one another:", twice)
    return found


def is_directory(place: str) -> bool:
    """Say whether a place is a directory, whose declarations are planned and applied as one."""
    return place != STANDARD_INPUT and Path(place).is_dir()


def _files(place: str) -> list[str]:
    if not is_directory(place):
        return [place]
    return sorted(str(path) for path in Path(place).iterdir() if path.suffix in _SUFFIXES)


def _declarations(path: str) -> Iterator[Declaration]:
    documents = _documents(_text(path), path)
    for number, found in enumerate(documents, start=1):
        source = f"{path} ({number})" if len(documents) > 1 else path
        # A whole event, as `aws events put-events` and the samples have it, is taken as well.
        is_event = isinstance(found, dict) and "detail-type" in found
        document = found.get("detail") if is_event else found
        if not isinstance(document, dict):
            text = "A declaration is an object, with at least requestId and alias"
            raise Refused(
                "This cannot be read:",
                [Problem(path=source, code="NOT_AN_OBJECT", message=f"{text}.")],
            )
        yield Declaration(source, document)


def _text(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise MrkError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MrkError(
            f"{path} is not UTF-8 at byte {error.start + 1}. Save it as UTF-8."
        ) from error


def _documents(text: str, path: str) -> list[Json]:
    if path.endswith(".json") or (path == STANDARD_INPUT and text.lstrip()[:1] in ("{", "[")):
        return [_parse_json(text, path)]
    from mrk.yaml_text import parse_yaml  # noqa: PLC0415 - JSON, the usual form, does without

    return parse_yaml(text, path)


class _Repeating(dict[str, Any]):
    """An object in which names stand twice."""

    names: list[str]


def _parse_json(text: str, path: str) -> Json:
    try:
        value = json.loads(
            text, object_pairs_hook=_fields, parse_constant=_no_number, parse_float=_finite
        )
        repeated = list(_repeated(value, ""))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise unreadable(path, "NOT_JSON", f"Not JSON at {where}: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise unreadable(path, "NOT_JSON", f"Not JSON: {error}.") from error
    if repeated:
        problems = [duplicate_name(name) for name in repeated]
        raise Refused(f"{path} means more than one thing:", problems)
    return value


def unreadable(path: str, code: str, message: str) -> Refused:
    """Return the refusal of a text."""
    return Refused("This cannot be read:", [Problem(path=path, code=code, message=message)])


def duplicate_name(path: str, where: str = "") -> Problem:
    """Return the problem of a name that stands twice, as the API reports it."""
    text = f"{path} stands twice in one object{where}."
    return Problem(path=path, code="DUPLICATE_NAME", message=text)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(fields := dict(pairs)) == len(pairs):
        return fields
    repeating = _Repeating(fields)
    repeating.names = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    return repeating


def _repeated(value: Json, path: str) -> Iterator[str]:
    if isinstance(value, _Repeating):
        yield from (f"{path}{name}" for name in value.names)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _repeated(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _repeated(inner, f"{path.removesuffix('.')}[{index}].")


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not a number that JSON can hold")
    return number
