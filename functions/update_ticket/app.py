"""Write outcomes, and what requests wait for, into their tickets."""

import json
import os
from typing import TypedDict

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws import sqs
from provisioner.aws.clients import client, prepare
from provisioner.aws.secrets import Secret
from provisioner.errors import (
    TicketNotMoved,
    TicketNotUpdatable,
    TicketSystemBusy,
    TicketSystemRefused,
)
from provisioner.intake.ticket_systems import Systems
from provisioner.outcomes.failures import error_code
from provisioner.settings import settings
from provisioner.telemetry import logger, metrics
from provisioner.tickets.updating import BusEvent, marker_of, update_ticket

prepare("dynamodb", "secretsmanager", "sqs")

_systems = Secret(client("secretsmanager"), os.environ["TICKETS_SECRET"], Systems)
_once = IdempotencyConfig(
    event_key_jmespath="marker", raise_on_no_idempotency_key=True, expires_after_seconds=86_400
)
_store = DynamoDBPersistenceLayer(
    table_name=settings().idempotency_table, boto3_client=client("dynamodb")
)


class Message(TypedDict):
    """A message of the queue; its body is an event of the bus."""

    messageId: str
    receiptHandle: str
    body: str


class Payload(TypedDict):
    """What SQS hands over."""

    Records: list[Message]


class Failed(TypedDict):
    """A message that comes again."""

    itemIdentifier: str


class Answer(TypedDict):
    """The messages that come again; the others are done.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """

    batchItemFailures: list[Failed]


class Update(TypedDict):
    """An event, and what its comment is known by."""

    marker: str
    event: BusEvent


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, context: LambdaContext) -> Answer:
    """Update the tickets of the messages; one that may work later comes again."""
    _once.register_lambda_context(context)
    left = [one for one in event["Records"] if not _is_done(one)]
    return {"batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in left]}


def _is_done(message: Message) -> bool:
    event: BusEvent = json.loads(message["body"])
    logger.append_keys(request_id=event["detail"].get("requestId"))
    try:
        is_updated = _update(update={"marker": marker_of(event), "event": event})
        logger.info("ticket is updated" if is_updated else "no ticket is to be updated")
    except (TicketNotUpdatable, TicketNotMoved) as error:
        code = error_code(type(error).__name__)
        logger.warning("ticket is not updated", code=code, reason=str(error))
        metrics.add_metric("TicketsNotUpdated", MetricUnit.Count, 1)
        metrics.flush_metrics()
    except TicketSystemBusy as busy:
        logger.info("ticket is updated later", reason=str(busy))
        if busy.retry_after is not None:
            sqs.hide(
                client("sqs"), os.environ["QUEUE_URL"], message["receiptHandle"], busy.retry_after
            )
        return False
    except TicketSystemRefused as error:  # It comes again: somebody corrects the entry meanwhile.
        logger.error("ticket system refuses", reason=str(error))
        metrics.add_metric("TicketsNotUpdated", MetricUnit.Count, 1)
        metrics.flush_metrics()
        return False
    except IdempotencyAlreadyInProgressError:
        return False
    return True


@idempotent_function(data_keyword_argument="update", persistence_store=_store, config=_once)
def _update(*, update: Update) -> bool:
    insecure = bool(os.environ.get("AWS_ENDPOINT_URL"))
    return update_ticket(update["event"], _systems.value(), insecure=insecure)
