"""What one run of the workflow uses of the services that AWS charges for."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.key_sets import KeySet
from local.stack.stack import Stack

_BILLED = re.compile(r"Billed Duration: (\d+) ms")
_COLD_START = re.compile(r'"cold_start":\s*true')
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_BYTES_OF_A_LOG_EVENT = 26
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html
_WRITE_UNIT, _READ_UNIT = 1024, 4096
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
# The request that comes, and the outcome that goes.
_EVENTS = 2


@dataclass(frozen=True)
class Use:
    """What one execution used."""

    transitions: int
    """State transitions: every state that was entered, and the start."""
    invocations: int
    cold_starts: int
    """How many of the invocations began with a new environment."""
    billed_milliseconds: int
    memory_megabytes: int
    architecture: str
    dynamodb_requests: dict[str, int]
    """By table and operation."""
    write_units: int
    """Write request units, at most: every write counts as the whole finished item's."""
    index_write_units: int
    """The same, of the index of unfinished requests."""
    read_units: int
    events: int
    log_bytes: int
    state_seconds: dict[str, float]
    """How long each state of the workflow took; CreateReplicaKeys stands for all in it."""


@dataclass(frozen=True)
class Marker:
    """Where the emulator's lists end before a run."""

    permissions: int
    milliseconds: int


def of_execution(stack: Stack, key_set: KeySet, execution: str, since: Marker) -> Use:
    """Return what an execution used.

    Parameters
    ----------
    since
        A moment since which nothing else ran in this account.
    """
    history = stack.history(execution)
    messages = list(_log_messages(stack, since))
    billed = [int(found[1]) for text in messages if (found := _BILLED.search(text))]
    function = stack.client("lambda").get_function_configuration(
        FunctionName=stack.functions()["CreatePrimaryKeyFunction"]
    )
    tables = {name: logical for logical, name in stack.resources("AWS::DynamoDB::Table").items()}
    requests = dynamodb_requests(stack.permissions(since=since.permissions), tables)
    sizes = {logical: _largest_item(stack, name, key_set.name) for name, logical in tables.items()}
    return Use(
        transitions=transitions(history),
        invocations=len(billed),
        cold_starts=sum(bool(_COLD_START.search(text)) for text in messages),
        billed_milliseconds=sum(billed),
        memory_megabytes=function["MemorySize"],
        architecture=function["Architectures"][0],
        dynamodb_requests=requests,
        write_units=units(requests, sizes, writes=True),
        # The claim puts the request into the index, the published outcome takes it out.
        index_write_units=2,
        read_units=units(requests, sizes, writes=False),
        events=_EVENTS,
        log_bytes=sum(len(text.encode()) + _BYTES_OF_A_LOG_EVENT for text in messages),
        state_seconds=state_seconds(history),
    )


def transitions(history: list[dict[str, Any]]) -> int:
    """Count an execution's state transitions: every state entered, and the start."""
    return 1 + sum(str(event["type"]).endswith("StateEntered") for event in history)


def state_seconds(history: list[dict[str, Any]]) -> dict[str, float]:
    """Return the seconds between entering and leaving each state, in order of the first leaving.

    A Map's items leave no state in the emulator's history, so the Map stands for them.
    """
    entered, seconds = {}, Counter[str]()
    for event in history:
        if details := event.get("stateEnteredEventDetails"):
            entered[details["name"]] = event["timestamp"]
        elif details := event.get("stateExitedEventDetails"):
            name = details["name"]
            seconds[name] += (event["timestamp"] - entered[name]).total_seconds()
    return dict(seconds)


def dynamodb_requests(asked: list[dict[str, Any]], tables: dict[str, str]) -> dict[str, int]:
    """Count the requests of DynamoDB, each of which asks IAM once.

    Parameters
    ----------
    asked
        As `local.emulator.permissions.Permission` describes them.
    tables
        The tables' names, and what each is called in the result.
    """
    counted = Counter(
        f"{tables[ask['resource'].rpartition('/')[2]]}.{ask['action'].removeprefix('dynamodb:')}"
        for ask in asked
        if ask["action"].startswith("dynamodb:")
    )
    return dict(sorted(counted.items()))


def units(requests: dict[str, int], sizes: dict[str, int], *, writes: bool) -> int:
    """Return the most request units that requests can take.

    Parameters
    ----------
    requests
        By table and operation.
    sizes
        The bytes of the largest item that is written, by table; others do not count.
    writes
        Whether to count writes, or else reads.
    """
    size_of_unit = _WRITE_UNIT if writes else _READ_UNIT
    total = 0
    for name, count in requests.items():
        table, operation = name.split(".")
        if table in sizes and (operation in _WRITES) == writes:
            total += count * max(1, math.ceil(sizes[table] / size_of_unit))
    return total


def item_bytes(item: dict[str, dict[str, Any]]) -> int:
    """Return an item's size: its attributes' names and values.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(
        len(name.encode()) + sum(len(str(content).encode()) for content in value.values())
        for name, value in item.items()
    )


def _largest_item(stack: Stack, table: str, name: str) -> int:
    """Return the size of the largest item that is about a request."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    about = [item for page in pages for item in page["Items"] if name in json.dumps(item)]
    return max(map(item_bytes, about), default=0)


def _log_messages(stack: Stack, since: Marker) -> Iterator[str]:
    """Return what the functions and the state machine logged."""
    logs = stack.client("logs")
    groups = stack.resources("AWS::Logs::LogGroup")
    for group in (groups["FunctionLogs"], groups["WorkflowLogs"]):
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=since.milliseconds
        )
        for page in pages:
            yield from (event["message"] for event in page["events"])
