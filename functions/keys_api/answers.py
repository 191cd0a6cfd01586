"""The form of the API's answers."""

from collections.abc import Mapping

from aws_lambda_powertools.event_handler import Response, content_types

from keys_api.contract import Accepted, Errors
from provisioner import json_text
from provisioner.aws.records import Status
from provisioner.errors import Problem, ProvisionerError, new_problem
from provisioner.outcomes.failures import error_code


def answer(status: int, body: Mapping[str, object]) -> Response[str]:
    """Answer with a JSON document."""
    return Response(status, content_types.APPLICATION_JSON, json_text.text(body))


def accepted(
    request_id: str, execution_arn: str | None, status: Status = Status.IN_PROGRESS
) -> Response[str]:
    """Answer that a request goes on, or will (202)."""
    body: Accepted = {
        "requestId": request_id,
        "executionArn": execution_arn,
        "status": status,
    }
    return answer(202, body)


def error_answer(status: int, error: ProvisionerError) -> Response[str]:
    """Answer with an error of the package, under its code and its field."""
    problem = new_problem(error.field, error_code(type(error).__name__), str(error))
    return errors(status, [problem])


def errors(status: int, problems: list[Problem]) -> Response[str]:
    """Answer with every reason for which a call was refused or failed."""
    body: Errors = {"errors": problems}
    return answer(status, body)
