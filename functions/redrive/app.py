"""Send dead letters on their way again, and refuse what never arrives however often it is sent.

Called by hand once the cause of a letter is fixed, and by a schedule that refuses only: a request
that is larger than Step Functions takes is answered without a person.
"""

import os
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.intake.documents import unreadable
from provisioner.intake.request import MAX_REQUEST_BYTES
from provisioner.settings import settings
from provisioner.telemetry import logger
from provisioner.upkeep.dead_letters import (
    Redriven,
    deliver_answer,
    deliver_request,
    redrive,
    refuse_request,
)

prepare("lambda", "sqs", "stepfunctions")


class Counts(TypedDict):
    """How many requests and answers were taken, and the IDs of the messages that are left."""

    requests: int
    answers: int
    left: list[str]


@logger.inject_lambda_context(clear_state=True)
def handler(event: object, _context: LambdaContext) -> Counts:
    """Deliver what is in the queues again.

    With `{"refuseOnly": true}` only requests that cannot be read as such are taken, by refusing
    them.
    """
    refuse_only = isinstance(event, dict) and event.get("refuseOnly") is True

    def to_workflow(message_id: str, document: object) -> bool:
        if problem := unreadable(document, "request", MAX_REQUEST_BYTES):
            function_name = os.environ["PUBLISH_OUTCOME_FUNCTION"]
            refuse_request(client("lambda"), function_name, message_id, document, problem)
            return True
        if refuse_only:
            return False
        machine = settings().state_machine_arn
        deliver_request(client("stepfunctions"), machine, message_id, document)
        return True

    def to_function(_message_id: str, document: object) -> bool:
        deliver_answer(client("lambda"), os.environ["RECEIVE_KEY_MATERIAL_FUNCTION"], document)
        return True

    requests = redrive(client("sqs"), os.environ["UNDELIVERED_REQUESTS"], to_workflow)
    answers = Redriven(0, [])
    if not refuse_only:
        answers = redrive(client("sqs"), os.environ["UNDELIVERED_ANSWERS"], to_function)
    counts: Counts = {
        "requests": requests.taken,
        "answers": answers.taken,
        "left": requests.left + answers.left,
    }
    logger.info("redriven", counts=counts)
    return counts
