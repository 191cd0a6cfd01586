"""Distributed Maps of Step Functions, in what the emulator does less.

- The arguments of an ItemReader can be JSONata.
- The object is read and the items' executions are started with the state machine's role.
- An execution that is stopped takes the executions of its items with it: `executions.is_stopped`.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from typing import Any

from ministack.services import stepfunctions

from local.emulator.executions import state_machine_of
from local.emulator.service_roles import require

_DENIED = "States.Permissions"

_emulator_read_map_items = stepfunctions._read_map_items
_emulator_run_distributed_map = stepfunctions._run_distributed_map


def install() -> None:
    """Put our functions in the place of the emulator's."""
    stepfunctions._read_map_items = _read_map_items
    stepfunctions._run_distributed_map = _run_distributed_map


def _run_distributed_map(state: dict[str, Any], *details: Any) -> Any:
    """Start the items' executions, if the role may.

    https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
    """
    *given, execution, context = details
    machine = state_machine_of(execution)
    require(machine, "states:StartExecution", machine, _DENIED)
    # What an item enters is not the history of the Map's own execution.
    own = {**context, "Execution": {**context["Execution"], "Id": None}}
    return _emulator_run_distributed_map(state, *given, execution, own)


def _read_map_items(reader: dict[str, Any], given: Any, context: dict[str, Any]) -> Any:
    arguments = stepfunctions._apply_jsonata_template(reader["Arguments"], given, context)
    bucket = f"arn:aws:s3:::{arguments['Bucket']}"
    machine, key = context["StateMachine"]["Id"], arguments["Key"]
    require(machine, "s3:GetObject", f"{bucket}/{key}", _DENIED)
    return _emulator_read_map_items({**reader, "Arguments": arguments}, given, context)
