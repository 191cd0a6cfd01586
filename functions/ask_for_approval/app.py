"""Ask for approval; the state machine waits for the decision, this function does not."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.approval.asking import ask_for_approval
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "stepfunctions")


class Payload(TypedDict):
    """What the state machines hand over."""

    taskToken: str
    requestId: str
    executionArn: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> None:
    """Publish what waits for approval, once, and keep what wakes the execution."""
    logger.append_keys(request_id=event["requestId"])
    ask_for_approval(
        event["requestId"],
        event["executionArn"],
        event["taskToken"],
        approvals=Approvals(client("dynamodb"), settings().requests_table),
        step_functions=client("stepfunctions"),
        events=client("events"),
        bus=settings().event_bus,
    )
    logger.info("approval is waited for")
