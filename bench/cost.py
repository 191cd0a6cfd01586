"""What a deployed stack costs a month, by service.

    python -m bench.cost --key-sets 100 --regions 3 --requests 20

What one request uses is read from docs/performance.md, where `make bench` writes it; what the stack
has, from its templates. Exit codes: 0 printed, 2 wrong usage.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from rich.console import Console
from samtranslator.yaml_helper import yaml_parse

from bench import prices
from bench.grids import Grid, show
from bench.page import PAGE
from bench.prices import Price
from local.settings import ROOT

TEMPLATES = ("template.yaml", "observability.yaml")
HOURS = 730
"""Of a month: 365 x 24 / 12."""
PRICES = {
    ("Step Functions", "state transitions"): prices.STATE_TRANSITIONS,
    ("Lambda", "requests"): prices.LAMBDA_REQUESTS,
    ("Lambda", "GB-second"): prices.LAMBDA_COMPUTE["arm64"],
    ("DynamoDB", "write units"): prices.WRITE_UNITS,
    ("DynamoDB", "read units"): prices.READ_UNITS,
    ("EventBridge", "custom events"): prices.CUSTOM_EVENTS,
    ("KMS", "requests"): prices.KMS_REQUESTS,
    ("CloudWatch Logs", "GB"): prices.LOGS,
    ("X-Ray", "traces"): prices.TRACES,
}
"""What a request is charged for, by service and unit as docs/performance.md names them."""
_UNIT = re.compile(r"[\d.]+ per (?:[\d,]+ )?(.+)")
_HEAD = "| price | N = "
_CENT = 0.01

# docs/drift.md: two calls of KMS for each key, and 340 seconds for 10,000 keys, at 1 GB.
SWEEP_CALLS, SWEEP_SECONDS, SWEEP_GIGABYTES = 2, 0.034, 1
# docs/scale.md: each Region's worker reads all records, of 3 KB; a page has 100 keys.
RECORD_READ_UNITS, KEYS_OF_A_PAGE, POSITION_WRITE_UNITS = 0.75, 100, 2
# Key sets by seven statuses; pending deletions, waiting approvals, failed checks, open drift.
HOURLY_METRICS = 11

# What nobody has measured.
SECONDS_OF_A_START, GIGABYTES_OF_A_START = 1, 0.5
API_CALLS_OF_A_REQUEST = 20
# Lambda waits for messages with five calls at a time, each of 20 seconds where none comes.
POLLS_AN_HOUR = 5 * 3_600 / 20

_ASSUMPTIONS = (
    f"a function that is started by the clock runs for {SECONDS_OF_A_START} s",
    f"a request takes {API_CALLS_OF_A_REQUEST} calls of the API",
    "Lambda polls an empty queue with five calls of 20 s at a time",
    "each key's rotations are charged in each of its Regions",
)
_NOT_COUNTED = (
    *("what applications do with the keys", "free tiers", "storage", "data transfer"),
    *("logs of the sweep", "API Gateway's metrics by method", "metrics that only requests count"),
    *("looks at keys that changed", "events of template-region.yaml", "a trail", "taxes"),
)


@dataclass(frozen=True)
class Plan:
    """What is to be paid for."""

    key_sets: int
    regions: int
    """Of each key set, the primary's included."""
    requests: int
    """New key sets a month. A change costs about as much."""
    rotations: int = 0
    """How often each key has been rotated so far."""
    swept: int = 17
    """Regions that the sweep checks: those that AllowedRegions names, or all enabled ones."""

    @property
    def keys(self) -> int:
        """Primaries and replicas."""
        return self.key_sets * self.regions


@dataclass(frozen=True)
class Stack:
    """What the templates create that is charged without requests."""

    alarm_metrics: int
    dashboards: int
    secrets: int
    polled_queues: int
    starts_an_hour: float
    """How often schedules start functions."""


@dataclass(frozen=True)
class Line:
    """One line of the bill."""

    service: str
    what: str
    units: float
    """A month's."""
    price: Price

    @property
    def dollars(self) -> float:
        """What it costs a month."""
        return self.units * self.price.dollars / self.price.per


