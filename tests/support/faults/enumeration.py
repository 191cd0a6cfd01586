"""Plays every schedule of one fault and of two faults, in two processes.

After the second fault, many pairs leave the same state of AWS at the end of the first sending, time
included. What follows is then the same as well, and each process plays it once.
"""

import multiprocessing
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import count

from tests.support.faults import wiring
from tests.support.faults.faults import Fault, Schedule, distinct_kinds_at, kinds_at
from tests.support.faults.scenario import Ends, Report, Scenario

Make = Callable[[Schedule], Scenario]
PROCESSES = 2
_runs = count()


@dataclass(frozen=True)
class Tally:
    """How many schedules were played, and those after which something was wrong.

    `seconds` are those of CPU time.
    """

    singles: int
    pairs: int
    failures: list[str]
    seconds: float = 0


def singles(make: Make = Scenario) -> Iterator[tuple[int, Fault]]:
    """Return every fault at every call of a creation."""
    for place, call in enumerate(make(()).play().calls):
        for fault in kinds_at(call):
            yield place, fault


def pairs_after(report: Report, make: Make, one_in: int, ends: Ends) -> Iterator[Report]:
    """Play every second fault at every call that comes after the one fault of a report."""
    [(first, fault)] = report.schedule
    for place in range(first + 1, len(report.calls)):
        for second in distinct_kinds_at(report.calls[place]):
            schedule = ((first, fault), (place, second))
            if zlib.crc32(repr(schedule).encode()) % one_in == 0:
                yield make(schedule).play_to(ends)


def play_from(single: tuple[int, Fault], make: Make, one_in: int, run: int) -> Tally:
    """Play one fault alone, and with every second one where it is not the same as another."""
    started = time.process_time()
    with wiring.wired():
        report = make((single,)).play()
        is_distinct = single[1] in distinct_kinds_at(report.calls[single[0]])
        reports = pairs_after(report, make, one_in, _ends(run)) if is_distinct else []
        seconds = list(map(_failure, reports))
    failures = [text for text in [_failure(report), *seconds] if text]
    return Tally(1, len(seconds), failures, time.process_time() - started)


@lru_cache(maxsize=1)
def _ends(_run: int) -> Ends:
    """Return what this process knows of the ends of a run of `play_all`, and forget the last's."""
    return {}


def _failure(report: Report) -> str:
    return str(report) if report.problems else ""


@cache
def processes() -> ProcessPoolExecutor:
    """Return the processes that play schedules; whoever uses them shuts them down."""
    # A fresh interpreter for each, since forking a process that has threads is not safe.
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))


def play_all(make: Make = Scenario, *, one_in: int = 1, one_single_in: int = 1) -> Tally:
    """Play every schedule.

    Parameters
    ----------
    make
        Makes the scenario of a schedule; it is sent to other processes.
    one_in
        Play one of so many pairs, the same ones each time.
    one_single_in
        Play one of so many single faults, and pairs with these alone.
    """
    play = partial(play_from, make=make, one_in=one_in, run=next(_runs))
    tallies = list(processes().map(play, [*singles(make)][::one_single_in]))
    return Tally(
        sum(tally.singles for tally in tallies),
        sum(tally.pairs for tally in tallies),
        [text for tally in tallies for text in tally.failures],
        sum(tally.seconds for tally in tallies),
    )
