"""Tasks of Step Functions that wait for a token, and timeouts that are computed.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token

The emulator looks the functions that `install` replaces up at each use. Beyond what it does:

- An error of the call that carries the token fails the task, where the emulator waits on.
- `TimeoutSeconds` can be a JSONata expression; a callback's counts from the start of the task.
- Each attempt of a retried task has a token of its own.
- A token that was answered, or whose task is over, answers `TaskTimedOut`.
- An execution that was stopped waits no longer, and does nothing more.
"""

import json
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import error_response_json, new_uuid
from ministack.services import stepfunctions

from local.emulator import executions

_CALLBACK = ".waitForTaskToken"
_RESPONSES = ("_send_task_success", "_send_task_failure", "_send_task_heartbeat")
_LONGEST_SECONDS = 99_999_999
_LOOK_SECONDS = 0.25


class _ExecutionOverError(SystemExit):
    """The execution of the thread was stopped, or the emulator is.

    No `Exception`, which the emulator would take for a failure of a state; and a thread may end
    with `SystemExit` without a word.
    """


@dataclass(frozen=True)
class _Task:
    """The task whose attempt runs in this thread."""

    state: dict[str, Any]
    input: Any
    execution: dict[str, Any]
    context: dict[str, Any]

    def timeout_seconds(self) -> float:
        """Evaluate TimeoutSeconds.

        Raises
        ------
        stepfunctions._ExecutionError
            It gives no positive integer.
        """
        if "TimeoutSeconds" not in self.state:
            return _LONGEST_SECONDS
        if stepfunctions._state_query_language(self.state, self.context) != "JSONata":
            return float(self.state["TimeoutSeconds"])
        seconds = float(
            stepfunctions._jsonata_state_field(
                self.state, "TimeoutSeconds", "number", self.input, self.context
            )
        )
        if not seconds.is_integer() or not 1 <= seconds <= _LONGEST_SECONDS:
            raise stepfunctions._ExecutionError(
                "States.QueryEvaluationError",
                f"The TimeoutSeconds field must be an integer from 1 to {_LONGEST_SECONDS} "
                f"but was: {seconds:g}",
            )
        return seconds


_task: ContextVar[_Task] = ContextVar("task")
_emulator_ends = threading.Event()

# Every token that was ever given out, and the state machine whose task it is.
_state_machines: dict[str, str] = {}

_emulator_execute_task = stepfunctions._execute_task
_emulator_invoke_with_timeout = stepfunctions._invoke_resource_with_timeout
_emulator_add_event = stepfunctions._add_event
_emulator_fail_execution = stepfunctions._fail_execution


def install() -> None:
    """Put our tasks in the place of the emulator's."""
    stepfunctions._execute_task = _execute_task
    stepfunctions._invoke_with_callback = _invoke_with_callback
    stepfunctions._invoke_resource_with_timeout = _invoke_with_timeout
    stepfunctions._add_event = _add_event
    stepfunctions._fail_execution = _fail_execution
    for name in _RESPONSES:
        setattr(stepfunctions, name, _while_waiting(getattr(stepfunctions, name)))


def end_waits() -> None:
    """Let every task stop waiting, since the process cannot end before its threads do."""
    _emulator_ends.set()


def state_machine_of(token: object) -> str | None:
    """Return the ARN of the state machine that a task token is of, if it is one."""
    return _state_machines.get(token) if isinstance(token, str) else None


def current_state_machine() -> str:
    """Return the ARN of the state machine whose task runs in this thread."""
    return executions.state_machine_of(_task.get().execution)


def _execute_task(
    state: dict[str, Any], raw_input: Any, execution: dict[str, Any], context: dict[str, Any]
) -> Any:
    if _is_over(execution):
        raise _ExecutionOverError
    # Branches of a Parallel state share one context; each task's token is its own.
    own = {**context, "State": dict(context["State"])}
    entered = _task.set(_Task(state, raw_input, execution, own))
    try:
        return _emulator_execute_task(state, raw_input, execution, own)
    finally:
        _task.reset(entered)


def _invoke_with_timeout(resource: str, arguments: Any, _timeout: object) -> Any:
    seconds = _task.get().timeout_seconds()
    return _emulator_invoke_with_timeout(resource, arguments, seconds)


def _invoke_with_callback(resource: str, arguments: Any, token: str, _state: dict[str, Any]) -> Any:
    task = _task.get()
    _state_machines[token] = task.execution["stateMachineArn"]
    stepfunctions._task_tokens[token] = {"event": threading.Event(), "result": None, "error": None}
    try:
        return _answer(task, resource, arguments, stepfunctions._task_tokens[token])
    except stepfunctions._ExecutionError:
        # The next attempt's: its arguments are evaluated before it comes here.
        task.context["Task"] = {"Token": new_uuid()}
        raise
    finally:
        stepfunctions._task_tokens.pop(token, None)


def _answer(task: _Task, resource: str, arguments: Any, answer: dict[str, Any]) -> Any:
    deadline = time.monotonic() + task.timeout_seconds()
    try:
        stepfunctions._invoke_resource(resource.removesuffix(_CALLBACK), arguments)
    except stepfunctions._ExecutionError:
        if not answer["event"].is_set():
            raise
    _wait(answer["event"], deadline, task.execution)
    if answer["error"]:
        raise stepfunctions._ExecutionError(answer["error"]["Error"], answer["error"]["Cause"])
    return json.loads(answer["result"])


def _wait(answered: threading.Event, deadline: float, execution: dict[str, Any]) -> None:
    while not answered.wait(max(0, min(_LOOK_SECONDS, deadline - time.monotonic()))):
        if _is_over(execution):
            raise _ExecutionOverError
        if time.monotonic() >= deadline:
            raise stepfunctions._ExecutionError("States.Timeout", "")


def _is_over(execution: dict[str, Any]) -> bool:
    return executions.is_stopped(execution) or _emulator_ends.is_set()


def _while_waiting(respond: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def respond_while_waiting(parameters: dict[str, Any]) -> Any:
        token = parameters.get("taskToken")
        waiting = stepfunctions._task_tokens.get(token)
        over = waiting is None or waiting["event"].is_set()
        if state_machine_of(token) and over:
            return error_response_json(
                "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400
            )
        if not _is_json(parameters.get("output", "{}")):
            return error_response_json("InvalidOutput", "Invalid Output: 'not JSON'", 400)
        return respond(parameters)

    return respond_while_waiting


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _add_event(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
    """Add to the history; an execution that is over gets nothing but the event that says so."""
    if _is_over(execution) and not event_type.startswith("Execution"):
        raise _ExecutionOverError
    return _emulator_add_event(execution, event_type, details)


def _fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
    """Fail the execution, unless it was stopped: it stays ABORTED."""
    if execution["status"] == "RUNNING":
        _emulator_fail_execution(execution, error, cause)
