"""The definition of a batch against the code, the template and the sample events."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonata.jsonata import Jsonata

from provisioner.batch_report import Batch
from tests.unit.event_fields import fields_read_by
from tests.unit.raised_errors import errors_of_handler
from tests.unit.retriers import LAMBDA_ERRORS_TO_RETRY, TOO_MANY, least_seconds
from tests.unit.template import load_template

TEXT = Path("statemachine/provision_batch.asl.json").read_text()
DEFINITION: dict[str, Any] = json.loads(TEXT)
RESOURCES = load_template()["Resources"]


def machines(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a state machine and all that are in its states."""
    yield machine
    for state in machine["States"].values():
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from machines(inner)


STATES = {name: state for m in machines(DEFINITION) for name, state in m["States"].items()}
STEPS = {"ReadBatch": "read_batch", "ReportBatch": "report_batch"}


def named(rules: list[dict[str, Any]]) -> set[str]:
    names = {name for rule in rules for name in rule["ErrorEquals"]}
    return {name for name in names if "." not in name}


def test_a_step_handles_exactly_the_errors_that_its_function_raises() -> None:
    read, run = STATES["ReadBatch"], STATES["RunBatch"]

    assert named(read["Retry"] + read["Catch"]) == errors_of_handler("read_batch")
    assert named(run["Catch"]) == errors_of_handler("report_batch")
    assert named(STATES["ReportBatch"]["Retry"]) == {"DependencyUnavailable"}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_retries_what_aws_says_to_retry_of_lambda(name: str) -> None:
    retried = {error for rule in STATES[name]["Retry"] for error in rule["ErrorEquals"]}

    assert retried > LAMBDA_ERRORS_TO_RETRY
    assert least_seconds(STATES[name], TOO_MANY) >= 600


@pytest.mark.parametrize("name", ["ReadBatch", "RunBatch"])
def test_whatever_ends_a_batch_is_told(name: str) -> None:
    last = STATES[name]["Catch"][-1]

    assert (last["ErrorEquals"], last["Next"]) == (["States.ALL"], "BatchFailed")


def test_a_request_that_cannot_be_started_leaves_the_others_alone() -> None:
    assert STATES["StartRequests"]["ToleratedFailurePercentage"] == 100


@pytest.mark.parametrize("name", STEPS)
def test_a_step_outlives_its_function(name: str) -> None:
    function = RESOURCES[f"{name}Function"]["Properties"]

    assert function["Handler"] == f"{STEPS[name]}.app.handler"
    assert STATES[name]["TimeoutSeconds"] > function["Timeout"]


@pytest.mark.parametrize("name", STEPS)
def test_a_payload_is_what_its_function_reads(name: str) -> None:
    read = fields_read_by(STEPS[name])
    sample = json.loads(Path(f"events/{STEPS[name].replace('_', '-')}.json").read_text())

    assert STATES[name]["Arguments"]["Payload"].keys() == read == sample.keys()


def test_what_is_handed_on_is_a_planned_batch() -> None:
    sample = json.loads(Path("events/report-batch.json").read_text())["batch"]
    used = set(re.findall(r"\$batch\.(\w+)", TEXT))

    assert used < Batch.__annotations__.keys() == sample.keys()


def test_every_substitution_is_defined_and_used() -> None:
    machine = RESOURCES["ProvisionBatch"]["Properties"]

    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == machine["DefinitionSubstitutions"].keys()


def test_every_state_is_reached_from_the_start() -> None:
    for machine in machines(DEFINITION):
        reached, coming = set(), [machine["StartAt"]]
        while coming:
            name = coming.pop()
            if name not in reached:
                reached.add(name)
                state = machine["States"][name]
                ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
                coming += [way[to] for way in ways for to in ("Next", "Default") if to in way]
        assert reached == machine["States"].keys()


def test_every_expression_is_jsonata() -> None:
    expressions = re.findall(r'"\{%(.*?)%\}"', TEXT)

    assert len(expressions) == TEXT.count("{%") == TEXT.count("%}")
    for expression in expressions:
        Jsonata(json.loads(f'"{expression}"'))
