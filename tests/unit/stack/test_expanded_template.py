"""What CloudFormation gets after the SAM transform: no circle, one stage, names that fit."""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from checks.template import PSEUDO_PARAMETERS, resolved
from tests.support.template import expanded_template, load_observability

TEMPLATE = expanded_template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
NESTED: dict[str, dict[str, Any]] = load_observability()["Resources"]


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


def test_the_api_has_one_stage_which_is_throttled_logged_and_traced() -> None:
    stages = [
        *(r for r in RESOURCES.values() if r["Type"] == "AWS::ApiGateway::Stage"),
        *(
            r
            for r in RESOURCES.values()
            if r["Type"] == "AWS::ApiGateway::Deployment" and "StageName" in r["Properties"]
        ),
    ]

    (stage,) = (stage["Properties"] for stage in stages)
    assert stage["StageName"] == "v1"
    assert stage["TracingEnabled"] is True
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}
    assert {setting["ResourcePath"] for setting in stage["MethodSettings"]} == {
        "/*",
        "/~1keys",
        "/~1hooks~1{source}",
    }
    assert all(setting["ThrottlingRateLimit"] for setting in stage["MethodSettings"])


LONGEST_STACK_NAME = 64
# Properties that are the names of resources, with the longest that AWS takes.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-template-resource-type-ref.html
NAMES = {
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::Events::EventBus", "Name"): 256,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::Logs::QueryDefinition", "Name"): 255,
    ("AWS::StepFunctions::StateMachine", "StateMachineName"): 80,
}


def longest_names(stack_name: str) -> Iterator[tuple[str, str, int]]:
    """Return each name that the template puts together: resource, name and limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PSEUDO_PARAMETERS, "AWS::StackName", stack_name)
        for logical_id, resource in {**RESOURCES, **NESTED}.items():
            for (kind, name), limit in NAMES.items():
                if resource["Type"] == kind and name in resource["Properties"]:
                    value = resolved(TEMPLATE, resource["Properties"][name], condition=True)
                    yield logical_id, value, limit


def test_the_longest_stack_name_that_the_readme_says_fits_every_name() -> None:
    found = list(longest_names("s" * LONGEST_STACK_NAME))

    assert {name for _, name, _ in found if "s" * LONGEST_STACK_NAME not in name} == set()
    assert [row for row in found if len(row[1]) > row[2]] == []
    assert f"{LONGEST_STACK_NAME} characters" in Path("README.md").read_text()


def test_a_longer_stack_name_fits_not_every_name() -> None:
    too_long = longest_names("s" * (LONGEST_STACK_NAME + 1))

    assert [row[0] for row in too_long if len(row[1]) > row[2]] == ["ProvisionBatch"]


def test_every_name_with_the_stacks_name_in_it_has_a_limit_here() -> None:
    given = {
        (resource["Type"], name)
        for resource in {**RESOURCES, **NESTED}.values()
        for name, value in resource["Properties"].items()
        if name.endswith("Name") and "AWS::StackName" in names_in(value)
    }

    assert given == NAMES.keys()


def test_key_policies_let_in_this_account_unless_the_parameter_names_others() -> None:
    function = RESOURCES["ValidateRequestFunction"]["Properties"]
    said = function["Environment"]["Variables"]["ALLOWED_PRINCIPALS"]
    named = expanded_template()
    named["Parameters"]["AllowedPrincipals"]["Default"] = "444455556666,*"

    assert TEMPLATE["Parameters"]["AllowedPrincipals"]["Default"] == ""
    assert resolved(TEMPLATE, said, condition=False) == PSEUDO_PARAMETERS["AWS::AccountId"]
    assert resolved(named, said, condition=True) == "444455556666,*"
