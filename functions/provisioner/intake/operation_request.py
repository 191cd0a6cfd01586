"""Operations on key sets, as they come from outside."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from provisioner.domain.operation import Operation
from provisioner.domain.plan import REQUEST_ID_PATTERN
from provisioner.errors import RequestRejected
from provisioner.intake import documents
from provisioner.intake.documents import Fields
from provisioner.intake.request import Word

MAX_OPERATION_BYTES = 8 * 1024


class OperationFields(Fields):
    """What is to be done with a key set, under an ID by which it is done once."""

    operationId: Annotated[str, Field(pattern=f"^{REQUEST_ID_PATTERN}$")]
    operation: Literal["REPAIR", "ROTATE", "ROTATE_MATERIAL", "RELEASE"]
    confirm: list[Word] | None = None


def parse_operation(document: object) -> Operation:
    """Check an operation.

    Raises
    ------
    RequestRejected
        It is not valid; carries every problem.
    """
    if problem := documents.unreadable(document, "operation", MAX_OPERATION_BYTES):
        raise RequestRejected([problem])
    try:
        fields = OperationFields.model_validate(document)
    except ValidationError as error:
        problems = documents.problems_from(error.errors(include_url=False), OperationFields)
        raise RequestRejected(documents.bounded(problems)) from error
    return {
        "operationId": fields.operationId,
        "operation": fields.operation,
        "confirm": fields.confirm or [],
    }
