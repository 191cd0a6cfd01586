"""Read back from KMS what a change did to the states and the roles of keys."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.change.confirm import Confirmed, confirm_change
from provisioner.domain.plan import KeySetRequest
from provisioner.telemetry import logger

prepare("kms")


class Payload(TypedDict):
    """What the state machine hands over; `toConfirm` are the Regions whose keys are read."""

    request: KeySetRequest
    known: Confirmed
    primaryKeyArn: str
    toConfirm: list[str]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Confirmed:
    """Return the key set as it is now."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    confirmed = confirm_change(
        request,
        event["known"],
        event["primaryKeyArn"],
        event["toConfirm"],
        kms_for=lambda region: client("kms", region),
    )
    logger.info("change is confirmed", read=event["toConfirm"])
    return confirmed
