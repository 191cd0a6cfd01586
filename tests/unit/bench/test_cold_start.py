"""What a function loads when it starts: `make cold-start` measures how long that takes."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cold_start import PARSERS
from tests.support.environment import ENVIRONMENT
from tests.support.template import expanded_template

STEPS = sorted(path.parent.name for path in Path("functions").glob("*/app.py"))
POWERTOOLS = {"aws_lambda_powertools", "typing_extensions"}
PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_inspection"}

# Each step in a fork of a process that has loaded boto3, which takes most of the time.
LOADED = """
import json, os, sys
import boto3
boto3.client("dynamodb")
before = set(sys.modules)
for step in sys.argv[1:]:
    if not (child := os.fork()):
        __import__(f"{step}.app")
        print(json.dumps([step, list(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_step_loads_nothing_that_it_does_not_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *STEPS],
        env=ENVIRONMENT | {"PATH": os.environ["PATH"], "PYTHONPATH": "functions"},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = dict(json.loads(line) for line in done.stdout.splitlines())

    assert {step: packages_of_others(modules) for step, modules in loaded.items()} == {
        step: POWERTOOLS | (PYDANTIC if step in PARSERS else set()) for step in STEPS
    }


def packages_of_others(modules: list[str]) -> set[str]:
    """Name the packages beside boto3, of which s3transfer is a part."""
    ours = {path.name for path in Path("functions").iterdir()}
    packages = {module.partition(".")[0] for module in modules if "_sysconfigdata" not in module}
    return packages - ours - sys.stdlib_module_names - {"boto3", "s3transfer"}


def test_the_page_has_every_function_of_the_template_in_both_tables() -> None:
    rows = re.findall(r"^\| ([A-Z]\w+) \|", Path("docs/cold-start.md").read_text(), re.MULTILINE)
    functions = [
        name.removesuffix("Function")
        for name, resource in expanded_template()["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    ]

    assert sorted(rows) == sorted(2 * functions)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_makes_the_clients_it_uses_when_it_starts(step: str) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(Path(f"functions/{step}/app.py").read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    prepared, used = set(), set()
    for call in calls:
        match ast.unparse(call.func), [ast.unparse(argument) for argument in call.args]:
            case "prepare", services:
                prepared.update(services)
            case ("client", [service, *_]) | ("partial", ["client", service]):
                used.add(service)
            case "impatient_kms" | "send_once_kms", _:
                used.add("'kms'")

    assert prepared == used
