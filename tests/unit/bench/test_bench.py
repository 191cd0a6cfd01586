"""What `make bench` works out from what it measures."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench import calls, page, prices, use
from bench.calls import Calls
from bench.contenders.parallel import Parallel
from bench.contenders.terraform import Terraform, configuration, creating_seconds
from bench.contenders.workflow import Workflow
from bench.grids import Grid, markdown
from bench.growth import Growth
from bench.key_sets import Key, KeySet
from bench.measure import Cell, Run, Table
from bench.targets import targets
from bench.use import Use

USE = Use(
    transitions=21,
    invocations=9,
    cold_starts=0,
    billed_milliseconds=1_000,
    memory_megabytes=512,
    architecture="x86_64",
    dynamodb_requests={"RequestsTable.UpdateItem": 5},
    write_units=20,
    index_write_units=15,
    read_units=1,
    events=2,
    log_bytes=1024**2,
    state_seconds={},
)


def run(seconds: float, reads: int = 5, writes: int = 8) -> Run:
    counted = Calls(reads, writes, 7, {"DescribeKey": reads}, 0.06)
    return Run(seconds, counted, USE, None)


def table(*cells: tuple[str, int, Run]) -> Table:
    return Table("latency", 0.06, 5, tuple(Cell(name, size, (one,)) for name, size, one in cells))


def verdicts(measured: Table, growth: Growth | None = None) -> dict[str, bool | None]:
    return {target.text: target.reached for target in targets(measured, growth)}


@pytest.mark.parametrize(
    ("spans", "depth"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 1), (0, 1), (0.5, 1.5)], 1),
        ([(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], 3),
        ([(0, 10), (1, 2), (3, 4)], 2),
        ([(2, 3), (0, 1)], 2),
    ],
)
def test_depth_is_the_longest_chain_of_calls(spans: list[tuple[float, float]], depth: int) -> None:
    assert calls.depth(spans) == depth


def test_calls_are_counted_by_what_they_do() -> None:
    made = [
        {"operation": name, "time": float(number), "seconds": 0.5}
        for number, name in enumerate(("CreateKey", "DescribeKey", "ListAliases", "DescribeKey"))
    ]

    counted = calls.count(made)

    assert (counted.reads, counted.writes, counted.depth) == (3, 1, 4)
    assert counted.operations == {"CreateKey": 1, "DescribeKey": 2, "ListAliases": 1}
    assert counted.mean_seconds == 0.5


def test_every_charge_is_units_times_price() -> None:
    bill = prices.charges(USE, kms_calls=7)
    dollars = [line.dollars for line in bill]

    assert dollars == pytest.approx(
        [
            1_000 * 21 * 0.025 / 1_000,
            1_000 * 9 * 0.20 / 1_000_000,
            1_000 * 1 * 0.5 * 0.0000166667,
            1_000 * 20 * 0.625 / 1_000_000,
            1_000 * 15 * 0.625 / 1_000_000,
            1_000 * 1 * 0.125 / 1_000_000,
            1_000 * 2 * 1.00 / 1_000_000,
            1_000 * 7 * 0.03 / 10_000,
            1_000 * 0.50 / 1024,
            1_000 * 5.00 / 1_000_000,
        ]
    )
    assert prices.total(bill) == pytest.approx(sum(dollars))
    assert prices.keys_a_month(3) == 4_000


def test_units_count_each_write_as_the_whole_item() -> None:
    requests = {
        "RequestsTable.UpdateItem": 5,
        "RequestsTable.GetItem": 1,
        "IdempotencyTable.PutItem": 1,
    }
    sizes = {"RequestsTable": 4097, "IdempotencyTable": 200}

    assert use.units(requests, sizes, writes=True) == 5 * 5 + 1
    assert use.units(requests, {"RequestsTable": 1024}, writes=True) == 5
    assert use.units(requests, sizes, writes=False) == 2


def test_an_item_is_as_large_as_its_names_and_values() -> None:
    assert use.item_bytes({"requestId": {"S": "größe"}, "attempt": {"N": "1"}}) == 9 + 7 + 7 + 1


def test_dynamodb_requests_are_counted_by_table_and_operation() -> None:
    asked = [
        {"action": "dynamodb:UpdateItem", "resource": "arn:aws:dynamodb:us-east-1:1:table/t-1"},
        {"action": "dynamodb:UpdateItem", "resource": "arn:aws:dynamodb:us-east-1:1:table/t-1"},
        {"action": "kms:CreateKey", "resource": "*"},
    ]

    counted = use.dynamodb_requests(asked, {"t-1": "RequestsTable"})

    assert counted == {"RequestsTable.UpdateItem": 2}


def test_a_history_tells_transitions_and_times() -> None:
    def event(second: int, kind: str, name: str) -> dict[str, Any]:
        details = "stateEnteredEventDetails" if "Entered" in kind else "stateExitedEventDetails"
        timestamp = datetime(2026, 11, 24, second=second, tzinfo=UTC)
        return {"type": kind, "timestamp": timestamp, details: {"name": name}}

    history = [
        event(0, "TaskStateEntered", "ValidateRequest"),
        event(2, "TaskStateExited", "ValidateRequest"),
        event(2, "MapStateEntered", "CreateReplicaKeys"),
        event(2, "TaskStateEntered", "CreateReplicaKey"),
        event(2, "TaskStateEntered", "CreateReplicaKey"),
        event(7, "MapStateExited", "CreateReplicaKeys"),
    ]

    assert use.transitions(history) == 1 + 4
    assert use.state_seconds(history) == {"ValidateRequest": 2, "CreateReplicaKeys": 5}


def test_the_typical_run_is_the_one_in_the_middle() -> None:
    cell = Cell(Workflow.name, 3, (run(9), run(6), run(7)))

    assert cell.typical.seconds == 7
    assert replace(cell, runs=(run(9), run(6))).typical.seconds == 6


def test_targets_are_reached_or_not() -> None:
    measured = table(
        (Workflow.name, 1, run(6, reads=3, writes=4)),
        (Workflow.name, 3, run(5.7, reads=9)),
        (Workflow.name, 10, run(9, reads=12, writes=22)),
        (Parallel.name, 3, run(5)),
        (Terraform.name, 3, run(20)),
    )

    found = verdicts(measured)

    assert found["8 KMS writes, N = 3"] is True
    assert found["at most 8 KMS reads, N = 3"] is False
    assert found["at most 0.25 x the time of Terraform, N = 3"] is False
    assert found[f"at most 1.12 x the time of {Parallel.name}, N = 3"] is False
    assert found["at most 15 state transitions, N = 1"] is False
    assert found["at most 23 state transitions, N = 3"] is True
    assert found["at most 1.5 x the time of N = 1, N = 10"] is True


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert set(verdicts(table((Parallel.name, 3, run(5)))).values()) == {None}


def test_growth_is_in_calls_and_requests() -> None:
    few = Cell(Workflow.name, 3, (run(7),))
    more = replace(USE, dynamodb_requests={"RequestsTable.UpdateItem": 6})
    many = Cell(Workflow.name, 3, (replace(run(7), use=more),))

    *_, kms_calls, requests = targets(table(), Growth(10, 10_000, few, many))

    assert (kms_calls.reached, requests.reached) == (True, False)


def test_terraform_makes_the_same_key_set() -> None:
    keys = tuple(
        Key(region, "alias/a", "d", {"team": "payments"}, {"Version": "2012-10-17"})
        for region in ("us-east-1", "eu-west-1", "us-west-2")
    )

    written = configuration(KeySet("a", {}, keys), "http://localhost")

    resources = {kind: set(named) for kind, named in written["resource"].items()}
    assert resources == {
        "aws_kms_key": {"primary"},
        "aws_kms_replica_key": {"eu-west-1", "us-west-2"},
        "aws_kms_alias": {"primary", "eu-west-1", "us-west-2"},
    }
    assert [p["region"] for p in written["provider"]["aws"]] == [key.region for key in keys]


def test_terraform_tells_how_long_it_made_resources() -> None:
    output = """\
{"type":"version","@timestamp":"2026-11-24T14:00:00.000000Z"}
{"type":"apply_start","@timestamp":"2026-11-24T14:00:10.000000Z"}
{"type":"apply_start","@timestamp":"2026-11-24T14:00:11.000000Z"}
{"type":"apply_complete","@timestamp":"2026-11-24T14:00:30.500000Z"}
"""
    assert creating_seconds(output) == 20.5


def test_only_what_is_between_the_markers_is_renewed(tmp_path: Path) -> None:
    written = tmp_path / "page.md"
    written.write_text("a\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nz\n")
    grid = Grid("Title", ("word", "number"), (("one", "1"),))

    page.renew("Measured here.", [grid], written)

    assert written.read_text() == (
        "a\n<!-- measured: begin -->\nMeasured here.\n\n"
        f"{markdown(grid)}<!-- measured: end -->\nz\n"
    )
    assert "| --- | ---: |\n| one | 1 |" in markdown(grid)
