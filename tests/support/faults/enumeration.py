"""Plays every schedule of one fault and of two faults, in two processes.

After the second fault, many pairs leave the same state of AWS at the end of the first sending, time
included. What follows is then the same as well, and each process plays it once.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.support.faults import wiring
from tests.support.faults.faults import Fault, Schedule, distinct_kinds_at, kinds_at
from tests.support.faults.scenario import Ends, Report, Scenario

PROCESSES = 2
_ENDS: Ends = {}


@dataclass(frozen=True)
class Tally:
    """How many schedules were played, and those after which something was wrong."""

    singles: int
    pairs: int
    failures: list[str]


def singles(make: Callable[[Schedule], Scenario] = Scenario) -> Iterator[tuple[int, Fault]]:
    """Return every fault at every call of a creation."""
    for place, call in enumerate(make(()).play().calls):
        for fault in kinds_at(call):
            yield place, fault


def pairs_after(report: Report) -> Iterator[Report]:
    """Play every second fault at every call that comes after the one fault of a report."""
    [(first, fault)] = report.schedule
    for place in range(first + 1, len(report.calls)):
        for second in distinct_kinds_at(report.calls[place]):
            yield Scenario(((first, fault), (place, second))).play_to(_ENDS)


def play_from(single: tuple[int, Fault]) -> Tally:
    """Play one fault alone, and with every second one where it is not the same as another."""
    with wiring.wired():
        report = Scenario((single,)).play()
        is_distinct = single[1] in distinct_kinds_at(report.calls[single[0]])
        seconds = list(map(_failure, pairs_after(report))) if is_distinct else []
    return Tally(1, len(seconds), [text for text in [_failure(report), *seconds] if text])


def _failure(report: Report) -> str:
    return str(report) if report.problems else ""


def play_all() -> Tally:
    """Play every schedule."""
    # A fresh interpreter for each, since forking a process that has threads is not safe.
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as processes:
        tallies = list(processes.map(play_from, singles()))
    return Tally(
        sum(tally.singles for tally in tallies),
        sum(tally.pairs for tally in tallies),
        [text for tally in tallies for text in tally.failures],
    )
