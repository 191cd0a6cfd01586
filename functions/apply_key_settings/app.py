"""Set alias and rotation of one Region's key, and on an older key whatever else differs."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.confirm import read_ready_replica
from provisioner.creation.key_settings import ensure_settings
from provisioner.domain.plan import KeyFacts, MadeKey, plan_key
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("kms")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> MadeKey:
    """Take `{request, key, fresh, superseded}`; return `{key, fresh}` with alias and state now.

    A replica key is read first, and gets its settings once it is made. `superseded` is what earlier
    contents of the request asked for and this one does not, by Region.
    """
    request, fresh = event["request"], event["fresh"]
    key: KeyFacts = event["key"]
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
