"""Read the finished key set back from KMS before anyone is told that it exists."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.clients import client, prepare
from provisioner.key_set import confirm_key_set
from provisioner.plan import regions
from provisioner.telemetry import logger

prepare("kms")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Take `{request, primaryKeyArn}`; answer the primary's KeyMetadata as plain JSON."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    metadata = confirm_key_set(
        client("kms", request["primaryRegion"]), event["primaryKeyArn"], regions(request)[1:]
    )
    logger.info("key set is confirmed", keyId=metadata["KeyId"])
    return metadata
