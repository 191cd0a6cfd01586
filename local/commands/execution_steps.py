"""The steps of an execution, as its history has them."""

import json
import re
from collections.abc import Iterable
from typing import Any

from local.progress import Line

_SHOWN = ("TaskStateEntered", "WaitStateEntered")
"""What takes time; other states decide, or hold these."""
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WAITS_FOR_ANSWER = ".waitForTaskToken"
_STARTS_EXECUTION = "startExecution"


class Steps:
    """A line for each state and Region of an execution, in the order in which they were entered.

    Parameters
    ----------
    history
        The events of the execution so far, the oldest first.
    """

    def __init__(self, history: Iterable[dict[str, Any]]) -> None:
        self._lines: dict[tuple[str, str], Line] = {}
        self._state_of: dict[int, tuple[str, str] | None] = {}
        self._retries: dict[tuple[str, str], int] = {}
        self._waiting: set[tuple[str, str]] = set()
        self.started: str | None = None
        """The ARN of the execution that this one has started to go on with its work."""
        for event in history:
            self._read(event)

    @property
    def lines(self) -> list[Line]:
        """The lines, as they stand."""
        return [*self._lines.values()]

    @property
    def waits_for_answer(self) -> bool:
        """Whether a step waits until somebody answers."""
        return bool(self._waiting)

    def _read(self, event: dict[str, Any]) -> None:
        at = event["timestamp"].timestamp()
        if event["type"].startswith("Execution"):
            self._end(event["type"], at)
            return
        if entered := event.get("stateEnteredEventDetails"):
            state = self._enter(entered, at) if event["type"] in _SHOWN else None
        else:
            state = self._state_of.get(event.get("previousEventId", 0))
            state = self._go_on(state, event, at) if state else None
        self._state_of[event["id"]] = state

    def _enter(self, entered: dict[str, Any], at: float) -> tuple[str, str]:
        region = _region(entered.get("input"))
        state = entered["name"], region
        line = self._lines.setdefault(state, Line(humanised(entered["name"]), region))
        line.begin(at)
        self._retries[state] = 0
        return state

    def _go_on(
        self, state: tuple[str, str], event: dict[str, Any], at: float
    ) -> tuple[str, str] | None:
        """Read an event within a state; return the state unless it ends here."""
        line = self._lines[state]
        if exited := event.get("stateExitedEventDetails"):
            if exited["name"] == state[0]:
                line.region = line.region or _region(exited.get("output"))
                line.end(at)
                self._waiting.discard(state)
            return None
        if error := _error(event):
            line.note, line.failed = error, True
        elif event["type"] == "TaskScheduled":
            self._schedule(state, event["taskScheduledEventDetails"])
        elif event["type"] == "TaskSucceeded":
            retries = self._retries[state]
            line.note = f"after {retries} {'retry' if retries == 1 else 'retries'}" * bool(retries)
            succeeded = event.get("taskSucceededEventDetails", {})
            if succeeded.get("resource", "").endswith(_STARTS_EXECUTION):
                self.started = json.loads(succeeded["output"])["ExecutionArn"]
        return state

    def _schedule(self, state: tuple[str, str], scheduled: dict[str, Any]) -> None:
        line = self._lines[state]
        if line.failed:
            line.failed = False
            line.note = f"tries again after {line.note}"
            self._retries[state] += 1
        if scheduled["resource"].endswith(_WAITS_FOR_ANSWER):
            self._waiting.add(state)

    def _end(self, kind: str, at: float) -> None:
        """End what runs, which it does only where the execution did not succeed."""
        self._waiting.clear()
        for line in self._lines.values():
            if line.since is not None and kind != "ExecutionStarted":
                line.failed = True
                line.note = line.note or kind.removeprefix("Execution").lower()
                line.end(at)


def humanised(state: str) -> str:
    """Write the name of a state in words: CreateReplicaKey is "Create replica key"."""
    return _WORDS.sub(" ", state).capitalize()


def _region(text: str | None) -> str:
    """Return the Region that a state's input or output is about, or nothing."""
    document = json.loads(text) if text else None
    if not isinstance(document, dict):
        return ""
    for holder in (document, document.get("key"), document.get("work")):
        if isinstance(holder, dict) and isinstance(holder.get("region"), str):
            return str(holder["region"])
    return ""


def _error(event: dict[str, Any]) -> str | None:
    """Return the name of the error that an event is about."""
    for name, details in event.items():
        if name.endswith("EventDetails") and isinstance(details, dict) and details.get("error"):
            return str(details["error"])
    return None
