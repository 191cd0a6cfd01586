"""Undo a key set that could not be completed, where the request asks for that."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.roll_back import RolledBack, roll_back
from provisioner.domain.plan import KeySetRequest, RegionNames
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("kms")


class Payload(TypedDict):
    """What the state machine hands over; `superseded` is what earlier contents asked for."""

    request: KeySetRequest
    primaryKeyArn: str
    superseded: RegionNames


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> RolledBack:
    """Free the aliases, schedule the keys for deletion, and return them as they are then."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    keys = roll_back(
        request,
        event["primaryKeyArn"],
        superseded=event["superseded"],
        client_for=lambda region: client("kms", region),
        deletion_window_days=settings().deletion_window_days,
    )
    logger.info("key set is rolled back", primary=keys["primary"]["arn"])
    return keys
