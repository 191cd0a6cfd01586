"""Finds what no run of the workflow will put right by itself.

Requests that have no published outcome and no running execution are sent into the workflow again,
or ended where they are not valid any more.
Each Region's keys are left to a worker of its own: `sweep_region`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import executions, lambda_
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.client_types import EventBridgeClient, LambdaClient, SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.records import FINISHED, Record, Records, Status
from provisioner.aws.sweep_table import Position, SweepTable
from provisioner.clock import now
from provisioner.creation.claim import is_change, is_left_to_do
from provisioner.domain.operation import asked_for
from provisioner.domain.plan import KeySetRequest, unread_key
from provisioner.errors import (
    Cancelled,
    ProvisionerError,
    RequestRejected,
)
from provisioner.intake.envelope import resumed
from provisioner.intake.request import parse_request
from provisioner.outcomes import findings
from provisioner.outcomes.failures import failure_of
from provisioner.outcomes.findings import Action, Finding, Kind
from provisioner.outcomes.outcome import ChangeOutcome, Outcome
from provisioner.settings import Settings
from provisioner.telemetry import logger, metrics

_OVERDUE = timedelta(hours=3)
"""A Region whose keys were last checked longer ago than that is reported."""


@dataclass(frozen=True)
class Sweeper:
    """What a sweep works with.

    `worker` is the function that sweeps a Region, `publisher` the one that publishes outcomes.
    """

    records: Records
    approvals: Approvals
    table: SweepTable
    step_functions: SFNClient
    events: EventBridgeClient
    functions: LambdaClient
    worker: str
    publisher: str
    settings: Settings

    def sweep(self, in_regions: Collection[str]) -> dict[str, int]:
        """Check every unfinished request, and start a worker in each of these Regions.

        What cannot be checked is logged and counted, and the sweep goes on.

        Returns
        -------
        dict
            How many `requests` were checked, how many `regions` have a worker, and how many
            looks `failed`.

        Raises
        ------
        DependencyUnavailable
            The table's unfinished requests cannot be listed, or how far the sweep is.
        """
        counts = {"requests": 0, "regions": 0, "failed": 0}
        for record in self.records.unfinished():
            counts["requests"] += 1
            counts["failed"] += not _looked(record.request_id, self._check_request, record)
        waiting = 0
        for pending in self.approvals.unfinished():
            waiting += pending.state == State.WAITING
            counts["requests"] += 1
            counts["failed"] += not _looked(pending.request_id, self._check_approval, pending)
        metrics.add_metric("ApprovalsWaiting", MetricUnit.Count, waiting)
        metrics.flush_metrics()
        positions = self.table.positions(in_regions)
        for region in in_regions:
            if _is_overdue(positions.get(region)):
                logger.error("keys were not checked for hours", subject=region)
                counts["failed"] += 1
        self._start_workers(in_regions, counts, begin=True)
        metrics.add_metric("ChecksFailed", MetricUnit.Count, counts["failed"])
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
            started = _looked(region, lambda_.start, self.functions, self.worker, work)
            counts["regions"] += started
            counts["failed"] += not started

    def _check_request(self, record: Record) -> None:
        request = record.request
        if request is None or self._is_young(record.claimed_at) or self._is_running(record):
            return
        text = (
            f"Request {record.request_id} has no published outcome and {record.execution_arn} does "
            "not run any more. "
        )
        if not record.operation and (reasons := _reasons_against(request, self.settings)):
            outcome = _last_outcome(record, request, reasons)
            if not self._end(outcome):
                return
            text += f"It is not valid any more, so it ended as {outcome['status']}."
            action = Action.ENDED
        else:
            execution_arn = self._start_successor(record, request)
            if execution_arn is None:
                return
            text += f"{execution_arn} goes on with it."
            action = Action.RESUMED
        # This is something that was done, so it is published each time that it is done.
        finding = Finding(
            Kind.REQUEST_STUCK,
            record.request_id,
            request["primaryRegion"],
            record.key_arn,
            text,
            action,
        )
        findings.report(finding, events=self.events, bus=self.settings.event_bus)

    def _check_approval(self, pending: Pending) -> None:
        """Let another execution wait, or go on, in the place of one that does not run any more."""
        holder = pending.execution_arn
        progress = executions.progress(self.step_functions, holder)
        asked_at = datetime.fromisoformat(pending.asked_at)
        if progress == Progress.RUNNING or self._is_young(asked_at):
            return
        record = next(self.records.get_many([pending.request_id], consistently=True), None)
        if record is not None and self._is_answered(record, pending):
            self.approvals.forget(pending.request_id, holder)
            return
        if record is not None and record.execution_arn == holder:
            # It has claimed the request, which is checked by its record.
            return
        machine = executions.machine_of(holder)
        arn = holder
        if progress == Progress.ENDED:
            arn = executions.successor_arn(machine, pending.request_id, holder)
        if executions.progress(self.step_functions, arn) == Progress.ENDED:
            # It has died before it could wait.
            arn = executions.new_execution_arn(machine, pending.request_id)
        document = resumed(pending.request, pending.via, pending.operation)
        executions.start(self.step_functions, machine, arn, document)
        text = (
            f"Request {pending.request_id} waits for approval, and {holder} does not run. {arn} "
            "goes on with it."
        )
        finding = Finding(
            Kind.REQUEST_STUCK,
            pending.request_id,
            pending.request["primaryRegion"],
            None,
            text,
            Action.RESUMED,
        )
        findings.report(finding, events=self.events, bus=self.settings.event_bus)

    def _is_answered(self, record: Record, pending: Pending) -> bool:
        """Whether there is nothing left to approve: an outcome was published, and is enough."""
        request, holder = pending.request, pending.execution_arn
        if not record.published or record.execution_arn == holder:
            return record.published
        if pending.operation:
            return False
        return not is_change(record, request) and not is_left_to_do(
            record, request, holder, step_functions=self.step_functions
        )

    def _start_successor(self, record: Record, request: KeySetRequest) -> str | None:
        """Start the execution that goes on with a request; None where another one has done so.

        Whoever cancels the request at this moment starts the same one. Two would both end, and the
        later one would take up again what the earlier one ended as cancelled.
        """
        machine, request_id = self.settings.state_machine_arn, record.request_id
        holder = str(record.execution_arn)
        if record.operation:
            machine = executions.machine_of(holder)
        arn = executions.successor_arn(machine, request_id, holder)
        if executions.progress(self.step_functions, arn) == Progress.ENDED:
            latest = next(self.records.get_many([request_id], consistently=True), None)
            if latest is None or latest.published or latest.execution_arn != holder:
                return None
            # It has died before it could claim the request.
            arn = executions.new_execution_arn(machine, request_id)
        document = resumed(request, record.provenance["via"], asked_for(record.operation))
        executions.start(self.step_functions, machine, arn, document)
        return arn

    def _end(self, outcome: Outcome | ChangeOutcome) -> bool:
        """Let an outcome be published for an execution that is dead and would be refused again.

        It is published under that execution's ARN, so only while that one holds the request: False
        where another one does.
        """
        return lambda_.invoke(self.functions, self.publisher, outcome) is not None

    def _is_young(self, since: datetime | None) -> bool:
        quiet = timedelta(seconds=self.settings.quiet_period_seconds)
        return since is not None and now() - since < quiet

    def _is_running(self, record: Record) -> bool:
        holder = record.execution_arn
        return bool(holder) and (
            executions.progress(self.step_functions, str(holder)) == Progress.RUNNING
        )


def _reasons_against(request: KeySetRequest, settings: Settings) -> str:
    """Say why a recorded request is not valid any more; empty where it is.

    Time passes a `validTo`, and the stack's parameters change.
    """
    try:
        parse_request(request, settings)
    except RequestRejected as rejection:
        return " ".join(f"{one['path']}: {one['message']}" for one in rejection.problems)
    return ""


def _last_outcome(record: Record, request: KeySetRequest, reasons: str) -> Outcome | ChangeOutcome:
    """Return the outcome that an execution would have published, as far as its record says."""
    key = record.key
    primary = key["primary"] if key else None
    if primary is None and record.key_arn:
        primary = unread_key(record.key_arn)
    kept = "The keys that exist are kept." if primary else "No key is recorded."
    is_done, failed, number = record.status in FINISHED, Status.FAILED, ""
    if record.is_of_a_change:
        failed, number = Status.UPDATE_FAILED, f" with revision {record.revision + 1}"
    text = (
        "The run of this request ended before its outcome was published, and the request is not "
        f"valid any more, so it does not go on. {reasons} {kept} Correct the request and send it "
        f"again{number}."
    )
    error = "RequestRejected"
    if record.cancelled_at:
        # No other outcome is taken of it, and it would wait for one for ever.
        error, text = "Cancelled", f"{Cancelled(record.request_id)} {reasons} {kept}"
    failure = failure_of("ValidateRequest", request["primaryRegion"], error, text)
    outcome: Outcome = {
        "status": record.status if is_done else failed,
        "request": request,
        "executionArn": record.execution_arn or "",
        "startedAt": (record.claimed_at or now()).isoformat(),
        "primary": primary,
        "replicas": key["replicas"] if key else [],
        "keyMetadata": key["keyMetadata"] if key else None,
        "failures": [] if is_done else [failure],
    }
    if not record.is_of_a_change:
        return outcome
    return {**outcome, "removed": record.removed, "warnings": [], "operation": None}


def _looked[**P](
    subject: str, look: Callable[P, None], *arguments: P.args, **named: P.kwargs
) -> bool:
    try:
        look(*arguments, **named)
    except ProvisionerError:
        logger.exception("check failed", subject=subject)
        return False
    return True


def _is_overdue(position: Position | None) -> bool:
    if position is None or not position.begun_at:
        return False
    since = datetime.fromisoformat(position.ended_at or position.begun_at)
    return now() - since > _OVERDUE
