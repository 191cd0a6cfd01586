"""Take an answer that came over the event bus; a refusal is published there as well."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.domain.plan import is_request_id
from provisioner.errors import (
    KeyMaterialNotAwaited,
    RequestNotFound,
    RequestRejected,
    new_problem,
)
from provisioner.material.response import publish_refusal, take_answer
from provisioner.outcomes.failures import error_code
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(event: object, _context: LambdaContext) -> None:
    """Take the detail of a `Multi-Region Key Material Provided` event."""
    request_id = event.get("requestId") if isinstance(event, dict) else None
    logger.append_keys(request_id=request_id if is_request_id(request_id) else None)
    records = Records(client("dynamodb"), settings().requests_table)
    try:
        take_answer(event, records=records, step_functions=client("stepfunctions"))
    except RequestRejected as rejection:
        problems = rejection.problems
    except (RequestNotFound, KeyMaterialNotAwaited) as error:
        problems = [new_problem(error.field, error_code(type(error).__name__), str(error))]
    else:
        logger.info("key material was received")
        return
    publish_refusal(event, problems, events=client("events"), bus=settings().event_bus)
    logger.info("key material was refused", errors=[problem["code"] for problem in problems])
