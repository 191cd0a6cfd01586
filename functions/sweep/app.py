"""Look for stuck requests and stray keys, on a schedule."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.clients import client, prepare
from provisioner.records import Records
from provisioner.regions import enabled_regions
from provisioner.settings import settings
from provisioner.sweep import Sweeper
from provisioner.telemetry import logger

prepare("dynamodb", "ec2", "events", "kms", "resourcegroupstaggingapi", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(_event: object, _context: LambdaContext) -> dict[str, Any]:
    """Take anything; answer how many requests and keys were looked at."""
    sweeper = Sweeper(
        records=Records(client("dynamodb"), settings().requests_table),
        step_functions=client("stepfunctions"),
        events=client("events"),
        kms_in=partial(client, "kms"),
        tagging_in=partial(client, "resourcegroupstaggingapi"),
        settings=settings(),
    )
    counts = sweeper.sweep(enabled_regions(client("ec2"), settings()))
    logger.info("swept", counts=counts)
    return counts
