"""Looks for what no run of the workflow will put right by itself, and says so.

Requests that have no published outcome and no running execution are sent into the workflow again.
Keys of this stack are compared with the table: one that no record knows, one that is not Enabled,
one whose alias points elsewhere, one whose imported key material expires soon. Nothing is deleted
unless `SweeperMayDelete` allows it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from provisioner import executions, findings, kms
from provisioner.clock import instant_text, now
from provisioner.errors import KmsKeyNotFound, ProvisionerError
from provisioner.executions import Progress
from provisioner.findings import Action, Finding, Kind
from provisioner.plan import REQUEST_ID_TAG, STACK_TAG, KeySetRequest, plan_key, region_of, regions
from provisioner.records import UNDER_WAY, Record, Records, Status
from provisioner.replica_key import LEAVING
from provisioner.settings import Settings
from provisioner.tagged_keys import find_keys
from provisioner.telemetry import logger, metrics

_NOT_READY = ("Creating", "Updating", "PendingImport", "Unavailable", *LEAVING)
"""States that a key of a finished key set is not in for long. Disabled is somebody's choice."""
_RENEWAL_NOTICE = timedelta(days=30)


@dataclass(frozen=True)
class Sweeper:
    """What a sweep works with. `kms_in` and `tagging_in` give the client of a Region."""

    records: Records
    step_functions: Any
    events: Any
    kms_in: Callable[[str], Any]
    tagging_in: Callable[[str], Any]
    settings: Settings

    def sweep(self, in_regions: Iterable[str]) -> dict[str, int]:
        """Look at every unfinished request, and at every key of this stack in these Regions.

        What cannot be looked at is logged and counted, and the sweep goes on.

        Returns
        -------
        dict
            How many `requests` and `keys` were looked at, and how many looks `failed`.

        Raises
        ------
        DependencyUnavailable
            The table's unfinished requests cannot be listed.
        """
        counts = {"requests": 0, "keys": 0, "failed": 0}
        for record in self.records.unfinished():
            counts["requests"] += 1
            counts["failed"] += not self._looked(record.request_id, self._look_at_request, record)
        for region in in_regions:
            if not self._looked(region, self._look_at_region, region, counts):
                counts["failed"] += 1
        metrics.add_metric("LooksFailed", MetricUnit.Count, counts["failed"])
        metrics.flush_metrics()
        return counts

    def _looked(self, subject: str, look: Callable[..., None], *arguments: Any) -> bool:
        try:
            look(*arguments)
        except ProvisionerError:
            logger.exception("could not look", subject=subject)
            return False
        return True

    def _look_at_region(self, region: str, counts: dict[str, int]) -> None:
        ours = {STACK_TAG: self.settings.stack_name}
        for arn, tags in find_keys(self.tagging_in(region), ours).items():
            counts["keys"] += 1
            counts["failed"] += not self._looked(arn, self._look_at_key, arn, tags)

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
        self._tell(
            Finding(
                Kind.REQUEST_STUCK,
                record.request_id,
                request["primaryRegion"],
                record.key_arn,
                text,
                Action.RESUMED,
            )
        )

    def _look_at_key(self, arn: str, tags: dict[str, str]) -> None:
        request_id = tags.get(REQUEST_ID_TAG)
        record = self.records.get(request_id) if request_id else None
        if record and record.status in UNDER_WAY:
            return
        client = self.kms_in(region_of(arn))
        try:
            metadata = kms.describe_key(client, arn)
        except KmsKeyNotFound:
            return  # The index knows it still; KMS does not.
        if self._is_young(metadata["CreationDate"]):
            return
        if record and _key_id(record.key_arn) == _key_id(arn):
            if record.status == Status.CREATED and record.request:
                self._look_at_settings(client, record.request, metadata)
                self._look_at_expiry(record.request, metadata)
        elif metadata["KeyState"] not in LEAVING:
            # The key of an open attempt is the request's own as soon as it is sent again.
            adoptable = record is not None and record.attempt_open is not None
            findings.report_surplus(
                request_id,
                metadata,
                client=client,
                events=self.events,
                settings=self.settings,
                may_delete=self.settings.sweeper_may_delete and not adoptable,
            )

    def _look_at_settings(
        self, client: Any, request: KeySetRequest, metadata: kms.Metadata
    ) -> None:
        arn, state, request_id = metadata["Arn"], metadata["KeyState"], request["requestId"]
        region = region_of(arn)
        if state in _NOT_READY:
            text = f"{arn} is {state}, although its request was told that it is created."
            self._tell(Finding(Kind.KEY_NOT_ENABLED, request_id, region, arn, text))
            return
        if region not in regions(request):
            return  # Somebody made this replica beside the request.
        alias = plan_key(request, region, self.settings).alias
        if alias and (target := kms.find_alias(client, alias)) != arn:
            text = f"{alias} in {region} points to {target or 'no key'}, not to {arn}."
            self._tell(Finding(Kind.ALIAS_ELSEWHERE, request_id, region, arn, text))

    def _look_at_expiry(self, request: KeySetRequest, metadata: kms.Metadata) -> None:
        arn, valid_to, request_id = metadata["Arn"], metadata.get("ValidTo"), request["requestId"]
        region = region_of(arn)
        if valid_to is None or valid_to - now() > _RENEWAL_NOTICE:
            return
        if region not in regions(request):
            return  # The request cannot renew the material of somebody else's replica.
        text = (
            f"The key material of {arn} expires at {instant_text(valid_to)}. Send request "
            f"{request_id} again with a later validTo: it asks for the same material once more."
        )
        self._tell(Finding(Kind.MATERIAL_EXPIRES, request_id, region, arn, text))

    def _is_young(self, since: datetime | None) -> bool:
        quiet = timedelta(seconds=self.settings.quiet_period_seconds)
        return since is not None and now() - since < quiet

    def _is_running(self, record: Record) -> bool:
        holder = record.execution_arn
        return bool(holder) and (
            executions.progress(self.step_functions, str(holder)) == Progress.RUNNING
        )

    def _tell(self, finding: Finding) -> None:
        findings.tell(finding, events=self.events, bus=self.settings.event_bus)


def _key_id(arn: str | None) -> str | None:
    return arn.rsplit("/", 1)[1] if arn else None
