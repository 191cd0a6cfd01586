"""The command behind `make bench`: measures, prints tables, writes .local/bench.json.

Exit codes: 0 every measured target is reached, 1 one is not, or something could not be measured.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import grids, page, report
from bench.account import new_account
from bench.contenders import terraform
from bench.contenders.contender import Contender
from bench.contenders.parallel import Parallel
from bench.contenders.sequential import Sequential
from bench.contenders.terraform import Terraform
from bench.contenders.workflow import ColdWorkflow, Workflow
from bench.errors import BenchError
from bench.growth import Growth, measure_growth
from bench.measure import Cell, Table, measure_cell
from bench.targets import Target, targets
from local.errors import LocalStackError
from local.settings import STATE
from local.stack.stack import Stack

_RESULT = STATE / "bench.json"
_CONTENDERS: dict[str, Callable[[Stack, argparse.Namespace], Contender]] = {
    "warm": lambda stack, _: Workflow(stack),
    "cold": lambda stack, _: ColdWorkflow(stack),
    "parallel": lambda stack, _: Parallel(stack),
    "sequential": lambda stack, _: Sequential(stack),
    "terraform": lambda stack, options: Terraform(stack, options.provider_mirror),
}
# Their time is their own waiting, which hardly varies, and a run takes a minute.
_SLOW = ("sequential", "terraform")
_SIZES = [0, 1, 3, 10]
_TABLES = ["latency", "no-latency"]
_EXISTING = 10_000
# Of what is written into a file.
_WIDTH = 120


@dataclass(frozen=True)
class Measured:
    """All that one command measured."""

    tables: list[Table]
    growth: Growth | None
    targets: list[Target]


def main() -> int:
    """Measure what the command line asks for; return the exit code."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    options = _options()
    if "terraform" in options.contenders and not terraform.version():
        console.print("There is no terraform on PATH: it is left out.")
        options.contenders.remove("terraform")
    try:
        measured = _measure(options, console)
    except (BenchError, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    shown = report.grids(measured.tables, measured.growth, measured.targets)
    for grid in shown:
        grids.show(grid, console)
    described = _described(options, measured)
    _RESULT.write_text(json.dumps(described, indent=2) + "\n")
    if described["complete"]:
        page.renew(_conditions(described), shown)
    console.print(f"Everything that was measured is in {_RESULT.relative_to(STATE.parent)}.")
    return int(any(target.reached is False for target in measured.targets))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=_SIZES, help="sizes of key sets")
    parser.add_argument(
        "--contenders", nargs="+", choices=list(_CONTENDERS), default=list(_CONTENDERS)
    )
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=_TABLES)
    parser.add_argument("--runs", type=int, default=3, help="runs whose median counts")
    parser.add_argument(
        "--slow-runs", type=int, default=1, help=f"the same for {' and '.join(_SLOW)}"
    )
    parser.add_argument("--latency", type=float, default=0.06, help="seconds a call of KMS takes")
    parser.add_argument(
        "--creating", type=float, default=5, help="seconds for which a replica is Creating"
    )
    parser.add_argument(
        "--existing",
        type=int,
        default=_EXISTING,
        help="keys that an account has already, for the figures of growth; 0 leaves these out",
    )
    parser.add_argument(
        "--provider-mirror", type=Path, help="filesystem mirror with Terraform's AWS provider"
    )
    return parser.parse_args()


def _measure(options: argparse.Namespace, console: Console) -> Measured:
    latencies = {"latency": options.latency, "no-latency": 0.0}
    with console.status("Measuring"):
        tables = []
        with new_account() as stack:
            for name in options.tables:
                tables.append(_table(stack, name, latencies[name], options, console))
        growth = None
        if options.existing:
            with (
                new_account() as stack,
                stack.changed_kms_settings(
                    latency_seconds=options.latency, creating_seconds=options.creating
                ),
            ):
                growth = measure_growth(stack, options.existing, options.runs)
    return Measured(tables, growth, targets(tables[0], growth))


def _table(
    stack: Stack,
    name: str,
    latency: float,
    options: argparse.Namespace,
    console: Console,
) -> Table:
    cells: list[Cell] = []
    with stack.changed_kms_settings(latency_seconds=latency, creating_seconds=options.creating):
        for size in options.replicas:
            for key in options.contenders:
                contender = _CONTENDERS[key](stack, options)
                runs = options.slow_runs if key in _SLOW else options.runs
                cell = measure_cell(stack, contender, size, runs)
                console.print(f"{name}, N = {size}: {contender.name}: {cell.typical.seconds:.2f} s")
                cells.append(cell)
    return Table(name, latency, options.creating, tuple(cells))


def _described(options: argparse.Namespace, measured: Measured) -> dict[str, Any]:
    tables = []
    for table in measured.tables:
        cells = [{**asdict(cell), "seconds": cell.typical.seconds} for cell in table.cells]
        tables.append({**asdict(table), "cells": cells})
    chosen = vars(options)
    complete = {
        "replicas": _SIZES,
        "contenders": list(_CONTENDERS),
        "tables": _TABLES,
        "existing": _EXISTING,
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "terraform": terraform.version(),
            "terraform-provider-aws": terraform.PROVIDER_VERSION,
            **{name: version(name) for name in ("boto3", "ministack", "awslambdaric")},
        },
        "settings": {name: value for name, value in chosen.items() if name != "provider_mirror"},
        "complete": all(chosen[name] == value for name, value in complete.items()),
        "tables": tables,
        "growth": asdict(measured.growth) if measured.growth else None,
        "targets": [asdict(target) for target in measured.targets],
    }


def _conditions(described: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {found}" for name, found in described["versions"].items())
    settings = described["settings"]
    return (
        f"Measured {described['date'][:10]} on {described['cpus']} cores "
        f"({described['system']}): {versions}. Medians of {settings['runs']} runs; "
        f"Terraform and the straight script: {settings['slow_runs']}."
    )


if __name__ == "__main__":
    sys.exit(main())
