"""Whole sweeps: the look at requests, and every worker that it starts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.drift_table import DriftTable
from provisioner.aws.look_queue import LookQueue
from provisioner.aws.records import Records
from provisioner.aws.sweep_table import Position, SweepTable
from provisioner.settings import Settings
from provisioner.upkeep.recorded_keys import RecordedKeys
from provisioner.upkeep.sweep import Sweeper
from provisioner.upkeep.sweep_region import RegionSweeper
from tests.support.answering import answer, kms_for, on
from tests.support.samples import SETTINGS

HOME = "us-east-1"


class Looks(LookQueue):
    """Notes the key sets that a look is asked for at."""

    def __init__(self) -> None:
        super().__init__(client("sqs"), "")
        self.asked: list[str] = []
        self.delays: list[int] = []

    def ask(self, request_id: str, events: Sequence[Any] = (), delay: int = 0) -> None:
        """Note that a look is asked for."""
        del events
        self.asked.append(request_id)
        self.delays.append(delay)


LOOKS = Looks()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def sweep_table() -> SweepTable:
    """Return the sweep's table that conftest made."""
    return SweepTable(client("dynamodb"), "sweep")


def sweeper(records: Records, settings: Settings = SETTINGS) -> Sweeper:
    """Return the sweep that starts workers; its calls of Lambda have to be answered."""
    return Sweeper(
        records=records,
        approvals=Approvals(client("dynamodb"), "requests"),
        table=sweep_table(),
        step_functions=client("stepfunctions"),
        events=client("events"),
        functions=client("lambda"),
        worker="sweep-region",
        publisher="publish-outcome",
        settings=settings,
    )


def region_sweeper(
    records: Records,
    region: str = HOME,
    *,
    settings: Settings = SETTINGS,
    table_made_at: datetime = LONG_AGO,
) -> RegionSweeper:
    """Return a worker of a Region."""
    return RegionSweeper(
        region=region,
        table_made_at=table_made_at,
        records=records,
        recorded=RecordedKeys(records, region),
        table=sweep_table(),
        kms=kms_for(region),
        tagging=client("resourcegroupstaggingapi", region),
        events=client("events"),
        drift=DriftTable(client("dynamodb"), "sweep"),
        looks=LOOKS,
        settings=settings,
    )


def workers_started() -> list[Any]:
    """Let Lambda take every call; give a list that grows with what each worker is to do."""
    started: list[Any] = []

    def take(params: dict[str, Any], **_: Any) -> None:
        started.append(json.loads(params["Payload"]))

    on(client("lambda"), "provide-client-params.lambda.Invoke", take)
    answer(client("lambda"), "Invoke", {"StatusCode": 202})
    return started


def sweep(
    records: Records, *in_regions: str, settings: Settings = SETTINGS, left_over: bool = False
) -> dict[str, int]:
    """Sweep, let every worker run to its end, and count what was looked at and what failed."""
    work = workers_started()
    one = sweeper(records, settings)
    in_regions = in_regions or (HOME,)
    counts = one.go_on(in_regions) if left_over else one.sweep(in_regions)
    keys = failed = 0
    for asked in work:
        worker = region_sweeper(
            records,
            asked["region"],
            settings=settings,
            table_made_at=datetime.fromisoformat(asked["tableMadeAt"]),
        )
        position = worker.sweep("worker", begin=asked["begin"])
        assert isinstance(position, Position)
        keys += position.keys
        failed += position.failed + position.is_under_way
    return {"requests": counts["requests"], "keys": keys, "failed": counts["failed"] + failed}
