"""Send dead letters on their way again; called by hand, once their cause is mended."""

import os
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.clients import client, prepare
from provisioner.dead_letters import deliver_answer, deliver_request, redrive
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("lambda", "sqs", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(_event: object, _context: LambdaContext) -> dict[str, Any]:
    """Take anything; answer how many `requests` and `answers` were taken, and which are `left`."""
    machine = settings().state_machine_arn
    to_workflow = partial(deliver_request, client("stepfunctions"), machine)
    function_name = os.environ["RECEIVE_KEY_MATERIAL_FUNCTION"]

    def to_function(_message_id: str, document: Any) -> None:
        deliver_answer(client("lambda"), function_name, document)

    requests = redrive(client("sqs"), os.environ["UNDELIVERED_REQUESTS"], to_workflow)
    answers = redrive(client("sqs"), os.environ["UNDELIVERED_ANSWERS"], to_function)
    counts = {
        "requests": requests.taken,
        "answers": answers.taken,
        "left": requests.left + answers.left,
    }
    logger.info("redriven", counts=counts)
    return counts
