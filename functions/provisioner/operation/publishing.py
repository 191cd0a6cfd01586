"""What became of an operation: its record, its history, its completion event and its metrics.

They are written in that order, as `outcomes.outcome` does for requests, and then the operation's
own item, for which the same operationId is never carried out again.
"""

import uuid

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import event_bus
from provisioner.aws.operations import Operations
from provisioner.aws.records import Record
from provisioner.domain.operation import Ended, Kind, Operation, again_of, is_for
from provisioner.domain.plan import KeySetFacts, KeySetRequest, key_facts
from provisioner.domain.provenance import UNKNOWN, Provenance
from provisioner.errors import Problem
from provisioner.json_text import JsonObject
from provisioner.outcomes.outcome import (
    ChangeOutcome,
    Outlets,
    RemovedKey,
    problems_of,
    removed_keys,
    replicas_not_asked_for,
)
from provisioner.telemetry import logger, metrics

DETAIL_TYPES = {
    Ended.FINISHED: "Multi-Region Key Operation Finished",
    Ended.FAILED: "Multi-Region Key Operation Failed",
}


class OperationDetail(Provenance):
    """What became of an operation on a key set, as its completion event says it.

    The key set is as it was where the operation has failed.
    """

    outcomeId: str
    requestId: str
    revision: int
    operationId: str
    operation: Kind
    status: Ended
    executionArn: str
    ticket: JsonObject | None
    key: KeySetFacts | None
    errors: list[Problem]
    warnings: list[Problem]
    removed: list[RemovedKey]


def publish_operation(
    outcome: ChangeOutcome, operation: Operation, operations: Operations, outlets: Outlets
) -> OperationDetail | None:
    """Record how an operation ended, publish it, and count it.

    Returns
    -------
    dict or None
        The event's detail; None where another execution carries the operation out, and will answer
        for it.

    Raises
    ------
    Cancelled
        The operation was cancelled, and this outcome does not say so.
    DependencyUnavailable, EventNotPublished
        The outcome is not recorded or not published; calling again does both.
    """
    request, problems = outcome["request"], problems_of(outcome, again_of(operation["operation"]))
    is_finished = outcome["status"] == Ended.FINISHED
    key = key_facts(request, outcome["primary"], outcome["replicas"], outcome["keyMetadata"])
    known = outlets.records.get(request["requestId"])
    unmanaged = known.adoption["unmanaged"] if known and known.adoption else []
    warnings = replicas_not_asked_for(
        request, outcome["keyMetadata"], [*outcome["removed"], *unmanaged]
    )
    record = outlets.records.finish_operation(
        request["requestId"],
        operation,
        outcome["executionArn"],
        ended=Ended.FINISHED if is_finished else Ended.FAILED,
        # What a failed one has read may be from before it wrote.
        key=key if is_finished else None,
        errors=problems,
        warnings=warnings,
    )
    if record is None:
        return _publish_unclaimed(outcome, operation, problems, operations, outlets)
    last = record.last_operation
    if last is None:
        raise RuntimeError(f"The record of {record.request_id} does not say how it ended.")
    ended = Ended(last["status"])
    execution_arn, provenance = outcome["executionArn"], record.provenance
    detail = _detail(record, operation, ended, last["errors"], execution_arn, provenance=provenance)
    return _publish(detail, operation, record.provenance, operations, outlets)


def refuse_operation(
    request: KeySetRequest,
    operation: Operation,
    problems: list[Problem],
    execution_arn: str,
    *,
    operations: Operations,
    outlets: Outlets,
    provenance: Provenance,
) -> OperationDetail | None:
    """Publish that an operation is refused; the key set and its record stay as they are.

    Returns
    -------
    dict or None
        The event's detail; None where its request is gone.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        The refusal is not recorded or not published; calling again does both.
    """
    record = outlets.records.get(request["requestId"])
    if record is None:
        return None
    detail = _detail(
        record, operation, Ended.FAILED, problems, execution_arn, provenance=provenance
    )
    return _publish(detail, operation, provenance, operations, outlets)


def _publish_unclaimed(
    outcome: ChangeOutcome,
    operation: Operation,
    problems: list[Problem],
    operations: Operations,
    outlets: Outlets,
) -> OperationDetail | None:
    """Publish that an operation failed before it was claimed, unless another execution has it."""
    record = outlets.records.get(outcome["request"]["requestId"])
    is_held = record is not None and is_for(record.operation, operation["operationId"])
    known = operations.get(outcome["request"]["requestId"], operation["operationId"])
    if record is None or is_held or not problems or (known and known.ended):
        logger.warning("another execution holds this operation and answers for it")
        return None
    execution_arn = outcome["executionArn"]
    detail = _detail(record, operation, Ended.FAILED, problems, execution_arn, provenance=UNKNOWN)
    return _publish(detail, operation, UNKNOWN, operations, outlets)


def _detail(
    record: Record,
    operation: Operation,
    ended: Ended,
    errors: list[Problem],
    execution_arn: str,
    *,
    provenance: Provenance,
) -> OperationDetail:
    of_what = f"{record.request_id} operation {operation['operationId']}"
    return {
        "outcomeId": str(uuid.uuid5(uuid.NAMESPACE_OID, of_what)),
        "requestId": record.request_id,
        "revision": record.revision,
        "operationId": operation["operationId"],
        "operation": Kind(operation["operation"]),
        "status": ended,
        "executionArn": execution_arn,
        "ticket": record.ticket,
        "key": record.key,
        "errors": errors,
        "warnings": record.warnings,
        "removed": removed_keys(record),
        "requester": provenance["requester"],
        "via": provenance["via"],
        "approvals": provenance["approvals"],
    }


def _publish(
    detail: OperationDetail,
    operation: Operation,
    provenance: Provenance,
    operations: Operations,
    outlets: Outlets,
) -> OperationDetail:
    request_id, ended = detail["requestId"], Ended(detail["status"])
    outlets.history.keep(detail, provenance)
    event_bus.put_event(outlets.events, outlets.bus, DETAIL_TYPES[ended], detail)
    operations.end(request_id, operation, ended, detail["errors"])
    outlets.records.mark_published(request_id, detail["executionArn"])
    outlets.approvals.forget(request_id, detail["executionArn"])
    if ended == Ended.FINISHED:
        metrics.add_metric("OperationsFinished", MetricUnit.Count, 1)
    else:
        metrics.add_metric("OperationsFailed", MetricUnit.Count, 1)
    metrics.flush_metrics()
    codes = [problem["code"] for problem in detail["errors"]]
    logger.info("operation published", operation=operation["operation"], ended=ended, errors=codes)
    return detail
