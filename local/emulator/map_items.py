"""The states of Map items and of branches, in the history as in AWS.

The emulator notes the states of a state machine itself, and of those inside others the tasks alone.
Beside their states it does not note that a task was started.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import stepfunctions

# The emulator looks these up at each use; a state's context is the last argument of each.
_HANDLERS = {
    "Pass": "_execute_pass",
    "Task": "_execute_task",
    "Choice": "_execute_choice",
    "Wait": "_execute_wait",
    "Map": "_execute_map",
    "Parallel": "_execute_parallel",
}

_is_inside: ContextVar[bool] = ContextVar("is_inside", default=False)

_emulator_run_sub_machine = stepfunctions._run_sub_machine


def install() -> None:
    """Put functions that note the state in the place of those that run it."""
    stepfunctions._run_sub_machine = _run_sub_machine
    stepfunctions._add_event = _starting(stepfunctions._add_event)
    for kind, name in _HANDLERS.items():
        setattr(stepfunctions, name, _noting(kind, getattr(stepfunctions, name)))


def _run_sub_machine(*details: Any) -> Any:
    # Each branch and each item has a thread of its own, and so a context of its own.
    _is_inside.set(True)
    return _emulator_run_sub_machine(*details)


def _noting(kind: str, run: Callable[..., Any]) -> Callable[..., Any]:
    def noting(state: dict[str, Any], raw_input: Any, *details: Any) -> Any:
        context = details[-1]
        execution = stepfunctions._executions.get(context.get("Execution", {}).get("Id"))
        if not execution or not _is_inside.get():
            return run(state, raw_input, *details)
        name = context["State"]["Name"]
        entered = {"name": name, "input": json.dumps(raw_input)}
        stepfunctions._add_event(
            execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered}
        )
        output, following = run(state, raw_input, *details)
        exited = {"name": name, "output": json.dumps(output)}
        stepfunctions._add_event(
            execution, f"{kind}StateExited", {"stateExitedEventDetails": exited}
        )
        return output, following

    return noting


def _starting(add_event: Callable[..., Any]) -> Callable[..., Any]:
    def starting(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
        added = add_event(execution, event_type, details)
        if event_type == "TaskScheduled":
            add_event(execution, "TaskStarted", None)
        return added

    return starting
