"""How fast requests may be started: under the KMS quotas of every Region that they touch.

A batch is planned as a whole before its first request is started, so the plan is plain arithmetic:
each tick of each quota, about a twentieth of a second, is a bin that fills up, and a request starts
in the first tick after which all the quotas that it needs have room at once or soon. So starts are
spread evenly. Three in the same moment, of which each takes two of five CreateKey, exceed what a
second allows, although their average does not.
https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html

The first seconds are slower. Lambda starts an environment for each function then, so the first
requests take seconds longer than those after them, which would catch up with them in KMS.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

from provisioner.domain.key_specs import Origin
from provisioner.domain.plan import KeySetRequest

Quota = tuple[str, str]
"""A Region and an operation of KMS. Every Region has its own quotas."""

KMS_QUOTAS = {
    "CreateKey": 5,
    "ReplicateKey": 5,
    "CreateAlias": 5,
    "EnableKeyRotation": 15,
    "GetParametersForImport": 1,
    "ImportKeyMaterial": 15,
}
"""KMS's own quotas, in calls a second, of the operations that a new key set needs."""

_START: Quota = ("", "StartExecution")
_PERCENT = 100
_CREATE_KEY_PER_REPLICA = 2
_TICKS = 20
"""Ticks a second where quotas are used as a whole, and in proportion where a part of them is."""
_LATENESS = 0.35
"""How many seconds later than even pace allows a quota's calls may be counted. With none, requests
of several kinds leave holes that no other one fits into. With more, no plan becomes shorter, but
its calls come so close together that a start a tenth of a second late exceeds what KMS allows."""
_SLOW_START_SECONDS = 6
"""How long the rate grows until it is the full one: as long as the functions of a request take to
start, one after another."""


def needs(request: KeySetRequest) -> Counter[Quota]:
    """Count what a new key set takes of each quota.

    One ReplicateKey takes, beside itself in the primary's Region, two CreateKey in the replica's.
    https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html
    """
    primary, replicas = request["primaryRegion"], request["replicas"]
    taken: Counter[Quota] = Counter()
    taken[primary, "CreateKey"] += 1
    taken[primary, "EnableKeyRotation"] += request["rotation"] is not None
    taken[primary, "ReplicateKey"] += len(replicas)
    keys = [(primary, request["alias"])]
    for replica in replicas:
        taken[replica["region"], "CreateKey"] += _CREATE_KEY_PER_REPLICA
        keys.append((replica["region"], replica.get("alias", request["alias"]) or ""))
    for region, alias in keys:
        taken[region, "CreateAlias"] += bool(alias)
        if request["origin"] == Origin.EXTERNAL:
            taken[region, "GetParametersForImport"] += 1
            taken[region, "ImportKeyMaterial"] += 1
    return +taken


def parse_quotas(items: Iterable[str]) -> dict[Quota, int]:
    """Read the stack's parameter `KmsQuotas`: `CreateKey=50`, or `eu-west-1/CreateKey=50`.

    Returns
    -------
    dict
        Calls a second, by Region and operation; the Region is empty where all Regions are meant.

    Raises
    ------
    ValueError
        An item is not of that form, or names an operation that no key set needs.
    """
    quotas = {("", operation): rate for operation, rate in KMS_QUOTAS.items()}
    for item in items:
        name, _, rate = item.partition("=")
        region, _, operation = name.rpartition("/")
        if operation not in KMS_QUOTAS or not rate.isdecimal() or int(rate) < 1:
            raise ValueError(f"KmsQuotas holds {item!r}, which is no quota such as CreateKey=50.")
        quotas[region, operation] = int(rate)
    return quotas


