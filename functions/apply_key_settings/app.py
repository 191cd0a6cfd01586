"""Set alias and rotation of one Region's key, and on an older key whatever else differs."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.key_settings import ensure_settings
from provisioner.domain.plan import plan_key
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("kms")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{request, key: {region, arn, keyState, fresh}, superseded}`; answer key and alias.

    `superseded` is what earlier contents of the request asked for on this key, or null.
    """
    request, key = event["request"], event["key"]
    logger.append_keys(request_id=request["requestId"])
    plan = plan_key(request, key["region"], settings())
    ensure_settings(
        client("kms", key["region"]),
        plan,
        key["arn"],
        fresh=key["fresh"],
        superseded=event["superseded"],
    )
    logger.info("key settings are applied", region=key["region"], alias=plan.alias)
    return {**key, "alias": plan.alias}
