"""Requests that are carried out: claimed, or held until somebody approves, and started."""

from aws_lambda_powertools.event_handler import Response

from keys_api import tables
from keys_api.answers import accepted, error_answer
from keys_api.planning import plan_change
from keys_api.starting import start_if_not_started
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws import executions
from provisioner.aws.approvals import Pending, State
from provisioner.aws.clients import client
from provisioner.aws.records import Record, Status
from provisioner.change.claim import claim_change
from provisioner.creation.claim import Claim, Decision, check_claim, claim
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import Provenance
from provisioner.errors import KmsError, PlanOutdated, PromotionUnderWay, RequestRejected
from provisioner.settings import approval_settings, settings
from provisioner.telemetry import logger


def accept(request: KeySetRequest, planned: str | None, requester: str | None) -> Response[str]:
    """Accept a request of somebody's (202): claim it, or ask for approval first.

    Raise a Conflict or RequestRejected where it is refused.
    """
    step_functions = client("stepfunctions")
    if planned is not None:
        record = check_claim(tables.records, step_functions, request)
        if record is None or not record.ever_created:
            raise PlanOutdated(f"Request {request['requestId']} has no key set to change.")
    arn = executions.new_execution_arn(settings().state_machine_arn, request["requestId"])
    gate = gatekeeper(requester).pass_request(request, arn)
    if gate.pending is not None:
        return _accept_pending(gate.pending)
    claimed = claim(
        tables.records,
        step_functions,
        request,
        arn,
        wait_for_unstarted=True,
        provenance=provenance_of(requester),
    )
    if claimed.decision == Decision.CHANGE:
        return _accept_change(request, claimed.record, planned, requester)
    return _accept_claim(request, claimed, arn)


def _accept_pending(pending: Pending) -> Response[str]:
    """Accept what waits for approval, or was approved: the execution that holds it goes on."""
    start_if_not_started(pending.request, pending.execution_arn, pending.operation)
    waits = pending.state == State.WAITING
    status = Status.WAITING_FOR_APPROVAL if waits else Status.IN_PROGRESS
    return accepted(pending.request_id, pending.execution_arn, status)


def _accept_claim(request: KeySetRequest, claimed: Claim, arn: str) -> Response[str]:
    holder = claimed.record.execution_arn or arn
    if claimed.decision != Decision.ALREADY_CREATED:
        start_if_not_started(request, arn if claimed.decision == Decision.CHECK else holder)
    return accepted(request["requestId"], holder, claimed.record.status)


def _accept_change(
    request: KeySetRequest, record: Record, planned: str | None, requester: str | None
) -> Response[str]:
    """Accept a change as it is planned now; where KMS cannot be read, the workflow plans it."""
    name = request["requestId"]
    arn = executions.new_execution_arn(settings().change_state_machine_arn, name)
    try:
        change = plan_change(record, request)
    except (KmsError, PromotionUnderWay) as error:
        if planned is not None:
            return error_answer(503, error)
        logger.warning("a change is accepted without a plan", reason=str(error))
        start_if_not_started(request, arn)
        return accepted(name, arn)
    if planned not in (None, change.plan_id):
        raise PlanOutdated(f"The change of request {name} that was planned is another one now.")
    if change.problems:
        raise RequestRejected(change.problems)
    gate = gatekeeper(requester).pass_change(request, arn, change.changes, record=record)
    if gate.pending is not None:
        return _accept_pending(gate.pending)
    claimed = claim_change(
        tables.records,
        client("stepfunctions"),
        request,
        arn,
        version=change.version,
        wait_for_unstarted=True,
        provenance=provenance_of(requester),
    )
    if claimed.decision == Decision.CHANGE:
        # Somebody else's run has ended since the record was read.
        return _accept_change(request, claimed.record, planned, requester)
    return _accept_claim(request, claimed, arn)


def gatekeeper(requester: str | None) -> Gatekeeper:
    """Return what decides whether something that somebody asks for needs approval."""
    return Gatekeeper(
        tables.approvals,
        tables.records,
        client("stepfunctions"),
        approval_settings(),
        requester=requester,
        wait_for_unstarted=True,
    )


def provenance_of(requester: str | None) -> Provenance:
    """Return where a request comes from that somebody sends to the API."""
    return {"requester": requester, "via": None, "approvals": []}
