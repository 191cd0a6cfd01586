"""What the checks of the template read is the whole template."""

import json
from typing import Any

import pytest

from checks.template import Template, documents, statements
from tests.support.template import expanded_template, load_template


@pytest.fixture(scope="module")
def template() -> Template:
    return expanded_template()


def test_linters_read_the_definition(template: Template) -> None:
    definition = template["Resources"]["ProvisionKey"]["Properties"]["Definition"]

    assert definition["StartAt"] == "ValidateRequest"


def test_a_policy_is_linted_without_intrinsic_functions(template: Template) -> None:
    text = json.dumps(statements(template))

    assert '"Fn::' not in text
    assert '"Ref"' not in text
    assert "${" not in text


def test_a_statement_is_linted_whether_or_not_its_condition_holds(template: Template) -> None:
    def sids(role: str) -> set[str | None]:
        return {
            one["policy"]["Statement"][0].get("Sid")
            for one in statements(template)
            if one["role"] == role
        }

    assert sids("SweepRegionFunctionRole") >= {"ReadRecords", "RetireSurplusKeys"}


def test_every_policy_document_is_held_against_the_reference(template: Template) -> None:
    found = {(one["owner"], one["kind"]) for one in documents(template)}
    roles = {name for name, one in template["Resources"].items() if one["Type"] == "AWS::IAM::Role"}

    assert {owner for owner, kind in found if kind == "trust"} == roles
    assert {owner for owner, kind in found if kind == "role"} <= roles
    assert {owner for owner, kind in found if kind == "resource"} == {
        "BatchesOverTlsOnly",
        "EventBus",
        "LetRulesKeepTheirEvents",
    }


def test_a_document_is_held_whether_or_not_its_condition_holds(template: Template) -> None:
    actions = [
        sorted(str(statement["Action"]) for statement in one["statements"])
        for one in documents(template)
        if (one["owner"], one["kind"]) == ("SweepRegionFunctionRole", "role")
    ]

    assert [("kms:ScheduleKeyDeletion" in some) for some in actions] == [True, False]


def test_what_sam_adds_is_checked_as_the_resource_it_is_added_to(template: Template) -> None:
    resources = template["Resources"]

    assert resources["KeysApiv1Stage"]["Metadata"] == resources["KeysApi"]["Metadata"]


def test_every_skipped_check_says_why() -> None:
    resources: dict[str, dict[str, Any]] = load_template()["Resources"]
    skips = [
        skip
        for resource in resources.values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]

    assert skips
    assert [skip for skip in skips if not skip.get("comment")] == []
