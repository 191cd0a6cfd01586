"""Last step: record what became of the request and publish it, once for each outcome."""

import os
from typing import cast

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.history import History
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records, Status
from provisioner.domain.operation import Operation
from provisioner.domain.provenance import UNKNOWN
from provisioner.json_text import Json
from provisioner.operation.publishing import (
    OperationDetail,
    publish_operation,
    refuse_operation,
)
from provisioner.outcomes.outcome import (
    ChangeOutcome,
    Outcome,
    OutcomeDetail,
    Outlets,
    Refusal,
    RefusalDetail,
    publish_outcome,
    publish_refusal,
)
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events")

type Detail = OutcomeDetail | OperationDetail | RefusalDetail

_ONE_DAY = 86_400
_once = IdempotencyConfig(
    event_key_jmespath="[executionArn || letter, status]",
    raise_on_no_idempotency_key=True,
    expires_after_seconds=_ONE_DAY,
)
_store = DynamoDBPersistenceLayer(
    table_name=settings().idempotency_table, boto3_client=client("dynamodb")
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> Detail | None:
    """Take an `Outcome` or a `Refusal`; return the event's detail."""
    _once.register_lambda_context(context)
    request = event["request"]
    logger.append_keys(request_id=request.get("requestId") if isinstance(request, dict) else None)
    detail: Detail | None
    if "problems" in event:
        detail = _publish_refusal(refusal=event)
    else:
        detail = _publish_outcome(outcome=event)
    return detail


@idempotent_function(data_keyword_argument="outcome", persistence_store=_store, config=_once)
def _publish_outcome(*, outcome: Outcome | ChangeOutcome) -> Detail | None:
    if operation := outcome.get("operation"):
        ended = cast("ChangeOutcome", outcome)
        return publish_operation(ended, cast("Operation", operation), _operations(), _outlets())
    return publish_outcome(outcome, _outlets())


@idempotent_function(data_keyword_argument="refusal", persistence_store=_store, config=_once)
def _publish_refusal(*, refusal: Refusal) -> Detail | None:
    request = refusal["request"]
    if operation := refusal.get("operation"):
        return refuse_operation(
            request,
            operation,
            refusal["problems"],
            str(refusal["executionArn"]),
            operations=_operations(),
            outlets=_outlets(),
            provenance=refusal["provenance"] or UNKNOWN,
        )
    return publish_refusal(
        request,
        refusal["problems"],
        refusal["executionArn"],
        _outlets(),
        status=Status(refusal["status"]),
        digest=request.get("digest") if isinstance(request, dict) else None,
        provenance=refusal["provenance"] or UNKNOWN,
    )


def _operations() -> Operations:
    return Operations(client("dynamodb"), settings().requests_table)


def _outlets() -> Outlets:
    dynamodb, stack = client("dynamodb"), settings()
    return Outlets(
        records=Records(dynamodb, stack.requests_table),
        approvals=Approvals(dynamodb, stack.requests_table),
        history=History(dynamodb, os.environ["HISTORY_TABLE"]),
        events=client("events"),
        bus=stack.event_bus,
    )