type Use = dict[tuple[str, str], dict[int, float]]
"""Units of one request, by service and unit, by the number of replicas."""


def measured_use(page: str) -> Use:
    """Read the table of dollars of docs/performance.md.

    Raises
    ------
    ValueError
        The page lacks the table or a charge of `PRICES`.
    """
    lines = iter(page.splitlines())
    head = next((line for line in lines if line.startswith(_HEAD)), "")
    sizes = [int(size) for size in re.findall(r"N = (\d+)", head)]
    use: Use = {}
    for line in takewhile(lambda line: line.startswith("|"), lines):
        charge, *cells = line.strip("| ").split(" | ")
        what, _, price = charge.partition(": ")
        if unit := _UNIT.fullmatch(price):
            points = use.setdefault((what.split(",")[0], unit[1]), dict.fromkeys(sizes, 0.0))
            for size, cell in zip(sizes, cells, strict=True):
                points[size] += float(cell.partition(":")[0])
    if missing := PRICES.keys() ^ use.keys():
        raise ValueError(f"What a request is charged for differs here and in {PAGE}: {missing}")
    return use


def units_of(points: dict[int, float], replicas: int) -> float:
    """Return the units for any number of replicas, on straight lines through what was measured."""
    if replicas in points:
        return points[replicas]
    upper = next((size for size in sorted(points) if size > replicas), max(points))
    lower = max(size for size in points if size < upper)
    slope = (points[upper] - points[lower]) / (upper - lower)
    return points[lower] + slope * (replicas - lower)


def stack_of(*templates: dict[str, Any]) -> Stack:
    """Count what templates create."""
    resources = [one for template in templates for one in template["Resources"].values()]
    types = Counter(one["Type"] for one in resources)
    return Stack(
        alarm_metrics=sum(
            map(_metrics_of, (r for r in resources if r["Type"] == "AWS::CloudWatch::Alarm"))
        ),
        dashboards=types["AWS::CloudWatch::Dashboard"],
        secrets=types["AWS::SecretsManager::Secret"],
        polled_queues=types["AWS::Lambda::EventSourceMapping"],
        starts_an_hour=sum(map(_starts_an_hour, _schedules(resources))),
    )


def _metrics_of(alarm: dict[str, Any]) -> int:
    return sum("MetricStat" in one for one in alarm["Properties"].get("Metrics", [])) or 1


def _schedules(resources: list[dict[str, Any]]) -> Iterator[str]:
    for resource in resources:
        events = resource["Properties"].get("Events", {}).values()
        yield from (one["Properties"]["Schedule"] for one in events if one["Type"] == "Schedule")


def _starts_an_hour(schedule: str) -> float:
    """Read `rate(15 minutes)` or `rate(1 hour)`."""
    number, unit = schedule.removeprefix("rate(").removesuffix(")").split()
    return {"minute": 60, "hour": 1}[unit.removesuffix("s")] / int(number)


def bill(plan: Plan, use: Use, stack: Stack) -> list[Line]:
    """Return a month's bill, by service."""
    lines = [*_requests(plan, use), *_sweep(plan, stack), *_keys(plan), *_idle(stack)]
    return sorted(lines, key=lambda line: line.service)


def _requests(plan: Plan, use: Use) -> Iterator[Line]:
    for (service, unit), price in PRICES.items():
        units = units_of(use[service, unit], plan.regions - 1)
        yield Line(service, "requests", plan.requests * units, price)
    calls = plan.requests * API_CALLS_OF_A_REQUEST
    yield Line("API Gateway", "requests", calls, prices.API_CALLS)


def _keys(plan: Plan) -> Iterator[Line]:
    charged = min(plan.rotations, prices.CHARGED_ROTATIONS)
    yield Line("KMS", "keys", plan.keys, prices.KEYS)
    yield Line("KMS", "rotated key material", plan.keys * charged, prices.ROTATIONS)


