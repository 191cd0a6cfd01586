"""The command behind `make bench-sweep`: the sweep among 1,000, 10,000 and 100,000 keys.

The first two are keys of an emulator, swept by the deployed stack. The third is swept in process,
by the same code: KMS, the tagging API and the tables are replaced by `bench.sweep_fakes`, and time
by a clock that calls move. Half-way, its worker is killed, unless it is to be left unharmed. In
process, key sets may have keys in more Regions than one, which are swept side by side. Exit codes:
0 every target is reached, 1 one is not.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from rich.console import Console

from bench import grids, measure
from bench.account import REGION, new_account
from bench.contenders.workflow import Workflow
from bench.errors import BenchError
from bench.grids import Grid
from bench.growth import any_record
from bench.sweep_fakes import BySecond, sweep_in_process
from bench.targets import Target, as_grid
from local.errors import LocalStackError
from local.polling import wait_for
from local.settings import STACK_NAME
from local.stack.stack import Stack

# Calls a second in a Region, https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
QUOTAS = {"DescribeKey": 2_000, "GetKeyPolicy": 1_000, "ListAliases": 500}
_SHOWN = ("DescribeKey", "GetKeyPolicy", "ListAliases", "GetResources")
_REGIONS = (REGION, "eu-west-1", "us-west-2", "ap-south-1", "sa-east-1")
_SHARE = 0.05
# Twenty calls are sent at once, so that a second may begin and end with some.
_TOLERANCE = 1.2
_HOUR = 3600
_AT_A_TIME = 500
_ITEMS_AT_A_TIME = 25


@dataclass(frozen=True)
class Sweep:
    """Every Region looked through. `calls` are those of KMS and of the tagging API."""

    sets: int
    where: str
    looked_at: int
    calls: Counter[str]
    by_second: BySecond
    seconds: float
    workers: int
    regions: int = 1
    """In how many Regions each set has a key."""

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return self.sets * self.regions


def main() -> int:
    """Sweep at each size; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweeps", description=__doc__)
    parser.add_argument("--emulated", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--in-process", type=int, nargs="*", default=[100_000])
    parser.add_argument(
        "--regions",
        type=int,
        default=1,
        choices=range(1, len(_REGIONS) + 1),
        help="of each key set that is swept in process",
    )
    parser.add_argument(
        "--unharmed", action="store_true", help="let no worker be killed that sweeps in process"
    )
    options = parser.parse_args()
    sweeps = []
    try:
        if options.emulated:
            with new_account() as stack:
                sweeps += [*_emulated(stack, options.emulated)]
        for sets in options.in_process:
            in_regions = _REGIONS[: options.regions]
            killed_after = None if options.unharmed else sets // 2
            found = sweep_in_process(sets, killed_after=killed_after, in_regions=in_regions)
            sweeps.append(Sweep(sets, "in process", **vars(found), regions=options.regions))
    except (BenchError, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    targets = [target for sweep in sweeps for target in _targets(sweep)]
    console = Console(highlight=False, width=120)
    for grid in (_grid(sweeps), as_grid(targets)):
        grids.show(grid, console)
        print(grids.markdown(grid))
    return int(any(not target.reached for target in targets))


def _emulated(stack: Stack, sizes: list[int]) -> Iterator[Sweep]:
    """Return one account more and more keys, and sweep it each time."""
    measure.warm_up(stack, Workflow(stack), 0)
    record = any_record(stack)
    there = 0
    for size in sorted(sizes):
        _fill(stack, record, there, size)
        there = size
        since = len(stack.kms_calls())
        before = _position(stack)
        stack.invoke("SweepFunction", {})

        def ended(before: dict[str, Any] = before) -> dict[str, Any] | None:
            position = _position(stack)
            is_new = position.get("begun_at") != before.get("begun_at")
            return position if is_new and not position["is_under_way"] else None

        position = wait_for(ended, f"{size} keys to be looked at", timeout=_HOUR, interval=1)
        made = [call for call in stack.kms_calls(since) if call["region"] == REGION]
        calls = Counter(call["operation"] for call in made)
        by_second = Counter((call["operation"], REGION, int(call["time"])) for call in made)
        calls["GetResources"] = position["page"]
        begun, end = (datetime.fromisoformat(position[n]) for n in ("begun_at", "ended_at"))
        seconds = (end - begun).total_seconds()
        yield Sweep(size, "emulator", position["keys"], calls, by_second, seconds, 1)


def _fill(stack: Stack, record: dict[str, Any], first: int, count: int) -> None:
    """Add keys with an alias, and for each the record of a finished request."""
    for start in range(first, count, _AT_A_TIME):
        more = min(_AT_A_TIME, count - start)
        stack.add_existing_keys(more, start, {"mrk:stack": STACK_NAME})
    tagging = stack.client("resourcegroupstaggingapi", REGION)
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": "mrk:stack", "Values": [STACK_NAME]}], ResourceTypeFilters=["kms:key"]
    )
    arns = {
        tag["Value"]: key["ResourceARN"]
        for page in pages
        for key in page["ResourceTagMappingList"]
        for tag in key["Tags"]
        if tag["Key"] == "mrk:request-id"
    }
    dynamodb, table = stack.client("dynamodb"), stack.outputs["RequestsTableName"]
    names = [f"existing-{number}" for number in range(first, count)]
    for some in batched(names, _ITEMS_AT_A_TIME, strict=False):
        puts = [{"PutRequest": {"Item": _record_of(record, name, arns[name])}} for name in some]
        dynamodb.batch_write_item(RequestItems={table: puts})


def _record_of(record: dict[str, Any], name: str, arn: str) -> dict[str, Any]:
    request = {**json.loads(record["request"]["S"]), "requestId": name, "alias": f"alias/{name}"}
    return {
        **record,
        "requestId": {"S": name},
        "request": {"S": json.dumps(request)},
        "keyArn": {"S": arn},
    }


def _position(stack: Stack) -> dict[str, Any]:
    table = stack.resources("AWS::DynamoDB::Table")["SweepTable"]
    key = {"place": {"S": REGION}, "subject": {"S": "position"}}
    item = stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
    listing = item.get("Item", {}).get("listing", {}).get("S", "{}")
    position: dict[str, Any] = json.loads(listing)
    return position


def _grid(sweeps: list[Sweep]) -> Grid:
    columns = ("key sets", "Regions", "where", "looked at", *_SHOWN, "seconds")
    rows = tuple(
        (
            f"{sweep.sets:,}",
            str(sweep.regions),
            sweep.where,
            f"{sweep.looked_at:,}",
            *(_shown(sweep, operation) for operation in _SHOWN),
            f"{sweep.seconds:,.0f}",
        )
        for sweep in sweeps
    )
    title = "The sweep: calls, and in a Region's busiest second how much of KMS's quota"
    return Grid(title, columns, rows, left=3)


def _shown(sweep: Sweep, operation: str) -> str:
    share = f" ({_share(sweep, operation):.1%})" if operation in QUOTAS else ""
    return f"{sweep.calls[operation]:,}{share}"


def _targets(sweep: Sweep) -> Iterator[Target]:
    name = f"{sweep.keys:,} keys"
    further = sweep.workers - sweep.regions
    yield Target(
        f"{name}: every key looked at", f"{sweep.looked_at:,}", sweep.looked_at >= sweep.keys
    )
    yield Target(f"{name}: within the hour", f"{sweep.seconds:,.0f} s", sweep.seconds < _HOUR)
    share = max(_share(sweep, operation) for operation in QUOTAS)
    yield Target(
        f"{name}: at most 5% of each KMS quota", f"{share:.1%}", share <= _SHARE * _TOLERANCE
    )
    again = sweep.calls["DescribeKey"] - sweep.looked_at
    yield Target(
        f"{name}: a killed worker's keys looked at again, a page at most",
        str(again),
        again <= 100 * further + 10 * sweep.regions,
    )


def _share(sweep: Sweep, operation: str) -> float:
    """Return the part of its quota that an operation took in a Region's busiest second."""
    most = max(n for (name, _, _), n in sweep.by_second.items() if name == operation)
    return most / QUOTAS[operation]


if __name__ == "__main__":
    sys.exit(main())
