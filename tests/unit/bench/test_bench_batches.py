"""How the bench of batches makes its file and judges what came of it."""

import json
from collections import Counter

import pytest

from bench.batches import Outcome, _all_once, _as_lines, _requests


def test_the_bad_lines_are_spread_among_the_requests() -> None:
    lines = _as_lines(_requests("x", 18), *["bad"] * 2).decode().splitlines()

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

    assert _all_once(outcome, _requests("x", 2)) == expected
