"""How fast requests may be started: under the KMS quotas of every Region that they touch.

A batch is planned as a whole before its first request is started, so the plan is plain arithmetic:
each second of each quota is a bin that fills up, and a request goes into the first second in which
all the quotas that it needs have room. What a second did not use is still good in the next one, as
it is with KMS, whose quotas are buckets that hold a second's worth.
https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

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
    """Assigns to each request the second in which it may be started."""

    def __init__(self, quotas: dict[Quota, int], percent: int, starts_per_second: int) -> None:
        """Begin with an empty plan.

        Parameters
        ----------
        quotas
            What `parse_quotas` gives.
        percent
            How much of each quota may be used; the rest is for others in the account.
        starts_per_second
            How many requests may be started a second, whatever they need of KMS.
        """
        self._quotas = quotas
        self._percent = percent
        self._bins: dict[Quota, _Bins] = {_START: _Bins(starts_per_second * _PERCENT)}

    def reserve(self, taken: Counter[Quota]) -> int:
        """Take a request's needs from the plan; give its second, counted from the start.

        What one second has not room enough for spills into the seconds after it.
        """
        wanted = [(self._bins_of(quota), count) for quota, count in (taken + _ONE_START).items()]
        second = 0
        while (room := max(bins.room_from(_before(second)) for bins, _ in wanted)) > second:
            second = room
        for bins, count in wanted:
            bins.take(_before(second), count * _PERCENT)
        return second

    def _bins_of(self, quota: Quota) -> "_Bins":
        if quota not in self._bins:
            rate = self._quotas.get(quota) or self._quotas["", quota[1]]
            self._bins[quota] = _Bins(rate * self._percent)
        return self._bins[quota]


_ONE_START = Counter({_START: 1})


def _before(second: int) -> int:
    return max(second - 1, 0)


class _Bins:
    """One quota's seconds. All numbers are hundredths of calls, so that sums are exact."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used: defaultdict[int, int] = defaultdict(int)
        self._after_full: dict[int, int] = {}

    def room_from(self, second: int) -> int:
        """Find the first second from this one on that is not full."""
        found = second
        while found in self._after_full:
            found = self._after_full[found]
        if found != second:
            self._after_full[second] = found  # A long row of full seconds is walked once.
        return found

    def take(self, second: int, count: int) -> None:
        """Take from a second and, where it is full, from those after it."""
        while count:
            second = self.room_from(second)
            part = min(count, self._size - self._used[second])
            self._used[second] += part
            count -= part
            if self._used[second] == self._size:
                self._after_full[second] = second + 1
