"""What the calls of KMS that a key set took add up to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.stack.endpoint import is_read


@dataclass(frozen=True)
class Calls:
    """Calls of KMS, counted."""

    reads: int
    writes: int
    depth: int
    """How many of them are in sequence: see `depth`."""
    operations: dict[str, int]
    """How many calls there are of each operation."""
    mean_seconds: float
    """How long KMS took to answer one."""


def count(calls: list[dict[str, Any]]) -> Calls:
    """Count calls that the emulator recorded.

    Parameters
    ----------
    calls
        As `local.emulator`'s `KmsCall` describes them.
    """
    reads = sum(is_read(call) for call in calls)
    return Calls(
        reads=reads,
        writes=len(calls) - reads,
        depth=depth((call["time"], call["time"] + call["seconds"]) for call in calls),
        operations=dict(sorted(Counter(call["operation"] for call in calls).items())),
        mean_seconds=sum(call["seconds"] for call in calls) / max(1, len(calls)),
    )


def depth(spans: Iterable[tuple[float, float]]) -> int:
    """Return the length of the longest chain of calls, each begun after the one before had ended.

    Whoever makes the calls cannot be quicker than so many times the time of one call.

    Parameters
    ----------
    spans
        When each call began and ended.
    """
    length, last_end = 0, float("-inf")
    # Of all calls that can come next, the one that ends first leaves the most room for others.
    for begun, ended in sorted(spans, key=lambda span: span[1]):
        if begun >= last_end:
            length, last_end = length + 1, ended
    return length
