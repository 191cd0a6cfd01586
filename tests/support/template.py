"""Reads template.yaml as plain data."""

from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from checks.template import Template, expanded

# libyaml's, where it is there, is eight times as quick.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's short tags as what they stand for: `!Ref X` as `{"Ref": "X"}`."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    raise TypeError(f"{node.tag} is no kind of node that YAML has.")


_Loader.add_multi_constructor("!", _intrinsic)


def load_template() -> dict[str, Any]:
    """Return template.yaml with its anchors resolved and its intrinsic functions in long form."""
    return deepcopy(_template())


def expanded_template() -> Template:
    """Return template.yaml after the SAM transform, which takes most of a second."""
    return deepcopy(_expanded())


_expanded = cache(partial(expanded, Path("template.yaml")))


@cache
def _template() -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(Path("template.yaml").read_text(), _Loader)  # noqa: S506
    return template


def table_properties(resource: str) -> dict[str, Any]:
    """Return what makes a table of template.yaml what it is to its callers."""
    properties = _template()["Resources"][resource]["Properties"]
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: properties[name] for name in names if name in properties}
