"""The command behind `make bench-changes`: how long a change of tags takes.

    python -m bench.changes [--replicas N] [--runs N] [--contenders ...]

Each contender makes one key set, which is not measured, and then changes the same tag of every key
some times. Exit codes: 0 all was measured, 1 something could not be.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rich.console import Console

from bench import calls, grids, key_sets
from bench.account import new_account
from bench.calls import Calls
from bench.contenders import terraform
from bench.contenders.terraform import Terraform
from bench.contenders.workflow import Workflow
from bench.errors import BenchError
from bench.grids import Grid
from bench.key_sets import KeySet
from local.errors import LocalStackError
from local.stack.stack import Stack

_TIMEOUT = 300
_WARM_UPS = 3


class Changer(Protocol):
    """A way to change the tags of a key set that it has made."""

    name: str

    def make(self, key_set: KeySet) -> None:
        """Make the key set."""

    def change(self, key_set: KeySet) -> float:
        """Bring the key set to other tags; return the seconds on the wall."""


class ByWorkflow:
    """Sends the next revision as an event, and stops the clock when ChangeKeySet has ended."""

    name = "this project, warm"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def make(self, key_set: KeySet) -> None:
        """Make the key set, and let every function of a change start once."""
        workflow = Workflow(self._stack)
        workflow.make(key_set)
        for number in range(_WARM_UPS):
            self.change(retagged(key_set, f"warm-{number}"))

    def change(self, key_set: KeySet) -> float:
        """Send the next revision."""
        revision = len(self._stack.outcomes(key_set.name)) + 1
        began = time.time()
        self._stack.send({**key_set.request, "revision": revision})
        outcomes = self._stack.wait_for_outcomes(key_set.name, revision, timeout=_TIMEOUT)
        detail = outcomes[-1]["detail"]
        if detail["status"] != "UPDATED":
            raise BenchError(f"The change ended with {detail['status']}: {detail['errors']}")
        ended: float = self._stack.wait_for_execution(detail["executionArn"])[
            "stopDate"
        ].timestamp()
        return ended - began


class ByTerraform:
    """Applies the configuration with other tags: with its start, its refresh and its plan."""

    name = "Terraform"

    def __init__(self, stack: Stack) -> None:
        self._terraform = Terraform(stack, None)

    def make(self, key_set: KeySet) -> None:
        """Apply the configuration for the first time."""
        self._terraform.prepare(key_set)
        self._terraform.make(key_set)

    def change(self, key_set: KeySet) -> float:
        """Write the other tags into the configuration, and apply it."""
        self._terraform.configure(key_set)
        return self._terraform.make(key_set)


class ByScript:
    """The floor: TagResource for each key at once, by a script that knows what differs.

    It reads nothing, keeps no record and reports to nobody.
    """

    name = "parallel script, the floor"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}
        self._ids: dict[str, Any] = {}

    def make(self, key_set: KeySet) -> None:
        """Let the workflow make it; the clients are made here."""
        self._clients = {key.region: self._stack.client("kms", key.region) for key in key_set.keys}
        Workflow(self._stack).make(key_set)
        self._ids = {
            key.region: self._clients[key.region].describe_key(KeyId=key.alias)["KeyMetadata"]
            for key in key_set.keys
        }

    def change(self, key_set: KeySet) -> float:
        """Tag every key."""
        tags = [{"TagKey": "team", "TagValue": key_set.primary.tags["team"]}]

        def tag(region: str) -> None:
            key = self._ids[region]["KeyId"]
            self._clients[region].tag_resource(KeyId=key, Tags=tags)

        with ThreadPoolExecutor(len(key_set.keys)) as pool:
            began = time.monotonic()
            list(pool.map(tag, self._clients))
            return time.monotonic() - began


_CHANGERS: dict[str, Callable[[Stack], Changer]] = {
    "warm": ByWorkflow,
    "terraform": ByTerraform,
    "parallel": ByScript,
}


@dataclass(frozen=True)
class Measured:
    """What one contender took for a change, and the calls of KMS of its typical run."""

    name: str
    seconds: tuple[float, ...]
    calls: Calls


def main() -> int:
    """Measure what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.changes", description=__doc__)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=[*_CHANGERS], default=[*_CHANGERS])
    parser.add_argument("--latency", type=float, default=0.06, help="seconds a call of KMS takes")
    options = parser.parse_args()
    if "terraform" in options.contenders and not terraform.version():
        print("There is no terraform on PATH: it is left out.", file=sys.stderr)
        options.contenders.remove("terraform")
    try:
        with (
            new_account() as stack,
            stack.changed_kms_settings(latency_seconds=options.latency, creating_seconds=0),
        ):
            measured = [
                measure(stack, _CHANGERS[name](stack), options.replicas, options.runs)
                for name in options.contenders
            ]
    except (BenchError, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    shown = grid(measured, options.replicas)
    grids.show(shown, Console(highlight=False, width=120))
    print(grids.markdown(shown))
    return 0


def measure(stack: Stack, changer: Changer, replicas: int, runs: int) -> Measured:
    """Let a contender make a key set and change its tags; check each time that they are changed.

    Raises
    ------
    BenchError
        The key set was not made or not changed.
    """
    key_set = key_sets.new_key_set(stack, replicas)
    changer.make(key_set)
    seconds: list[float] = []
    for number in range(runs):
        changed = retagged(key_set, f"run-{number}")
        before = len(stack.kms_calls())
        seconds.append(changer.change(changed))
        counted = calls.count(stack.kms_calls(since=before))
        key_sets.check(stack, changed)
    return Measured(changer.name, tuple(seconds), counted)


def retagged(key_set: KeySet, team: str) -> KeySet:
    """Return the key set with another value of one tag of every key."""
    keys = tuple(replace(key, tags={**key.tags, "team": team}) for key in key_set.keys)
    return replace(key_set, request={**key_set.request, "tags": {"team": team}}, keys=keys)


def grid(measured: list[Measured], replicas: int) -> Grid:
    """Lay out what was measured."""
    rows = tuple(
        (
            one.name,
            f"{statistics.median(one.seconds):.2f}",
            str(one.calls.reads),
            str(one.calls.writes),
            str(one.calls.depth),
        )
        for one in measured
    )
    columns = ("contender", "seconds", "reads", "writes", "in sequence")
    return Grid(f"A tag of every key, N = {replicas}", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
