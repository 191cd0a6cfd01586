"""The definition of changes against the code, the template and the sample events."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.event_fields import fields_read_by
from tests.support.raised_errors import errors_of_handler
from tests.support.retriers import LAMBDA_ERRORS_TO_RETRY, TOO_MANY, least_seconds, retrier_of
from tests.support.template import load_template

DEFINITION: dict[str, Any] = json.loads(Path("statemachine/change_key_set.asl.json").read_text())
TEMPLATE = load_template()


def tasks_in(machine: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, state in machine["States"].items():
        if state["Type"] == "Task":
            found[name] = state
        if "ItemProcessor" in state:
            found |= tasks_in(state["ItemProcessor"])
    return found


TASKS = tasks_in(DEFINITION)
STEPS = sorted(name for name in TASKS if not name.startswith("Publish"))
# Asking again changes nothing: somebody has to act.
FINAL = {
    "AliasInUse",
    "AutomaticRotationNear",
    "Cancelled",
    "ChangeRefused",
    "KeyTagMissing",
    "KmsLimitExceeded",
    "KmsRequestRefused",
    "OperationRefused",
    "OtherManager",
    "PrimaryKeyMoved",
    "PromotionNotDone",
    "RequestNotFound",
    "RequestTakenOver",
    "RotationNotDone",
    "RotationUnderWay",
    "RotationsUsedUp",
}
# What is a matter of key policies that no call of the step sets, or of a state that it reads.
NOT_RETRIED = {
    "AdoptKey": {"KeyPolicyRefused"},
    "ReleaseKey": {"KeyPolicyRefused"},
    "PlanChange": {"KeyPolicyRefused", "KeyStateConflict"},
    "ConfirmChange": {"KeyPolicyRefused", "KeyStateConflict"},
    "PromoteReplicaKey": {"KeyPolicyRefused"},
    "RestoreKey": {"KeyPolicyRefused"},
    "RetireKey": {"KeyPolicyRefused"},
    "RotateKey": {"KeyPolicyRefused"},
    "ImportKeyMaterial": {"KeyPolicyRefused"},
    "ImportNewKeyMaterial": {"KeyPolicyRefused"},
}


def function_of(task: dict[str, Any]) -> str:
    return str(task["Arguments"]["FunctionName"]).removeprefix("${").removesuffix("Arn}")


def step_of(task: dict[str, Any]) -> str:
    handler: str = TEMPLATE["Resources"][function_of(task)]["Properties"]["Handler"]
    return handler.removesuffix(".app.handler")


def retried(task: dict[str, Any]) -> set[str]:
    names = {name for rule in task["Retry"] for name in rule["ErrorEquals"]}
    return {name for name in names if "." not in name}


@pytest.mark.parametrize("name", STEPS)
def test_a_task_retries_every_error_of_its_function_that_may_pass(name: str) -> None:
    raised = errors_of_handler(step_of(TASKS[name]))

    assert retried(TASKS[name]) == raised - FINAL - NOT_RETRIED.get(name, set())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_retries_what_aws_says_to_retry_of_lambda(name: str) -> None:
    named = {error for rule in TASKS[name]["Retry"] for error in rule["ErrorEquals"]}

    assert named >= LAMBDA_ERRORS_TO_RETRY
    assert retrier_of(TASKS[name], TOO_MANY)


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"AskForApproval", "AskForKeyMaterial"}))
def test_a_task_outlives_its_function(name: str) -> None:
    function = TEMPLATE["Resources"][function_of(TASKS[name])]["Properties"]
    timeout = function.get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])

    assert TASKS[name]["TimeoutSeconds"] > timeout


@pytest.mark.parametrize("name", STEPS)
def test_a_payload_is_what_its_function_reads_and_has_a_sample(name: str) -> None:
    payload = TASKS[name]["Arguments"]["Payload"].keys()
    step = step_of(TASKS[name])
    sample = json.loads(Path(f"events/{step.replace('_', '-')}.json").read_text())

    assert payload == {*fields_read_by(step)} == sample.keys()


def test_the_definition_may_invoke_the_functions_that_it_uses_and_no_others() -> None:
    (policy,) = TEMPLATE["Resources"]["ChangeKeySetRole"]["Properties"]["Policies"]
    statement = policy["PolicyDocument"]["Statement"][0]

    used = {f"{function_of(task)}.Arn" for task in TASKS.values()}
    assert {arn["Fn::GetAtt"] for arn in statement["Resource"]} == used


def test_a_promotion_is_looked_for_until_it_cannot_take_effect_any_more() -> None:
    assert least_seconds(TASKS["PromoteReplicaKey"], "PromotionUnderWay") > 6 * 60 + 60


def test_only_one_function_promotes_and_only_one_disables_or_removes() -> None:
    may = {"kms:UpdatePrimaryRegion": set(), "kms:DisableKey": set()}  # type: dict[str, set[str]]
    for name, resource in TEMPLATE["Resources"].items():
        text = json.dumps(resource)
        for action, functions in may.items():
            if f'"{action}"' in text and resource["Type"] == "AWS::Serverless::Function":
                functions.add(name)

    assert may == {
        "kms:UpdatePrimaryRegion": {"PromoteReplicaKeyFunction"},
        "kms:DisableKey": {"RetireKeyFunction"},
    }
