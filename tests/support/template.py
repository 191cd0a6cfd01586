"""Reads template.yaml and observability.yaml as plain data."""

import re
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
    return deepcopy(_read("template.yaml"))


def load_region_template() -> dict[str, Any]:
    """Return template-region.yaml as `load_template` does."""
    return deepcopy(_read("template-region.yaml"))


def load_observability() -> dict[str, Any]:
    """Return observability.yaml as `load_template` does, with what is passed for its parameters."""
    passed = _read("template.yaml")["Resources"]["Observability"]["Properties"]["Parameters"]
    nested = _read("observability.yaml")
    return {**nested, "Resources": _with_passed(nested["Resources"], passed)}


def nested_template() -> dict[str, Any]:
    """Return observability.yaml as it stands, with its anchors resolved."""
    return deepcopy(_read("observability.yaml"))


def _with_passed(value: Any, passed: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_with_passed(item, passed) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"Ref"}:
        return passed.get(value["Ref"], value)
    if value.keys() == {"Fn::Sub"}:
        return {"Fn::Sub": re.sub(r"\$\{(\w+)\}", partial(_substitute, passed), value["Fn::Sub"])}
    return {key: _with_passed(item, passed) for key, item in value.items()}


def _substitute(passed: dict[str, Any], reference: re.Match[str]) -> str:
    if reference[1] not in passed:
        return reference[0]
    (name,) = passed[reference[1]].values()
    return f"${{{name}}}"


def expanded_template() -> Template:
    """Return template.yaml after the SAM transform, which takes most of a second."""
    return deepcopy(_expanded())


_expanded = cache(partial(expanded, Path("template.yaml")))


@cache
def _read(name: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(Path(name).read_text(), _Loader)  # noqa: S506
    return template


def table_properties(resource: str) -> dict[str, Any]:
    """Return what makes a table of template.yaml what it is to its callers."""
    properties = _read("template.yaml")["Resources"][resource]["Properties"]
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: properties[name] for name in names if name in properties}
