"""What the API shows: requests, their status and history, and its own contracts."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypedDict

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from keys_api import tables
from keys_api.answers import answer
from keys_api.contract import KeySetStatus, PastOutcomes
from provisioner.approval.asking import waiting_status
from provisioner.aws.clients import client, impatient_kms
from provisioner.aws.listing import Listed, list_requests
from provisioner.aws.records import Record, Status
from provisioner.creation.known_keys import known_key
from provisioner.domain.operation import asked_for
from provisioner.domain.plan import is_request_id
from provisioner.errors import Problem, RequestNotFound
from provisioner.intake.listing import page_after, parse_listing
from provisioner.intake.request import RequestFields
from provisioner.operation.rotation_history import rotations_of
from provisioner.outcomes.outcome import removed_keys
from provisioner.settings import settings
from provisioner.telemetry import logger

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


class _NoStatus(TypedDict):
    startedAt: None
    key: None
    errors: list[Problem]
    warnings: list[Problem]


@router.get("/keys")
def list_key_sets() -> Response[str]:
    """List requests, a page at a time (200); refuse what is no status, limit or page (400)."""
    asked = parse_listing(router.current_event.query_string_parameters or {}, [*Status])
    listed = list_requests(client("dynamodb"), settings().requests_table, **asked)
    shown: Listed = {**listed, "next": page_after(listed["next"])}
    return answer(200, shown)


@router.get("/keys/<request_id>/history")
def get_history(request_id: str) -> Response[str]:
    """Return what became of a request so far, oldest first, or 404."""
    logger.append_keys(request_id=request_id)
    outcomes = tables.history.of(request_id) if is_request_id(request_id) else []
    if not outcomes and (not is_request_id(request_id) or tables.records.get(request_id) is None):
        raise RequestNotFound(f"There is no request {request_id}.")
    shown: PastOutcomes = {"outcomes": outcomes}
    return answer(200, shown)


@router.get("/keys/<request_id>")
def get_key_set(request_id: str) -> Response[str]:
    """Return a request's status, or 404."""
    logger.append_keys(request_id=request_id)
    # DynamoDB refuses to look for just any text.
    record = tables.records.get(request_id) if is_request_id(request_id) else None
    pending = tables.approvals.get(request_id) if is_request_id(request_id) else None
    waiting = waiting_status(pending) if pending and pending.is_ahead_of(record) else None
    known = _status_of(record) if record else None
    if waiting:
        shown: KeySetStatus = {**(known or _NO_STATUS), **waiting}
        return answer(200, shown)
    if known is None:
        raise RequestNotFound(f"There is no request {request_id}.")
    return answer(200, known)


_NO_STATUS: _NoStatus = {"startedAt": None, "key": None, "errors": [], "warnings": []}


def _status_of(record: Record) -> KeySetStatus:
    status: KeySetStatus = {
        "requestId": record.request_id,
        "revision": record.revision,
        "status": record.status,
        "startedAt": _instant(record.claimed_at),
        "updatedAt": _instant(record.updated_at),
        "request": record.request,
        "key": known_key(record, impatient_kms),
        "errors": record.errors,
        "warnings": record.warnings,
        "ticket": record.ticket,
        "executionArn": record.execution_arn,
    }
    if operation := asked_for(record.operation):
        status["operation"] = operation
    if record.last_operation:
        status["lastOperation"] = record.last_operation
    if (rotations := rotations_of(record, impatient_kms)) is not None:
        status["rotations"] = rotations
    if record.released_at:
        status["releasedAt"] = _instant(record.released_at)
    if record.adoption:
        status["adoption"] = {**record.adoption, "adoptedAt": _instant(record.adopted_at)}
    if record.removed:
        status["removed"] = removed_keys(record)
    if record.status == Status.WAITING_FOR_MATERIAL:
        status["materials"] = record.materials
        status["deadline"] = record.deadline
    return status


def _instant(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


@router.get("/schema")
def get_schema() -> Response[str]:
    """Return the JSON schema of a request; the rules across fields are the code's alone."""
    return answer(200, RequestFields.model_json_schema())


@router.get("/openapi.json")
def get_openapi() -> Response[str]:
    """Return the contract of this API."""
    return _document("openapi.json")


@router.get("/asyncapi.json")
def get_asyncapi() -> Response[str]:
    """Return the contract of the events on the stack's bus."""
    return _document("asyncapi.json")


@cache
def _document(name: str) -> Response[str]:
    """Read a document that `make contracts` made of the code."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return Response(200, content_types.APPLICATION_JSON, text)
