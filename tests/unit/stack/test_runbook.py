"""docs/runbook.md against the alarms, findings, errors and commands that there are."""

import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from provisioner.outcomes.failures import error_code
from provisioner.outcomes.findings import Kind
from tests.support.raised_errors import every_concrete_error
from tests.support.template import load_observability, load_template

RUNBOOK = Path("docs/runbook.md").read_text()
DEFINITION = Path("statemachine/provision_key.asl.json").read_text()
TEMPLATE = load_template()
RESOURCES = TEMPLATE["Resources"]
OBSERVABILITY = load_observability()["Resources"]
SCRIPTS = re.findall(r"```bash\n(.*?)```", RUNBOOK, re.DOTALL)
TEXT = re.sub(r"```.*?```", "", RUNBOOK, flags=re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


def headings(text: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", text, re.MULTILINE)


def entries(part: str) -> list[str]:
    """List the entries of one part of the runbook."""
    parts = re.split(r"^# ", TEXT, flags=re.MULTILINE)
    (found,) = [text for text in parts if text.startswith(f"{part}\n")]
    return headings(found, 3)


def anchors(text: str) -> set[str]:
    """Return what links can point to, by GitHub's rule."""
    titles = [title for level in (1, 2, 3) for title in headings(text, level)]
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def named_by_the_definition() -> set[str]:
    """Return the names of errors that the state machine itself writes."""
    failures = re.findall(r"""['"]error['"]: ['"](\w+)['"]""", DEFINITION)
    codes = re.findall(r'"code": "(\w+)"', DEFINITION)
    ends = [
        state["Error"]
        for state in json.loads(DEFINITION)["States"].values()
        if state["Type"] == "Fail"
    ]
    return {*map(error_code, failures), *codes, *ends}


def test_every_alarm_has_an_entry_and_every_entry_its_alarm() -> None:
    alarms = [name for name, r in OBSERVABILITY.items() if r["Type"] == "AWS::CloudWatch::Alarm"]

    assert sorted(entries("Alarms")) == sorted(alarms)


def test_every_kind_of_finding_has_an_entry_and_every_entry_its_kind() -> None:
    assert sorted(entries("Findings")) == sorted(Kind)


def test_every_error_has_an_entry_and_every_entry_its_error() -> None:
    errors = {*map(error_code, every_concrete_error()), *named_by_the_definition()}

    assert named_by_the_definition() > {"UNEXPECTED_FAILURE", "KEY_MATERIAL_NOT_PROVIDED"}
    assert sorted(entries("Errors")) == sorted(errors)


def test_every_entry_says_what_to_do_or_where_that_is_said() -> None:
    parts = re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]

    assert len(parts) == sum(len(entries(part)) for part in ("Alarms", "Findings", "Errors"))
    for entry in parts:
        assert "**Do** " in entry or LINK.search(entry), entry


def test_every_saved_query_is_named_as_it_is_called() -> None:
    names = {
        resource["Properties"]["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/")
        for resource in OBSERVABILITY.values()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }
    table = TEXT.split("| query | answers |")[1].split("\n\n")[0]

    assert set(re.findall(r"^\| ([a-zKMS ]+) \|", table, re.MULTILINE)) == names
    quoted = set(re.findall(r'quer(?:y|ies) "([^"]+)"', TEXT.replace("\n", " ")))
    assert quoted
    assert quoted <= names


def test_every_link_of_the_runbook_and_to_it_leads_somewhere() -> None:
    for name in ("README.md", *map(str, Path("docs").glob("*.md"))):
        here = Path(name)
        for file, anchor in LINK.findall(here.read_text()):
            if file.startswith("http") or "runbook" not in (here.stem, Path(file).stem):
                continue
            there = here.parent / file if file else here
            assert there.exists(), f"{name}: {file}"
            assert not anchor or anchor in anchors(there.read_text()), f"{name}: {file}#{anchor}"


def test_the_readme_leads_to_the_runbook() -> None:
    assert "docs/runbook.md" in [file for file, _ in LINK.findall(Path("README.md").read_text())]


def test_every_link_of_the_template_leads_into_the_runbook() -> None:
    linked = set(re.findall(r"\$\{RunbookUrl\}#([\w-]+)", json.dumps(OBSERVABILITY)))

    assert TEMPLATE["Parameters"]["RunbookUrl"]["Default"] == "docs/runbook.md"
    assert linked
    assert linked <= anchors(RUNBOOK)


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_is_one_that_bash_reads(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_scripts_name_resources_of_the_stack() -> None:
    # SAM names the rule of an event after the function and the event.
    rules = {
        f"{name}{event}"
        for name, resource in RESOURCES.items()
        for event in resource["Properties"].get("Events", {})
    }
    named = set(re.findall(r"\$\(resource (\w+)\)", "".join(SCRIPTS)))
    outputs = set(re.findall(r"\$\(output (\w+)\)", "".join(SCRIPTS)))

    assert named
    assert named <= RESOURCES.keys() | rules
    assert outputs
    assert outputs <= TEMPLATE["Outputs"].keys()


OPTIONS_OF_THE_CLI = {"query", "output", "region", "max-items"}
# The one command here that the CLI adds to the API.
COMMANDS_OF_THE_CLI = {("logs", "tail"): {"since", "filter-pattern"}}


def commands() -> list[tuple[str, str, frozenset[str]]]:
    """List service, operation and options of every `aws` command in the scripts."""
    joined = re.sub(r"\\\n", " ", "".join(SCRIPTS))
    without_jq = re.sub(r'"\$\(jq .*?\)"', "", joined)
    return [
        (service, operation, frozenset(re.findall(r"\s--([a-z-]+)", rest)))
        for service, operation, rest in re.findall(r"\baws ([a-z-]+) ([a-z-]+)(.*)", without_jq)
    ]


@cache
def service_model(service: str) -> Any:
    new_client: Callable[..., Any] = boto3.client
    return new_client(service, region_name="us-east-1").meta.service_model


@pytest.mark.parametrize(("service", "operation", "options"), commands())
def test_a_command_is_one_that_aws_has(
    service: str, operation: str, options: frozenset[str]
) -> None:
    if known := COMMANDS_OF_THE_CLI.get((service, operation)):
        assert options <= known
        return
    model = service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    members = model.operation_model(names[operation]).input_shape.members

    assert options - OPTIONS_OF_THE_CLI <= {xform_name(member, "-") for member in members}
    required = {
        xform_name(member, "-")
        for member in model.operation_model(names[operation]).input_shape.required_members
    }
    assert required <= options
