"""Make the replica key of a Region the primary key of its set."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare, send_once_kms
from provisioner.aws.records import Records
from provisioner.change.promotion import promote_replica_key
from provisioner.domain.plan import KeySetRequest
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over.

    `region` is where the primary key is to be, `expected` where it was when that was planned.
    """

    request: KeySetRequest
    executionArn: str
    region: str
    expected: str
    inRegions: list[str]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> dict[str, str]:
    """Return the primary key's Region and ARN once every Region shows it."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    arn = promote_replica_key(
        request,
        event["executionArn"],
        event["region"],
        event["inRegions"],
        expected=event["expected"],
        records=Records(client("dynamodb"), settings().requests_table),
        kms_for=lambda region: client("kms", region),
        send_once=send_once_kms,
    )
    logger.info("replica key is promoted", region=event["region"])
    return {"region": event["region"], "arn": arn}
