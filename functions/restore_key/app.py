"""Cancel the deletion of one Region's key, or enable it."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.change.claim import check_wanted
from provisioner.change.key_states import restore_key
from provisioner.change.work import Work
from provisioner.domain.plan import KeySetRequest
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over."""

    request: KeySetRequest
    work: Work
    executionArn: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> dict[str, str]:
    """Make the calls of one Region's work, as long as this execution is to carry it out."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    work, records = event["work"], Records(client("dynamodb"), settings().requests_table)
    check_wanted(records, request, event["executionArn"])
    restore_key(client("kms", work["region"]), work)
    logger.info("key is restored", region=work["region"], calls=[*work["calls"]])
    return {"region": work["region"]}
