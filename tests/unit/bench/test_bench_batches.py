"""How the bench of batches makes its file and judges what came of it."""

import json
from collections import Counter
from typing import Any

import pytest

from bench.batches import (
    _MIXED,
    Kind,
    Outcome,
    _all_once,
    _as_lines,
    _needed_seconds,
    _needs,
    _requests,
    _share_of_quota,
)
from provisioner.batch.pace import needs
from tests.support.samples import request_of

HOME, AWAY = "us-east-1", "eu-west-1"
ALONE: tuple[Kind, ...] = ((HOME,),)


def test_the_bad_lines_are_spread_among_the_requests() -> None:
    lines = _as_lines(_requests("x", 18, ALONE), *["bad"] * 2).decode().splitlines()

    assert [number for number, line in enumerate(lines) if line == "bad"] == [0, 9]
    good = [json.loads(line)["requestId"] for line in lines if line != "bad"]
    assert good == [f"x-{number}" for number in range(18)]


@pytest.mark.parametrize(
    ("created", "keys", "expected"),
    [
        (2, {"x-0": 1, "x-1": 1}, True),
        (2, {"x-0": 1, "x-1": 2}, False),
        (2, {"x-0": 1}, False),
        (1, {"x-0": 1, "x-1": 1}, False),
    ],
)
def test_each_request_must_have_one_key(created: int, keys: dict[str, int], expected: bool) -> None:
    outcome = Outcome(Counter({"CREATED": created}), 0, Counter(keys))

    assert _all_once(outcome, _requests("x", 2, ALONE)) == expected


def test_what_a_request_needs_is_what_the_plan_counts() -> None:
    for request in _requests("x", 10, _MIXED):
        assert +_needs(request) == needs(request_of(**request))


def test_the_mixed_file_has_primaries_and_replicas_in_every_number() -> None:
    requests = _requests("x", 10, _MIXED)

    assert {len(request["replicas"]) for request in requests} == {0, 1, 2, 3}
    assert len({request["primaryRegion"] for request in requests}) == 2


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [((HOME,), 20), ((HOME, AWAY), 40), ((HOME, AWAY, "us-west-2", "ap-south-1"), 60)],
)
def test_the_fullest_quota_says_how_long_a_file_takes(kind: Kind, seconds: float) -> None:
    assert _needed_seconds(_requests("x", 100, (kind,))) == pytest.approx(seconds)


def test_the_share_of_a_quota_is_from_the_first_replica_to_the_last() -> None:
    calls: list[dict[str, Any]] = [
        {"operation": "CreateKey", "error": None, "time": 0.0},
        *({"operation": "ReplicateKey", "error": None, "time": 10 + n * 0.5} for n in range(101)),
        {"operation": "ReplicateKey", "error": "ThrottlingException", "time": 99.0},
    ]

    assert _share_of_quota(101 * 2 / 5, calls) == pytest.approx(0.8)
