"""Waiting for something, with a deadline."""

import time
from collections.abc import Callable

from local.errors import LocalStackError


def wait_for[T](
    find: Callable[[], T | None], what: str, *, timeout: float, interval: float = 0.1
) -> T:
    """Call `find` until it returns something.

    Parameters
    ----------
    find
        Returns what is waited for, or None if it is not there yet.
    what
        What is waited for, as it reads after "waited 5 s for".
    timeout, interval
        Seconds.

    Raises
    ------
    LocalStackError
        It was not there when the time was over.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = find()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise LocalStackError(f"Waited {timeout:g} s for {what}, in vain.")
        time.sleep(interval)
