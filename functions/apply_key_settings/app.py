"""Set alias and rotation of one Region's key, and on an older key whatever else differs."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.confirm import read_ready_replica
from provisioner.creation.key_settings import ensure_settings
from provisioner.domain.plan import KeyFacts, KeySetRequest, MadeKey, RegionNames, plan_key
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("kms")


class Payload(TypedDict):
    """What the state machine hands over.

    `superseded` is what earlier contents of the request asked for and this one does not, by Region.
    """

    request: KeySetRequest
    key: KeyFacts
    fresh: bool
    superseded: RegionNames


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> MadeKey:
    """Return the key with its alias and state now.

    A replica key is read first, and gets its settings once it is made.
    """
    request, key, fresh = event["request"], event["key"], event["fresh"]
    logger.append_keys(request_id=request["requestId"])
    region = key["region"]
    kms, plan = client("kms", region), plan_key(request, region, settings())
    is_replica = region != request["primaryRegion"]
    metadata = read_ready_replica(kms, key["arn"]) if is_replica else None
    ensure_settings(
        kms,
        plan,
        key["arn"],
        fresh=fresh,
        superseded=event["superseded"].get(region),
        metadata=metadata,
    )
    logger.info("key settings are applied", region=region, alias=plan.alias)
    state = metadata["KeyState"] if metadata else key["keyState"]
    return {"key": {**key, "alias": plan.alias, "keyState": state}, "fresh": fresh}
