"""Import new key material into every key of a set, or find out what is needed to wrap it."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.change.work import Work
from provisioner.domain.material import WrappedMaterial
from provisioner.domain.plan import KeySetRequest
from provisioner.operation.new_material import NewMaterial, import_new_key_material
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over.

    `members` are the keys of the set, the primary key first, and `answers` what came last.
    """

    request: KeySetRequest
    operationId: str
    executionArn: str
    members: list[Work]
    answers: list[WrappedMaterial]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> NewMaterial:
    """Import what was answered, and return what is still needed."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    state = import_new_key_material(
        request,
        event["operationId"],
        event["executionArn"],
        event["members"],
        event["answers"],
        records=Records(client("dynamodb"), settings().requests_table),
        kms_for=lambda region: client("kms", region),
        settings=settings(),
    )
    logger.info(
        "new key material was checked",
        needed=[material["region"] for material in state["materials"]],
        refused=[problem["code"] for problem in state["problems"]],
    )
    return state
