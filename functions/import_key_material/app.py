"""Import the key material of one Region, or find out what is needed to wrap it."""

from typing import NotRequired, TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.change.claim import check_wanted
from provisioner.domain.material import WrappedMaterial
from provisioner.domain.plan import KeyFacts, KeySetRequest
from provisioner.material.importing import MaterialState, ensure_key_material
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over; `answer` is that for the key's Region, or null.

    `executionArn` is that of a change, which may be cancelled meanwhile; None in a creation and a
    renewal, whose cancellation is noticed with the next question or the outcome. Executions that
    have waited for key material since before an update of the stack may lack it.
    """

    request: KeySetRequest
    key: KeyFacts
    answer: WrappedMaterial | None
    executionArn: NotRequired[str | None]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> MaterialState:
    """Import what was answered, and return where the key stands."""
    request, key = event["request"], event["key"]
    logger.append_keys(request_id=request["requestId"])
    if change := event.get("executionArn"):
        check_wanted(Records(client("dynamodb"), settings().requests_table), request, change)
    state = ensure_key_material(
        request,
        key,
        event["answer"],
        client=client("kms", key["region"]),
        settings=settings(),
    )
    logger.info(
        "key material was checked",
        region=key["region"],
        keyState=state["key"]["keyState"],
        needed=bool(state["materials"]),
        refused=[problem["code"] for problem in state["problems"]],
    )
    return state
