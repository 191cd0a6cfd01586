"""Start the requests of a turn of a batch, each at its own moment."""

import os
from functools import partial
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws import executions, objects
from provisioner.aws.clients import client, prepare
from provisioner.aws.executions import Progress
from provisioner.batch.turns import Turn, parse_items, start_turn
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("s3", "stepfunctions")


class Payload(TypedDict):
    """What the state machine of a batch hands over."""

    turn: Turn


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> None:
    """Start what was not started before; that stays as it is."""
    turn, bucket = event["turn"], os.environ["BATCHES_BUCKET"]
    part = objects.read_part(client("s3"), bucket, turn["items"], turn["first"], turn["last"])
    items = parse_items(part)
    step_functions, machine = client("stepfunctions"), settings().state_machine_arn
    started = start_turn(
        items,
        start=partial(executions.start_named, step_functions, machine),
        is_stopped=lambda: executions.progress(step_functions, turn["batch"]) == Progress.ENDED,
    )
    logger.info("requests are started", batch=turn["batch"], started=started, of=len(items))
