"""Rotate the key material of a key set on demand."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare, send_once_kms
from provisioner.aws.records import Records
from provisioner.domain.plan import KeySetRequest
from provisioner.errors import RotationUnderWay
from provisioner.operation.rotation import rotate_key
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over; `region` is the primary key's.

    `isLastLook` makes a rotation that is not done yet the error that ends the operation.
    """

    request: KeySetRequest
    operationId: str
    executionArn: str
    region: str
    isLastLook: bool


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> dict[str, bool]:
    """Return whether KMS has rotated the key."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    try:
        rotated = rotate_key(
            request,
            event["operationId"],
            event["executionArn"],
            event["region"],
            records=Records(client("dynamodb"), settings().requests_table),
            kms_for=lambda region: client("kms", region),
            send_once=send_once_kms,
        )
    except RotationUnderWay as error:
        if event["isLastLook"]:
            raise
        logger.info("rotation is under way", reason=error.what_happened)
        return {"isRotated": False}
    logger.info("key is rotated", region=rotated["region"], material=rotated["keyMaterialId"])
    return {"isRotated": True}
