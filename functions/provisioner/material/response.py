"""Takes answers to a question for key material and hands them to the execution that waits.

What an answer holds is wrapped: only KMS can read the key material in it.
"""

import hashlib
import json
from typing import TypedDict

from provisioner.aws import event_bus, executions
from provisioner.aws.client_types import EventBridgeClient, SFNClient
from provisioner.aws.records import UNDER_WAY, Record, Records, Status
from provisioner.domain import plan
from provisioner.domain.material import Answer
from provisioner.errors import (
    KeyMaterialNotAwaited,
    Problem,
    RequestNotFound,
    RequestRejected,
    new_problem,
)
from provisioner.intake import documents
from provisioner.intake.material_response import parse_answer

REFUSAL_DETAIL_TYPE = "Multi-Region Key Material Refused"


def take_answer(document: object, *, records: Records, step_functions: SFNClient) -> Record:
    """Check an answer and wake the execution that waits for it.

    An answer that was taken already is taken again without effect, until the next question.

    Returns
    -------
    Record
        The request's, as it was when the answer came.

    Raises
    ------
    RequestRejected
        The answer is not valid; carries every problem.
    RequestNotFound
        There is no such request.
    KeyMaterialNotAwaited
        The request does not wait for key material, or another answer to its question was faster;
        what that leaves open is asked for again, and this answer can be sent then.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer; sending the same answer again is safe.
    """
    answer = parse_answer(document)
    request_id, digest = answer["requestId"], _digest(answer)
    record = _read(records, request_id)
    if record.status == Status.WAITING_FOR_MATERIAL and record.task_token:
        _check_regions(answer, record)
        output = {"materials": answer["materials"]}
        if executions.answer_task(step_functions, record.task_token, output):
            records.note_answer(request_id, record.task_token, digest)
            return record
        record = _read(records, request_id)
    if record.answer_hash == digest:
        return record
    text = f"Request {request_id} is {record.status}."
    if record.status in UNDER_WAY and (record.answer_hash or record.task_token):
        text += (
            " It has just taken another answer, or its question is out of date. What it still "
            "needs it asks for again: once its status is WAITING_FOR_MATERIAL for this Region with "
            "a new question, send this answer once more. An import token is valid for 24 hours, "
            "also beside a newer one."
        )
    raise KeyMaterialNotAwaited(text)


class MaterialRefusal(TypedDict):
    """Why an answer with key material was refused; `requestId` is null where it names none."""

    requestId: str | None
    errors: list[Problem]


def publish_refusal(
    document: object, problems: list[Problem], *, events: EventBridgeClient, bus: str
) -> None:
    """Publish that an answer which came from the bus was refused.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        The refusal is not published; calling again does that.
    """
    request_id = document.get("requestId") if isinstance(document, dict) else None
    detail: MaterialRefusal = {
        "requestId": request_id if plan.is_request_id(request_id) else None,
        "errors": problems,
    }
    event_bus.put_event(events, bus, REFUSAL_DETAIL_TYPE, detail)


def _digest(answer: Answer) -> str:
    return hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()


def _read(records: Records, request_id: str) -> Record:
    record = records.get(request_id)
    if record is None:
        raise RequestNotFound(f"There is no request {request_id}.")
    return record


def _check_regions(answer: Answer, record: Record) -> None:
    awaited = [material["region"] for material in record.materials]
    seen: set[str] = set()
    problems = []
    for index, material in enumerate(answer["materials"]):
        path, region = f"materials[{index}].region", material["region"]
        if region not in awaited:
            text = f"No key material is asked for in this Region; it is in {', '.join(awaited)}."
            problems.append(new_problem(path, "REGION_NOT_AWAITED", text))
        elif region in seen:
            text = f"{region} is answered for twice."
            problems.append(new_problem(path, "DUPLICATE_REGION", text))
        seen.add(region)
    if problems:
        raise RequestRejected(documents.bounded(problems))
