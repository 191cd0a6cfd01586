"""The states of a Map's items, in the history as in AWS: the emulator notes their tasks alone.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

# The emulator looks these up at each use; a state's context is the last argument of each.
_HANDLERS = {
    "Pass": "_execute_pass",
    "Task": "_execute_task",
    "Choice": "_execute_choice",
    "Wait": "_execute_wait",
}


def install() -> None:
    """Put functions that note the state first in the place of those that run it."""
    for kind, name in _HANDLERS.items():
        setattr(stepfunctions, name, _noting(kind, getattr(stepfunctions, name)))


def _noting(kind: str, run: Callable[..., Any]) -> Callable[..., Any]:
    def noting(state: dict[str, Any], raw_input: Any, *details: Any) -> Any:
        context = details[-1]
        execution = stepfunctions._executions.get(context.get("Execution", {}).get("Id"))
        if execution and "Map" in context:
            entered = {"name": context["State"]["Name"], "input": json.dumps(raw_input)}
            stepfunctions._add_event(
                execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered}
            )
        return run(state, raw_input, *details)

    return noting
