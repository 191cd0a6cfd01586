"""The changes of a plan as the steps carry them out: wave by wave, and in each Region by call."""

from itertools import groupby
from typing import TypedDict

from provisioner import json_text
from provisioner.domain.change import Change, ObservedSet, Wave, wave_of
from provisioner.domain.plan import KeySetRequest, arn_in
from provisioner.errors import Problem, new_problem

_ROOM = 192 * 1024
"""Bytes that a request and its waves have of the 256 KiB which Step Functions passes on at once.

The rest is for the keys, the metadata of the primary key and the removed keys of every Region.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

Calls = dict[str, list[str]]
"""What is done to a key: by KMS operation the names that it is for. These are keys of tags, or
aliases; there are none for what a key has one of. The values are those of the request."""


class Work(TypedDict):
    """What one step does to one Region's key."""

    region: str
    arn: str
    calls: Calls


class WaveWork(TypedDict):
    """What may be done side by side."""

    wave: str
    work: list[Work]


def waves(changes: list[Change], observed: ObservedSet, partition: str) -> list[WaveWork]:
    """Group changes by wave and Region; a wave that has none is left out.

    The values are left out as well: two policies and two descriptions of every Region are more than
    Step Functions passes on. KMS restores a primary key before its replicas, and a primary key
    that is removed waits for them.
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    found: list[WaveWork] = []
    by_wave: dict[Wave, list[Change]] = {wave: [] for wave in Wave}
    for change in changes:
        by_wave[wave_of(change, partition=partition)].append(change)
    for wave, belonging in by_wave.items():
        work = _by_region(belonging, observed)
        home = [one for one in work if one["region"] == observed["primaryRegion"]]
        rest = [one for one in work if one["region"] != observed["primaryRegion"]]
        if wave == Wave.RESTORE:
            parts = [home, rest]
        elif wave == Wave.REMOVE:
            parts = [rest, home]
        else:
            parts = [work]
        found += [{"wave": wave.value, "work": part} for part in parts if part]
    return found


def size_problems(request: KeySetRequest, planned: list[WaveWork]) -> list[Problem]:
    """Find that a change names more than one execution can pass on (`CHANGE_NOT_SUPPORTED`).

    Only tags can be so many: up to 50 of a key that go and 50 that come, with names of 128
    characters, in every Region.
    """
    size = json_text.size(request) + json_text.size(planned)
    if size <= _ROOM:
        return []
    text = (
        f"This revision changes too many tags in too many Regions: with the request itself, their "
        f"names take {size} bytes, and {_ROOM} can be passed on. Change some of the tags in this "
        "revision and the others in the next."
    )
    return [new_problem("tags", "CHANGE_NOT_SUPPORTED", text)]


def with_look_for_promotion(planned: list[WaveWork]) -> list[WaveWork]:
    """Put a promotion into its place among waves that have none."""
    order = [*Wave]
    place = order.index(Wave.PROMOTE)
    before = [one for one in planned if order.index(Wave(one["wave"])) < place]
    promotion: WaveWork = {"wave": Wave.PROMOTE.value, "work": []}
    return [*before, promotion, *planned[len(before) :]]


def _by_region(changes: list[Change], observed: ObservedSet) -> list[Work]:
    some_arn = next(iter(observed["keys"].values()))["arn"]

    def region_of(change: Change) -> str:
        return change["region"]

    return [
        {"region": region, "arn": arn_in(region, some_arn), "calls": _calls([*group])}
        for region, group in groupby(sorted(changes, key=region_of), region_of)
    ]


def _calls(changes: list[Change]) -> Calls:
    calls: Calls = {}
    for change in changes:
        calls.setdefault(change["call"], []).extend(_names(change))
    return calls


def _names(change: Change) -> list[str]:
    kind, _, tag = change["property"].partition(".")
    if kind == "tags":
        return [tag]
    if kind == "alias":
        return [change["from"] if change["call"] == "DeleteAlias" else change["to"]]
    return []
