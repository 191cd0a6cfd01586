"""A network on which something else is done before one call."""

from collections.abc import Callable
from typing import Any

from tests.support.faults.api import ask
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.scenario import REQUEST_ID, Scenario
from tests.support.faults.workflow import INVOCATION, Invocation


class Interrupted(Network):
    """Carries everything, and has something else done before the call of that number.

    `calls` are all that were sent, each with the run of the function that sent it.
    """

    def __init__(self, aws: Aws, place: int | None, act: Callable[[Aws], Any]) -> None:
        self.calls: list[Call] = []
        self.invocations: list[Invocation] = []
        self.answer: Any = None
        self._aws = aws
        self._place = place
        self._act = act

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        self.calls.append(call)
        self.invocations.append(INVOCATION.get())
        if len(self.calls) - 1 == self._place:
            self._aws.network = self._aws
            self.answer = self._act(self._aws)
            self._aws.network = self
        return effect()


def cancel(aws: Aws) -> int:
    """Send DELETE for the request; return the status of the answer."""
    return ask(aws, "DELETE", REQUEST_ID)[0]


def played_cancelled(scenario: Scenario, place: int | None) -> Interrupted:
    """Play a scenario once, cancelled before the call of that number."""
    network = Interrupted(scenario.aws, place, cancel)
    scenario.aws.network = network
    scenario.deliver()
    scenario.aws.network = scenario.aws
    return network
