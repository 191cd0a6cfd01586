"""Create the multi-Region primary key, or find the one this request has already."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare, send_once_kms
from provisioner.aws.records import Records
from provisioner.creation.primary_key import ensure_primary_key
from provisioner.domain.plan import KeySetRequest, MadePrimaryKey
from provisioner.settings import settings
from provisioner.telemetry import count_new_key, logger

prepare("dynamodb", "kms", "resourcegroupstaggingapi")


class Payload(TypedDict):
    """What the state machine hands over."""

    request: KeySetRequest
    executionArn: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> MadePrimaryKey:
    """Return the primary key, and whether this call created it."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    made = ensure_primary_key(
        request,
        event["executionArn"],
        records=Records(client("dynamodb"), settings().requests_table),
        client=client("kms", request["primaryRegion"]),
        send_once=send_once_kms,
        tagging=client("resourcegroupstaggingapi", request["primaryRegion"]),
        settings=settings(),
    )
    if made["fresh"]:
        count_new_key()
    logger.info("primary key is there", **made["key"], fresh=made["fresh"])
    return made
