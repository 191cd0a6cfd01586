"""The form of the API's answers."""

from collections.abc import Mapping

from aws_lambda_powertools.event_handler import Response, content_types

from provisioner import json_text
from provisioner.aws.records import Status
from provisioner.errors import ProvisionerError, new_problem
from provisioner.outcomes.failures import error_code


def answer(status: int, body: Mapping[str, object]) -> Response[str]:
    """Answer with a JSON document."""
    return Response(status, content_types.APPLICATION_JSON, json_text.text(body))


def accepted(
    request_id: str, execution_arn: str | None, status: Status = Status.IN_PROGRESS
) -> Response[str]:
    """Answer that a request goes on, or will (202)."""
    return answer(202, {"requestId": request_id, "executionArn": execution_arn, "status": status})


def error_answer(status: int, error: ProvisionerError) -> Response[str]:
    """Answer with an error of the package, under its code and its field."""
    problem = new_problem(error.field, error_code(type(error).__name__), str(error))
    return answer(status, {"errors": [problem]})
