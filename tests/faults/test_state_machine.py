"""Executions of one request side by side, in any order of their calls, with any faults.

FAULTS_EXAMPLES sets how many histories are tried; CI tries few.
"""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.support.faults import wiring, workflow
from tests.support.faults.faults import Fault
from tests.support.faults.histories import histories
from tests.support.faults.holder import answer, asked_for, give
from tests.support.faults.scenario import IMPORTED, REQUEST, REQUEST_ID, problems
from tests.support.faults.stepping import SteppedAws, Stepper

_MOST_AT_ONCE = 4
_OTHER = "Something else"
_FAULTS = sorted(set(Fault) - {Fault.REDELIVERED, Fault.STOPPED})
_NEAR = 12
# Chance alone would seldom come to these.
_WRITES = ("CreateKey", "UpdateItem", "CreateAlias", "ReplicateKey", "PutEvents")
_WRITES_OF_MATERIAL = ("UpdateItem", "PutEvents", "SendTaskSuccess", "ImportKeyMaterial")
_QUESTION_SECONDS = 84_600
_STEPPERS = st.integers(min_value=0, max_value=_MOST_AT_ONCE)


class OneRequest(RuleBasedStateMachine):
    """What can happen to one request."""

    document = REQUEST

    def __init__(self) -> None:
        super().__init__()
        self.aws = SteppedAws()
        wiring.use(self.aws)
        self.steppers: list[Stepper] = []
        self.is_over = False

    @initialize()
    def deliver_first(self) -> None:
        self._start(self.document)

    @rule()
    @precondition(lambda self: len(self.awake()) < _MOST_AT_ONCE)
    def deliver(self) -> None:
        """Deliver the event; a duplicate is the same."""
        self._start(self.document)

    @rule()
    @precondition(lambda self: self._is_claimed() and len(self.awake()) < _MOST_AT_ONCE)
    def deliver_other_content(self) -> None:
        """Deliver another request under the same ID."""
        self._start({**self.document, "description": _OTHER})

    @rule(which=_STEPPERS, calls=st.integers(min_value=1, max_value=12))
    @precondition(lambda self: self.awake())
    def go_on(self, which: int, calls: int) -> None:
        """Let one execution get some calls further."""
        stepper = self._choose(which)
        for _ in range(calls):
            if stepper in self.awake():
                stepper.step()

    @rule(which=_STEPPERS, fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.awake())
    def go_wrong(self, which: int, fault: Fault) -> None:
        """Let the next call of one execution meet a fault."""
        self._choose(which).step(fault)

    @rule(which=_STEPPERS, operation=st.sampled_from(_WRITES), fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.awake())
    def go_wrong_at(self, which: int, operation: str, fault: Fault) -> None:
        """Let one execution come to a write, if one is near, and let that meet a fault."""
        self._step_to(self._choose(which), operation, fault)

    @rule(which=_STEPPERS)
    @precondition(lambda self: self.awake())
    def stop(self, which: int) -> None:
        """Stop an execution; its function that runs goes on to its own end."""
        name = self._choose(which).name
        if name in self.aws.executions and self.aws.executions[name].status == "RUNNING":
            self.aws.executions[name].status = "ABORTED"

    @rule(seconds=st.sampled_from([1, 5, 30, 60, 1000]))
    def let_time_pass(self, seconds: int) -> None:
        self.aws.time += seconds

    @rule()
    @precondition(lambda self: len(self.awake()) < _MOST_AT_ONCE)
    def sweep(self) -> None:
        """Start a sweep, as the schedule does."""
        self._add("sweep", self._sweep)

    @invariant()
    def nothing_is_wrong_yet(self) -> None:
        for execution in self.aws.to_run:
            self._add(execution.arn, lambda e=execution: workflow.run(self.aws, e))  # type: ignore[misc]
        self.aws.to_run.clear()
        assert self.aws.violations == []
        assert len(self.aws.kms.primaries()) <= 1

    def teardown(self) -> None:
        """Let faults stop and all that runs end; send the request once more, and sweep."""
        try:
            self._come_to_rest()
            self._start(self.document)
            self._come_to_rest()
            self.aws.time += wiring.QUIET_SECONDS + 1
            self._add("sweep", self._sweep)
            self._come_to_rest()
            assert problems(self.aws, self._taken()) == []
        finally:
            for stepper in self.steppers:
                stepper.abandon()

    def awake(self) -> list[Stepper]:
        """List those that can go on now."""
        return [
            stepper
            for stepper in self.steppers
            if not stepper.is_done and (stepper.wakes_at or 0) <= self.aws.time
        ]

    def _taken(self) -> dict[str, Any]:
        """Return the content that was created: once one has failed, the other corrects it."""
        item = self.aws.dynamodb.tables["requests"][REQUEST_ID]
        description = json.loads(item["request"]["S"])["description"]
        return {**self.document, "description": _OTHER} if description == _OTHER else self.document

    def _come_to_rest(self) -> None:
        while any(not stepper.is_done for stepper in self.steppers):
            for stepper in self.awake():
                stepper.step()
            self.nothing_is_wrong_yet()
            if not self.awake() and self.answer_at_rest():
                continue
            waiting = [s.wakes_at for s in self.steppers if not s.is_done and s.wakes_at]
            if waiting and not self.awake():
                self.aws.time = min(waiting)

    def answer_at_rest(self) -> bool:
        """Answer what is asked for when nothing else goes on; False where nothing is new."""
        return False

    def _step_to(self, stepper: Stepper, operation: str, fault: Fault) -> None:
        for _ in range(_NEAR):
            if stepper not in self.awake():
                return
            if stepper.call and stepper.call.operation == operation:
                stepper.step(fault)
                return
            stepper.step()

    def _choose(self, which: int) -> Stepper:
        awake = self.awake()
        return awake[which % len(awake)]

    def _is_claimed(self) -> bool:
        return "contentHash" in self.aws.dynamodb.tables["requests"].get(REQUEST_ID, {})

    def _start(self, document: dict[str, Any]) -> None:
        execution = self.aws.new_execution(document)
        self._add(execution.arn, lambda: workflow.run(self.aws, execution))

    def _sweep(self) -> None:
        try:
            workflow.sweep(self.aws)
        except workflow.StateFailed:
            return  # the next one is due in an hour

    def _add(self, name: str, work: Callable[[], None]) -> None:
        self.steppers.append(Stepper(name, work))


