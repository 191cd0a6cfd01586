"""Last step: record what became of the request and publish it, once for each outcome."""

from typing import Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records, Status
from provisioner.json_text import Json
from provisioner.outcomes.outcome import publish_outcome, publish_refusal
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events")

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
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Take an `Outcome`, or a refusal with its `problems`; answer the event's detail."""
    _once.register_lambda_context(context)
    request = event["request"]
    logger.append_keys(request_id=request.get("requestId") if isinstance(request, dict) else None)
    detail: dict[str, Any] | None = _publish(outcome=event)
    return detail


@idempotent_function(data_keyword_argument="outcome", persistence_store=_store, config=_once)
def _publish(*, outcome: Json) -> dict[str, Any] | None:
    adapters: dict[str, Any] = {
        "records": Records(client("dynamodb"), settings().requests_table),
        "events": client("events"),
        "bus": settings().event_bus,
    }
    if "problems" in outcome:
        request = outcome["request"]
        return publish_refusal(
            request,
            outcome["problems"],
            outcome["executionArn"],
            status=Status(outcome["status"]),
            digest=request.get("digest") if isinstance(request, dict) else None,
            **adapters,
        )
    return publish_outcome(outcome, **adapters)
