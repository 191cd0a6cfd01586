"""The turns of a batch: the requests that one invocation starts, each at its own moment.

A Wait state of Step Functions knows whole seconds only, and KMS's quotas are used up by fewer calls
than start in one. So the state machine waits for a turn, and a function for the moments in it.
https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypedDict

from provisioner import json_text
from provisioner.clock import instant_text, now, precise_text, sleep

_SPAN = timedelta(seconds=10)
"""What a turn takes at most."""
_HEAD_START = timedelta(seconds=2)
"""How much earlier than its first request a turn begins: Lambda may start an environment then."""
_SECOND = timedelta(seconds=1)
_MAX_BYTES = 4 * 1024 * 1024
"""What a function reads at once, but for a single request that is larger."""
_AT_ONCE = 8
"""Starts that may be under way at the same time, of which each takes some 50 ms."""


class Turn(TypedDict):
    """Where the items of a turn are, in bytes of the file of items, and when it begins.

    `notBefore` is ISO 8601, in UTC and whole seconds; `last` is the last byte, not the one after.
    """

    batch: str
    """The ARN of the batch's execution."""
    notBefore: str
    items: str
    first: int
    last: int


class Item(TypedDict):
    """A request of a batch, as JSON text, the name of its execution and when it is started."""

    notBefore: str
    name: str
    request: str


def new_item(moment: datetime, name: str, request: str) -> Item:
    """Make an item that starts at a moment, in milliseconds."""
    return {"notBefore": precise_text(moment), "name": name, "request": request}


def divide(items: Iterable[Item], file: str, batch: str) -> tuple[str, list[Turn]]:
    """Write items, the earliest first, as the text of a file, and say which turn has which part."""
    texts: list[str] = []
    turns: list[Turn] = []
    size, begins = 0, None
    for item in items:
        text = json_text.text(item) + "\n"
        first, size = size, size + len(text.encode())
        moment = datetime.fromisoformat(item["notBefore"])
        if begins is None or moment - begins >= _SPAN or size - turns[-1]["first"] > _MAX_BYTES:
            begins, start = moment, instant_text(moment - _HEAD_START)
            turns.append(_turn(batch, start, file, first))
        turns[-1]["last"] = size - 1
        texts.append(text)
    return "".join(texts), turns


def _turn(batch: str, start: str, file: str, first: int) -> Turn:
    return {"batch": batch, "notBefore": start, "items": file, "first": first, "last": first}


def parse_items(content: bytes) -> list[Item]:
    """Read the items of a turn."""
    return [json.loads(line) for line in content.splitlines()]


def start_turn(
    items: list[Item], *, start: Callable[[str, str], None], is_stopped: Callable[[], bool]
) -> int:
    """Start each request at its moment, by its execution's name and its text.

    Once the batch is stopped, which is asked every second at most, it starts no more.

    A turn that is late keeps the distances between its requests, which would exceed KMS's quotas
    together. One that is too early waits no longer than it had to if it were not.

    Returns
    -------
    int
        How many requests it started.

    Raises
    ------
    Exception
        What `start` raised, after all of the requests were tried, or what `is_stopped` raised.
    """
    moments = [datetime.fromisoformat(item["notBefore"]) for item in items]
    # It begins at a whole second, so up to one more than its head start.
    early = min(max(moments[0] - now(), timedelta()), _HEAD_START + _SECOND)
    shift = now() + early - moments[0]
    asked, started = None, []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for item, moment in zip(items, moments, strict=True):
            sleep(max((moment + shift - now()).total_seconds(), 0))
            if asked is None or now() - asked >= _SECOND:
                if is_stopped():
                    break
                asked = now()
            started.append(pool.submit(start, item["name"], item["request"]))
    for one in started:
        one.result()
    return len(started)
