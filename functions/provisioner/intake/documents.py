"""Documents that come from outside: what makes one unreadable, and how its problems are phrased.

Requests and answers to a question for key material are read in the same way: first whether the
document can be read, then its fields by a pydantic model, every problem with its path.
"""

from collections.abc import Iterator
from functools import cache
from itertools import accumulate, takewhile
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from provisioner import json_text
from provisioner.errors import Problem, new_problem
from provisioner.intake import field_texts

MAX_DEPTH = 64
"""Levels of objects and lists; no document needs a tenth of that."""
MAX_PROBLEMS_BYTES = 64 * 1024
"""So that a refusal fits with its request into what Step Functions and EventBridge carry."""

_PYDANTICS_KINDS = frozenset(get_args(ErrorType))
"""The others are raised by our own validators, with a sentence."""


class Fields(BaseModel):
    """Base of the models: unknown fields are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


def unreadable(document: object, what: str, max_bytes: int) -> Problem | None:
    """Say why no field of the document can be read, if that is so.

    Parameters
    ----------
    what
        Its name in a sentence, such as "request".
    """
    if not isinstance(document, dict):
        article = "An" if what[0] in "aeiou" else "A"
        return new_problem("", "NOT_AN_OBJECT", f"{article} {what} is a JSON object.")
    if _is_deeper_than(MAX_DEPTH, document):
        text = f"The {what} is nested more than {MAX_DEPTH} levels deep."
        return new_problem("", "TOO_DEEP", text)
    try:
        size = json_text.size(document)
    except UnicodeEncodeError:
        text = f"The {what} holds half a surrogate pair, not text."
        return new_problem("", "NOT_UNICODE", text)
    except ValueError:
        return new_problem("", "NOT_JSON", "NaN and Infinity are no numbers in JSON.")
    if size > max_bytes:
        text = f"The {what} is {size} bytes long; at most {max_bytes} are taken."
        return new_problem("", f"{what.upper()}_TOO_LARGE", text)
    return None


def _is_deeper_than(levels: int, document: object) -> bool:
    layer: list[Any] = [document]
    for _ in range(levels):
        holders = [value for value in layer if isinstance(value, dict | list)]
        layer = [v for held in holders for v in (held.values() if isinstance(held, dict) else held)]
    return any(isinstance(value, dict | list) for value in layer)


_MOST_DETAILS = 2_000
"""Twice as many as fit into MAX_PROBLEMS_BYTES."""


def problems_from(details: list[ErrorDetails], model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's errors about a model into problems; those that `bounded` cuts only count."""
    problems = [from_pydantic(detail, model) for detail in details[:_MOST_DETAILS]]
    left_over = len(details) - len(problems)
    return problems + [new_problem("", "TOO_MANY_PROBLEMS", "")] * left_over


def from_pydantic(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    """Turn one of pydantic's errors about a model into a problem of ours, in our words."""
    path = ""
    for step in detail["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    path = path.removesuffix(".[key]")
    kind, given = detail["type"], detail["input"]
    holder, name = _field(detail["loc"], model)
    if kind == "extra_forbidden":
        text = field_texts.unknown(detail["loc"][-1], holder.model_fields)
        return new_problem(path, "UNKNOWN_FIELD", text)
    if kind == "missing":
        return new_problem(path, "REQUIRED", field_texts.missing(name))
    if kind not in _PYDANTICS_KINDS:
        return new_problem(path, kind.upper(), f"{detail['msg'].removesuffix('.')}.")
    if kind == "string_too_long":
        return new_problem(path, "TOO_LONG", field_texts.too_long(name, given))
    is_no_text = kind in ("enum", "literal_error") and not isinstance(given, str)
    code = "WRONG_TYPE" if is_no_text else _code(kind)
    return new_problem(path, code, field_texts.wrong(name, given))


def _field(place: tuple[int | str, ...], model: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """Find the field that an error is in or at, and the model that has it."""
    holder, name = model, ""
    inner: type[BaseModel] | None = model
    for step in place:
        if isinstance(step, str) and inner:
            holder, name = inner, step
            inner = _model_of_field(inner, name) if name in inner.model_fields else None
    return holder, name


@cache
def _model_of_field(holder: type[BaseModel], name: str) -> type[BaseModel] | None:
    return _model_in(holder.model_fields[name].annotation)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model in a field's annotation, such as `list[ReplicaFields] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _code(kind: str) -> str:
    """Our code for pydantic's kind of error; an unlisted kind is its own code."""
    if kind.endswith("_type") or kind in ("int_from_float", "is_instance_of"):
        return "WRONG_TYPE"
    return {
        "string_pattern_mismatch": "BAD_FORMAT",
        "string_too_long": "TOO_LONG",
        "string_too_short": "TOO_SHORT",
        "too_short": "TOO_SHORT",
        "greater_than_equal": "OUT_OF_RANGE",
        "less_than_equal": "OUT_OF_RANGE",
        "enum": "NOT_ONE_OF",
        "literal_error": "NOT_ONE_OF",
    }.get(kind, kind.upper())


def bounded(problems: list[Problem]) -> list[Problem]:
    """Keep a refusal within what an event can carry."""
    sizes = accumulate(json_text.size(problem) for problem in problems)
    kept = sum(1 for _ in takewhile(lambda size: size <= MAX_PROBLEMS_BYTES, sizes))
    if kept == len(problems):
        return problems
    rest = f"There are {len(problems) - kept} more problems like these."
    return [*problems[:kept], new_problem("", "TOO_MANY_PROBLEMS", rest)]


def field_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List the paths of the fields of a document, `rotation.periodInDays` among them."""
    for name, described in model.model_fields.items():
        yield f"{prefix}{name}"
        for kind in get_args(described.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from field_paths(kind, f"{prefix}{name}.")
