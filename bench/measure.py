"""Measuring: every contender makes key sets, and what they took is kept."""

import statistics
import time
from dataclasses import dataclass

from bench import calls, key_sets, use
from bench.calls import Calls
from bench.contenders.contender import Contender
from bench.contenders.terraform import Terraform
from bench.contenders.workflow import ColdWorkflow, Workflow
from bench.use import Marker, Use
from local.stack.stack import Stack

_MOST_WARM_UPS = 6


@dataclass(frozen=True)
class Run:
    """One key set that was made."""

    seconds: float
    calls: Calls
    use: Use | None
    """Of this project alone."""
    creating_seconds: float | None
    """Of Terraform alone: without its own start and plan."""


@dataclass(frozen=True)
class Cell:
    """What one contender took for key sets of one size."""

    contender: str
    replicas: int
    runs: tuple[Run, ...]

    @property
    def typical(self) -> Run:
        """The run with the median time; the quicker of the two middle ones."""
        middle = statistics.median_low(run.seconds for run in self.runs)
        return next(run for run in self.runs if run.seconds == middle)


@dataclass(frozen=True)
class Table:
    """The cells that were measured with one setting of KMS."""

    name: str
    latency_seconds: float
    creating_seconds: float
    cells: tuple[Cell, ...]

    def find(self, contender: str, replicas: int) -> Run | None:
        """Return the typical run of a cell, if it was measured."""
        for cell in self.cells:
            if (cell.contender, cell.replicas) == (contender, replicas):
                return cell.typical
        return None

    def seconds(self, contender: str, replicas: int) -> float | None:
        """Return the median time of a cell, if it was measured."""
        run = self.find(contender, replicas)
        return run.seconds if run else None

    def sizes(self) -> list[int]:
        """List the numbers of replicas that were measured."""
        return sorted({cell.replicas for cell in self.cells})

    def contenders(self) -> list[str]:
        """List the contenders that were measured, in their order."""
        return list(dict.fromkeys(cell.contender for cell in self.cells))


def measure_once(stack: Stack, contender: Contender, replicas: int) -> Run:
    """Let a contender make one key set, and check that it is the one that was asked for.

    Raises
    ------
    BenchError
        The key set was not made, or is another one.
    """
    key_set = key_sets.new_key_set(stack, replicas)
    contender.prepare(key_set)
    since = Marker(len(stack.permissions()), int(time.time() * 1000))
    calls_before = len(stack.kms_calls())
    seconds = contender.make(key_set)
    counted = calls.count(stack.kms_calls(since=calls_before))
    key_sets.check(stack, key_set)
    used = None
    if isinstance(contender, Workflow):
        used = use.of_execution(stack, key_set, contender.execution, since)
    creating = contender.creating_seconds if isinstance(contender, Terraform) else None
    return Run(seconds, counted, used, creating)


def measure_cell(stack: Stack, contender: Contender, replicas: int, runs: int) -> Cell:
    """Let a contender make some key sets of one size.

    Raises
    ------
    BenchError
        A key set was not made, or is another one.
    """
    if isinstance(contender, Workflow) and not isinstance(contender, ColdWorkflow):
        warm_up(stack, contender, replicas)
    measured = tuple(measure_once(stack, contender, replicas) for _ in range(runs))
    return Cell(contender.name, replicas, measured)


def warm_up(stack: Stack, contender: Workflow, replicas: int) -> None:
    """Let the workflow run until no function needed a new environment."""
    for _ in range(_MOST_WARM_UPS):
        run = measure_once(stack, contender, replicas)
        if run.use and not run.use.cold_starts:
            return