def _sweep(plan: Plan, stack: Stack) -> Iterator[Line]:
    workers = HOURS * plan.swept
    starts = HOURS * stack.starts_an_hour
    seconds = HOURS * plan.keys * SWEEP_SECONDS + workers * SECONDS_OF_A_START
    gigabyte_seconds = (
        seconds * SWEEP_GIGABYTES + starts * SECONDS_OF_A_START * GIGABYTES_OF_A_START
    )
    pages = HOURS * plan.keys / KEYS_OF_A_PAGE
    records = workers * plan.key_sets * RECORD_READ_UNITS
    yield Line("KMS", "sweep", HOURS * plan.keys * SWEEP_CALLS, prices.KMS_REQUESTS)
    yield Line("Lambda", "sweep", workers + starts, prices.LAMBDA_REQUESTS)
    yield Line("Lambda", "sweep", gigabyte_seconds, prices.LAMBDA_COMPUTE["arm64"])
    yield Line("DynamoDB", "sweep", records, prices.READ_UNITS)
    yield Line("DynamoDB", "sweep", pages * POSITION_WRITE_UNITS, prices.WRITE_UNITS)
    yield Line("X-Ray", "sweep", workers + starts, prices.TRACES)


def _idle(stack: Stack) -> Iterator[Line]:
    polls = HOURS * POLLS_AN_HOUR * stack.polled_queues
    yield Line("CloudWatch", "alarms", stack.alarm_metrics, prices.ALARM_METRICS)
    yield Line("CloudWatch", "metrics of the sweep", HOURLY_METRICS, prices.CUSTOM_METRICS)
    yield Line("CloudWatch", "dashboard", stack.dashboards, prices.DASHBOARDS)
    yield Line("Secrets Manager", "secrets", stack.secrets, prices.SECRETS)
    yield Line("SQS", "polls", polls, prices.QUEUE_REQUESTS)


def as_grid(plan: Plan, lines: list[Line]) -> Grid:
    """Return the bill as a table."""
    rows = [
        (line.service, line.what, _units(line), prices.phrased(line.price), _usd(line))
        for line in lines
    ]
    rows.append(("together", "", "", "", f"{sum(line.dollars for line in lines):,.2f}"))
    title = (
        f"A month of {plan.key_sets:,} key sets in {plan.regions} Regions each, with "
        f"{plan.requests:,} requests and {plan.swept} swept Regions, in us-east-1"
    )
    return Grid(title, ("service", "for", "units", "price", "USD"), tuple(rows), left=2)


def _units(line: Line) -> str:
    return f"{line.units:,.0f}" if line.units >= 1 or not line.units else f"{line.units:.1g}"


def _usd(line: Line) -> str:
    return "under 0.01" if 0 < line.dollars < _CENT else f"{line.dollars:,.2f}"


def sources(lines: list[Line]) -> list[str]:
    """List the pages of the prices, and how each figure was seen."""
    found = {(line.price.page, line.price.seen) for line in lines}
    return [f"{page} ({seen})" for page, seen in sorted(found)]


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError("has to be 0 or more")
    return number


def _regions(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def main() -> None:
    """Print the bill."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("--key-sets", type=_count, default=100)
    parser.add_argument("--regions", type=_regions, default=2, help="of each key set")
    parser.add_argument("--requests", type=_count, default=10, help="a month")
    parser.add_argument("--rotations", type=_count, default=0, help="of each key so far")
    parser.add_argument("--swept", type=_regions, default=Plan.swept, help="Regions that are swept")
    plan = Plan(**vars(parser.parse_args()))
    templates = (yaml_parse((ROOT / name).read_text()) for name in TEMPLATES)
    lines = bill(plan, measured_use(PAGE.read_text()), stack_of(*templates))
    console = Console(highlight=False, width=110)
    show(as_grid(plan, lines), console)
    notes = [f"Assumed: {'; '.join(_ASSUMPTIONS)}.", f"Not counted: {', '.join(_NOT_COUNTED)}."]
    notes += [f"Prices, read on {prices.READ_ON}:", *(f"  {one}" for one in sources(lines))]
    console.print("\n".join(notes), soft_wrap=True)


if __name__ == "__main__":
    main()
