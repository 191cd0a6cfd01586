"""Waiting for something, with a deadline."""

import time
from collections.abc import Callable

from mrk.errors import MrkError

_FIRST_INTERVAL, _LONGEST_INTERVAL, _GROWTH = 0.2, 5.0, 1.3


def wait_for[T](find: Callable[[], T | None], what: str, *, timeout: float) -> T:
    """Call `find` until it returns something, at first often, later every five seconds.

    Parameters
    ----------
    find
        Returns what is waited for, or None if it is not there yet.
    what
        What is waited for, as it reads after "waited 5 s for".
    timeout
        Seconds.

    Raises
    ------
    MrkError
        It was not there when the time was over.
    """
    deadline = time.monotonic() + timeout
    interval = _FIRST_INTERVAL
    while True:
        found = find()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise MrkError(f"Waited {timeout:g} s for {what}, in vain.")
        time.sleep(interval)
        interval = min(interval * _GROWTH, _LONGEST_INTERVAL)
