"""Compare a declaration with what KMS has; nothing is claimed, and nothing is written in KMS."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.change.workflow_plan import Plan, plan_key_set
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import Via
from provisioner.settings import approval_settings, settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms", "resourcegroupstaggingapi", "stepfunctions")


class Payload(TypedDict):
    """What the state machine hands over; `via` is the webhook through which the request came."""

    request: KeySetRequest
    executionArn: str
    via: Via | None


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Plan:
    """Return what is to be changed, in waves, or why nothing is."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    dynamodb, table = client("dynamodb"), settings().requests_table
    plan = plan_key_set(
        request,
        event["executionArn"],
        via=event["via"],
        gatekeeper=Gatekeeper(
            Approvals(dynamodb, table),
            Records(dynamodb, table),
            client("stepfunctions"),
            approval_settings(),
        ),
        kms_for=lambda region: client("kms", region),
        tagging_for=lambda region: client("resourcegroupstaggingapi", region),
        settings=settings(),
    )
    codes = [problem["code"] for problem in plan["problems"]]
    logger.info(
        "change is planned",
        decision=plan["decision"],
        waves=[one["wave"] for one in plan["waves"]],
        codes=codes,
    )
    return plan
