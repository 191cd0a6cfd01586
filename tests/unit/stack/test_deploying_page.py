"""docs/deploying.md, held against the templates and the command."""

import re
from pathlib import Path

import pytest

from bench import cost
from tests.support.mrk_calls import calls_in, parsed
from tests.support.template import load_region_template, load_template, nested_template

PAGE = Path("docs/deploying.md").read_text()
TEMPLATE = load_template()
SERVERLESS = {
    "Api": "ApiGateway",
    "Application": "CloudFormation",
    "Function": "Lambda",
    "StateMachine": "StepFunctions",
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)


def names(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_parameters_are_asked_for_in_the_template_s_order() -> None:
    table = PAGE.split("<!-- parameters: begin -->")[1].split("<!-- parameters: end -->")[0]

    assert names(first_cells(table)) == list(TEMPLATE["Parameters"])


def test_each_service_of_the_templates_is_among_the_permissions() -> None:
    needed = set()
    for template in (TEMPLATE, nested_template(), load_region_template()):
        for resource in template["Resources"].values():
            _, service, kind = resource["Type"].split("::")
            needed.add(SERVERLESS[kind] if service == "Serverless" else service)

    listed = set(first_cells(section("What it takes"))) - {"service", "---"}

    assert listed == needed


def test_what_remains_is_what_the_template_retains() -> None:
    retained = {
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }

    assert set(names(first_cells(section("Remove")))) == retained


def test_the_outputs_and_parameters_of_its_commands_exist() -> None:
    outputs = re.findall(r"OutputKey=='(\w+)'", PAGE)
    overrides = set(re.findall(r"(\w+)=(?:<|mrk|\"\$bus)", PAGE)) - {"MRK_STACK"}

    assert outputs
    assert set(outputs) <= TEMPLATE["Outputs"].keys()
    assert overrides <= TEMPLATE["Parameters"].keys() | load_region_template()["Parameters"].keys()


def test_the_parameters_of_the_region_s_template_are_given() -> None:
    text = PAGE.split("--template-file template-region.yaml")[1].split("done")[0]

    assert set(re.findall(r"(\w+)=", text)) == load_region_template()["Parameters"].keys()


@pytest.mark.parametrize("call", calls_in(PAGE), ids=" ".join)
def test_the_command_takes_each_call(call: list[str]) -> None:
    parsed(call)


def test_the_page_has_the_calls_of_a_first_key_set() -> None:
    called = [parsed(call)[0] for call in calls_in(section("The first key set"))]

    assert called == ["plan", "apply", "get", "history", "follow"]


def test_its_figures_are_those_of_the_calculator() -> None:
    stack = cost.stack_of(TEMPLATE, nested_template())
    use = cost.measured_use(Path("docs/performance.md").read_text())

    def usd(key_sets: int, requests: int) -> float:
        plan = cost.Plan(key_sets=key_sets, regions=3, requests=requests)
        return round(sum(line.dollars for line in cost.bill(plan, use, stack)))

    assert f"are {usd(100, 20)} USD" in section("What it costs")
    assert f"without any is {usd(0, 0)}." in section("What it costs")
