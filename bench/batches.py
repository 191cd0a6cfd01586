"""The command behind `make bench-batch`: a batch under KMS's quotas, and one that is stopped.

It writes its figures into docs/scale.md. Exit codes: 0 every target is reached, 1 one is not.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, cycle
from typing import Any

from rich.console import Console

from bench import grids, page
from bench.account import REGION, new_account
from bench.errors import BenchError
from bench.grids import Grid
from bench.targets import Target, as_grid
from local.commands import batch
from local.emulator.kms.settings import KmsChanges
from local.errors import LocalStackError
from local.polling import wait_for
from local.settings import ROOT
from local.stack.stack import Stack

PAGE = ROOT / "docs" / "scale.md"
# Requests under way keep as many functions busy, and more must not wait for one another here.
_LAMBDA_TURNS = "8"
# KMS's quota of CreateKey, ReplicateKey and CreateAlias each, in each Region.
_CALLS_A_SECOND = 5
_LEAST_SHARE = 0.9
_MOST_THROTTLED = 0.01
_KMS: KmsChanges = {"latency_seconds": 0.06, "creating_seconds": 5.0, "quotas": {}}
_TIMEOUT = 7200
_BAD_LINES = (
    '{"requestId": "half',
    "[]",
    '{"alias": "alias/no-id"}',
    '{"requestId": "bad", "a": 1}',
)


Kind = tuple[str, ...]
"""The Regions of a key set, the primary's first."""

_H, _A, _B, _C = REGION, "eu-west-1", "us-west-2", "ap-south-1"
_MIXED: tuple[Kind, ...] = (
    (_H,),
    (_H, _A),
    (_A, _H),
    (_H, _B, _C),
    (_H, _C),
    (_A,),
    (_H, _A, _B, _C),
    (_A, _H, _B, _C),
    (_H, _B),
    (_A, _C, _B),
)


@dataclass(frozen=True)
class File:
    """A file of requests whose pace is measured."""

    title: str
    share: float
    """How many lines it has, of the number that was asked for: what is slow has fewer of them."""
    kinds: tuple[Kind, ...]
    """Of its requests, in turns."""


_FILES = (
    File("no replica", 2, ((_H,),)),
    File("one replica", 1, ((_H, _A),)),
    File("three replicas", 0.6, ((_H, _A, _B, _C),)),
    File("mixed", 1.6, _MIXED),
)


@dataclass(frozen=True)
class Outcome:
    """What a batch came to, as its results and KMS have it."""

    statuses: Counter[str]
    throttled_requests: int
    """Requests that failed because KMS throttled them."""
    keys: Counter[str]
    """How many primary keys each request has."""


