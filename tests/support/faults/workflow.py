"""Runs the definitions of statemachine/ as Step Functions would, with the real handlers.

It knows what the definition uses: JSONata, Task, Choice, Wait, Map, Parallel, Pass, Succeed and
Fail, with Retry and Catch, and tasks that wait for an answer. Waiting moves the clock. Map items
and branches run one after another, in order, and the first that fails ends the others.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

import copyreg
import importlib
import json
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.idempotency.exceptions import BaseError
from botocore.exceptions import ClientError
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils
from pydantic_core import from_json, to_json

from provisioner.errors import ProvisionerError
from provisioner.intake.primary_region import needs_record
from provisioner.settings import settings
from tests.support.faults.aws import CHANGE_MACHINE, HOME, Aws, Execution
from tests.support.template import load_template

DEFINITION = Path("statemachine/provision_key.asl.json")
CHANGES = Path("statemachine/change_key_set.asl.json")
_NULL = Utils.NULL_VALUE
_PATH = re.compile(r"\$\w+(\.\w+)+")
_VARIABLE = re.compile(r"\$\w+(?:\.\w+)*")
_EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)


_MOST_ENTRIES = 5_000
"""How many states a machine may enter: Step Functions ends an execution of 25,000 events.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""


class ProcessDied(BaseException):
    """A function's process ends here and now: no handler of an `Exception` may see it."""


class ExecutionStopped(BaseException):
    """The execution was ended from outside; only a function that was running goes on to its end."""


class StateFailed(Exception):
    """A state ended with an error, as `Retry` and `Catch` see it."""

    def __init__(self, error: str, cause: str) -> None:
        self.error = error
        self.cause = cause
        super().__init__(error)


@dataclass
class Invocation:
    """One run of a function; `execution` is None where nothing of Step Functions called it."""

    aws: Aws
    execution: Execution | None
    function_name: str
    deadline: float
    # What else Lambda's context has.
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:111122223333:function:step"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Return what Lambda's context tells."""
        return max(0, int((self.deadline - self.aws.time) * 1000))

    def die_if_out_of_time(self) -> None:
        if self.aws.time >= self.deadline:
            raise ProcessDied("Sandbox.Timedout")


INVOCATION: ContextVar[Invocation] = ContextVar("invocation")
"""The function that runs right now, in this thread."""


@dataclass(frozen=True)
class Function:
    """A function of template.yaml."""

    handler: Callable[[Any, Any], Any]
    timeout: float

    def invoke(self, aws: Aws, name: str, payload: Any, execution: Execution | None = None) -> Any:
        """Run the handler on plain JSON.

        Raises
        ------
        StateFailed
            With the name and the cause that Lambda gives for what the handler raised. Only
            errors of the package and of Powertools: any other is a mistake, and ends the test.
        """
        invocation = Invocation(aws, execution, name, aws.time + self.timeout)
        token = INVOCATION.set(invocation)
        try:
            answer = self._answer(to_json(payload, fallback=_plain), invocation)
            invocation.die_if_out_of_time()
        except ProcessDied as death:
            cause = {"errorMessage": "The process ended.", "errorType": str(death)}
            raise StateFailed(str(death), json.dumps(cause)) from death
        except (ProvisionerError, BaseError) as error:
            kind = type(error).__name__
            cause = {"errorMessage": str(error), "errorType": kind}
            raise StateFailed(kind, json.dumps(cause)) from error
        finally:
            INVOCATION.reset(token)
        # `to_json` writes much that Lambda's runtime refuses.
        return from_json(json.dumps(answer))

    def _answer(self, payload: bytes, invocation: Invocation) -> Any:
        # Unless it reads the record it calls nothing, and the clock matters to key material that
        # expires alone: thousands of schedules need its answer once.
        depends = b"validTo" in payload or needs_record(from_json(payload))
        if invocation.function_name != "ValidateRequestFunction" or depends:
            return self.handler(from_json(payload), invocation)
        place = (payload, repr(settings()))
        if place not in _VALIDATED:
            _VALIDATED[place] = self.handler(from_json(payload), invocation)
        return _VALIDATED[place]


