from typing import Any, cast

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.errors import (
    DependencyUnavailable,
    EventNotPublished,
    Problem,
    RequestTakenOver,
)
from provisioner.material.request import Question, ask_for_material
from tests.support.answering import answer, forget_answers, on, refusal
from tests.support.published import published_on
from tests.support.samples import EXECUTION, OTHER_EXECUTION
from tests.support.waiting import (
    EUROPE,
    HOME,
    NEXT_TOKEN,
    REQUEST,
    TOKEN,
    material_for,
    record_of,
)

KEY: Any = {"keyId": "mrk-1", "primary": {"region": HOME}}
PROBLEM: Problem = {
    "path": "primaryRegion",
    "code": "IMPORT_TOKEN_EXPIRED",
    "message": "It is old.",
}


def question_of(*regions: str, **fields: Any) -> Question:
    question = {
        "requestId": "CHG1",
        "executionArn": EXECUTION,
        "ticket": REQUEST["ticket"],
        "key": KEY,
        "deadline": "2026-12-02T12:00:00Z",
        "materials": [material_for(region) for region in regions or (HOME,)],
        "errors": [],
        **fields,
    }
    return cast(Question, question)


def ask(records: Records, question: Question, token: str = TOKEN) -> None:
    ask_for_material(question, token, records=records, events=client("events"), bus="keys")


def test_what_is_asked_for_is_kept_and_told_as_the_contract_says(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    events = published_on(client("events"))
    question = question_of(HOME, EUROPE, errors=[PROBLEM])

    ask(records, question)

    assert events == [("mrk.provisioner", "Multi-Region Key Material Required", dict(question))]
    record = record_of(records)
    assert (record.status, record.task_token) == (Status.WAITING_FOR_MATERIAL, TOKEN)
    assert record.materials == question["materials"]
    assert (record.key, record.errors, record.ticket) == (KEY, [PROBLEM], REQUEST["ticket"])


def test_the_token_that_takes_the_answer_is_told_to_nobody(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    events = published_on(client("events"))

    ask(records, question_of())

    assert TOKEN not in str(events)


def test_a_question_can_be_answered_before_it_is_told(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    seen: list[str | None] = []
    on(
        client("events"),
        "before-call.eventbridge.PutEvents",
        lambda **_: seen.append(record_of(records).task_token),
    )

    ask(records, question_of())

    assert seen == [TOKEN]


def test_another_question_replaces_the_one_before(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    ask(records, question_of(HOME, EUROPE))

    ask(records, question_of(EUROPE, errors=[PROBLEM]), NEXT_TOKEN)

    record = record_of(records)
    assert [material["region"] for material in record.materials] == [EUROPE]
    assert (record.errors, record.task_token) == ([PROBLEM], NEXT_TOKEN)


def test_an_execution_that_lost_its_request_asks_nobody(records: Records) -> None:
    records.claim(REQUEST, OTHER_EXECUTION)
    events = published_on(client("events"))

    with pytest.raises(RequestTakenOver, match=f"{EXECUTION} does not hold request CHG1"):
        ask(records, question_of())

    assert events == []
    assert record_of(records).status == Status.IN_PROGRESS


def test_a_question_that_is_not_kept_is_not_told(records: Records) -> None:
    records.claim(REQUEST, EXECUTION)
    events = published_on(client("events"))
    answer(client("dynamodb"), "UpdateItem", refusal("ThrottlingException"))

    with pytest.raises(DependencyUnavailable, match="UpdateItem"):
        ask(records, question_of())

    assert events == []


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]},
            EventNotPublished,
        ),
        (refusal("InternalException", status=500), DependencyUnavailable),
    ],
)
def test_a_question_that_was_not_told_is_told_by_the_next_call(
    answered: dict[str, Any], error: type[Exception], records: Records
) -> None:
    records.claim(REQUEST, EXECUTION)
    answer(client("events"), "PutEvents", answered)
    with pytest.raises(error):
        ask(records, question_of())
    forget_answers()
    events = published_on(client("events"))

    ask(records, question_of(), NEXT_TOKEN)

    assert len(events) == 1
    assert record_of(records).task_token == NEXT_TOKEN
