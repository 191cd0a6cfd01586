"""Executions that the API starts, each once."""

from typing import TypedDict

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
)

from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest
from provisioner.intake.envelope import resumed
from provisioner.settings import settings
from provisioner.telemetry import logger

start_once = IdempotencyConfig(
    event_key_jmespath="executionArn", raise_on_no_idempotency_key=True, expires_after_seconds=3_600
)
_store = DynamoDBPersistenceLayer(
    table_name=settings().idempotency_table, boto3_client=client("dynamodb")
)


def start_if_not_started(
    request: KeySetRequest, execution_arn: str, operation: Operation | None = None
) -> None:
    """Start an execution of a request, or of an operation, once however many calls ask for it."""
    document = resumed(request, None, operation)
    try:
        _start(start={"executionArn": execution_arn, "document": document})
    except IdempotencyAlreadyInProgressError:
        logger.info("another call starts this execution right now")


class Start(TypedDict):
    """An execution that is to begin."""

    executionArn: str
    document: object


@idempotent_function(data_keyword_argument="start", persistence_store=_store, config=start_once)
def _start(*, start: Start) -> None:
    executions.start(
        client("stepfunctions"),
        executions.machine_of(start["executionArn"]),
        start["executionArn"],
        start["document"],
    )
