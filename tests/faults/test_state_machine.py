"""Executions of one request side by side, in any order of their calls, with any faults.

FAULTS_EXAMPLES sets how many histories are tried; CI tries few.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.faults import wiring, workflow
from tests.faults.faults import Fault
from tests.faults.scenario import REQUEST, REQUEST_ID, problems
from tests.faults.stepping import SteppedAws, Stepper
from tests.faults.workflow import functions

EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "100"))
_MOST_AT_ONCE = 4
_FAULTS = sorted(set(Fault) - {Fault.REDELIVERED, Fault.STOPPED})
_STEPPERS = st.integers(min_value=0, max_value=_MOST_AT_ONCE)


class OneRequest(RuleBasedStateMachine):
    """What can happen to one request."""

    def __init__(self) -> None:
        super().__init__()
        self.aws = SteppedAws()
        wiring.use(self.aws)
        self.steppers: list[Stepper] = []
        self.is_over = False

    @initialize()
    def deliver_first(self) -> None:
        self._start(REQUEST)

    @rule()
    @precondition(lambda self: len(self.awake()) < _MOST_AT_ONCE)
    def deliver(self) -> None:
        """Deliver the event; a duplicate is the same."""
        self._start(REQUEST)

    @rule()
    @precondition(lambda self: self._is_claimed() and len(self.awake()) < _MOST_AT_ONCE)
    def deliver_other_content(self) -> None:
        """Deliver another request under the same ID."""
        self._start({**REQUEST, "description": "Something else"})

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
            self._start(REQUEST)
            self._come_to_rest()
            self.aws.time += wiring.QUIET_SECONDS + 1
            self._add("sweep", self._sweep)
            self._come_to_rest()
            assert problems(self.aws) == []
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

    def _come_to_rest(self) -> None:
        while any(not stepper.is_done for stepper in self.steppers):
            for stepper in self.awake():
                stepper.step()
            self.nothing_is_wrong_yet()
            waiting = [s.wakes_at for s in self.steppers if not s.is_done and s.wakes_at]
            if waiting and not self.awake():
                self.aws.time = min(waiting)

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
            functions()["SweepFunction"].invoke(self.aws, "SweepFunction", {})
        except workflow.StateFailed:
            return  # the next one is due in an hour

    def _add(self, name: str, work: Callable[[], None]) -> None:
        self.steppers.append(Stepper(name, work))


TestOneRequest = OneRequest.TestCase
TestOneRequest.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    derandomize="FAULTS_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
