from collections.abc import Callable
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.sweep_table import Position, SweepTable
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, on, refusal
from tests.support.clock import Clock
from tests.support.sweeping import HOME, sweep_table

pytestmark = pytest.mark.usefixtures("aws")

BEGUN = Position(is_under_way=True, begun_at="2026-11-25T00:00:00+00:00", page=1)


def test_a_position_is_read_as_it_was_written() -> None:
    table = sweep_table()
    table.take(HOME, "me", 900)
    table.take("eu-west-1", "me", 900)

    assert table.save(HOME, "me", BEGUN)

    assert table.positions([HOME, "eu-west-1", "us-west-2"]) == {
        HOME: BEGUN,
        "eu-west-1": Position(),
    }
    assert table.positions([]) == {}


def test_a_region_is_taken_from_a_worker_that_is_dead_or_done(clock: Clock) -> None:
    table = sweep_table()
    table.take(HOME, "first", 900)
    table.save(HOME, "first", BEGUN)
    clock.move(seconds=900)
    alive = table.take(HOME, "second", 900)
    clock.move(seconds=1)

    dead = table.take(HOME, "second", 900)
    table.release(HOME, "first")
    busy = table.take(HOME, "third", 900)
    table.release(HOME, "second")
    done = table.take(HOME, "third", 900)

    assert (alive, dead, busy, done) == (None, BEGUN, None, BEGUN)
    assert not table.save(HOME, "first", Position())
    assert not table.save(HOME, "second", Position())


def test_a_hold_that_is_sent_twice_by_the_sdk_holds() -> None:
    table, sent = sweep_table(), list[None]()

    def send_before(**_: Any) -> None:
        if not sent:
            sent.append(None)
            table.take(HOME, "me", 900)

    on(client("dynamodb"), "before-call.dynamodb.UpdateItem", send_before)

    assert table.take(HOME, "me", 900) == Position()


def test_findings_are_kept_by_region_until_they_are_closed() -> None:
    table = sweep_table()
    table.take(HOME, "me", 900)
    table.keep_finding(HOME, "arn#KIND", "digest", "{}")
    table.keep_finding("eu-west-1", "arn#KIND", "other", "{}")

    before = table.open_findings(HOME)
    table.close_finding(HOME, "arn#KIND")

    assert before == {"arn#KIND": "digest"}
    assert table.open_findings(HOME) == {}
    assert table.open_findings("eu-west-1") == {"arn#KIND": "other"}


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("BatchGetItem", lambda table: table.positions([HOME])),
        ("UpdateItem", lambda table: table.take(HOME, "me", 900)),
        ("UpdateItem", lambda table: table.save(HOME, "me", BEGUN)),
        ("UpdateItem", lambda table: table.release(HOME, "me")),
        ("Query", lambda table: table.open_findings(HOME)),
        ("PutItem", lambda table: table.keep_finding(HOME, "arn#KIND", "digest", "{}")),
        ("DeleteItem", lambda table: table.close_finding(HOME, "arn#KIND")),
    ],
)
def test_a_table_that_refuses_is_unavailable(
    operation: str, call: Callable[[SweepTable], Any]
) -> None:
    answer(client("dynamodb"), operation, refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(DependencyUnavailable, match=f"DynamoDB did not do {operation}"):
        call(sweep_table())
