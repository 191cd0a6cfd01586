"""`POST /keys/{requestId}/operations`: what is done with a finished key set as it is declared."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from keys_api import tables
from keys_api.accepting import gatekeeper
from keys_api.answers import answer
from keys_api.caller import identity, read_document
from keys_api.contract import AcceptedOperation
from keys_api.starting import start_if_not_started
from provisioner.approval.gate import Standing
from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.aws.operations import KnownOperation
from provisioner.aws.records import Record, Status
from provisioner.domain.operation import Ended, Kind, Operation, operation_problems
from provisioner.domain.plan import KeySetRequest, is_request_id
from provisioner.errors import OperationConflict, RequestNotFound, RequestRejected
from provisioner.intake.operation_request import parse_operation
from provisioner.operation.claim import check_free, check_managed_for
from provisioner.operation.resuming import execution_for
from provisioner.settings import settings
from provisioner.telemetry import logger

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.post("/keys/<request_id>/operations")
def post_operation(request_id: str) -> Response[str]:
    """Accept an operation (202), or say why not (400, 404, 409).

    The same operationId again is the same operation, whatever became of it.
    """
    logger.append_keys(request_id=request_id)
    operation = parse_operation(read_document(router.current_event))
    record = tables.records.get(request_id) if is_request_id(request_id) else None
    if record is None or record.request is None:
        raise RequestNotFound(f"There is no request {request_id}.")
    known = tables.operations.get(request_id, operation["operationId"])
    if known is None:
        requester = identity(router.current_event).get("userArn")
        return accept_operation(operation, record, record.request, requester)
    if known.operation != operation:
        asked, words = known.operation["operation"], ", ".join(known.operation["confirm"])
        raise OperationConflict(
            f"{operation['operationId']} of request {request_id} is {asked}, with "
            f"{f'the words {words}' if words else 'no words'}."
        )
    return accept_again(known, record, record.request)


def accept_operation(
    operation: Operation, record: Record, request: KeySetRequest, requester: str | None
) -> Response[str]:
    """Accept an operation of somebody's that was not asked for before (202).

    Raise a Conflict or RequestRejected where it is refused.
    """
    check_free(record)
    check_managed_for(record, operation)
    if problems := operation_problems(operation, request):
        raise RequestRejected(problems)
    arn = executions.new_execution_arn(settings().change_state_machine_arn, record.request_id)
    gate = gatekeeper(requester).pass_operation(request, operation, arn, record=record)
    if gate.pending:
        arn = gate.pending.execution_arn
    known = tables.operations.begin(record.request_id, operation, arn, requester=requester)
    start_if_not_started(request, known.execution_arn, operation)
    waits = gate.standing in (Standing.WAIT, Standing.TAKEN)
    return _accepted(known, Status.WAITING_FOR_APPROVAL if waits else Status.IN_PROGRESS)


def accept_again(known: KnownOperation, record: Record, request: KeySetRequest) -> Response[str]:
    """Answer what became of an operation; one whose execution has died goes on."""
    if known.ended:
        return _accepted(known, known.ended)
    arn = execution_for(known, record, client("stepfunctions"))
    if arn:
        start_if_not_started(request, arn, known.operation)
    pending = tables.approvals.get(known.request_id)
    waits = pending is not None and pending.operation == known.operation
    status = Status.WAITING_FOR_APPROVAL if waits and record.operation is None else None
    return _accepted(known, status or Status.IN_PROGRESS)


def _accepted(known: KnownOperation, status: Status | Ended) -> Response[str]:
    body: AcceptedOperation = {
        "requestId": known.request_id,
        "operationId": known.operation["operationId"],
        "operation": Kind(known.operation["operation"]),
        "executionArn": known.execution_arn,
        "status": status,
    }
    if known.errors:
        body["errors"] = known.errors
    return answer(202, body)
