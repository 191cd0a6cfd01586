"""The code of the sweep's worker among keys that exist only as numbers, and on a clock of its own.

Where sets have keys in several Regions, each Region has a worker and a clock. The clocks begin at
the same moment, and no worker keeps another one waiting, so the Regions are swept side by side
although they are played one after the other. Calls take the time that they take in AWS, as long as
nobody knows better: KMS's and the others' latencies below. Twenty calls of DescribeKey run side by
side.
"""

import importlib
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from local.settings import ROOT

_REGION, _ACCOUNT, _STACK = "us-east-1", "111122223333", "mrk-provisioner"
_PAGE = 100
_SIDE_BY_SIDE = 20
_RECORDS_A_PAGE = 350
"""A page of Scan is 1 MB, and a record 3 KB."""
_LATENCY = {
    "DescribeKey": 0.06 / _SIDE_BY_SIDE,
    "GetKeyPolicy": 0.06 / _SIDE_BY_SIDE,
    "ListAliases": 0.06,
    "GetResources": 0.3,
}
_OF_DYNAMODB = 0.02
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_SETTINGS = {
    "ACCOUNT_ID": _ACCOUNT,
    "ALIAS_PREFIXES": "alias/",
    "ALLOWED_KEY_SPECS": "*",
    "ALLOWED_PRINCIPALS": "*",
    "ALLOWED_REGIONS": "*",
    "AWS_REGION": _REGION,
    "DELETION_WINDOW_DAYS": "7",
    "EVENT_BUS": "keys",
    "KEY_ROLE_IDS": "",
    "KEY_ROLE_NAMES": "",
    "HISTORY_TABLE": "history",
    "APPROVAL": "hooks,7,false",
    "IDEMPOTENCY_TABLE": "idempotency",
    "PARTITION": "aws",
    "POWERTOOLS_METRICS_NAMESPACE": "MultiRegionKeys",
    "POWERTOOLS_SERVICE_NAME": _STACK,
    "QUIET_PERIOD_SECONDS": "900",
    "REQUESTS_TABLE": "requests",
    "REQUIRED_TAG_KEYS": "",
    "REQUIRE_TICKET": "false",
    "STACK_NAME": _STACK,
    "STATE_MACHINE_ARN": f"arn:aws:states:{_REGION}:{_ACCOUNT}:stateMachine:provision-key",
    "SWEEPER_MAY_DELETE": "false",
}


BySecond = Counter[tuple[str, str, int]]
"""Calls by operation, Region and second."""


class WorkerKilledError(BaseException):
    """The process of a worker ends here."""


