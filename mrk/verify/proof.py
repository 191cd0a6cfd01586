"""One run of `mrk verify`: ask everything, then remove what was made, whatever happened."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mrk.errors import MrkError
from mrk.verify import requests
from mrk.verify.account import TAGS_COUNT_AFTER
from mrk.verify.beliefs import BELIEFS
from mrk.verify.clean_up import Say, leftovers, remove
from mrk.verify.evidence import Evidence, Row, Verdict, answer
from mrk.verify.key_sets import NOT_ENABLED
from mrk.verify.steps import STEPS

# What lets a run end before its time, beside Ctrl-C.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass
class Report:
    """What one run has seen."""

    run: str
    stack_region: str
    started_at: datetime
    steps: list[Row] = field(default_factory=list)
    beliefs: list[Row] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0
    interrupted: bool = False
    not_removed: str | None = None
    """Why something is left that does not wait for its deletion."""

    @property
    def proved(self) -> bool:
        """Whether nothing was wrong, the run came to its end, and nothing is left behind."""
        wrong = any(row.verdict == Verdict.WRONG for row in [*self.steps, *self.beliefs])
        return not (wrong or self.interrupted or self.not_removed)


def plan(evidence: Evidence) -> None:
    """Ask the stack what it would create; nothing is created.

    Raises
    ------
    MrkError
        The stack refuses a request, by its guardrails for example.
    """
    for name, request in evidence.key_sets.requests().items():
        # Whether that Region is allowed and known is a question of its own.
        if name != NOT_ENABLED:
            evidence.plans[name] = requests.plan(evidence.stack, request)


def prove(evidence: Evidence, *, say: Say) -> Report:
    """Send the requests, compare, and remove what was made.

    An interruption ends the questions, not the removal. A second one ends that, too.
    """
    report = Report(evidence.key_sets.run, evidence.account.home, datetime.now(UTC))
    began = time.monotonic()
    with _interruptible():
        try:
            for table, questions in ((report.steps, STEPS), (report.beliefs, BELIEFS)):
                for question in questions:
                    say(f"Asking {question.id}")
                    table.append(answer(question, evidence))
        except KeyboardInterrupt:
            report.interrupted = True
            say("Interrupted. What was made is removed first; interrupt again to leave it.")
        finally:
            _remove(evidence, report, say)
    report.rows = evidence.account.rows
    report.seconds = time.monotonic() - began
    return report


def _remove(evidence: Evidence, report: Report, say: Say) -> None:
    stack, account, key_sets = evidence.stack, evidence.account, evidence.key_sets
    # A request that was just accepted may take as long as its tags take to count, and more.
    timeout = evidence.timeout + TAGS_COUNT_AFTER
    sent = [key_sets.request_id(name) for name in evidence.sent]
    try:
        report.left = remove(stack, account, sent, (), timeout=timeout, say=say)
        # Nothing should be found that no status names; if it is, it goes as well.
        found = leftovers(account, key_sets.run)
        if found:
            report.left += remove(stack, account, (), found, timeout=timeout, say=say)
    except MrkError as error:
        report.not_removed = str(error)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a signal to end do what Ctrl-C does, for as long as the block runs."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
