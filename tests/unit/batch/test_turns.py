"""The turns of a batch: which requests they have, and that each starts at its moment."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from provisioner.batch import turns
from provisioner.batch.turns import Item, divide, new_item, parse_items, start_turn
from provisioner.errors import DependencyUnavailable
from tests.support.clock import Clock

BEGIN = datetime(2026, 11, 24, 8, 0, 6, 250_000, tzinfo=UTC)
BATCH, FILE = "arn:aws:states:batch", "batches/monday/items.jsonl"


def items_at(*seconds: float, request: str = "{}") -> list[Item]:
    moments = [BEGIN + timedelta(seconds=second) for second in seconds]
    return [new_item(moment, f"R{n}", request) for n, moment in enumerate(moments)]


def parts(items: list[Item]) -> list[list[str]]:
    """Return the names of the items of each turn, as its function reads them."""
    text, found = divide(items, FILE, BATCH)
    assert all((turn["batch"], turn["items"]) == (BATCH, FILE) for turn in found)
    content = text.encode()
    read = [parse_items(content[turn["first"] : turn["last"] + 1]) for turn in found]
    assert [item for part in read for item in part] == items
    return [[item["name"] for item in part] for part in read]


@pytest.fixture
def moving(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock, which sleeping moves."""
    clock.time = BEGIN - timedelta(seconds=2.25)
    monkeypatch.setattr(turns, "sleep", lambda seconds: clock.move(seconds=seconds))
    return clock


class Done:
    """A call that was made at once, in the place of one under way."""

    def __init__(self, call: Callable[..., None], *arguments: str) -> None:
        self.error: Exception | None = None
        try:
            call(*arguments)
        except DependencyUnavailable as error:
            self.error = error

    def result(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request be started before the time goes on."""
    pool = contextlib.nullcontext(SimpleNamespace(submit=Done))
    monkeypatch.setattr(turns, "ThreadPoolExecutor", lambda _: pool)


def test_a_turn_has_ten_seconds_of_requests() -> None:
    assert parts(items_at(0, 4, 9.999, 10, 19.9, 60)) == [["R0", "R1", "R2"], ["R3", "R4"], ["R5"]]


def test_a_turn_begins_two_seconds_before_its_first_request_in_whole_seconds() -> None:
    _, found = divide(items_at(0, 12.8), FILE, BATCH)

    assert [turn["notBefore"] for turn in found] == ["2026-11-24T08:00:04Z", "2026-11-24T08:00:17Z"]


def test_the_parts_of_turns_are_counted_in_bytes() -> None:
    assert parts(items_at(0, 10, 20, request='{"a": "é€"}')) == [["R0"], ["R1"], ["R2"]]


def test_a_turn_of_large_requests_is_read_in_parts() -> None:
    large = json.dumps("x" * 2_000_000)

    assert parts(items_at(0, 1, 2, request=large)) == [["R0", "R1"], ["R2"]]


def test_nothing_to_start_has_no_turns() -> None:
    assert divide([], FILE, BATCH) == ("", [])


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (-2.25, 0),  # as planned
        (-60, -57),  # far too early, as where waits are shortened: no longer than planned
        (0.5, 0.5),
        (7, 7),
    ],
)
def test_requests_keep_their_distances_however_late_a_turn_begins(
    late: float, expected: float, moving: Clock
) -> None:
    moving.time = BEGIN + timedelta(seconds=late)
    started: dict[str, datetime] = {}

    def start(name: str, _: str) -> None:
        started[name] = moving.time

    assert start_turn(items_at(0, 0.4, 0.875), start=start, is_stopped=lambda: False) == 3

    assert {name: (at - BEGIN).total_seconds() for name, at in started.items()} == {
        "R0": pytest.approx(expected),
        "R1": pytest.approx(expected + 0.4),
        "R2": pytest.approx(expected + 0.875),
    }


@pytest.mark.usefixtures("one_at_a_time", "moving")
def test_a_request_that_cannot_be_started_leaves_the_others_alone() -> None:
    tried = []

    def start(name: str, request: str) -> None:
        tried.append((name, request))
        if name == "R0":
            raise DependencyUnavailable("Step Functions did not do StartExecution.")

    with pytest.raises(DependencyUnavailable, match="StartExecution"):
        start_turn(items_at(0, 1), start=start, is_stopped=lambda: False)

    assert tried == [("R0", "{}"), ("R1", "{}")]


@pytest.mark.usefixtures("one_at_a_time")
def test_a_batch_that_is_stopped_starts_no_more_within_a_second(moving: Clock) -> None:
    asked, started = [], []

    def is_stopped() -> bool:
        asked.append((moving.time - BEGIN).total_seconds())
        return moving.time - BEGIN > timedelta(seconds=3)

    def start(name: str, _: str) -> None:
        started.append(name)

    items = items_at(*(n / 2 for n in range(20)))

    assert start_turn(items, start=start, is_stopped=is_stopped) == 8
    assert started == [f"R{n}" for n in range(8)]
    assert asked == [0, 1, 2, 3, 4]
