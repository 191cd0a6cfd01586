"""What can go wrong at a call to AWS, and the network on which it does.

A schedule says at which call of it what goes wrong. Calls are counted from 0 through everything
that happens, also in the further executions that a fault brings about.
"""

import contextlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from tests.support.faults.aws import Aws, Call, Network, SideBySide
from tests.support.faults.errors import refusal
from tests.support.faults.workflow import INVOCATION, ProcessDied


class Fault(StrEnum):
    """One thing that goes wrong; `AFTER` stands for: when the call has had its effect."""

    REFUSED = "refused"
    THROTTLED = "throttled"
    NOT_ENABLED = "refused, since KMS in the Region does not know the account"
    UNREACHABLE = "never sent, since no connection came about"
    BROKEN = "answered with a 5xx"
    BROKEN_AFTER = "done, then answered with a 5xx"
    SILENT = "not done and never answered"
    SILENT_AFTER = "done, then never answered"
    RESET_AFTER = "done, then the connection was reset"
    RESENT = "done and not answered, then sent again by the SDK"
    KILLED = "never sent, since the process died"
    KILLED_AFTER = "done, then the process died"
    REDELIVERED = "preceded by a whole execution of the same event"
    STOPPED = "preceded by the end of its execution and a whole execution of the same event"


Schedule = tuple[tuple[int, Fault], ...]

_AFTER = {Fault.BROKEN_AFTER, Fault.SILENT_AFTER, Fault.RESET_AFTER, Fault.KILLED_AFTER}
_SENT_ONCE = {"CreateKey"}
_TWO_EXECUTIONS = {Fault.REDELIVERED, Fault.STOPPED}
_URL = "https://aws.test"


def kinds_at(call: Call) -> list[Fault]:
    """List every fault that can happen at a call. A read has no effect that could come first."""
    impossible = _AFTER | {Fault.RESENT} if call.is_read else set()
    if call.service != "kms":
        # Conditional writes are made to be sent again: to the table, RESENT is a lost answer.
        impossible |= {Fault.RESENT, Fault.NOT_ENABLED}
    if call.operation in _SENT_ONCE or call.is_sent_once:
        impossible.add(Fault.RESENT)
    return [fault for fault in Fault if fault not in impossible]


def distinct_kinds_at(call: Call) -> list[Fault]:
    """List the faults between which the code under test can tell a difference.

    - No answer, a 5xx and a reset end in one error class (`KmsUnavailable`,
      `DependencyUnavailable`, `IdempotencyPersistenceLayerError`), and nothing but its text is
      different. `BROKEN` and `BROKEN_AFTER` stand for them. Only at CreateKey and RotateKeyOnDemand
      is a call that was never sent something else.
    - Every refusal of another service than KMS ends in that same class.

    `test_merged_faults_make_no_difference` shows it.
    """
    merged = {Fault.SILENT, Fault.SILENT_AFTER, Fault.RESET_AFTER}
    if call.operation not in ("CreateKey", "RotateKeyOnDemand"):
        merged.add(Fault.UNREACHABLE)
    if call.service != "kms":
        merged |= {Fault.REFUSED, Fault.THROTTLED}
    return [fault for fault in kinds_at(call) if fault not in merged]


class FaultyNetwork(Network):
    """Makes a schedule's faults happen, until `end_faults`.

    `deliver` delivers the event again and runs the execution to its end. `calls` are those that
    the schedule counts: of calls that are sent side by side the first one, whose fault all of them
    meet. `sent` has every call.
    """

    def __init__(self, aws: Aws, schedule: Schedule, deliver: Callable[[], None]) -> None:
        self._aws = aws
        self._faults: Mapping[int, Fault] = dict(schedule)
        self._deliver = deliver
        self._is_over = False
        self.calls: list[Call] = []
        self.sent: list[Call] = []
        self.watch: Callable[[Callable[[], Any]], None] | None = None
        """What is to hear of every state that an execution enters, but for those within a call."""

    @property
    def is_past_its_faults(self) -> bool:
        """Whether every call has been made at which something was to go wrong."""
        return len(self.calls) > max(self._faults, default=-1)

    def memory(self) -> dict[str, Any]:
        """Return what it knows of the calls until now."""
        return {"calls": self.calls, "sent": self.sent}

    def remember(self, memory: dict[str, Any]) -> None:
        """Know what a network knew that had this memory."""
        vars(self).update(memory)

    def end_faults(self) -> None:
        """Let nothing go wrong, and count nothing, from now on."""
        self._is_over = True

    def enter(self, place: Callable[[], Any]) -> None:
        if self.watch and INVOCATION.get(None) is None:
            self.watch(place)

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        invocation = INVOCATION.get()
        together = self._aws.side_by_side
        fault = self._next(call, together)
        while fault in _TWO_EXECUTIONS:
            if fault == Fault.STOPPED and invocation.execution:
                invocation.execution.status = "ABORTED"
            self._aws.side_by_side = None
            self._deliver()
            self._aws.side_by_side = together
            # The call is still to be made, so it has another place in the count.
            fault = self._next(call, together and SideBySide())
            if together:
                together.fault = fault
        if not self._is_over:
            self.sent.append(call)
        invocation.die_if_out_of_time()
        return effect() if fault is None else go_wrong(call, effect, fault)

    def _next(self, call: Call, together: SideBySide | None) -> Fault | None:
        if self._is_over:
            return None
        if together and together.is_counted:
            fault: Fault | None = together.fault
            return fault
        self.calls.append(call)
        fault = self._faults.get(len(self.calls) - 1)
        if together:
            together.is_counted, together.fault = True, fault
        return fault


def go_wrong(call: Call, effect: Callable[[], Any], fault: Fault) -> Any:
    """Make a call that ends with a fault."""
    if fault == Fault.RESENT:
        if call.operation not in _SENT_ONCE:
            with contextlib.suppress(ClientError):
                effect()
        return effect()
    if fault in _AFTER:
        # A refusal or a failed condition is an answer without an effect: it is what gets lost.
        with contextlib.suppress(ClientError):
            effect()
    if fault in (Fault.KILLED, Fault.KILLED_AFTER):
        raise ProcessDied("Runtime.ExitError")
    raise _error(call, fault)


def _error(call: Call, fault: Fault) -> Exception:
    if fault in (Fault.BROKEN, Fault.BROKEN_AFTER):
        code = {"kms": "KMSInternalException"}.get(call.service, "InternalServerError")
        return refusal(code, call.operation, status=500)
    if fault == Fault.REFUSED:
        return refusal("AccessDeniedException", call.operation)
    if fault == Fault.NOT_ENABLED:
        return refusal("UnrecognizedClientException", call.operation)
    if fault == Fault.THROTTLED:
        return refusal("ThrottlingException", call.operation)
    kinds: dict[Fault, Any] = {
        Fault.UNREACHABLE: ConnectTimeoutError,
        Fault.SILENT: ReadTimeoutError,
        Fault.SILENT_AFTER: ReadTimeoutError,
        Fault.RESET_AFTER: ConnectionClosedError,
    }
    error: Exception = kinds[fault](endpoint_url=_URL)
    return error
