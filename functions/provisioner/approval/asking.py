"""Asks for approval: keeps what wakes the execution that waits, and publishes the question."""

import uuid
from typing import NotRequired, TypedDict

from provisioner.aws import event_bus, executions
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.client_types import EventBridgeClient, SFNClient
from provisioner.aws.records import Status
from provisioner.domain.approval import Planned
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest, revision_of
from provisioner.domain.provenance import Provenance
from provisioner.errors import RequestTakenOver
from provisioner.json_text import JsonObject

DETAIL_TYPE = "Multi-Region Key Approval Required"


class ShownApproval(Provenance):
    """What somebody has to approve, and by when: ISO 8601 in UTC.

    `contentHash` is what approvers name. `approvals` has those that are there already.
    """

    contentHash: str
    askedAt: str
    until: str
    plan: list[Planned]


class WaitingStatus(TypedDict):
    """What differs in the status of a request that waits for approval, or was just decided."""

    requestId: str
    revision: int
    status: Status
    updatedAt: str
    ticket: JsonObject | None
    executionArn: str
    request: KeySetRequest
    approval: ShownApproval
    operation: NotRequired[Operation]


class ApprovalQuestion(ShownApproval):
    """What is asked of approvers, as the event says it; of an operation with its three fields."""

    outcomeId: str
    requestId: str
    revision: int
    status: Status
    executionArn: str
    ticket: JsonObject | None
    operationId: NotRequired[str]
    operation: NotRequired[str]
    confirm: NotRequired[list[str]]


def ask_for_approval(
    request_id: str,
    execution_arn: str,
    task_token: str,
    *,
    approvals: Approvals,
    step_functions: SFNClient,
    events: EventBridgeClient,
    bus: str,
) -> None:
    """Publish once that a request waits for approval; a decision wakes the execution.

    Where it is decided already, the execution is woken at once.

    Raises
    ------
    RequestTakenOver
        Another execution waits in its place.
    DependencyUnavailable, EventNotPublished
        The question is not kept or not published; calling again does both.
    """
    pending = approvals.get(request_id)
    if (
        pending is None
        or pending.execution_arn != execution_arn
        or not approvals.await_decision(pending, execution_arn, task_token)
    ):
        raise RequestTakenOver(f"{execution_arn} does not wait for {request_id} any more.")
    if not pending.announced:
        event_bus.put_event(events, bus, DETAIL_TYPE, _question(pending))
        approvals.mark_announced(pending)
    # A decision between the two calls above found no token.
    latest = approvals.get(request_id)
    if latest is None or latest.state != State.WAITING:
        executions.answer_task(step_functions, task_token, {})


def waiting_status(pending: Pending) -> WaitingStatus:
    """Return what a status shows of a request that waits for approval, or was just decided."""
    is_waiting = pending.state == State.WAITING
    status: WaitingStatus = {
        "requestId": pending.request_id,
        "revision": revision_of(pending.request),
        "status": Status.WAITING_FOR_APPROVAL if is_waiting else Status.IN_PROGRESS,
        "updatedAt": pending.asked_at,
        "request": pending.request,
        "ticket": pending.request["ticket"],
        "executionArn": pending.execution_arn,
        "approval": _approval(pending),
    }
    if pending.operation:
        status["operation"] = pending.operation
    return status


def _approval(pending: Pending) -> ShownApproval:
    return {
        "contentHash": pending.content_hash,
        "askedAt": pending.asked_at,
        "until": pending.until,
        "plan": pending.plan,
        **pending.provenance,
    }


def _question(pending: Pending) -> ApprovalQuestion:
    of_what = f"{pending.request_id} {pending.content_hash} {pending.asked_at}"
    question: ApprovalQuestion = {
        "outcomeId": str(uuid.uuid5(uuid.NAMESPACE_OID, of_what)),
        "requestId": pending.request_id,
        "revision": revision_of(pending.request),
        "status": Status.WAITING_FOR_APPROVAL,
        "executionArn": pending.execution_arn,
        "ticket": pending.request["ticket"],
        **_approval(pending),  # type: ignore[typeddict-item]  # It has no field of an operation.
    }
    if pending.operation:
        question["operationId"] = pending.operation["operationId"]
        question["operation"] = pending.operation["operation"]
        question["confirm"] = pending.operation["confirm"]
    return question
