"""Undo a key set that could not be completed, where the request asks for that."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.roll_back import roll_back
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("kms")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{request, primaryKeyArn, superseded}`; answer `{primary, replicas}` afterwards."""
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
