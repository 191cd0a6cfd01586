"""Read the finished key set back from KMS before its outcome is published."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.creation.confirm import confirm_key_set, read_metadata
from provisioner.domain.plan import KeySetRequest, regions
from provisioner.json_text import JsonObject
from provisioner.telemetry import logger

prepare("kms")


class Payload(TypedDict):
    """What the state machine hands over; `everCreated` says that the set was finished before."""

    request: KeySetRequest
    primaryKeyArn: str
    everCreated: bool


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> JsonObject:
    """Return KMS's KeyMetadata of the primary key as plain JSON.

    Of a key set that was finished before, only the key material was asked for. What else somebody
    has changed since, such as a key's state, is not this request's to judge.
    """
    request, key_arn = event["request"], event["primaryKeyArn"]
    logger.append_keys(request_id=request["requestId"])
    kms = client("kms", request["primaryRegion"])
    if event["everCreated"]:
        metadata = read_metadata(kms, key_arn)
    else:
        metadata = confirm_key_set(kms, key_arn, regions(request)[1:])
    logger.info("key set is confirmed", keyId=metadata["KeyId"])
    return metadata