def main() -> int:
    """Run both batches; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=1_000, help="lines of the paced file with one replica"
    )
    parser.add_argument("--stopped", type=int, default=200, help="lines of the stopped batch")
    parser.add_argument("--bad", type=int, default=20, help="how many of those are bad")
    parser.add_argument("--file", choices=[file.title for file in _FILES], help="this one alone")
    options = parser.parse_args()
    files = [file for file in _FILES if options.file in (None, file.title)]
    console = Console(highlight=False, width=120)
    try:
        with new_account(LAMBDA_TURNS=_LAMBDA_TURNS) as stack, stack.changed_kms_settings(**_KMS):
            runs = [_paced(stack, file, int(options.requests * file.share)) for file in files]
            stopped, stopped_targets = _stopped(stack, options.stopped, options.bad)
    except (BenchError, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    targets = [*chain.from_iterable(run.targets() for run in runs), *stopped_targets]
    shown = [_as_grid(runs), stopped, as_grid(targets)]
    for grid in shown:
        grids.show(grid, console)
    if options.requests == parser.get_default("requests") and not options.file:
        page.renew(f"`make bench-batch`, {datetime.now(UTC):%Y-%m-%d}.", shown, PAGE)
    return int(any(not target.reached for target in targets))


@dataclass(frozen=True)
class Run:
    """What became of a file, and what KMS was asked for."""

    title: str
    requests: list[dict[str, Any]]
    outcome: Outcome
    minutes: float
    """From its start to its result file."""
    needed_seconds: float
    """What its fullest quota needs for it."""
    share: float
    """Of what that quota allows, from the first replica to the last, or the first primary key."""
    calls: int
    """Of KMS, those that were throttled included."""
    throttled: Counter[str]
    """By their operation."""

    @property
    def throttled_share(self) -> float:
        """Of all calls of KMS, those that were throttled."""
        return self.throttled.total() / self.calls

    def targets(self) -> list[Target]:
        """Return what it must reach."""
        created = self.outcome.statuses["CREATED"]
        failed = self.outcome.throttled_requests
        return [
            Target(
                f"{self.title}: every request created, and none failed by throttling",
                f"{created:,} and {failed}",
                _all_once(self.outcome, self.requests) and not failed,
            ),
            Target(
                f"{self.title}: at least {_LEAST_SHARE:.0%} of what its fullest quota allows",
                f"{self.share:.1%}",
                self.share >= _LEAST_SHARE,
            ),
            Target(
                f"{self.title}: at most {_MOST_THROTTLED:.0%} of all calls throttled",
                f"{self.throttled_share:.2%}",
                self.throttled_share <= _MOST_THROTTLED,
            ),
        ]


def _paced(stack: Stack, file: File, count: int) -> Run:
    """Let a batch of good requests run through under the quotas."""
    requests = _requests(file.title.replace(" ", "-"), count, file.kinds)
    calls_before, began = len(stack.kms_calls()), time.monotonic()
    execution = batch.start(stack, "keys.jsonl", _as_lines(requests))
    outcome = _finish(stack, execution, requests)
    minutes = (time.monotonic() - began) / 60
    calls = stack.kms_calls(since=calls_before)
    throttled = Counter(c["operation"] for c in calls if c["error"] == "ThrottlingException")
    needed = _needed_seconds(requests)
    share = _share_of_quota(needed, calls)
    return Run(file.title, requests, outcome, minutes, needed, share, len(calls), throttled)


def _needed_seconds(requests: list[dict[str, Any]]) -> float:
    """Return how long the fullest quota needs for these requests."""
    needed: Counter[tuple[str, str]] = Counter()
    for request in requests:
        needed += _needs(request)
    return max(needed.values()) / _CALLS_A_SECOND


def _share_of_quota(seconds: float, calls: list[dict[str, Any]]) -> float:
    """Compare how long the fullest quota needs for the calls with how long they took."""
    made: dict[str, list[float]] = {"CreateKey": [], "ReplicateKey": []}
    for call in calls:
        if call["operation"] in made and not call["error"]:
            made[call["operation"]].append(call["time"])
    times = made["ReplicateKey"] or made["CreateKey"]
    # Between n calls are n - 1 times between two calls.
    return seconds * (1 - 1 / len(times)) / (max(times) - min(times))


def _needs(request: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Count what a request takes of each quota, by Region and operation."""
    primary, replicas = request["primaryRegion"], request["replicas"]
    needed: Counter[tuple[str, str]] = Counter()
    needed[primary, "ReplicateKey"] += len(replicas)
    for region, keys in [(primary, 1), *((replica["region"], 2) for replica in replicas)]:
        needed[region, "CreateKey"] += keys
        needed[region, "CreateAlias"] += 1
    return needed


def _as_grid(runs: list[Run]) -> Grid:
    head: tuple[str, ...] = (
        "file",
        "lines",
        "created",
        "minutes",
        "key sets a second",
        "of its fullest quota",
    )
    head += ("calls of KMS", "throttled", "of all calls")
    rows = tuple(
        (
            run.title,
            f"{len(run.requests):,}",
            f"{run.outcome.statuses['CREATED']:,}",
            f"{run.minutes:.1f}",
            f"{len(run.requests) / run.needed_seconds * run.share:.2f}",
            f"{run.share:.1%}",
            f"{run.calls:,}",
            ", ".join(f"{number} {name}" for name, number in sorted(run.throttled.items())) or "0",
            f"{run.throttled_share:.2%}",
        )
        for run in runs
    )
    return Grid("Files under KMS's default quotas", head, rows)


