"""Compare the key sets that events are about with their declarations, and publish drift."""

import json
import os
from collections.abc import Iterator
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.drift_table import DriftTable
from provisioner.aws.look_queue import LookQueue
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records
from provisioner.domain.policy_evaluation import Role
from provisioner.errors import ProvisionerError
from provisioner.json_text import JsonObject
from provisioner.settings import settings
from provisioner.telemetry import logger
from provisioner.upkeep.key_events import KeyEvent, read_event
from provisioner.upkeep.looking import Looker, by_request, is_own
from provisioner.upkeep.owners import Owners, OwnersNotKnown

prepare("dynamodb", "events", "kms", "resourcegroupstaggingapi", "sqs", "stepfunctions")

_records = Records(client("dynamodb"), settings().requests_table)
_owners = Owners(_records, lambda region: client("resourcegroupstaggingapi", region), settings())


class Message(TypedDict):
    """A message of the queue; its body is an event, or asks for a look at a key set."""

    messageId: str
    receiptHandle: str
    body: str


class Payload(TypedDict):
    """What SQS hands over."""

    Records: list[Message]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> JsonObject:
    """Compare each key set once; return the messages that SQS is to deliver again."""
    events: dict[str, KeyEvent] = {}
    looks: list[tuple[str, str, list[KeyEvent]]] = []  # message, request, events
    for message in event["Records"]:
        body = json.loads(message["body"])
        if look := body.get("look"):
            looks.append((message["messageId"], look["requestId"], look["events"]))
        elif (found := read_event(body)) and not is_own(found, settings()):
            events[message["messageId"]] = found
    failed = set()
    by_tags = _owners.by_tags(events.values())
    for message_id, found in events.items():
        names = {by_tags[key_id] for key_id in found["keyIds"] if key_id in by_tags}
        try:
            if found["aliases"] or not names:
                names |= _owners.by_records(found)
        except OwnersNotKnown:
            failed.add(message_id)
        looks += [(message_id, name, [found]) for name in names]
    failed |= {*_look_at_all(looks)}
    return {"batchItemFailures": [{"itemIdentifier": one} for one in sorted(failed)]}


def _look_at_all(looks: list[tuple[str, str, list[KeyEvent]]]) -> Iterator[str]:
    looker = _looker()
    for request_id, events in by_request((name, some) for _, name, some in looks).items():
        logger.append_keys(request_id=request_id)
        try:
            looker.look(request_id, events)
        except ProvisionerError:
            logger.exception("look failed")
            yield from (message for message, name, _ in looks if name == request_id)


def _looker() -> Looker:
    name, role_id = os.environ["LOOK_ROLE"].split(",")
    account = f"arn:{settings().partition}:iam::{settings().account_id}"
    return Looker(
        records=_records,
        operations=Operations(client("dynamodb"), settings().requests_table),
        approvals=Approvals(client("dynamodb"), settings().requests_table),
        table=DriftTable(client("dynamodb"), os.environ["SWEEP_TABLE"]),
        queue=LookQueue(client("sqs"), os.environ["QUEUE_URL"]),
        kms_for=lambda region: client("kms", region),
        events=client("events"),
        step_functions=client("stepfunctions"),
        role=Role(f"{account}:role/{name}", role_id),
        repairs=os.environ["DRIFT_MODE"] == "REPAIR",
        settings=settings(),
    )
