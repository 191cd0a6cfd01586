"""Finds what no run of the workflow will put right by itself.

Requests that have no published outcome and no running execution are sent into the workflow again.
Each Region's keys are left to a worker of its own: `sweep_region`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from provisioner import executions, findings, json_text
from provisioner.clock import now
from provisioner.errors import DependencyUnavailable, ProvisionerError
from provisioner.executions import Progress
from provisioner.findings import Action, Finding, Kind
from provisioner.records import Record, Records
from provisioner.settings import Settings
from provisioner.sweep_table import Position, SweepTable
from provisioner.telemetry import logger, metrics

_OVERDUE = timedelta(hours=3)
"""A Region whose keys were last looked through longer ago than that is reported."""


@dataclass(frozen=True)
class Sweeper:
    """What a sweep works with. `worker` is the function that sweeps a Region."""

    records: Records
    table: SweepTable
    step_functions: Any
    events: Any
    functions: Any
    worker: str
    settings: Settings

    def sweep(self, in_regions: Collection[str]) -> dict[str, int]:
        """Check every unfinished request, and start a worker in each of these Regions.

        What cannot be looked at is logged and counted, and the sweep goes on.

        Returns
        -------
        dict
            How many `requests` were looked at, how many `regions` have a worker, and how many
            looks `failed`.

        Raises
        ------
        DependencyUnavailable
            The table's unfinished requests cannot be listed, or how far the sweep is.
        """
        counts = {"requests": 0, "regions": 0, "failed": 0}
        for record in self.records.unfinished():
            counts["requests"] += 1
            counts["failed"] += not _looked(record.request_id, self._look_at_request, record)
        positions = self.table.positions(in_regions)
        for region in in_regions:
            if _is_overdue(positions.get(region)):
                logger.error("keys were not looked through for hours", subject=region)
                counts["failed"] += 1
        self._start_workers(in_regions, counts, begin=True)
        metrics.add_metric("LooksFailed", MetricUnit.Count, counts["failed"])
        metrics.flush_metrics()
        return counts

    def go_on(self, in_regions: Collection[str]) -> dict[str, int]:
        """Start a worker where the last one left something over, as `sweep` does.

        Raises
        ------
        DependencyUnavailable
            DynamoDB does not say how far the sweep is.
        """
        counts = {"requests": 0, "regions": 0, "failed": 0}
        positions = self.table.positions(in_regions)
        left_over = [region for region, position in positions.items() if position.is_under_way]
        self._start_workers(left_over, counts, begin=False)
        return counts

    def _start_workers(
        self, in_regions: Collection[str], counts: dict[str, int], *, begin: bool
    ) -> None:
        if not in_regions:
            return
        made_at = self.records.made_at().isoformat()
        for region in in_regions:
            work = {"region": region, "tableMadeAt": made_at, "begin": begin}
            started = _looked(region, self._start_worker, work)
            counts["regions"] += started
            counts["failed"] += not started

    def _start_worker(self, work: dict[str, Any]) -> None:
        try:
            self.functions.invoke(
                FunctionName=self.worker, InvocationType="Event", Payload=json_text.text(work)
            )
        except (BotoCoreError, ClientError) as error:
            raise DependencyUnavailable(f"Lambda did not run {self.worker}: {error}.") from error

    def _look_at_request(self, record: Record) -> None:
        request = record.request
        if request is None or self._is_young(record.claimed_at) or self._is_running(record):
            return
        machine = self.settings.state_machine_arn
        execution_arn = executions.new_execution_arn(machine, record.request_id)
        executions.start(self.step_functions, machine, execution_arn, request)
        text = (
            f"Request {record.request_id} has no published outcome and {record.execution_arn} does "
            f"not run any more. {execution_arn} goes on with it."
        )
        # This is something that was done, so it is published each time that it is done.
        finding = Finding(
            Kind.REQUEST_STUCK,
            record.request_id,
            request["primaryRegion"],
            record.key_arn,
            text,
            Action.RESUMED,
        )
        findings.tell(finding, events=self.events, bus=self.settings.event_bus)

    def _is_young(self, since: datetime | None) -> bool:
        quiet = timedelta(seconds=self.settings.quiet_period_seconds)
        return since is not None and now() - since < quiet

    def _is_running(self, record: Record) -> bool:
        holder = record.execution_arn
        return bool(holder) and (
            executions.progress(self.step_functions, str(holder)) == Progress.RUNNING
        )


def _looked(subject: str, look: Callable[..., None], *arguments: Any) -> bool:
    try:
        look(*arguments)
    except ProvisionerError:
        logger.exception("could not look", subject=subject)
        return False
    return True


def _is_overdue(position: Position | None) -> bool:
    if position is None or not position.begun_at:
        return False
    since = datetime.fromisoformat(position.ended_at or position.begun_at)
    return now() - since > _OVERDUE
