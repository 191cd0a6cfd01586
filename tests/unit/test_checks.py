"""What the checks of the template read is the whole template."""

import json
from pathlib import Path

import pytest

from checks.template import Template, expanded, statements


@pytest.fixture(scope="module")
def template() -> Template:
    return expanded(Path("template.yaml"))


def test_linters_read_the_definition(template: Template) -> None:
    definition = template["Resources"]["ProvisionKey"]["Properties"]["Definition"]

    assert definition["StartAt"] == "ValidateRequest"


def test_a_policy_is_linted_without_intrinsic_functions(template: Template) -> None:
    text = json.dumps(statements(template))

    assert '"Fn::' not in text
    assert '"Ref"' not in text
    assert "${" not in text


def test_a_statement_is_linted_whether_or_not_its_condition_holds(template: Template) -> None:
    def sids(role: str) -> set[str]:
        return {
            one["policy"]["Statement"][0]["Sid"]
            for one in statements(template)
            if one["role"] == role
        }

    assert sids("SweepFunctionRole") >= {"ReadRecords", "RetireSurplusKeys"}
