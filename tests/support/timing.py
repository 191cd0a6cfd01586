"""How long something takes, on a machine that has other things to do."""

import time
from collections.abc import Callable


def takes_less_than(seconds: float, work: Callable[[], object]) -> bool:
    """Whether the processor takes less than so many seconds for work that can be repeated.

    A busy machine or a collection of garbage only adds to it, so the quickest of three counts.
    """
    return any(_seconds_of(work) < seconds for _ in range(3))


def _seconds_of(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
