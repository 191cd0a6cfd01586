"""Decisions of approvers, as they come from outside."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from provisioner.errors import RequestRejected
from provisioner.intake import documents
from provisioner.intake.documents import Fields

MAX_DECISION_BYTES = 8 * 1024


class DecisionFields(Fields):
    """Whether what a request waits with is approved, named by its hash."""

    decision: Literal["APPROVE", "REFUSE"]
    contentHash: Annotated[str, Field(min_length=1, max_length=128)]
    comment: Annotated[str, Field(max_length=1_024)] | None = None


def parse_decision(document: object) -> DecisionFields:
    """Check a decision.

    Raises
    ------
    RequestRejected
        It is not valid; carries every problem.
    """
    if problem := documents.unreadable(document, "decision", MAX_DECISION_BYTES):
        raise RequestRejected([problem])
    try:
        return DecisionFields.model_validate(document)
    except ValidationError as error:
        problems = documents.problems_from(error.errors(include_url=False), DecisionFields)
        raise RequestRejected(documents.bounded(problems)) from error
