"""Resume stuck requests, and start a worker in each Region, on a schedule."""

import os
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.aws.regions import enabled_regions
from provisioner.aws.sweep_table import SweepTable
from provisioner.settings import settings
from provisioner.telemetry import logger
from provisioner.upkeep.sweep import Sweeper

prepare("dynamodb", "ec2", "events", "lambda", "stepfunctions")


class Payload(TypedDict, total=False):
    """What a schedule hands over: go on only where a worker left something over, or a sweep."""

    leftOver: bool


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> dict[str, int]:
    """Return how many requests were checked and in how many Regions a worker was started."""
    sweeper = Sweeper(
        records=Records(client("dynamodb"), settings().requests_table),
        approvals=Approvals(client("dynamodb"), settings().requests_table),
        table=SweepTable(client("dynamodb"), os.environ["SWEEP_TABLE"]),
        step_functions=client("stepfunctions"),
        events=client("events"),
        functions=client("lambda"),
        worker=os.environ["SWEEP_REGION_FUNCTION"],
        publisher=os.environ["PUBLISH_OUTCOME_FUNCTION"],
        settings=settings(),
    )
    in_regions = enabled_regions(client("ec2"), settings())
    counts = sweeper.go_on(in_regions) if event.get("leftOver") else sweeper.sweep(in_regions)
    logger.info("swept", counts=counts)
    return counts
