"""Runs several executions side by side, one AWS call at a time, in the order a test chooses.

Each execution has a thread of its own, but only one of all threads ever runs: a thread halts before
each call to AWS and before each wait, until the test lets it go on.
"""

import threading
from collections.abc import Callable
from typing import Any

from tests.support.faults.aws import Aws, Call, Network, WaitingTask
from tests.support.faults.faults import Fault, go_wrong
from tests.support.faults.workflow import INVOCATION


class _Abandoned(BaseException):
    """Ends a thread whose test is over."""


class Stepper:
    """One execution, or one sweep, that goes on step by step."""

    _of_thread = threading.local()

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.call: Call | None = None
        self.wakes_at: float | None = None
        self.is_done = False
        self._error: BaseException | None = None
        self._fault: Fault | None = None
        self._is_abandoned = False
        self._go = threading.Semaphore(0)
        self._halted = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        self._halted.acquire()

    @classmethod
    def current(cls) -> "Stepper":
        """Return the stepper whose thread this is."""
        stepper: Stepper = cls._of_thread.stepper
        return stepper

    def step(self, fault: Fault | None = None) -> None:
        """Do the call or the wait it halts before, and go on to the next one or to the end."""
        self._fault = fault
        self._go.release()
        self._halted.acquire()
        if self._error:
            raise self._error

    def abandon(self) -> None:
        """End the thread, wherever it is."""
        if not self.is_done:
            self._is_abandoned = True
            self._go.release()
        self._thread.join()

    def halt(self, *, call: Call | None = None, wakes_at: float | None = None) -> Fault | None:
        """Wait, in the stepper's own thread, for the next `step`; give the fault it brings."""
        if self._is_abandoned:
            raise _Abandoned  # in the calls of a `finally` as well
        self.call, self.wakes_at = call, wakes_at
        self._halted.release()
        self._go.acquire()
        if self._is_abandoned:
            raise _Abandoned
        return self._fault

    def _run(self, work: Callable[[], None]) -> None:
        Stepper._of_thread.stepper = self
        try:
            self.halt()
            work()
        except _Abandoned:
            return
        except BaseException as error:  # noqa: BLE001  # raised again in the test's own thread
            self._error = error
        finally:
            self.is_done = True
            self._halted.release()


class SteppedAws(Aws, Network):
    """An AWS whose callers halt before each call and each wait."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, Stepper] = {}

    def wait_for_answer(self, task: WaitingTask) -> None:
        self._waiting[task.token] = Stepper.current()
        if task.output is None:
            self.sleep(task.ends_at - self.time)

    def wake(self, task: WaitingTask) -> None:
        if task.token in self._waiting:
            self._waiting[task.token].wakes_at = self.time

    def sleep(self, seconds: float) -> None:
        Stepper.current().halt(wakes_at=self.time + seconds)

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        fault = Stepper.current().halt(call=call)
        INVOCATION.get().die_if_out_of_time()
        return effect() if fault is None else go_wrong(call, effect, fault)