class Pace:
    """Assigns to each request the moment at which it may be started."""

    def __init__(self, quotas: dict[Quota, int], percent: int, starts_per_second: int) -> None:
        """Begin with an empty plan.

        Parameters
        ----------
        quotas
            What `parse_quotas` returns.
        percent
            How much of each quota may be used; the rest is for others in the account.
        starts_per_second
            How many requests may be started a second, whatever they need of KMS.
        """
        self._quotas = quotas
        self._percent = percent
        self._ticks = math.ceil(_TICKS * percent / _PERCENT)
        self._bins = {_START: _Bins(starts_per_second * _PERCENT, self._ticks)}
        self._earliest: dict[_Kind, int] = {}

    def plan(self, requests: Sequence[Counter[Quota]]) -> list[float]:
        """Assign to each request, by what it takes, its moment: seconds from the start.

        Requests that take the same keep their order. Those that take something else come between
        them, in proportion, so that all quotas are used all the time.
        """
        kinds = [_kind(taken) for taken in requests]
        counts = Counter(kinds)
        seen: Counter[_Kind] = Counter()
        places = []
        for number, kind in enumerate(kinds):
            places.append(((seen[kind] + 0.5) / counts[kind], number))
            seen[kind] += 1
        moments = {number: self._reserve(kinds[number]) for _, number in sorted(places)}
        return [moments[number] for number in range(len(kinds))]

    def _reserve(self, kind: "_Kind") -> float:
        wanted = [(self._bins_of(quota), count * _PERCENT * self._ticks) for quota, count in kind]
        # Room only shrinks: there is none before the last request of this kind.
        tick, found = -1, self._earliest.get(kind, 0)
        while found > tick:
            tick = found
            found = max(bins.room_from(tick, amount) for bins, amount in wanted)
        for bins, amount in wanted:
            bins.take(tick, amount)
        self._earliest[kind] = tick
        return _slowly_started(tick / self._ticks)

    def _bins_of(self, quota: Quota) -> "_Bins":
        if quota not in self._bins:
            rate = self._quotas.get(quota) or self._quotas["", quota[1]]
            self._bins[quota] = _Bins(rate * self._percent, self._ticks)
        return self._bins[quota]


_Kind = frozenset[tuple[Quota, int]]
"""What a request takes; many requests of a batch take the same."""


def _kind(taken: Counter[Quota]) -> _Kind:
    return frozenset((taken + Counter({_START: 1})).items())


def _slowly_started(seconds: float) -> float:
    """Move a moment back so that the rate grows evenly from nothing to the full one.

    It reaches that after `_SLOW_START_SECONDS`, half of which are lost. No two moments come closer.
    """
    if seconds < _SLOW_START_SECONDS / 2:
        return math.sqrt(2 * _SLOW_START_SECONDS * seconds)
    return seconds + _SLOW_START_SECONDS / 2


class _Bins:
    """One quota's ticks. Amounts are whole parts of calls, so that sums are exact."""

    def __init__(self, size: int, ticks: int) -> None:
        """Begin with nothing to catch up on: full for as long as calls may be counted late.

        A tick holds `size`, and a second has that many ticks.
        """
        self._size = size
        self._late = math.ceil(_LATENESS * ticks)
        self._used = array("Q", [size] * self._late)
        self._next = array("Q", range(1, self._late + 1))
        """For each tick the next one that may have room; itself if it is not full."""

    def room_from(self, tick: int, amount: int) -> int:
        """Find the first tick from this one on after which there is room soon enough."""
        ticks = -(-amount // self._size) + self._late
        while (short := amount - self._room(tick, ticks)) > 0:
            # Each tick adds one at the other end.
            tick += -(-short // self._size)
        return tick

    def take(self, tick: int, amount: int) -> None:
        """Take from a tick and, where it is full, from those after it."""
        while amount:
            tick = self._open_from(tick)
            part = min(amount, self._size - self._used[tick])
            self._used[tick] += part
            amount -= part
            if self._used[tick] == self._size:
                self._next[tick] = tick + 1

    def _room(self, tick: int, ticks: int) -> int:
        self._grow(tick + ticks)
        return ticks * self._size - sum(self._used[tick : tick + ticks])

    def _open_from(self, tick: int) -> int:
        self._grow(tick)
        found = tick
        while (following := self._next[found]) != found:
            found = following
            self._grow(found)
        self._next[tick] = found  # A long row of full ticks is walked once.
        return found

    def _grow(self, tick: int) -> None:
        known = len(self._used)
        if tick >= known:
            more = range(known, 2 * tick + 64)
            self._used.extend(0 for _ in more)
            self._next.extend(more)
