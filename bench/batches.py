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
_REPLICA_REGION = "eu-west-1"
# By the quotas: 5 CreateKey a second in the replica's Region, of which each key set takes 2.
_ALLOWED_A_SECOND = 2.5
_LEAST_SHARE = 0.8
_KMS: KmsChanges = {"latency_seconds": 0.06, "creating_seconds": 5.0, "quotas": {}}
_TIMEOUT = 7200
_BAD_LINES = (
    '{"requestId": "half',
    "[]",
    '{"alias": "alias/no-id"}',
    '{"requestId": "bad", "a": 1}',
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
    """Run both batches; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000, help="lines of the paced batch")
    parser.add_argument("--stopped", type=int, default=200, help="lines of the stopped batch")
    parser.add_argument("--bad", type=int, default=20, help="how many of those are bad")
    options = parser.parse_args()
    console = Console(highlight=False, width=120)
    try:
        with new_account() as stack, stack.changed_kms_settings(**_KMS):
            paced, paced_targets = _paced(stack, options.requests)
            stopped, stopped_targets = _stopped(stack, options.stopped, options.bad)
    except (BenchError, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    targets = [*paced_targets, *stopped_targets]
    shown = [paced, stopped, as_grid(targets)]
    for grid in shown:
        grids.show(grid, console)
    if options.requests == parser.get_default("requests"):
        page.renew(f"`make bench-batch`, {datetime.now(UTC):%Y-%m-%d}.", shown, PAGE)
    return int(any(not target.reached for target in targets))


def _paced(stack: Stack, count: int) -> tuple[Grid, list[Target]]:
    """Let a batch of good requests run through under the quotas."""
    requests = _requests("paced", count)
    calls_before, began = len(stack.kms_calls()), time.monotonic()
    execution = batch.start(stack, "keys.jsonl", _as_lines(requests))
    outcome = _finish(stack, execution, requests)
    seconds = time.monotonic() - began
    calls = stack.kms_calls(since=calls_before)
    made = [c["time"] for c in calls if c["operation"] == "ReplicateKey" and not c["error"]]
    rate = (len(made) - 1) / (max(made) - min(made))
    throttled = Counter(c["operation"] for c in calls if c["error"] == "ThrottlingException")
    share = rate / _ALLOWED_A_SECOND
    rows = (
        ("lines, each with one replica", f"{count:,}"),
        ("created", f"{outcome.statuses['CREATED']:,}"),
        ("minutes from start to result file", f"{seconds / 60:.1f}"),
        ("key sets a second, first replica to last", f"{rate:.2f}"),
        ("of what the quotas allow", f"{share:.0%}"),
        ("calls of KMS", f"{len(calls):,}"),
        *((f"throttled: {name}", f"{number:,}") for name, number in sorted(throttled.items())),
        ("throttled of all calls", f"{throttled.total() / len(calls):.1%}"),
        ("requests that failed by throttling", f"{outcome.throttled_requests}"),
    )
    targets = [
        Target(
            "every request created", str(outcome.statuses["CREATED"]), _all_once(outcome, requests)
        ),
        Target(
            "no request failed by throttling",
            str(outcome.throttled_requests),
            outcome.throttled_requests == 0,
        ),
        Target(
            f"at least {_LEAST_SHARE:.0%} of the rate that the quotas allow",
            f"{share:.0%}",
            share >= _LEAST_SHARE,
        ),
    ]
    return Grid("A batch under KMS's default quotas", ("what", "found"), rows), targets


def _stopped(stack: Stack, count: int, bad: int) -> tuple[Grid, list[Target]]:
    """Stop a batch half-way, and send its file again."""
    requests = _requests("stopped", count - bad)
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


def _requests(name: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "requestId": f"{name}-{number}",
            "alias": f"alias/{name}/{number}",
            "replicas": [{"region": _REPLICA_REGION}],
        }
        for number in range(count)
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
    """Count the keys of each request that KMS has, by their tag."""
    wanted = {request["requestId"] for request in requests}
    tagging = stack.client("resourcegroupstaggingapi", REGION)
    counts: Counter[str] = Counter()
    filters = [{"Key": "mrk:request-id"}]
    for found in tagging.get_paginator("get_resources").paginate(TagFilters=filters):
        for key in found["ResourceTagMappingList"]:
            tags = {tag["Key"]: tag["Value"] for tag in key["Tags"]}
            counts.update({tags["mrk:request-id"]} & wanted)
    return counts


def _all_once(outcome: Outcome, requests: list[dict[str, Any]]) -> bool:
    ids = [request["requestId"] for request in requests]
    return outcome.statuses["CREATED"] == len(ids) and outcome.keys == Counter(ids)


if __name__ == "__main__":
    sys.exit(main())
