"""moto and botocore, with what they work out again for every call worked out once.

Nothing of what they answer changes: what is kept here follows from classes, shapes and texts alone.
"""

from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest
from botocore import useragent
from moto.core import serialize
from moto.core.serialize import AttributePickerContext
from moto.core.utils import method_names_from_class
from moto.dynamodb.parsing import ast_nodes, expressions
from moto.kms.utils import generate_private_key


class _Plain(ABCMeta):
    """Classes of which an instance is what inherits from them, as with all of moto's nodes."""

    __instancecheck__ = type.__instancecheck__


def make_moto_quick(patch: pytest.MonkeyPatch) -> None:
    """Let moto take less time for a call, above all for an update of an item."""
    # Nothing here calls AWS by `requests`, which moto spends most of its start on.
    patch.setattr("moto.core.models.RESPONSES_METHODS", [])
    # moto makes a key pair for each key, whatever its kind; no test here uses one.
    patch.setattr("moto.kms.models.generate_private_key", cache(generate_private_key))
    # It lists the methods of a service's class at every call.
    patch.setattr("moto.core.responses.method_names_from_class", cache(method_names_from_class))
    clean = cache(useragent.sanitize_user_agent_string_component)
    patch.setattr(useragent, "sanitize_user_agent_string_component", clean)
    for picker in (serialize.AttributePicker, serialize.XFormedAttributePicker):
        patch.setattr(picker, "get_possible_keys", _kept_keys(picker.get_possible_keys))
    # Whoever changes a parsed expression copies it first.
    parser: Any = vars(expressions)["UpdateExpressionParser"]
    patch.setattr(parser, "make", staticmethod(cache(parser.make)))
    traverser: Any = vars(ast_nodes)["DepthFirstTraverser"]
    patch.setattr(traverser, "nodes_to_be_processed", _kept_nodes())
    for kind in _kinds(vars(ast_nodes)["Node"]):
        kind.__class__ = _Plain  # It stays: monkeypatch cannot undo it, and nobody sees it.


def _kinds(kind: Any) -> Iterator[Any]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def _kept_nodes() -> Callable[[Any], tuple[type, ...]]:
    """Return `nodes_to_be_processed`, whose answer is the same for all instances of a class."""
    kept: dict[type, tuple[type, ...]] = {}

    def nodes_to_be_processed(self: Any) -> tuple[type, ...]:
        if type(self) not in kept:
            kept[type(self)] = tuple(self._processing_map())
        return kept[type(self)]

    return nodes_to_be_processed


def _kept_keys(
    listed: Callable[[Any, AttributePickerContext], Iterable[str]],
) -> Callable[[Any, AttributePickerContext], Iterable[str]]:
    """Return `get_possible_keys`, whose answer follows from the shape and the object's class."""
    kept: dict[Any, list[str]] = {}

    def get_possible_keys(self: Any, context: AttributePickerContext) -> Iterable[str]:
        shape, service = context.shape, context.service_model
        if shape is None or service is None or hasattr(context.obj, "Meta"):
            return listed(self, context)
        parent = getattr(shape, "parent", None)
        about = (
            *(service.service_name, parent and parent.name, context.key, shape.name),
            *(type(context.obj), *self.alias_providers),
        )
        if about not in kept:
            kept[about] = [*listed(self, context)]
        return kept[about]

    return get_possible_keys
