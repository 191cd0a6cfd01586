"""The state machine's definition against the code, the template and the sample events."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from provisioner.outcome import Outcome
from tests.unit.raised_errors import errors_of_handler, every_concrete_error
from tests.unit.template import load_template

TEXT = Path("statemachine/provision_key.asl.json").read_text()
DEFINITION: dict[str, Any] = json.loads(TEXT)
TEMPLATE = load_template()

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
ERRORS_OF_AWS = {
    "States.ALL",
    "States.Timeout",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
}
# What may have made a key although nobody heard of it.
AMBIGUOUS = ERRORS_OF_AWS - {"Lambda.TooManyRequestsException"} | {"PrimaryKeyUnconfirmed"}


def all_states(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, state in machine["States"].items():
        found[name] = state
        if "ItemProcessor" in state:
            found |= all_states(state["ItemProcessor"])
    return found


STATES = all_states(DEFINITION)
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
# A refusal is published by the same function, from a payload of its own.
TASKS_OF_ONE_PAYLOAD = sorted(TASKS.keys() - {"ValidateRequest", "PublishRefusal"})


def function_of(task: dict[str, Any]) -> str:
    """Name a task's function as template.yaml does."""
    return str(task["Arguments"]["FunctionName"]).removeprefix("${").removesuffix("Arn}")


def step_of(task: dict[str, Any]) -> str:
    """Name the folder of a task's function."""
    handler: str = TEMPLATE["Resources"][function_of(task)]["Properties"]["Handler"]
    return handler.removesuffix(".app.handler")


def named_errors(task: dict[str, Any], *kinds: str) -> set[str]:
    return {
        name
        for kind in kinds or ("Retry", "Catch")
        for rule in task.get(kind, [])
        for name in rule["ErrorEquals"]
    }


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_handles_exactly_the_errors_that_its_function_raises(name: str) -> None:
    handled = named_errors(TASKS[name]) - ERRORS_OF_AWS

    assert handled == errors_of_handler(step_of(TASKS[name]))


def test_every_error_is_raised_by_a_step_or_answered_by_the_api() -> None:
    raised = set().union(*(errors_of_handler(step_of(task)) for task in TASKS.values()))

    assert every_concrete_error() - raised == {"RequestRejected"}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_outlives_its_function_and_is_retried_patiently(name: str) -> None:
    function = TEMPLATE["Resources"][function_of(TASKS[name])]["Properties"]
    timeout = function.get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])

    assert TASKS[name]["TimeoutSeconds"] > timeout
    for retrier in TASKS[name]["Retry"]:
        assert retrier["BackoffRate"] > 1
        assert retrier["JitterStrategy"] == "FULL"
        assert retrier["MaxDelaySeconds"] >= retrier["IntervalSeconds"]
        assert retrier["MaxAttempts"] >= 3


def test_create_key_is_never_retried_where_a_key_may_exist() -> None:
    assert named_errors(TASKS["CreatePrimaryKey"], "Retry") & AMBIGUOUS == set()


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"PublishOutcome", "PublishRefusal"}))
def test_whatever_ends_a_task_leads_to_an_outcome(name: str) -> None:
    assert TASKS[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_every_substitution_is_defined_and_used() -> None:
    machine = TEMPLATE["Resources"]["ProvisionKey"]["Properties"]

    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == machine["DefinitionSubstitutions"].keys()


def test_the_definition_may_invoke_the_functions_that_it_uses_and_no_others() -> None:
    statement = TEMPLATE["Resources"]["ProvisionKey"]["Properties"]["Policies"][0]["Statement"][0]

    used = {f"{function_of(task)}.Arn" for task in TASKS.values()}
    assert {arn["Fn::GetAtt"] for arn in statement["Resource"]} == used


@pytest.mark.parametrize("name", TASKS_OF_ONE_PAYLOAD)
def test_a_payload_is_what_its_function_reads(name: str) -> None:
    task = TASKS[name]
    code = ast.parse(Path(f"functions/{step_of(task)}/app.py").read_text())
    read = {
        node.slice.value
        for node in ast.walk(code)
        if isinstance(node, ast.Subscript)
        and ast.unparse(node.value) == "event"
        and isinstance(node.slice, ast.Constant)
    }
    if step_of(task) == "publish_outcome":
        read = set(Outcome.__annotations__)

    assert task["Arguments"]["Payload"].keys() == read


@pytest.mark.parametrize("name", TASKS_OF_ONE_PAYLOAD)
def test_a_function_has_a_sample_of_its_payload(name: str) -> None:
    task = TASKS[name]
    sample = json.loads(Path(f"events/{step_of(task).replace('_', '-')}.json").read_text())

    assert sample.keys() == task["Arguments"]["Payload"].keys()


def test_every_state_is_reached_from_the_start() -> None:
    def reached(machine: dict[str, Any]) -> set[str]:
        seen: set[str] = set()
        coming = [machine["StartAt"]]
        while coming:
            name = coming.pop()
            if name in seen:
                continue
            seen.add(name)
            state = machine["States"][name]
            ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
            coming += [way[to] for way in ways for to in ("Next", "Default") if to in way]
            if "ItemProcessor" in state:
                seen |= reached(state["ItemProcessor"])
        return seen

    assert reached(DEFINITION) == STATES.keys()
