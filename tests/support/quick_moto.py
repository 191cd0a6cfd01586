"""moto and botocore, with what they work out again for every call worked out once.

Nothing of what they answer changes: what is kept here follows from classes, shapes and texts alone.
"""

import pickle
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from botocore import useragent
from botocore.loaders import JSONFileLoader
from moto.core import serialize
from moto.core.serialize import AttributePickerContext
from moto.core.utils import method_names_from_class
from moto.dynamodb import comparisons
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
    # Each session reads the models of its services, and of all endpoints.
    read = cache(JSONFileLoader().load_file)
    patch.setattr(JSONFileLoader, "load_file", lambda _loader, path: read(path))
    # The next word of a condition, and what is left, follow from its text.
    words: Any = vars(comparisons)["ConditionExpressionParser"]
    patch.setattr(words, "_lex_one_node", _kept_words(words._lex_one_node))
    # Whoever changes a parsed expression copies it first.
    parser: Any = vars(expressions)["UpdateExpressionParser"]
    patch.setattr(parser, "make", staticmethod(cache(parser.make)))
    patch.setattr("moto.dynamodb.parsing.validators.deepcopy", _copying())
    traverser: Any = vars(ast_nodes)["DepthFirstTraverser"]
    patch.setattr(traverser, "nodes_to_be_processed", _kept_nodes())
    for kind in _kinds(vars(ast_nodes)["Node"]):
        kind.__class__ = _Plain  # It stays: monkeypatch cannot undo it, and nobody sees it.


def _copying() -> Callable[[Any], Any]:
    """Return `deepcopy` that is quicker for a parsed expression, of which there are few."""
    parsed: Any = vars(ast_nodes)["UpdateExpression"]
    kept: dict[int, tuple[Any, bytes]] = {}

    def copy(expression: Any) -> Any:
        if not isinstance(expression, parsed):
            return deepcopy(expression)
        if id(expression) not in kept:
            # Kept itself too, so that no other one gets its ID.
            kept[id(expression)] = (expression, pickle.dumps(expression))
        return pickle.loads(kept[id(expression)][1])  # noqa: S301  # made in this process

    return copy


def _kept_words(next_word: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Return `_lex_one_node`, which uses nothing of its parser but what its class has."""
    kept: dict[str, Any] = {}

    def lex_one_node(self: Any, text: str) -> Any:
        if text not in kept:
            kept[text] = next_word(self, text)
        return kept[text]

    return lex_one_node


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
