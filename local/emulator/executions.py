"""Executions as the emulator's Step Functions holds them, those of a Map's items among them."""

from typing import Any

from ministack.services import stepfunctions


def state_machine_of(execution: dict[str, Any]) -> str:
    """Return the ARN of the state machine of an execution; an item's is that of its Map."""
    arn: str = execution["stateMachineArn"]
    return arn.partition("/")[0]


def is_stopped(execution: dict[str, Any]) -> bool:
    """Say whether an execution has ended, or is an item's and its Map's has."""
    if execution["status"] != "RUNNING":
        return True
    run = stepfunctions._map_runs.get(execution.get("mapRunArn"))
    return run is not None and is_stopped(stepfunctions._executions[run["executionArn"]])
