"""Distributed Maps of Step Functions, in what the emulator does less.

- The arguments of an ItemReader can be JSONata.
- The object is read and the items' executions are started with the state machine's role.
- An execution that is stopped takes the executions of its items with it.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from typing import Any

from ministack.services import stepfunctions

from local import authorization

_emulator_read_map_items = stepfunctions._read_map_items
_emulator_run_distributed_map = stepfunctions._run_distributed_map


def install() -> None:
    """Put our functions in the place of the emulator's."""
    stepfunctions._read_map_items = _read_map_items
    stepfunctions._run_distributed_map = _run_distributed_map


def state_machine_of(execution: dict[str, Any]) -> str:
    """Give the ARN of the state machine of an execution; an item's is that of its Map."""
    arn: str = execution["stateMachineArn"]
    return arn.partition("/")[0]


def is_stopped(execution: dict[str, Any]) -> bool:
    """Say whether an execution has ended, or is an item's and its Map's has."""
    if execution["status"] != "RUNNING":
        return True
    run = stepfunctions._map_runs.get(execution.get("mapRunArn"))
    return run is not None and is_stopped(stepfunctions._executions[run["executionArn"]])


def _run_distributed_map(state: dict[str, Any], *details: Any) -> Any:
    """Start the items' executions, if the role may.

    https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
    """
    *given, execution, context = details
    machine = state_machine_of(execution)
    _require(machine, "states:StartExecution", machine)
    # What an item enters is not the history of the Map's own execution.
    own = {**context, "Execution": {**context["Execution"], "Id": None}}
    return _emulator_run_distributed_map(state, *given, execution, own)


def _read_map_items(reader: dict[str, Any], given: Any, context: dict[str, Any]) -> Any:
    arguments = stepfunctions._apply_jsonata_template(reader["Arguments"], given, context)
    bucket = f"arn:aws:s3:::{arguments['Bucket']}"
    _require(context["StateMachine"]["Id"], "s3:GetObject", f"{bucket}/{arguments['Key']}")
    return _emulator_read_map_items({**reader, "Arguments": arguments}, given, context)


def _require(state_machine_arn: str, action: str, resource: str) -> None:
    """Check that a state machine's role has a permission.

    Raises
    ------
    stepfunctions._ExecutionError
        It has not.
    """
    role = stepfunctions._state_machines[state_machine_arn]["roleArn"]
    if not authorization.role_may(role, action, resource):
        raise stepfunctions._ExecutionError(
            "States.Permissions", f"{role} is not authorized to perform: {action} on {resource}"
        )
