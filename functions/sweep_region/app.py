"""Check the keys of one Region, from where the last worker stopped."""

import os
import uuid
from dataclasses import asdict
from datetime import datetime
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.drift_table import DriftTable
from provisioner.aws.look_queue import LookQueue
from provisioner.aws.records import Records
from provisioner.aws.sweep_table import SweepTable
from provisioner.json_text import JsonObject
from provisioner.settings import settings
from provisioner.telemetry import logger
from provisioner.upkeep.recorded_keys import RecordedKeys
from provisioner.upkeep.sweep_region import RegionSweeper

_LAST_MILLISECONDS = 60_000
"""A page is not begun with less time than that left."""

prepare("dynamodb", "events", "kms", "resourcegroupstaggingapi", "sqs")


class Payload(TypedDict):
    """What the sweep hands over; `tableMadeAt` is ISO 8601."""

    region: str
    tableMadeAt: str
    begin: bool


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, context: LambdaContext) -> JsonObject | None:
    """Return how far the Region is, as `Position` has it; null where another worker is at it."""
    region = event["region"]
    records = Records(client("dynamodb"), settings().requests_table)
    sweeper = RegionSweeper(
        region=region,
        table_made_at=datetime.fromisoformat(event["tableMadeAt"]),
        records=records,
        recorded=RecordedKeys(records, region),
        table=SweepTable(client("dynamodb"), os.environ["SWEEP_TABLE"]),
        kms=client("kms", region),
        tagging=client("resourcegroupstaggingapi", region),
        events=client("events"),
        drift=DriftTable(client("dynamodb"), os.environ["SWEEP_TABLE"]),
        looks=LookQueue(client("sqs"), os.environ["KEY_EVENTS"]),
        settings=settings(),
    )
    position = sweeper.sweep(
        # Lambda may deliver an event twice, so its name for the invocation can be two workers'.
        str(uuid.uuid4()),
        begin=event["begin"],
        has_time=lambda: context.get_remaining_time_in_millis() > _LAST_MILLISECONDS,
    )
    answer = asdict(position) if position else None
    logger.info("swept a Region", region=region, position=answer)
    return answer
