"""Compare a declaration with what KMS has; nothing is claimed, and nothing is written in KMS."""

from collections.abc import Callable
from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws.approvals import Approvals
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.clients import client, prepare
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records
from provisioner.change.workflow_plan import Plan, plan_key_set
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import Via
from provisioner.operation.planning import plan_operation
from provisioner.settings import Settings, approval_settings, settings
from provisioner.telemetry import logger

prepare("dynamodb", "kms", "resourcegroupstaggingapi", "stepfunctions")


class Payload(TypedDict):
    """What the state machine hands over.

    `via` is the webhook through which the request came. `operation` is what is to be done with the
    key set as it is declared, null where it is to become what the request declares now.
    """

    request: KeySetRequest
    executionArn: str
    via: Via | None
    operation: Operation | None


class _Arguments(TypedDict):
    gatekeeper: Gatekeeper
    kms_for: Callable[[str], KMSClient]
    tagging_for: Callable[[str], TaggingClient]
    settings: Settings


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Plan:
    """Return what is to be changed, in waves, or why nothing is."""
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    dynamodb, table = client("dynamodb"), settings().requests_table
    approvals, records = Approvals(dynamodb, table), Records(dynamodb, table)
    arguments: _Arguments = {
        "gatekeeper": Gatekeeper(approvals, records, client("stepfunctions"), approval_settings()),
        "kms_for": lambda region: client("kms", region),
        "tagging_for": lambda region: client("resourcegroupstaggingapi", region),
        "settings": settings(),
    }
    if operation := event["operation"]:
        operations = Operations(dynamodb, table)
        plan = plan_operation(
            request, operation, event["executionArn"], operations=operations, **arguments
        )
    else:
        plan = plan_key_set(request, event["executionArn"], via=event["via"], **arguments)
    codes = [problem["code"] for problem in plan["problems"]]
    logger.info(
        "change is planned",
        decision=plan["decision"],
        waves=[one["wave"] for one in plan["waves"]],
        codes=codes,
    )
    return plan
