"""The project itself: an event on the stack's bus, and the execution that it starts."""

import time
from typing import Any

from bench.errors import BenchError
from bench.key_sets import KeySet
from local.stack.stack import Stack

_TIMEOUT = 300


class Workflow:
    """Sends an event, and stops the clock when the execution has ended.

    That is a little after the completion event. The emulator notes it to the millisecond on the
    same clock, so nothing has to poll it finely while it works on the same cores.
    """

    name = "this project, warm"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.execution = ""
        """ARN of the last execution."""

    def prepare(self, key_set: KeySet) -> None:
        """Do nothing: the functions' environments are there from the runs before."""

    def make(self, key_set: KeySet) -> float:
        """Make the key set; return the seconds on the wall."""
        began = time.time()
        self._stack.send(key_set.request)
        detail = self._stack.wait_for_outcome(key_set.name, timeout=_TIMEOUT)["detail"]
        if detail["status"] != "CREATED":
            raise BenchError(f"The workflow ended with {detail['status']}: {detail['errors']}")
        self.execution = detail["executionArn"]
        ended: float = self._stack.wait_for_execution(self.execution)["stopDate"].timestamp()
        return ended - began


class ColdWorkflow(Workflow):
    """The same, but every function starts in a new environment."""

    name = "this project, cold"

    def prepare(self, key_set: KeySet) -> None:
        """Change a variable in every function's environment, which ends the environments."""
        functions = self._stack.client("lambda")
        for name in self._stack.functions().values():
            configuration: dict[str, Any] = functions.get_function_configuration(FunctionName=name)
            variables = configuration["Environment"]["Variables"] | {"BENCH": key_set.name}
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": variables}
            )
