"""Put the provisioner's tags on one Region's key: it is managed from then on."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.change.work import Work
from provisioner.domain.plan import KeySetRequest
from provisioner.operation.adoption import adopt_key, wanted_adoption
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms")


class Payload(TypedDict):
    """What the state machine hands over."""

    request: KeySetRequest
    work: Work
    executionArn: str


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> dict[str, str]:
    """Tag the key, as long as this execution is to carry the adoption out."""
    request, work = event["request"], event["work"]
    logger.append_keys(request_id=request["requestId"])
    records = Records(client("dynamodb"), settings().requests_table)
    adopt_key(
        client("kms", work["region"]),
        work,
        request["requestId"],
        wanted=lambda: wanted_adoption(records, request, event["executionArn"]),
        settings=settings(),
    )
    logger.info("key is adopted", region=work["region"])
    return {"region": work["region"]}