class OneImportedRequest(OneRequest):
    """What can happen to one request whose key material comes from outside."""

    document = IMPORTED

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[list[dict[str, str]]] = []

    @rule(which=st.integers(min_value=0, max_value=2))
    @precondition(lambda self: len(self.awake()) < _MOST_AT_ONCE and self.aws.asked)
    def answer(self, which: int) -> None:
        """Answer the question that is open, or an earlier one."""
        self._look()
        if self.questions:
            self._answer(self.questions[-1 - which % len(self.questions)])

    @rule(
        which=_STEPPERS,
        operation=st.sampled_from(_WRITES_OF_MATERIAL),
        fault=st.sampled_from(_FAULTS),
    )
    @precondition(lambda self: self.awake())
    def material_goes_wrong_at(self, which: int, operation: str, fault: Fault) -> None:
        """Let one execution or one answer come to a write, and let that meet a fault."""
        self._step_to(self._choose(which), operation, fault)

    @rule()
    @precondition(lambda self: self.aws.asked)
    def let_a_question_pass(self) -> None:
        self.aws.time += _QUESTION_SECONDS

    def answer_at_rest(self) -> bool:
        if not self._look():
            return False
        self._answer(self.questions[-1])
        return True

    def _look(self) -> bool:
        """Look at the status; True where it asks for something that it did not ask for before."""
        asked = asked_for(self.aws, REQUEST_ID)
        is_new = bool(asked) and asked not in self.questions
        if is_new:
            self.questions.append(asked)
        return is_new

    def _answer(self, asked: list[dict[str, str]]) -> None:
        document = answer(REQUEST_ID, asked)

        def work() -> None:
            give(self.aws, document)

        self._add("answer", work)


_SETTINGS = histories(300, steps=60)
TestOneRequest = OneRequest.TestCase
TestOneRequest.settings = _SETTINGS
TestOneImportedRequest = OneImportedRequest.TestCase
TestOneImportedRequest.settings = settings(
    _SETTINGS, max_examples=max(1, _SETTINGS.max_examples // 3)
)
