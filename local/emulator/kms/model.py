"""What KMS's own model says of the length, range and form of parameters.

The model is botocore's, which AWS publishes. Allowed values are checked where they are used.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from local.emulator.kms.refusal import invalid


def check(operation: str, parameters: dict[str, Any]) -> None:
    """Check a request's parameters.

    Raises
    ------
    KmsRefusedError
        Some are too long or short, too large or small, or not of their form.
    """
    model = _model()
    if operation not in model.operation_names:
        return
    errors = list(_errors(model.operation_model(operation).input_shape, parameters, ""))
    if errors:
        noun = "error" if len(errors) == 1 else "errors"
        raise invalid(f"{len(errors)} validation {noun} detected: {'; '.join(errors)}")


@cache
def _model() -> ServiceModel:
    model: ServiceModel = botocore.session.get_session().get_service_model("kms")
    return model


def _errors(shape: Shape | None, value: Any, path: str) -> Iterator[str]:
    if shape is None or value is None:
        return
    for constraint in _broken(shape, value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {constraint}"
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, member in shape.members.items():
            below = f"{name[0].lower()}{name[1:]}"
            yield from _errors(member, value.get(name), f"{path}.{below}" if path else below)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, one in enumerate(value, start=1):
            yield from _errors(shape.member, one, f"{path}.{number}.member")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """List the constraints that a value does not satisfy; of blobs the emulator has its own."""
    limits = shape.metadata
    least, most = limits.get("min"), limits.get("max")
    if shape.type_name in ("string", "list") and isinstance(value, str | list):
        size, what = len(value), "length"
        if "pattern" in limits and not re.fullmatch(limits["pattern"], str(value)):
            yield f"satisfy regular expression pattern: {limits['pattern']}"
    elif shape.type_name in ("integer", "long") and isinstance(value, int):
        size, what = value, "value"
    else:
        return
    if most is not None and size > most:
        yield f"have {what} less than or equal to {most}"
    if least is not None and size < least:
        yield f"have {what} greater than or equal to {least}"
