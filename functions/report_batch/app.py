"""Look how far a batch is, write that down, and in the end write the result of every line."""

import os
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner import json_text
from provisioner.aws import objects
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.batch.lines import parse_lines
from provisioner.batch.report import Batch, report_batch, results_text
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "s3")


class Payload(TypedDict):
    """What the state machine hands over."""

    batch: Batch


class Reported(TypedDict):
    """Where the batch stands; `waitSeconds` is how long until it is worth looking again."""

    settled: bool
    waitSeconds: int
    progress: dict[str, object]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Reported:
    """Write down how far the batch is, and return it.

    In the bucket, `progress.json` holds the progress, and once all is settled `results.jsonl` or
    `results.csv` a line for each line of the file.
    """
    batch = event["batch"]
    logger.append_keys(batch=batch["name"])
    bucket, s3 = os.environ["BATCHES_BUCKET"], client("s3")
    report = report_batch(
        batch,
        parse_lines(objects.read(s3, bucket, f"{batch['folder']}/lines.jsonl")),
        records=Records(client("dynamodb"), settings().requests_table),
        approvals=Approvals(client("dynamodb"), settings().requests_table),
        state_machine_arn=settings().state_machine_arn,
    )
    results = None
    if report.settled:
        name, content = results_text(batch, report.results)
        results = f"{batch['folder']}/{name}"
        objects.write(s3, bucket, results, content)
    progress = {**report.progress, "results": results}
    objects.write(s3, bucket, f"{batch['folder']}/progress.json", json_text.text(progress))
    logger.info("batch was checked", progress=progress)
    return {
        "settled": report.settled,
        "waitSeconds": report.wait_seconds,
        "progress": progress,
    }
