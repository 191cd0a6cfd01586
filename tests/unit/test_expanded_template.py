"""What CloudFormation gets after the SAM transform: no circle, one stage, names that fit."""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from checks.template import expanded

TEMPLATE = expanded(Path("template.yaml"))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def names_in(value: Any) -> Iterator[str]:
    """List what `Ref`, `Fn::GetAtt` and `Fn::Sub` in a value refer to."""
    if isinstance(value, list):
        for item in value:
            yield from names_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item.split(".")[0] if isinstance(item, str) else item[0]
            elif key == "Fn::Sub":
                text = item if isinstance(item, str) else item[0]
                yield from (name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text))
                yield from names_in(item)
            else:
                yield from names_in(item)


def dependencies(resources: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """Map each resource to those that CloudFormation makes before it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-dependson.html
    """
    before = {}
    for name, resource in resources.items():
        named = resource.get("DependsOn", [])
        referred = {*names_in(resource), *([named] if isinstance(named, str) else named)}
        before[name] = referred & resources.keys()
    return before


def circle_in(resources: dict[str, dict[str, Any]]) -> list[str]:
    """Find resources that wait for one another, or none."""
    try:
        TopologicalSorter(dependencies(resources)).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_resource_waits_for_itself() -> None:
    assert circle_in(RESOURCES) == []


@pytest.mark.parametrize(
    "reference",
    [
        {"Properties": {"Arn": {"Fn::GetAtt": ["EventBus", "Arn"]}}},
        {"Properties": {"Arn": {"Fn::GetAtt": "EventBus.Arn"}}},
        {"Properties": {"Names": [{"Ref": "EventBus"}]}},
        {"Properties": {"Text": {"Fn::Sub": "${AWS::Region}/${EventBus.Arn}"}}},
        {"Properties": {"Text": {"Fn::Sub": ["${Bus}", {"Bus": {"Ref": "EventBus"}}]}}},
        {"DependsOn": "EventBus"},
        {"DependsOn": ["EventBus"]},
    ],
)
def test_a_role_that_refers_to_the_bus_would_be_a_circle(reference: dict[str, Any]) -> None:
    role = {**RESOURCES["PublishOutcomeFunctionRole"], **reference}

    assert "EventBus" in circle_in({**RESOURCES, "PublishOutcomeFunctionRole": role})
