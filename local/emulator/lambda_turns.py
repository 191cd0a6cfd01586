"""Lets invocations wait for their turn, since a small machine cannot run them all at once.

Lambda starts an environment for every invocation that finds none free. Here that is a process which
takes a core for about a second to start, so that a burst would make every one of them time out.
`LAMBDA_TURNS` sets how many have theirs at a time.

With a limit, invocations beyond it are refused instead, as an account's are that has used up its
concurrent executions. `PUT /_local/lambda-limit` sets it, `DELETE` removes it.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

import os
import threading
from typing import Any

from ministack.services import lambda_svc

_AT_A_TIME = int(os.environ.get("LAMBDA_TURNS", max(4, 2 * (os.cpu_count() or 1))))

_turns = threading.BoundedSemaphore(_AT_A_TIME)
_acquire_slot = lambda_svc._acquire_execution_slot
_release_slot = lambda_svc._release_execution_slot
_throttle_response = lambda_svc._throttle_response

_limit: int | None = None


def install() -> None:
    """Put our waiting in front of the emulator's counting of concurrent invocations."""
    lambda_svc._acquire_execution_slot = _acquire
    lambda_svc._release_execution_slot = _release
    lambda_svc._throttle_response = _named_for_step_functions


def limit(most: Any) -> Any:
    """Set how many invocations may run at once, and return it; None is any number, in turns.

    Raises
    ------
    ValueError
        It is no number from 1 to what runs at once here.
    """
    global _limit  # noqa: PLW0603 - a process serves one Lambda
    if most is not None and most not in range(1, _AT_A_TIME + 1):
        raise ValueError(f"The limit is a number from 1 to {_AT_A_TIME}.")
    _limit = most
    return most


def _named_for_step_functions(*arguments: Any, **more: Any) -> dict[str, Any]:
    """Name the refusal as Step Functions does; the emulator's has no name."""
    refusal: dict[str, Any] = _throttle_response(*arguments, **more)
    refusal["body"]["errorType"] = "Lambda.TooManyRequestsException"
    return refusal


def _acquire(func: dict[str, Any], config: dict[str, Any]) -> Any:
    if _limit is not None and lambda_svc._inflight_total >= _limit:
        return None, "account"
    _turns.acquire()
    slot, limit = _acquire_slot(func, config)
    if slot is None:
        _turns.release()
    return slot, limit


def _release(key: str) -> None:
    _release_slot(key)
    _turns.release()
