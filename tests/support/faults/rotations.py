"""A rotation of a finished key set under one schedule of faults."""

import json
from typing import Any

from tests.support.faults import wiring
from tests.support.faults.aws import CHANGE_MACHINE, Aws
from tests.support.faults.changes import Document, copy_of
from tests.support.faults.faults import Schedule
from tests.support.faults.key_material import Materials
from tests.support.faults.scenario import REQUEST_ID, Scenario

FINISHED = "Multi-Region Key Operation Finished"
FAILED = "Multi-Region Key Operation Failed"


class RotationScenario(Scenario):
    """An operation, sent over a network with faults; where it fails, another one is asked for.

    Parameters
    ----------
    before
        The declarations that were applied before.
    is_used
        Whether others use the keys as well.
    """

    def __init__(
        self,
        schedule: Schedule = (),
        *,
        before: tuple[Document, ...],
        kind: str,
        is_used: bool = True,
        **more: Any,
    ) -> None:
        aws = copy_of(before, is_used=is_used)
        self.kind = kind
        self.count = 1
        self.status_before = aws.dynamodb.tables["requests"][REQUEST_ID]["status"]
        super().__init__(schedule, aws=aws, document=before[-1], **more)

    @property
    def operation_id(self) -> str:
        return f"op-{self.count}"

    @property
    def record(self) -> dict[str, Any]:
        """The request's item as it is stored."""
        item: dict[str, Any] = self.aws.dynamodb.tables["requests"][REQUEST_ID]
        return item

    @property
    def materials(self) -> Materials:
        """All key material of the set, as it is by now."""
        return self.aws.kms.materials_of(self.aws.kms.primaries()[0])

    def deliver(self) -> None:
        operation = {"operationId": self.operation_id, "operation": self.kind, "confirm": []}
        document = {
            "request": json.loads(self.record["request"]["S"]),
            "via": None,
            "operation": operation,
        }
        self.run(self.aws.new_execution(document, machine=CHANGE_MACHINE))
        self.run_started()

    def outcomes(self, operation_id: str | None = None) -> list[dict[str, Any]]:
        """List what was published of operations, or of one."""
        return [
            event.detail
            for event in self.aws.events
            if event.detail_type in (FINISHED, FAILED)
            and operation_id in (None, event.detail["operationId"])
        ]

    def is_ended(self, status: str | None = None) -> bool:
        """Whether the outcome of the newest operation was published, with that status."""
        return any(
            status in (None, detail["status"]) for detail in self.outcomes(self.operation_id)
        )

    def fingerprint(self) -> bytes:
        """Count what was done in KMS as well, since `problems` reads it."""
        done = sorted(map(str, self.aws.done))
        return super().fingerprint() + repr((self.count, done)).encode()

    def _come_to_rest(self) -> list[str]:
        for is_over in (False, True):
            if is_over:
                self.network.end_faults()
            if not self.is_ended():
                self.deliver()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self.sweep()
        if not self.is_ended("FINISHED"):
            # As its message says.
            self.count += 1
            self.deliver()
        return self.problems()

    def problems(self) -> list[str]:
        """Say what is not as it has to be once everything has come to rest."""
        found = [*self.aws.violations, *self._problems_of_the_record()]
        finished = {d["operationId"] for d in self.outcomes() if d["status"] == "FINISHED"}
        failed = {d["operationId"] for d in self.outcomes() if d["status"] == "FAILED"}
        if finished != {self.operation_id} or finished & failed:
            found.append(f"{finished} have finished, {failed} have failed: {self.outcomes()}")
        for operation_id in finished | failed:
            if len({detail["outcomeId"] for detail in self.outcomes(operation_id)}) != 1:
                found.append(f"{operation_id} has several outcomes")
        if len(self.materials.begun) != len(finished):
            found.append(f"{len(self.materials.begun)} rotations for {len(finished)} operations")
        if self.materials.running_since:
            found.append("an operation has ended before its rotation")
        codes = {error["code"] for d in self.outcomes() for error in d["errors"]}
        if codes - {"ROTATION_NOT_DONE"}:
            found.append(f"an operation failed with {codes}")
        return found

    def _problems_of_the_record(self) -> list[str]:
        item, found = self.record, []
        left = {"unfinished", "applied", "operation", "materials", "taskToken"} & item.keys()
        if left or item["status"] != self.status_before or "publishedAt" not in item:
            found.append(f"the record is {item}")
        if any(execution.status == "RUNNING" for execution in self.aws.executions.values()):
            found.append("an execution never ended")
        return found


def sent(aws: Aws) -> int:
    """Count the calls of RotateKeyOnDemand that KMS took."""
    return sum(call.operation == "RotateKeyOnDemand" for call in aws.done)
