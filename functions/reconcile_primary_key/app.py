"""Look for the key of a CreateKey attempt that has no recorded answer."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.creation.reconcile import reconcile_primary_key
from provisioner.domain.plan import KeySetRequest
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "kms", "resourcegroupstaggingapi")


class Payload(TypedDict):
    """What the state machine hands over; `polls` is how often it asked before."""

    request: KeySetRequest
    polls: int


class Polled(TypedDict):
    """Whether the attempt is settled, and how often that was asked by now."""

    settled: bool
    polls: int


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Polled:
    """Check once whether the attempt is settled, and count the check."""
    request, polls = event["request"], event["polls"] + 1
    logger.append_keys(request_id=request["requestId"])
    region = request["primaryRegion"]
    settled = reconcile_primary_key(
        request,
        records=Records(client("dynamodb"), settings().requests_table),
        client=client("kms", region),
        tagging=client("resourcegroupstaggingapi", region),
        events=client("events"),
        settings=settings(),
    )
    logger.info("attempt was polled", settled=settled, polls=polls)
    return {"settled": settled, "polls": polls}
