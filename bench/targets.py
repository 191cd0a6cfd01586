"""What the figures have to be, and whether they are."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders.parallel import Parallel
from bench.contenders.terraform import Terraform
from bench.contenders.workflow import Workflow
from bench.grids import Grid
from bench.growth import Growth
from bench.measure import Table

_SIZE = 3
_FROM, _TO = 1, 10
_MOST_OF_TERRAFORM = 1 / 4
_MOST_OF_FLOOR = 1.12
_MOST_GROWTH = 1.5


@dataclass(frozen=True)
class Target:
    """One figure that has to be something."""

    text: str
    found: str
    reached: bool | None
    """None where it was not measured."""


def targets(table: Table, growth: Growth | None) -> list[Target]:
    """Hold the measurements against the targets.

    Parameters
    ----------
    table
        With KMS's latency.
    """
    return [*_calls(table), *_times(table), *_growth(growth)]


def as_grid(targets: list[Target]) -> Grid:
    """Show targets as a table."""
    words = {True: "reached", False: "NOT REACHED", None: "not measured"}
    rows = tuple((words[target.reached], target.text, target.found) for target in targets)
    return Grid("Targets", ("", "target", "found"), rows, left=3)


def _calls(table: Table) -> Iterator[Target]:
    for size in table.sizes():
        run = table.find(Workflow.name, size)
        writes, most_reads = 2 + 2 * size, 2 + 2 * size if size else 1
        yield Target(
            f"{writes} KMS writes, N = {size}",
            f"{run.calls.writes}" if run else "",
            run.calls.writes == writes if run else None,
        )
        yield Target(
            f"at most {most_reads} KMS reads, N = {size}",
            f"{run.calls.reads}" if run else "",
            run.calls.reads <= most_reads if run else None,
        )
        transitions, most_transitions = (
            run.use.transitions if run and run.use else None,
            11 + 4 * size,
        )
        yield Target(
            f"at most {most_transitions} state transitions, N = {size}",
            f"{transitions}" if transitions else "",
            transitions <= most_transitions if transitions else None,
        )


def _times(table: Table) -> Iterator[Target]:
    own = table.seconds(Workflow.name, _SIZE)
    for name, most in ((Terraform.name, _MOST_OF_TERRAFORM), (Parallel.name, _MOST_OF_FLOOR)):
        text = f"at most {most:g} x the time of {name}, N = {_SIZE}"
        yield _at_most(text, own, table.seconds(name, _SIZE), most)
    yield _at_most(
        f"at most {_MOST_GROWTH:g} x the time of N = {_FROM}, N = {_TO}",
        table.seconds(Workflow.name, _TO),
        table.seconds(Workflow.name, _FROM),
        _MOST_GROWTH,
    )


def _at_most(text: str, own: float | None, other: float | None, most: float) -> Target:
    if own is None or other is None:
        return Target(text, "", None)
    return Target(text, f"{own / other:.2f} x: {own:.2f} s to {other:.2f} s", own <= most * other)


def _growth(growth: Growth | None) -> Iterator[Target]:
    few = growth.few.typical if growth else None
    many = growth.many.typical if growth else None
    yield Target(
        "as many KMS calls with many keys as with few, by operation",
        f"{_counts(few.calls.operations)} and {_counts(many.calls.operations)}"
        if few and many
        else "",
        few.calls.operations == many.calls.operations if few and many else None,
    )
    few_requests = few.use.dynamodb_requests if few and few.use else None
    many_requests = many.use.dynamodb_requests if many and many.use else None
    measured = few_requests is not None and many_requests is not None
    yield Target(
        "as many DynamoDB requests with many requests as with few, by operation",
        f"{_counts(few_requests or {})} and {_counts(many_requests or {})}" if measured else "",
        few_requests == many_requests if measured else None,
    )


def _counts(counted: dict[str, int]) -> str:
    return str(sum(counted.values()))
