"""Lets invocations wait for their turn, since a small machine cannot run them all at once.

Lambda starts an environment for every invocation that finds none free. Here that is a process which
takes a core for about a second to start, so that a burst would make every one of them time out.
"""

import os
import threading
from typing import Any

from ministack.services import lambda_svc

_AT_A_TIME = max(4, 2 * (os.cpu_count() or 1))

_turns = threading.BoundedSemaphore(_AT_A_TIME)
_acquire_slot = lambda_svc._acquire_execution_slot
_release_slot = lambda_svc._release_execution_slot


def install() -> None:
    """Put our waiting in front of the emulator's counting of concurrent invocations."""
    lambda_svc._acquire_execution_slot = _acquire
    lambda_svc._release_execution_slot = _release


def _acquire(func: dict[str, Any], config: dict[str, Any]) -> Any:
    _turns.acquire()
    slot, limit = _acquire_slot(func, config)
    if slot is None:
        _turns.release()
    return slot, limit


def _release(key: str) -> None:
    _release_slot(key)
    _turns.release()
