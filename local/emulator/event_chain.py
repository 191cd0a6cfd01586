"""What came before each event of an execution, in the history as in AWS.

Map items and branches run side by side, and an event of a task names no state: `previousEventId`
leads back to it. The emulator leaves it out.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import stepfunctions

# Each branch and each item begins with a copy of the context of its Parallel or Map.
_last: ContextVar[tuple[str, int]] = ContextVar("last", default=("", 0))


def install() -> None:
    """Put a function that notes the event before in the place of the one that adds events."""
    stepfunctions._add_event = chaining(stepfunctions._add_event)


def chaining(add_event: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return `add_event` with `previousEventId` in what it adds."""

    def chained(execution: dict[str, Any], event_type: str, details: Any = None) -> dict[str, Any]:
        arn, last = _last.get()
        if arn != execution.get("executionArn"):
            last = len(execution["events"])
        event = add_event(execution, event_type, {**(details or {}), "previousEventId": last})
        _last.set((execution.get("executionArn", ""), event["id"]))
        return event

    return chained
