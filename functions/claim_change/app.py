"""Make this execution the one that carries the planned change out."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records
from provisioner.change.claim import claim_change
from provisioner.creation.claim import Claim, Decision
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import Provenance
from provisioner.errors import Conflict, Problem
from provisioner.operation.claim import claim_operation
from provisioner.outcomes.failures import conflict_problems
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "stepfunctions")


class Payload(TypedDict):
    """What the state machine hands over.

    `version` is of the record that the plan was made on. `provenance` is who asked for the change
    and who approved it, null where nobody was asked. `operation` is as in `plan_change`.
    """

    request: KeySetRequest
    executionArn: str
    version: str
    provenance: Provenance | None
    operation: Operation | None


class Claimed(TypedDict):
    """The decision, and why the change is refused."""

    decision: Decision
    problems: list[Problem]


@logger.inject_lambda_context(clear_state=True)
def handler(event: Payload, _context: LambdaContext) -> Claimed:
    """Claim the change, unless the record is another one by now.

    The decision is PROCEED, PUBLISH, CHANGE (plan again), REFUSED with its problems, or that there
    is nothing to do.
    """
    request = event["request"]
    logger.append_keys(request_id=request["requestId"])
    try:
        claimed = _claim(event)
    except Conflict as conflict:
        problems = conflict_problems(conflict)
        logger.info("claim refused", codes=[problem["code"] for problem in problems])
        return {"decision": Decision.REFUSED, "problems": problems}
    logger.info("claim decided", decision=claimed.decision)
    return {"decision": claimed.decision, "problems": []}


def _claim(event: Payload) -> Claim:
    dynamodb, table = client("dynamodb"), settings().requests_table
    records, step_functions = Records(dynamodb, table), client("stepfunctions")
    if operation := event["operation"]:
        return claim_operation(
            event["request"],
            operation,
            event["executionArn"],
            records=records,
            operations=Operations(dynamodb, table),
            step_functions=step_functions,
            provenance=event["provenance"],
        )
    return claim_change(
        records,
        step_functions,
        event["request"],
        event["executionArn"],
        version=event["version"],
        provenance=event["provenance"],
    )
