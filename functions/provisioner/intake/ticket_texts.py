"""Requests as ticket systems write them: numbers as texts, blanks around values, empty fields."""

import re
from typing import get_args

from pydantic import BaseModel

from provisioner.intake.request import RequestFields
from provisioner.json_text import Json

_NUMBER = re.compile(r"(-?[0-9]{1,9})(\.0{1,9})?")
_BOOLEANS = {"true": True, "false": False}
_OPAQUE = ("ticket", "document")
"""Fields that are carried as they are: the ticket's own, and a key policy that KMS reads."""


def from_ticket(document: Json) -> Json:
    """Return a request with its texts as the fields want them.

    Blanks around a text are cut, and an empty one is a field left out. Where a field is a number or
    a boolean, a text of one counts as it. What fits nothing stays, and is refused as ever.
    """
    return _object(document, RequestFields)


def _object(given: Json, model: type[BaseModel] | None) -> Json:
    if not isinstance(given, dict):
        return given
    fields = model.model_fields if model else {}
    read = {
        name: value
        if name in fields and name in _OPAQUE and isinstance(value, dict)
        else _value(value, fields[name].annotation if name in fields else None)
        for name, value in given.items()
    }
    return {name: value for name, value in read.items() if value != ""}


def _value(given: Json, annotation: object) -> Json:
    if isinstance(given, dict):
        return _object(given, _model_in(annotation))
    if isinstance(given, list):
        inner = [_value(one, annotation) for one in given]
        return [one for one in inner if one != ""]
    if isinstance(given, str):
        return _from_text(given.strip(), annotation)
    # A number field of Jira's holds 365.0.
    is_whole = isinstance(given, float) and given.is_integer()
    return int(given) if is_whole and _wants(annotation, int) else given


def _from_text(text: str, annotation: object) -> str | int:
    if _wants(annotation, bool):
        return _BOOLEANS.get(text.lower(), text)
    number = _NUMBER.fullmatch(text) if _wants(annotation, int) else None
    return int(number[1]) if number else text


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that an annotation such as `list[ReplicaFields] | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _wants(annotation: object, kind: type) -> bool:
    return annotation is kind or any(inner is kind for inner in get_args(annotation))