def _stopped(stack: Stack, count: int, bad: int) -> tuple[Grid, list[Target]]:
    """Stop a batch half-way, and send its file again."""
    requests = _requests("stopped", count - bad, ((_H, _A),))
    content = _as_lines(requests, *(_BAD_LINES[n % len(_BAD_LINES)] for n in range(bad)))
    ids = {request["requestId"] for request in requests}
    first = batch.start(stack, "keys.jsonl", content)

    def half_way() -> int | None:
        found = {event["detail"]["requestId"] for event in stack.all_outcomes()} & ids
        return len(found) if len(found) >= len(ids) // 2 else None

    told = wait_for(half_way, "half of the requests", timeout=_TIMEOUT, interval=0.5)
    stack.client("stepfunctions").stop_execution(executionArn=first)
    started = sum(1 for name in ids if stack.executions(name))
    outcome = _finish(stack, batch.start(stack, "keys.jsonl", content), requests)
    rows = (
        ("lines, and bad ones among them", f"{count} and {bad}"),
        ("told when the batch was stopped", f"{told}"),
        ("started when it was stopped", f"{started}"),
        ("created in the end", f"{outcome.statuses['CREATED']}"),
        ("refused in the end", f"{outcome.statuses['REJECTED']}"),
        ("requests with two keys", f"{sum(n > 1 for n in outcome.keys.values())}"),
    )
    wanted = {"CREATED": count - bad, "REJECTED": bad}
    targets = [
        Target("stopped before everything was started", f"{started}", started < len(ids)),
        Target(
            f"{count - bad} key sets and {bad} refusals",
            f"{outcome.statuses['CREATED']} and {outcome.statuses['REJECTED']}",
            outcome.statuses == wanted,
        ),
        Target("no key twice", f"{outcome.keys.total()} keys", _all_once(outcome, requests)),
    ]
    return Grid("A batch that is stopped half-way and sent again", ("what", "found"), rows), targets


def _requests(name: str, count: int, kinds: tuple[Kind, ...]) -> list[dict[str, Any]]:
    return [
        {
            "requestId": f"{name}-{number}",
            "alias": f"alias/{name}/{number}",
            "primaryRegion": primary,
            "replicas": [{"region": region} for region in others],
        }
        for number, (primary, *others) in zip(range(count), cycle(kinds), strict=False)
    ]


def _as_lines(requests: list[dict[str, Any]], *others: str) -> bytes:
    """Write the file, with the other lines spread among the requests."""
    lines = [json.dumps(request) for request in requests]
    for number, other in enumerate(others):
        lines.insert(number * len(lines) // len(others), other)
    return "\n".join(lines).encode()


def _finish(stack: Stack, execution: str, requests: list[dict[str, Any]]) -> Outcome:
    """Wait for a batch, and read its results and the keys of its requests.

    Raises
    ------
    BenchError
        The batch as a whole failed.
    """
    ended = stack.wait_for_execution(execution, timeout=_TIMEOUT)
    if ended["status"] != "SUCCEEDED":
        raise BenchError(f"The batch {ended['status']}: {ended.get('cause')}")
    text = batch.read_object(stack, json.loads(ended["output"])["results"])
    results = [json.loads(line) for line in text.splitlines()]
    throttled = sum(
        any(error["code"] == "KMS_THROTTLED" for error in result["errors"]) for result in results
    )
    return Outcome(
        Counter(result["status"] for result in results), throttled, _keys_of(stack, requests)
    )


def _keys_of(stack: Stack, requests: list[dict[str, Any]]) -> Counter[str]:
    """Count the keys that KMS has of each request in its primary's Region, by their tag."""
    wanted = {(request["primaryRegion"], request["requestId"]) for request in requests}
    counts: Counter[str] = Counter()
    filters = [{"Key": "mrk:request-id"}]
    for region in {region for region, _ in wanted}:
        tagging = stack.client("resourcegroupstaggingapi", region)
        for found in tagging.get_paginator("get_resources").paginate(TagFilters=filters):
            for key in found["ResourceTagMappingList"]:
                tags = {tag["Key"]: tag["Value"] for tag in key["Tags"]}
                ours = tags["mrk:request-id"]
                counts[ours] += (region, ours) in wanted
    return +counts


def _all_once(outcome: Outcome, requests: list[dict[str, Any]]) -> bool:
    ids = [request["requestId"] for request in requests]
    return outcome.statuses["CREATED"] == len(ids) and outcome.keys == Counter(ids)


if __name__ == "__main__":
    sys.exit(main())
