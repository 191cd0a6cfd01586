"""Second step: make this execution the only one that works on the request."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.claim import claim
from provisioner.clients import client, prepare
from provisioner.records import Records
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{request, executionArn}`; answer `{decision, primary, everCreated}`.

    `primary` is the key that an earlier run recorded, its state and alias not read yet, or null.
    `everCreated` tells that the key set was finished once: then it is never rolled back.
    """
    request, execution_arn = event["request"], event["executionArn"]
    logger.append_keys(request_id=request["requestId"])
    records = Records(client("dynamodb"), settings().requests_table)
    claimed = claim(records, client("stepfunctions"), request, execution_arn)
    key_arn = claimed.record.key_arn
    logger.info("claim decided", decision=claimed.decision, known_key=key_arn)
    primary = {"region": request["primaryRegion"], "arn": key_arn, "alias": None, "keyState": None}
    return {
        "decision": claimed.decision,
        "primary": primary if key_arn else None,
        "everCreated": claimed.record.ever_created,
    }
