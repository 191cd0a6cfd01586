"""What is done to requests that wait or are under way: cancel, approve, provide key material."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from keys_api import tables
from keys_api.answers import accepted
from keys_api.caller import identity, read_document
from provisioner.approval.decision import cancel_waiting, decide
from provisioner.aws.clients import client
from provisioner.aws.records import Status
from provisioner.creation.cancellation import cancel
from provisioner.domain.plan import is_request_id
from provisioner.errors import (
    ApproverIsRequester,
    RequestNotFound,
    RequestRejected,
    new_problem,
)
from provisioner.intake.approval_decision import parse_decision
from provisioner.material.response import take_answer
from provisioner.settings import approval_settings, settings
from provisioner.telemetry import logger

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.delete("/keys/<request_id>")
def delete_key_set(request_id: str) -> Response[str]:
    """Cancel a request that is under way (202), or say that there is none (404, 409)."""
    logger.append_keys(request_id=request_id)
    if not is_request_id(request_id):
        raise RequestNotFound(f"There is no request {request_id}.")
    waited = cancel_waiting(
        request_id,
        approvals=tables.approvals,
        records=tables.records,
        step_functions=client("stepfunctions"),
    )
    if waited is not None:
        return accepted(request_id, waited.execution_arn)
    record = cancel(
        request_id,
        records=tables.records,
        step_functions=client("stepfunctions"),
        state_machine_arn=settings().state_machine_arn,
    )
    return accepted(request_id, record.execution_arn, record.status)


@router.post("/keys/<request_id>/approval")
def post_approval(request_id: str) -> Response[str]:
    """Take an approver's decision (202), or say why not (400, 403, 404, 409)."""
    logger.append_keys(request_id=request_id)
    fields = parse_decision(read_document(router.current_event))
    if not is_request_id(request_id):
        raise RequestNotFound(f"There is no request {request_id}.")
    caller = identity(router.current_event)
    if not caller.get("userArn"):
        raise ApproverIsRequester("IAM shows nobody who decides.")
    pending = decide(
        request_id,
        fields.contentHash,
        {
            "approver": caller["userArn"],
            "decision": fields.decision,
            "at": "",
            "comment": fields.comment,
            "sourceIp": caller.get("sourceIp"),
        },
        one_per_role=approval_settings().one_per_role,
        approvals=tables.approvals,
        step_functions=client("stepfunctions"),
    )
    logger.info("decision taken", decision=fields.decision)
    return accepted(request_id, pending.execution_arn, Status.WAITING_FOR_APPROVAL)


@router.post("/keys/<request_id>/material")
def post_material(request_id: str) -> Response[str]:
    """Take wrapped key material for a request that waits for it (202), or say why not."""
    logger.append_keys(request_id=request_id)
    document = read_document(router.current_event)
    if isinstance(document, dict) and document.setdefault("requestId", request_id) != request_id:
        text = f"The address names the request {request_id}."
        raise RequestRejected([new_problem("requestId", "REQUEST_ID_DIFFERS", text)])
    record = take_answer(document, records=tables.records, step_functions=client("stepfunctions"))
    return accepted(request_id, record.execution_arn)
