"""First step of a batch: read its file, check every line, and plan when each request starts."""

import os
from datetime import datetime
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner import json_text
from provisioner.aws import executions, objects
from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.batch.file import read_lines
from provisioner.batch.lines import lines_text
from provisioner.batch.pace import Pace, parse_quotas
from provisioner.batch.planning import plan_batch
from provisioner.batch.report import Batch
from provisioner.batch.turns import divide
from provisioner.clock import instant_text
from provisioner.errors import AnotherBatchRuns, BatchUnreadable
from provisioner.settings import settings
from provisioner.telemetry import logger

_MAX_KEY_BYTES = 1024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

prepare("dynamodb", "s3", "stepfunctions")


class Payload(TypedDict):
    """What the state machine hands over; `given` is what it was started with, ISO 8601 the time."""

    given: object
    executionArn: str
    startedAt: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Batch:
    """Return the planned batch of the file that is named in `given`."""
    arn, name = event["executionArn"], event["executionArn"].rsplit(":", 1)[1]
    logger.append_keys(batch=name)
    file = _file(event["given"])
    started_at = datetime.fromisoformat(event["startedAt"])
    machine = os.environ["BATCH_STATE_MACHINE_ARN"]
    if older := executions.older_running(client("stepfunctions"), machine, arn, started_at):
        raise AnotherBatchRuns(
            f"{older} was started before and has not ended. To stop it: aws stepfunctions "
            f"stop-execution --execution-arn {older}."
        )
    bucket, folder = os.environ["BATCHES_BUCKET"], f"batches/{name}"
    lines = read_lines(file, objects.read(client("s3"), bucket, file))
    plan = plan_batch(
        lines,
        batch=arn,
        pace=_pace(),
        records=Records(client("dynamodb"), settings().requests_table),
        settings=settings(),
    )
    items, turns = divide(plan.items, f"{folder}/items.jsonl", arn)
    objects.write(client("s3"), bucket, f"{folder}/lines.jsonl", lines_text(plan.lines))
    objects.write(client("s3"), bucket, f"{folder}/items.jsonl", items)
    turns_text = "".join(json_text.text(turn) + "\n" for turn in turns)
    objects.write(client("s3"), bucket, f"{folder}/turns.jsonl", turns_text)
    logger.info("batch is planned", lines=len(plan.lines), to_start=len(plan.items))
    return {
        "name": name,
        "file": file,
        "folder": folder,
        "startedAt": instant_text(started_at),
        "lastStart": instant_text(plan.last_start),
        "toStart": len(plan.items),
    }


def _file(given: object) -> str:
    file = given.get("file") if isinstance(given, dict) else None
    if not isinstance(file, str) or not file.strip():
        raise BatchUnreadable('A batch is started with {"file": "requests/keys.jsonl"}.')
    if len(file.encode()) > _MAX_KEY_BYTES:
        raise BatchUnreadable(f"No object has a name of more than {_MAX_KEY_BYTES} bytes.")
    return file


def _pace() -> Pace:
    quotas = [item.strip() for item in os.environ["BATCH_KMS_QUOTAS"].split(",") if item.strip()]
    percent, starts = os.environ["BATCH_QUOTA_PERCENT"], os.environ["BATCH_STARTS_PER_SECOND"]
    return Pace(parse_quotas(quotas), int(percent), int(starts))
