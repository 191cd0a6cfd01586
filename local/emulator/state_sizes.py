"""What Step Functions refuses for its size or number while an execution runs.

- A state's input, arguments, result and output have 256 KiB each: `States.DataLimitExceeded`.
- So have a variable and all that one state assigns; all variables together have 10 MiB.
- A history has 25,000 events, and the last one says that the execution failed for that.
- `States.ALL` catches neither `States.DataLimitExceeded` nor `States.Runtime`.

`PUT /_local/history-events` changes the number of events, which `SFN_HISTORY_EVENTS` sets at the
start; `GET` returns it.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

import os
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

from local.emulator.sizes import MAX_DATA_BYTES, size, text

_MAX_VARIABLES_BYTES = 10 * 1024 * 1024
_TERMINAL = ("States.DataLimitExceeded", "States.Runtime")
_HANDLERS = ("_execute_pass", "_execute_task", "_execute_choice", "_execute_wait")
_WITH_BRANCHES = ("_execute_parallel", "_execute_map")

_most_events = int(os.environ.get("SFN_HISTORY_EVENTS", "25000"))

_emulator_arguments = stepfunctions._apply_jsonata_arguments
_emulator_output = stepfunctions._apply_jsonata_output
_emulator_assign = stepfunctions._apply_state_assign
_emulator_error_matches = stepfunctions._error_matches


def install() -> None:
    """Put our functions in the place of the emulator's; after `local.emulator.task_callbacks`."""
    stepfunctions._apply_jsonata_arguments = _arguments
    stepfunctions._apply_jsonata_output = _output
    stepfunctions._apply_state_assign = _assign
    stepfunctions._error_matches = _error_matches
    stepfunctions._add_event = _limited(stepfunctions._add_event)
    for name in _HANDLERS + _WITH_BRANCHES:
        setattr(stepfunctions, name, _checked(getattr(stepfunctions, name)))


def most_events() -> int:
    """Return how many events a history may have."""
    return _most_events


def change_most_events(number: Any) -> None:
    """Let histories have another number of events.

    Raises
    ------
    ValueError
        It is no number of events.
    """
    global _most_events  # noqa: PLW0603 - a process serves one Step Functions
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"A history cannot have {number} events.")
    _most_events = number


def _check(value: Any, state: str) -> Any:
    """Return the value, if a state may hold it.

    Raises
    ------
    stepfunctions._ExecutionError
        It is too large.
    """
    if size(text(value)) > MAX_DATA_BYTES:
        raise stepfunctions._ExecutionError(
            _TERMINAL[0],
            f"The state/task '{state}' returned a result with a size exceeding the maximum number "
            "of bytes service limit.",
        )
    return value


def _name(context: Any) -> str:
    name: str = context["State"]["Name"]
    return name


def _checked(run: Callable[..., Any]) -> Callable[..., Any]:
    def checked(state: dict[str, Any], raw_input: Any, *details: Any) -> Any:
        _check(raw_input, _name(details[-1]))
        return run(state, raw_input, *details)

    return checked


def _arguments(state: dict[str, Any], raw_input: Any, context: Any = None) -> Any:
    return _check(_emulator_arguments(state, raw_input, context), _name(context))


def _output(
    state: dict[str, Any], raw_input: Any, context: Any = None, result: Any = None, **others: Any
) -> Any:
    _check(result, _name(context))
    output = _emulator_output(state, raw_input, context, result=result, **others)
    return _check(output, _name(context))


def _assign(state: dict[str, Any], raw_input: Any, context: Any, **results: Any) -> None:
    _emulator_assign(state, raw_input, context, **results)
    variables = context.get("variables", {})
    assigned = {name: variables[name] for name in state.get("Assign", {})}
    _check(assigned, _name(context))
    if size(text(variables)) > _MAX_VARIABLES_BYTES:
        raise stepfunctions._ExecutionError(_TERMINAL[0], "The variables exceed 10 MiB.")


def _error_matches(error_equals: list[str], error: str) -> bool:
    if error in _TERMINAL:
        return error in error_equals
    matches: bool = _emulator_error_matches(error_equals, error)
    return matches


def _limited(add_event: Callable[..., Any]) -> Callable[..., Any]:
    def limited(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
        full = len(execution["events"]) >= _most_events - 1
        if full and execution["status"] == "RUNNING" and not event_type.startswith("Execution"):
            stepfunctions._fail_execution(
                execution,
                _TERMINAL[1],
                f"The execution reached the maximum number of history events ({_most_events}).",
            )
        # That of an execution that has ended ends the thread instead: `task_callbacks`.
        return add_event(execution, event_type, details)

    return limited
