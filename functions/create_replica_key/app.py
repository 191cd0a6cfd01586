"""Replicate the primary key to one Region, or find the replica that is there."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare, send_once_kms
from provisioner.aws.records import Records
from provisioner.change.claim import check_wanted
from provisioner.creation.replica_key import ensure_replica_key
from provisioner.domain.plan import KeySetRequest, MadeKey, region_of
from provisioner.settings import settings
from provisioner.telemetry import count_new_key, logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over; `region` is where the replica key is wanted.

    `executionArn` is that of a change, which may be cancelled meanwhile; None in a creation, whose
    cancellation is noticed before the outcome.
    """

    request: KeySetRequest
    region: str
    primaryKeyArn: str
    executionArn: str | None


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> MadeKey:
    """Return the replica key, and whether this call created it."""
    request, region = event["request"], event["region"]
    logger.append_keys(request_id=request["requestId"])
    if change := event["executionArn"]:
        check_wanted(Records(client("dynamodb"), settings().requests_table), request, change)
    made = ensure_replica_key(
        request,
        region,
        event["primaryKeyArn"],
        # The SDK would repeat a throttled call within a second, and each takes quota.
        primary_client=send_once_kms(region_of(event["primaryKeyArn"])),
        replica_client=client("kms", region),
        settings=settings(),
    )
    if made["fresh"]:
        count_new_key()
    logger.info("replica key is there", **made["key"], fresh=made["fresh"])
    return made
