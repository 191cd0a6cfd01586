"""`POST /keys?adopt=true`: a key set that exists is compared with a declaration, and adopted."""

from typing import cast

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from keys_api import tables
from keys_api.accepting import provenance_of
from keys_api.answers import answer, error_answer, errors
from keys_api.caller import identity, read_document
from keys_api.contract import AdoptionPlan
from keys_api.operations import accept_again, accept_operation
from provisioner.aws import executions
from provisioner.aws.clients import impatient_kms
from provisioner.aws.operations import KnownOperation
from provisioner.aws.records import Record
from provisioner.domain.adoption import AdoptionRequest, declaration_of, differences
from provisioner.domain.operation import Kind, Operation
from provisioner.domain.plan import KeySetRequest
from provisioner.errors import KmsError, OperationRefused, PromotionUnderWay, RequestRejected
from provisioner.intake.adoption import parse_adoption
from provisioner.intake.request import parse_request, policy_warnings
from provisioner.json_text import JsonObject
from provisioner.operation.adoption import (
    ReadSet,
    adoption_of,
    adoption_problems,
    check_adoptable,
    declared_aliases,
    is_same_adoption,
    read_set,
    standing_problems,
)
from provisioner.settings import settings
from provisioner.telemetry import logger


def adopt(event: APIGatewayProxyEvent, *, planning: bool) -> Response[str]:
    """Adopt a key set (202), or say what differs and who else manages it (200, 409).

    Raise RequestRejected or a Conflict where it is refused.
    """
    asked = parse_adoption(read_document(event), settings(), planning=planning)
    logger.append_keys(request_id=asked.request_id)
    record, request = tables.records.get(asked.request_id), asked.request
    if request and record and record.adoption and not planning:
        known = tables.operations.get(record.request_id, record.adoption["operationId"])
        if is_same_adoption(record, asked, known):
            return _again(record, request, known, event)
    aliases = declared_aliases(request, settings()) if request else []
    try:
        read = read_set(asked.adoption["keyArn"], aliases=aliases, kms_for=impatient_kms)
    except (KmsError, PromotionUnderWay) as error:
        return error_answer(503, error)
    check_adoptable(tables.records, record, asked, read)
    if planning or request is None:
        return _plan(asked, read)
    if problems := adoption_problems(read, request, asked.adoption, settings()):
        return errors(409, problems)
    return _begin(asked, request, read, record, event)


def _plan(asked: AdoptionRequest, read: ReadSet) -> Response[str]:
    """Answer with the complete declaration, and what stands against the adoption (200)."""
    found, adoption, request = read.found, asked.adoption, asked.request
    given = cast(JsonObject, request or asked.document)
    declaration = declaration_of(found, given, adoption["unmanaged"], settings())
    problems = standing_problems(read, asked.request_id, adoption, settings())
    if request is None:
        try:
            request = parse_request(declaration, settings(), adopting=True)
        except RequestRejected as rejection:
            problems += rejection.problems
    differing = differences(found, request, adoption["unmanaged"], settings()) if request else []
    shown: AdoptionPlan = {
        "declaration": declaration,
        "keyArn": read.metadata["Arn"],
        "unmanaged": adoption["unmanaged"],
        "differences": differing,
        "errors": problems,
        "warnings": policy_warnings(request, settings()) if request else [],
    }
    return answer(200, shown)


def _begin(
    asked: AdoptionRequest,
    request: KeySetRequest,
    read: ReadSet,
    seen: Record | None,
    event: APIGatewayProxyEvent,
) -> Response[str]:
    """Write the record of a set that is not managed yet, then start what adopts it."""
    arn = executions.new_execution_arn(settings().change_state_machine_arn, asked.request_id)
    requester = identity(event).get("userArn")
    written, record = tables.records.adopt(
        request,
        arn,
        key_arn=read.metadata["Arn"],
        adoption=asked.adoption,
        seen=seen,
        provenance=provenance_of(requester),
    )
    if not written:
        raise OperationRefused(f"Request {asked.request_id} has changed while it was adopted.")
    return accept_operation(_operation(record), record, request, requester)


def _again(
    record: Record,
    request: KeySetRequest,
    known: KnownOperation | None,
    event: APIGatewayProxyEvent,
) -> Response[str]:
    """Answer what becomes of an adoption that was asked for before."""
    if known is None:  # Whoever wrote the record died before anything was started.
        requester = identity(event).get("userArn")
        return accept_operation(_operation(record), record, request, requester)
    return accept_again(known, record, request)


def _operation(record: Record) -> Operation:
    adoption = adoption_of(record)
    # What takes a set away from somebody needs approval as what can hurt does.
    words = ["TAKE_OVER"] if adoption["takeOver"] else []
    kind = Kind.ADOPT.value
    return {"operationId": adoption["operationId"], "operation": kind, "confirm": words}
