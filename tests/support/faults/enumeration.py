"""Plays every schedule of one fault and of two faults, in two processes.

What comes after a moment of a play is a function of that moment's fingerprint, as long as no fault
is left. Many faults are made good by a retry and leave the same moment behind. So everything is
gone on from a moment once: a play ends where another one has been, and the second faults of a first
one are tried up to the moment from which those of another were, or of none. What comes before a
fault is played once as well: plays begin at the last moment of the same play without it.
"""

import multiprocessing
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import count

from tests.support.faults import wiring
from tests.support.faults.aws import Call
from tests.support.faults.faults import Fault, Schedule, distinct_kinds_at, kinds_at
from tests.support.faults.scenario import EndIsKnown, Ends, Moment, Report, Scenario

Make = Callable[[Schedule], Scenario]
PROCESSES = 2
_FEW = 2
"""Up to how many pairs of a first fault are played from the beginning."""
_runs = count()


@dataclass(frozen=True)
class Tally:
    """How many schedules were played, and those after which something was wrong.

    `same` are the pairs that go on from a moment from which another one was played. `seconds` are
    those of CPU time.
    """

    singles: int
    pairs: int
    same: int
    failures: list[str]
    seconds: float = 0


@dataclass(frozen=True)
class First:
    """A first fault, or none, and the calls that happen then.

    From `new` on they are those of `other`, from a place there, with all that a second fault does
    to them.
    """

    schedule: Schedule
    calls: list[Call]
    failure: str
    new: int
    other: tuple[Schedule, int] | None = None

    @property
    def is_distinct(self) -> bool:
        """Whether second faults are tried after it."""
        return all(fault in distinct_kinds_at(self.calls[place]) for place, fault in self.schedule)

    def pairs(self, places: range) -> Iterator[Schedule]:
        """Return the schedules that have a second fault at these calls."""
        for place in places if self.is_distinct else ():
            for second in distinct_kinds_at(self.calls[place]):
                yield *self.schedule, (place, second)

    def new_pairs(self) -> Iterator[Schedule]:
        return self.pairs(range(self.schedule[0][0] + 1, self.new))

    def same_pairs(self) -> Iterator[Schedule]:
        return self.pairs(range(self.new, len(self.calls)))


Known = dict[bytes, tuple[First, int]]
"""Which first fault has been at a moment, and how many calls came before."""


def singles(make: Make = Scenario) -> Iterator[tuple[int, Fault]]:
    """Return every fault at every call of a creation."""
    for place, call in enumerate(make(()).play().calls):
        for fault in kinds_at(call):
            yield place, fault


def singles_played(make: Make) -> Iterator[Report]:
    """Play every fault alone, up to where the end is known."""
    ends, moments = Ends(), make(()).moments()
    for place, fault in singles(make):
        yield make(((place, fault),)).play_to(ends, last_before(place, moments))


def firsts(make: Make) -> Iterator[First]:
    """Play every fault alone, up to where another one has been."""
    known: Known = {}
    none = _play_first(make, (), known)
    moments = make(()).moments()
    for place, call in enumerate(none.calls):
        since = last_before(place, moments)
        for fault in kinds_at(call):
            yield _play_first(make, ((place, fault),), known, since)


def _play_first(make: Make, schedule: Schedule, known: Known, since: Moment | None = None) -> First:
    scenario = make(schedule)
    passed: dict[bytes, int] = {}
    found: tuple[First, int] | None = None

    def look(fingerprint: Callable[[], bytes], *, is_delivered: bool) -> None:
        nonlocal found
        del is_delivered
        if scenario.network.is_past_its_faults:
            moment = fingerprint()
            found = known.get(moment)
            if found:
                raise EndIsKnown
            passed[moment] = len(scenario.network.calls)

    try:
        report = scenario.play_watched(look, since)
    except EndIsKnown:
        assert found
        (other, place), calls = found, scenario.network.calls
        seen = [*calls, *other.calls[place:]]
        return First(schedule, seen, other.failure, len(calls), (other.schedule, place))
    first = First(schedule, report.calls, _failure(report), len(report.calls))
    if first.is_distinct:
        known |= {moment: (first, place) for moment, place in passed.items()}
    return first


def play_pairs(first: First, make: Make, one_in: int, run: int) -> Tally:
    """Play one in so many of the pairs that begin with a fault."""
    started = time.process_time()
    ends = _ends(run)
    with wiring.wired():
        pairs = [
            pair for pair in first.new_pairs() if zlib.crc32(repr(pair).encode()) % one_in == 0
        ]
        moments = make(first.schedule).moments() if len(pairs) > _FEW else []
        failures = [
            _failure(make(pair).play_to(ends, last_before(pair[1][0], moments))) for pair in pairs
        ]
    same = sum(1 for _ in first.same_pairs())
    found = [text for text in failures if text]
    return Tally(0, len(failures), same, found, time.process_time() - started)


def last_before(place: int, moments: list[Moment]) -> Moment | None:
    """Return the last moment before the call of that number."""
    passed = bisect_right(moments, place, key=lambda moment: moment.calls)
    return moments[passed - 1] if passed else None


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


def play_all(make: Make = Scenario, *, one_in: int = 1) -> Tally:
    """Play every schedule.

    Parameters
    ----------
    make
        Makes the scenario of a schedule; it is sent to other processes.
    one_in
        Play one of so many pairs, the same ones each time.
    """
    started = time.process_time()
    alone = list(firsts(make))
    seconds = time.process_time() - started
    play = partial(play_pairs, make=make, one_in=one_in, run=next(_runs))
    tallies = list(processes().map(play, alone))
    return Tally(
        len(alone),
        sum(tally.pairs for tally in tallies),
        sum(tally.same for tally in tallies),
        [first.failure for first in alone if first.failure]
        + [text for tally in tallies for text in tally.failures],
        seconds + sum(tally.seconds for tally in tallies),
    )
