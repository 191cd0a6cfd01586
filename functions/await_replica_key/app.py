"""Look once whether a replica key is Enabled; the state machine does the waiting."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.confirm import read_key_state
from provisioner.telemetry import logger

prepare("kms")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{requestId, key, polls}`; answer both again with the state now and one poll more."""
    key, polls = event["key"], event["polls"] + 1
    logger.append_keys(request_id=event["requestId"])
    state = read_key_state(client("kms", key["region"]), key["arn"])
    logger.info("replica key was polled", region=key["region"], keyState=state, polls=polls)
    return {"key": {**key, "keyState": state}, "polls": polls}
