"""When a key that a change stops was last used, as its plan shows it to whoever decides."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

_STOPPING_CALLS = ("DisableKey", "ScheduleKeyDeletion")


class LastUse(TypedDict, total=False):
    """What KMS says of the last use of one Region's key; empty where KMS says nothing.

    `lastUsedAt` is ISO 8601 in UTC and up to an hour late, `lastUsedFor` the cryptographic
    operation of KMS; both are None where KMS has seen none since `usageTrackedSince`.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html
    """

    lastUsedAt: str | None
    lastUsedFor: str | None
    usageTrackedSince: str | None


def stopped_regions(changes: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the Regions whose keys are to be disabled or deleted."""
    return sorted({change["region"] for change in changes if change["call"] in _STOPPING_CALLS})


def last_use_of(change: Mapping[str, Any], uses: Mapping[str, LastUse]) -> LastUse:
    """Return what a change's row shows of its key's last use: nothing where it stops no key."""
    return uses.get(change["region"], {}) if change["call"] in _STOPPING_CALLS else {}