_VALIDATED: dict[tuple[bytes, str], Any] = {}


@cache
def functions() -> dict[str, Function]:
    """Return the functions of template.yaml by their logical IDs."""
    template = load_template()
    timeout = template["Globals"]["Function"]["Timeout"]
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            module, handler = resource["Properties"]["Handler"].rsplit(".", 1)
            found[name] = Function(
                getattr(importlib.import_module(module), handler),
                resource["Properties"].get("Timeout", timeout),
            )
    return found


def sweep(aws: Aws) -> None:
    """Run a sweep as the schedule does, and the workers that it starts."""
    functions()["SweepFunction"].invoke(aws, "SweepFunction", {})
    while aws.to_sweep:
        functions()["SweepRegionFunction"].invoke(aws, "SweepRegionFunction", aws.to_sweep.pop(0))


@cache
def load_definition(path: Path = DEFINITION) -> dict[str, Any]:
    """Read the definition that is deployed."""
    definition: dict[str, Any] = json.loads(path.read_text())
    return definition


def definition_of(execution: Execution) -> dict[str, Any]:
    """Return the definition of an execution's state machine."""
    return load_definition(CHANGES if execution.machine == CHANGE_MACHINE else DEFINITION)


@dataclass(frozen=True)
class Place:
    """Where an execution is: with AWS, it decides all that the execution does from now on.

    `tried` is how often each retrier of the state has been used since it was entered. A machine
    that runs in a state of another one has that one's place `around` it, and the `answers` of those
    that ran before it in that state.
    """

    state: str
    data: Any
    tried: dict[int, int]
    variables: dict[str, Any]
    context: dict[str, Any]
    around: "Place | None"
    answers: list[Any]

    @property
    def execution(self) -> str:
        """The execution's ARN."""
        arn: str = self.context["Execution"]["Id"]
        return arn

    def outermost_first(self) -> "list[Place]":
        return [*(self.around.outermost_first() if self.around else []), self]


# A null is known by its identity, also to who goes on from a place that was saved.
copyreg.pickle(Utils.NullValue, lambda _null: (_null_value, ()))


def _null_value() -> Any:
    return _NULL


def run(aws: Aws, execution: Execution, definition: dict[str, Any] | None = None) -> None:
    """Run an execution to its end, and set its status."""
    name = execution.arn.rsplit(":", 1)[1]
    started = _instant(execution.started_at)
    context = {"Execution": {"Id": execution.arn, "Name": name, "StartTime": started}}
    machine = _Machine(aws, execution, context, {})
    states = definition or definition_of(execution)
    data = _with_nulls(execution.document)
    _run_to_end(machine, execution, states, lambda: machine.run(states, data))


def go_on(aws: Aws, place: Place, definition: dict[str, Any] | None = None) -> None:
    """Run an execution to its end from a state that it has just entered, and set its status."""
    outermost, *inner = place.outermost_first()
    execution = aws.executions[place.execution]
    machine = _Machine(aws, execution, outermost.context, outermost.variables)
    states = definition or definition_of(execution)
    _run_to_end(machine, execution, states, lambda: machine.go_on(states, outermost, inner))


def redrive(execution: Execution) -> None:
    """Run a failed execution again from the state in which it failed, with its variables.

    https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
    """
    assert execution.status == "FAILED"
    assert execution.go_on
    execution.status = "RUNNING"
    execution.go_on()


def _run_to_end(
    machine: "_Machine", execution: Execution, states: dict[str, Any], work: Callable[[], Any]
) -> None:
    execution.go_on = lambda: _run_to_end(
        machine,
        execution,
        states,
        lambda: machine.run({**states, "StartAt": machine.state}, machine.data),
    )
    try:
        work()
        status = "SUCCEEDED"
    except StateFailed:
        status = "FAILED"
    except ExecutionStopped:
        return
    if execution.status == "RUNNING":
        execution.status = status


