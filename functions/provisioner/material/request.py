"""Asks for key material: keeps the question in the record and publishes it."""

from typing import NotRequired, TypedDict

from provisioner.aws import event_bus
from provisioner.aws.client_types import EventBridgeClient
from provisioner.aws.records import Records
from provisioner.domain.material import Material
from provisioner.domain.plan import KeySetFacts
from provisioner.errors import Problem, RequestTakenOver
from provisioner.json_text import JsonObject

DETAIL_TYPE = "Multi-Region Key Material Required"


class Need(TypedDict):
    """What is needed. `errors` say why KMS did not take an earlier answer.

    `deadline` is when the request fails unless the key material has come. New material for a
    finished key set is needed for an operation, and `warnings` say what cannot be undone once it
    has come.
    """

    requestId: str
    executionArn: str
    ticket: JsonObject | None
    materials: list[Material]
    errors: list[Problem]
    deadline: str
    operationId: NotRequired[str]
    operation: NotRequired[str]
    warnings: NotRequired[list[Problem]]


class Question(Need):
    """What is asked, as the event says it; `key` is the key set as far as it exists."""

    key: KeySetFacts | None


def ask_for_material(
    question: Question, task_token: str, *, records: Records, events: EventBridgeClient, bus: str
) -> None:
    """Ask for the key material of some Regions; `task_token` takes the answer.

    A question is asked again, with new parameters, when the earlier ones are not good any more or
    KMS did not take the answer.

    Raises
    ------
    RequestTakenOver
        Another execution holds the request.
    Cancelled
        The request was cancelled.
    DependencyUnavailable, EventNotPublished
        The question is not recorded or not published; calling again does both.
    """
    request_id, execution_arn = question["requestId"], question["executionArn"]
    if not records.await_material(
        request_id,
        execution_arn,
        task_token,
        key=question["key"],
        materials=question["materials"],
        errors=question["errors"],
        deadline=question["deadline"],
        warnings=question.get("warnings", []),
    ):
        raise RequestTakenOver(f"{execution_arn} does not hold request {request_id} any more.")
    event_bus.put_event(events, bus, DETAIL_TYPE, question)