class _Aws:
    """KMS and the tagging API of one Region, the tables, and the time.

    `regions` are those of every key set, that of the primary key first.
    """

    def __init__(
        self,
        keys: int,
        region: str,
        regions: tuple[str, ...],
        killed_after: int | None,
        time: datetime,
    ) -> None:
        self.keys, self.region, self.regions = keys, region, regions
        self.calls: Counter[str] = Counter()
        self.by_second: BySecond = Counter()
        self.time = time
        self.meta = SimpleNamespace(region_name=region)
        self.exceptions = SimpleNamespace(PaginationTokenExpiredException=WorkerKilledError)
        self._killed_after = killed_after
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def called(self, operation: str, seconds: float | None = None) -> None:
        with self._lock:
            self.calls[operation] += 1
            self.by_second[operation, self.region, int(self.time.timestamp())] += 1
            self.time += timedelta(seconds=seconds or _LATENCY[operation])
            if operation == "DescribeKey" and self.calls[operation] == self._killed_after:
                raise WorkerKilledError

    def describe_key(self, **asked: str) -> dict[str, Any]:
        self.called("DescribeKey")
        arn, key_id = asked["KeyId"], asked["KeyId"].rsplit("/", 1)[1]
        metadata = {"Arn": arn, "KeyId": key_id, "KeyState": "Enabled", "CreationDate": _LONG_AGO}
        primary, *replicas = (
            {"Arn": _arn(int(key_id.removeprefix("mrk-"), 16), region), "Region": region}
            for region in self.regions
        )
        roles = {"PrimaryKey": primary, "ReplicaKeys": replicas}
        return {"KeyMetadata": {**metadata, "MultiRegionConfiguration": roles}}

    def get_key_policy(self, **_: str) -> dict[str, Any]:
        self.called("GetKeyPolicy")
        root = {"AWS": f"arn:aws:iam::{_ACCOUNT}:root"}
        statement = {
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": root,
            "Action": "kms:*",
            "Resource": "*",
        }
        policy = {"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}
        return {"Policy": json.dumps(policy)}

    def get_paginator(self, _list_aliases: str) -> Any:
        return SimpleNamespace(paginate=self._pages_of_aliases)

    def _pages_of_aliases(self, **_: int) -> Iterator[dict[str, Any]]:
        for first in range(0, self.keys, _PAGE):
            self.called("ListAliases")
            numbers = range(first, min(self.keys, first + _PAGE))
            aliases = [{"AliasName": f"alias/{n}", "TargetKeyId": _key_id(n)} for n in numbers]
            yield {"Aliases": aliases}

    def get_resources(self, **asked: Any) -> dict[str, Any]:
        self.called("GetResources")
        first = int(asked.get("PaginationToken", "0"))
        numbers: Iterable[int] = range(first, min(self.keys, first + _PAGE))
        if arns := asked.get("ResourceARNList"):
            numbers = [int(arn.rpartition("mrk-")[2], 16) for arn in arns]
            first = self.keys
        tags = {"mrk:stack": _STACK}
        mapping = [
            {
                "ResourceARN": _arn(number, self.region),
                "Tags": [
                    {"Key": key, "Value": value}
                    for key, value in {**tags, "mrk:request-id": str(number)}.items()
                ],
            }
            for number in numbers
        ]
        token = str(first + _PAGE) if first + _PAGE < self.keys else ""
        return {"ResourceTagMappingList": mapping, "PaginationToken": token}


class _Records:
    """A finished request for each key."""

    def __init__(self, aws: _Aws, status: Any) -> None:
        self._aws = aws
        self._status = status

    def get_many(self, names: Iterable[str]) -> Iterator[Any]:
        if names := list(names):
            self._aws.called("BatchGetItem", _OF_DYNAMODB)
        yield from self._records(names)

    def with_keys(self) -> Iterator[Any]:
        for first in range(0, self._aws.keys, _RECORDS_A_PAGE):
            self._aws.called("Scan", _OF_DYNAMODB)
            numbers = range(first, min(self._aws.keys, first + _RECORDS_A_PAGE))
            yield from self._records(map(str, numbers))

    def _records(self, names: Iterable[str]) -> Iterator[Any]:
        for name in names:
            request: dict[str, Any] = {
                "requestId": name,
                "primaryRegion": _REGION,
                "alias": f"alias/{name}",
                "description": "",
                "tags": {},
                "policy": None,
                "rotation": None,
                "replicas": [{"region": region} for region in self._aws.regions[1:]],
                "origin": "AWS_KMS",
                "keySpec": "SYMMETRIC_DEFAULT",
                "keyUsage": "ENCRYPT_DECRYPT",
            }
            yield SimpleNamespace(
                request_id=name,
                status=self._status.CREATED,
                key_arn=_arn(int(name), _REGION),
                request=request,
                open_attempt=None,
                ever_created=True,
                applied=request,
                is_changing=False,
                removed={},
                released_at=None,
                adopted_at=None,
                operation=None,
                published=True,
            )


class _Table:
    """The sweep's table: the position, who holds the Region until when, and no findings."""

    def __init__(self, aws: _Aws, nothing: Any) -> None:
        self._aws = aws
        self.position = nothing
        self._until = aws.time

    def take(self, _place: str, _worker: str, seconds: int) -> Any:
        if self._until > self._aws.time:
            return None
        self._until = self._aws.time + timedelta(seconds=seconds)
        return self.position

    def save(self, _place: str, _worker: str, position: Any) -> bool:
        self._aws.called("UpdateItem", _OF_DYNAMODB)
        self.position = position
        return True

    def release(self, _place: str, _worker: str) -> None:
        # Nothing is tidied up where a process is killed.
        if sys.exc_info()[0] is not WorkerKilledError:
            self._until = self._aws.time

    def open_findings(self, _place: str) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Swept:
    """What came of a sweep; `calls` and `workers` are those of all Regions together."""

    looked_at: int
    calls: Counter[str]
    by_second: BySecond
    seconds: float
    """From its begin to the end of the last Region."""
    workers: int


class _NothingOpen:
    """A drift table in which nothing is open."""

    @staticmethod
    def open_sets() -> list[str]:
        """List no key set."""
        return []


def sweep_in_process(
    sets: int, *, killed_after: int | None, in_regions: tuple[str, ...] = (_REGION,)
) -> Swept:
    """Check the keys of some Regions; after so many calls of DescribeKey a worker is killed.

    A worker works for 14 minutes at most, and another one may begin every quarter of an hour, as
    the schedules of template.yaml have it.

    Parameters
    ----------
    sets
        How many key sets there are, each with a key in every Region.
    in_regions
        That of the primary keys first.
    """
    began = datetime.now(UTC)
    swept = [_sweep(sets, region, in_regions, killed_after, began) for region in in_regions]
    return Swept(
        looked_at=sum(one.looked_at for one in swept),
        calls=sum((one.calls for one in swept), Counter()),
        by_second=sum((one.by_second for one in swept), Counter()),
        seconds=max(one.seconds for one in swept),
        workers=sum(one.workers for one in swept),
    )


def _sweep(
    sets: int, region: str, regions: tuple[str, ...], killed_after: int | None, began: datetime
) -> Swept:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, _SETTINGS))
        stack.enter_context(mock.patch.object(sys, "path", [str(ROOT / "functions"), *sys.path]))
        module = importlib.import_module("provisioner.upkeep.sweep_region")
        status = importlib.import_module("provisioner.aws.records").Status
        settings = importlib.import_module("provisioner.settings").settings()
        nothing = importlib.import_module("provisioner.aws.sweep_table").Position()
        aws = _Aws(sets, region, regions, killed_after, began)
        for name in ("now", "sleep"):
            stack.enter_context(mock.patch.object(module, name, getattr(aws, name)))
        stack.enter_context(mock.patch.object(module, "metrics"))
        table, records = _Table(aws, nothing), _Records(aws, status)
        workers = 0
        while not (position := table.position).ended_at:
            aws.time = max(aws.time, began + workers * timedelta(minutes=15))
            sweeper = module.RegionSweeper(
                region=region,
                table_made_at=_LONG_AGO,
                records=records,
                recorded=module.RecordedKeys(records, region),
                table=table,
                kms=aws,
                tagging=aws,
                events=None,
                drift=_NothingOpen,
                looks=None,
                settings=settings,
            )
            _work(sweeper, aws, begin=not position.begun_at)
            workers += 1
        seconds = (aws.time - began).total_seconds()
        return Swept(table.position.keys, aws.calls, aws.by_second, seconds, workers)


def _work(sweeper: Any, aws: _Aws, *, begin: bool) -> None:
    last = aws.time + timedelta(minutes=14)
    has_time: Callable[[], bool] = lambda: aws.time < last  # noqa: E731
    try:
        sweeper.sweep("worker", begin=begin, has_time=has_time)
    except WorkerKilledError:
        return


def _key_id(number: int) -> str:
    return f"mrk-{number:032x}"


def _arn(number: int, region: str) -> str:
    return f"arn:aws:kms:{region}:{_ACCOUNT}:key/{_key_id(number)}"