class _Machine:
    """Runs one state machine: the definition's, or one inside it with variables of its own."""

    def __init__(
        self, aws: Aws, execution: Execution, context: dict[str, Any], variables: dict[str, Any]
    ) -> None:
        self._aws = aws
        self._execution = execution
        self._context = context
        self._variables = variables
        self.state: str | None = None
        self.data: Any = None
        """The state that it is in, and that state's input."""
        self._tried: dict[int, int] = {}
        self._around: Callable[[], Place | None] = lambda: None
        self._answers: list[Any] = []
        self._inner: list[Place] = []
        """Where the machine goes on that runs in the state, and those in that one's."""

    def run(self, definition: dict[str, Any], data: Any) -> Any:
        return self._run_from(definition["StartAt"], definition, data)

    def go_on(self, definition: dict[str, Any], place: Place, inner: list[Place]) -> Any:
        """Do from a place what `run` does, where `inner` are the places in it."""
        self.state, self.data, self._tried = place.state, place.data, place.tried
        self._variables, self._context, self._inner = place.variables, place.context, inner
        name, data = self._step(definition, place.state, place.data)
        return self._run_from(name, definition, data)

    def _run_or_go_on(
        self, definition: dict[str, Any], data: Callable[[], Any], places: list[Place]
    ) -> Any:
        """Go on at the first of the places, and take them, or run where there are none."""
        if not places:
            return self.run(definition, data())
        place, *inner = places
        places.clear()
        return self.go_on(definition, place, inner)

    def _run_from(self, name: str | None, definition: dict[str, Any], data: Any) -> Any:
        entries = count()
        while name:
            self.state, self.data, self._tried = name, data, {}
            self._aws.transitions += 1
            assert next(entries) < _MOST_ENTRIES, (
                f"The execution does not end; it is in {name} again."
            )
            entered = {"Name": name, "EnteredTime": _instant(self._aws.time)}
            self._context = {**self._context, "State": entered}
            self._aws.network.enter(self._place)
            name, data = self._step(definition, name, data)
        return data

    def _step(self, definition: dict[str, Any], name: str, data: Any) -> tuple[str | None, Any]:
        state = definition["States"][name]
        next_state: tuple[str | None, Any] = getattr(self, f"_{state['Type'].lower()}")(state, data)
        return next_state

    def _place(self) -> Place:
        assert self.state
        own = (self.state, self.data, self._tried, self._variables, self._context)
        return Place(*own, self._around(), self._answers)

    def _task(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        if state["Resource"].endswith("states:startExecution"):
            return self._with_retries(state, data, self._start_execution)
        waits = state["Resource"].endswith(".waitForTaskToken")
        return self._with_retries(state, data, self._invoke_and_wait if waits else self._invoke)

    def _map(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        return self._with_retries(state, data, self._run_items)

    def _parallel(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        return self._with_retries(state, data, self._run_branches)

    def _choice(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        for choice in state["Choices"]:
            if self._evaluate(choice["Condition"], {"input": data}):
                return choice["Next"], self._leave(choice, {"input": data}, data)
        return state["Default"], data

    def _wait(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        self._aws.sleep(self._evaluate(state["Seconds"], {"input": data}))
        return state["Next"], data

    def _pass(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        return state.get("Next"), self._leave(state, {"input": data}, data)

    def _succeed(self, _state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        return None, data

    def _fail(self, state: dict[str, Any], data: Any) -> tuple[str | None, Any]:
        raise StateFailed(state["Error"], self._evaluate(state["Cause"], {"input": data}))

    def _invoke(self, state: dict[str, Any], data: Any) -> Any:
        arguments = self._evaluate(state["Arguments"], {"input": data})
        name = arguments["FunctionName"].removeprefix("${").removesuffix("Arn}")
        try:
            payload = functions()[name].invoke(
                self._aws, name, arguments["Payload"], self._execution
            )
        except StateFailed:
            self._stop_if_ended()
            raise
        self._stop_if_ended()
        return {"Payload": payload}

    def _start_execution(self, state: dict[str, Any], data: Any) -> Any:
        """Start an execution of another state machine, which whoever drives the test runs."""
        arguments = self._evaluate(state["Arguments"], {"input": data})
        assert arguments["StateMachineArn"] == "${ChangeKeySetArn}"
        try:
            self._aws.service("stepfunctions", HOME).start_execution(
                stateMachineArn=CHANGE_MACHINE,
                name=arguments["Name"],
                input=json.dumps(arguments["Input"], default=_plain),
            )
        except ClientError as error:
            name = f"StepFunctions.{error.response['Error']['Code']}Exception"
            raise StateFailed(name, str(error)) from error
        return {}

    def _invoke_and_wait(self, state: dict[str, Any], data: Any) -> Any:
        """Invoke the function with a token of this try; the result is what its holder gives."""
        timeout = self._evaluate(state["TimeoutSeconds"], {"input": data})
        task = self._aws.new_task(self._execution, timeout)
        self._context = {**self._context, "Task": {"Token": task.token}}
        try:
            self._invoke(state, data)
            self._aws.wait_for_answer(task)
        except StateFailed:
            if not task.is_answered:
                raise
        finally:
            task.is_over = True
        self._stop_if_ended()
        if task.error is not None:
            raise StateFailed(*task.error)
        if task.output is None:
            raise StateFailed("States.Timeout", "")
        return task.output

    def _stop_if_ended(self) -> None:
        if self._execution.status != "RUNNING":
            raise ExecutionStopped

    def _run_items(self, state: dict[str, Any], data: Any) -> list[Any]:
        answers, inner = self._answers_and_inner()
        for item in self._evaluate(state["Items"], {"input": data})[len(answers) :]:
            machine = self._inside({"Map": {"Item": {"Value": item}}}, answers)
            selected = partial(machine._evaluate, state["ItemSelector"], {"input": data})
            answers.append(machine._run_or_go_on(state["ItemProcessor"], selected, inner))
        return answers

    def _run_branches(self, state: dict[str, Any], data: Any) -> list[Any]:
        given = self._evaluate(state["Arguments"], {"input": data})
        answers, inner = self._answers_and_inner()
        for branch in state["Branches"][len(answers) :]:
            machine = self._inside({}, answers)
            answers.append(machine._run_or_go_on(branch, lambda: given, inner))
        return answers

    def _answers_and_inner(self) -> tuple[list[Any], list[Place]]:
        """Return what there is of a state's answers, and where the next of its machines goes on."""
        inner, self._inner = self._inner, []
        return (inner[0].answers if inner else []), inner

    def _inside(self, context: dict[str, Any], answers: list[Any]) -> "_Machine":
        """Return a machine that sees the variables around it and changes only a copy of them.

        `answers` are those of the machines that ran before it in the same state.
        """
        seen = dict(self._variables)
        machine = _Machine(self._aws, self._execution, {**self._context, **context}, seen)
        machine._around, machine._answers = self._place, answers
        return machine

    def _with_retries(
        self, state: dict[str, Any], data: Any, work: Callable[[dict[str, Any], Any], Any]
    ) -> tuple[str | None, Any]:
        while True:
            try:
                result = _with_nulls(work(state, data))
                return state.get("Next"), self._leave(
                    state, {"input": data, "result": result}, result
                )
            except StateFailed as failure:
                if not self._retries(state, failure):
                    return self._catch(state, data, failure)

    def _retries(self, state: dict[str, Any], failure: StateFailed) -> bool:
        """Wait as the first retrier that names the error says, if it has a try left."""
        for place, retrier in enumerate(state.get("Retry", [])):
            if _names(retrier, failure.error):
                before = self._tried.get(place, 0)
                if before >= retrier["MaxAttempts"]:
                    return False
                self._tried[place] = before + 1
                self._aws.transitions += 1
                delay = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** before
                self._aws.sleep(min(delay, retrier["MaxDelaySeconds"]))
                return True
        return False

    def _catch(
        self, state: dict[str, Any], data: Any, failure: StateFailed
    ) -> tuple[str | None, Any]:
        output = {"Error": failure.error, "Cause": failure.cause}
        for catcher in state.get("Catch", []):
            if _names(catcher, failure.error):
                states = {"input": data, "errorOutput": output}
                return catcher["Next"], self._leave(catcher, states, output)
        raise failure

    def _leave(self, rule: dict[str, Any], states: dict[str, Any], otherwise: Any) -> Any:
        """Return the output; the variables change only after it and all of them were computed."""
        output = self._evaluate(rule["Output"], states) if "Output" in rule else otherwise
        if "Assign" in rule:
            self._variables |= self._evaluate(rule["Assign"], states)
        return output

    def _evaluate(self, template: Any, states: dict[str, Any]) -> Any:
        """Replace every expression in a template by its value."""
        if isinstance(template, dict):
            return {name: self._evaluate(value, states) for name, value in template.items()}
        if isinstance(template, list):
            return [self._evaluate(value, states) for value in template]
        if template is None:
            return _NULL
        if not isinstance(template, str) or not (found := _EXPRESSION.fullmatch(template)):
            return template
        expression = found[1].strip()
        bindings = {**self._variables, "states": {**states, "context": self._context}}
        value = _at_path(expression, bindings)
        if value is None:
            # An expression is a function of what it mentions, and most come up again and again.
            reached = [_reached(steps, bindings) for steps in _mentioned(expression)]
            mentioned = to_json(reached, fallback=_marked)
            if (expression, mentioned) not in _values:
                _values[expression, mentioned] = _settled(
                    _compiled(expression).evaluate(None, bindings)
                )
            value = _values[expression, mentioned]
        if value is None:
            raise StateFailed("States.QueryEvaluationError", f"{template} is undefined.")
        return value


def _names(rule: dict[str, Any], error: str) -> bool:
    """Whether a retrier or catcher means an error. `States.ALL` does not mean a bad query."""
    everything = "States.ALL" in rule["ErrorEquals"] and error != "States.QueryEvaluationError"
    return everything or error in rule["ErrorEquals"]


def _at_path(expression: str, bindings: dict[str, Any]) -> Any:
    """Follow `$a.b.c` through objects, which is most of what there is; None where it is not so."""
    steps = _steps(expression)
    found: Any = bindings if steps else None
    for step in steps:
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def _reached(steps: tuple[str, ...], bindings: dict[str, Any]) -> Any:
    """Follow a path through objects as far as it goes."""
    found: Any = bindings
    for step in steps:
        if not isinstance(found, dict):
            return found
        found = found.get(step)
    return found


_values: dict[tuple[str, bytes], Any] = {}
"""What an expression was worth, by everything it mentions."""


@cache
def _mentioned(expression: str) -> list[tuple[str, ...]]:
    """List the paths that begin with a variable."""
    return [tuple(path[1:].split(".")) for path in _VARIABLE.findall(expression)]


@cache
def _steps(expression: str) -> tuple[str, ...]:
    return tuple(expression[1:].split(".")) if _PATH.fullmatch(expression) else ()


@cache
def _compiled(expression: str) -> Jsonata:
    compiled = Jsonata(expression)
    compiled.set_output_convert_nulls(False)
    compiled.register_lambda("parse", _parse)
    return compiled


def _parse(text: str) -> Any:
    """Do what Step Functions' own `$parse` does."""
    return _with_nulls(json.loads(text))


def _with_nulls(value: Any) -> Any:
    """Turn Python's None into JSONata's null; to its library, None is "undefined"."""
    if isinstance(value, dict):
        return {name: _with_nulls(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_nulls(one) for one in value]
    return _NULL if value is None else value


def _settled(value: Any) -> Any:
    """Turn JSONata's own kinds of list, which may flatten later, into plain lists."""
    if isinstance(value, dict):
        return {name: _settled(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_settled(one) for one in value]
    return value


def _instant(time: float) -> str:
    """Write an instant as the context object does."""
    text = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _plain(value: Any) -> None:
    assert value is _NULL


def _marked(value: Any) -> dict[str, Any]:
    """Write JSONata's null otherwise than None, which is what is not there."""
    assert value is _NULL
    return {"null": [[]]}
