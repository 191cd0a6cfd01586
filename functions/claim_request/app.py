"""Second step: make this execution the only one that works on the request."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.claim import Decision, claim
from provisioner.clients import client, prepare
from provisioner.errors import Conflict
from provisioner.failures import conflict_problems
from provisioner.records import Records
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{request, executionArn}`; answer `{decision, primary, everCreated, problems}`.

    `primary` is the key that an earlier run recorded, its state and alias not read yet, or null.
    `everCreated` tells that the key set was finished once: then it is never rolled back.
    `problems` says why the request is refused, where it does not fit what is known of its ID.
    """
    request, execution_arn = event["request"], event["executionArn"]
    logger.append_keys(request_id=request["requestId"])
    records = Records(client("dynamodb"), settings().requests_table)
    try:
        claimed = claim(records, client("stepfunctions"), request, execution_arn)
    except Conflict as conflict:
        problems = conflict_problems(conflict)
        logger.info("claim refused", codes=[problem["code"] for problem in problems])
        return {
            "decision": Decision.REFUSED,
            "primary": None,
            "everCreated": False,
            "problems": problems,
        }
    key_arn = claimed.record.key_arn
    logger.info("claim decided", decision=claimed.decision, known_key=key_arn)
    primary = {"region": request["primaryRegion"], "arn": key_arn, "alias": None, "keyState": None}
    return {
        "decision": claimed.decision,
        "primary": primary if key_arn else None,
        "everCreated": claimed.record.ever_created,
        "problems": [],
    }
