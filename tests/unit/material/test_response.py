import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner import json_text
from provisioner.aws.clients import client
from provisioner.aws.records import Record, Records, Status
from provisioner.errors import (
    DependencyUnavailable,
    EventNotPublished,
    KeyMaterialNotAwaited,
    Problem,
    RequestNotFound,
    RequestRejected,
)
from provisioner.intake.documents import MAX_PROBLEMS_BYTES
from provisioner.intake.material_response import MAX_ANSWER_BYTES
from provisioner.material.response import publish_refusal, take_answer
from tests.support.answering import answer, forget_answers, on, refusal
from tests.support.any_json import JSON
from tests.support.published import published_on
from tests.support.samples import EXECUTION
from tests.support.waiting import (
    ASIA,
    EUROPE,
    HOME,
    NEXT_TOKEN,
    REQUEST,
    TOKEN,
    answer_of,
    record_of,
    wait,
)

PROBLEM: Problem = {"path": "materials", "code": "REQUIRED", "message": "This field is required."}
NOBODY_WAITS = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


@pytest.fixture
def woken() -> list[dict[str, Any]]:
    """Return a list that grows with every SendTaskSuccess, all of which are taken."""
    return listen()


def listen(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    step_functions, sent = client("stepfunctions"), []
    answer(step_functions, "SendTaskSuccess", *answers or ({},))
    on(
        step_functions,
        "provide-client-params.sfn.SendTaskSuccess",
        lambda params, **_: sent.append(params),
    )
    return sent


def take(records: Records, document: object) -> Record:
    return take_answer(document, records=records, step_functions=client("stepfunctions"))


def pairs_of(records: Records, document: object) -> set[tuple[str, str]]:
    """Return path and code of every problem for which an answer is refused."""
    with pytest.raises(RequestRejected) as caught:
        take(records, document)
    assert all(problem["message"].endswith(".") for problem in caught.value.problems)
    return {(problem["path"], problem["code"]) for problem in caught.value.problems}


def test_an_answer_wakes_the_execution_that_waits_for_it(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    before = wait(records, HOME, EUROPE)

    record = take(records, answer_of(HOME, EUROPE))

    (parameters,) = woken
    assert parameters["taskToken"] == TOKEN
    assert json.loads(parameters["output"]) == {"materials": answer_of(HOME, EUROPE)["materials"]}
    assert record == before
    after = record_of(records)
    assert (after.status, after.materials, after.task_token) == (Status.IN_PROGRESS, [], None)


def test_some_of_the_regions_can_be_answered_for(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    wait(records, HOME, EUROPE, ASIA)

    take(records, answer_of(ASIA))

    assert json.loads(woken[0]["output"]) == {"materials": answer_of(ASIA)["materials"]}


def test_an_answer_that_comes_twice_is_taken_once(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    wait(records)
    document = answer_of(HOME)

    take(records, document)
    again = take(records, json.loads(json.dumps(document, sort_keys=True)))

    assert len(woken) == 1
    assert again.execution_arn == EXECUTION


def test_another_answer_comes_too_late(records: Records, woken: list[dict[str, Any]]) -> None:
    wait(records)
    take(records, answer_of(HOME))

    with pytest.raises(KeyMaterialNotAwaited, match="CHG1 is IN_PROGRESS"):
        take(records, answer_of(HOME, importToken="b3RoZXI="))

    assert len(woken) == 1


def test_the_same_answer_to_the_next_question_is_a_new_one(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    wait(records)
    take(records, answer_of(HOME))
    wait(records, token=NEXT_TOKEN)

    take(records, answer_of(HOME))

    assert [parameters["taskToken"] for parameters in woken] == [TOKEN, NEXT_TOKEN]


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_an_answer_that_was_taken_is_known_when_the_request_is_finished(
    status: Status, records: Records, woken: list[dict[str, Any]]
) -> None:
    wait(records)
    take(records, answer_of(HOME))
    records.finish(REQUEST, execution_arn=EXECUTION, status=status, key=None, errors=[])

    take(records, answer_of(HOME))
    with pytest.raises(KeyMaterialNotAwaited, match=f"CHG1 is {status}"):
        take(records, answer_of(HOME, importToken="b3RoZXI="))

    assert len(woken) == 1


@pytest.mark.parametrize("code", NOBODY_WAITS)
def test_an_answer_to_a_task_that_is_over_is_not_taken(code: str, records: Records) -> None:
    wait(records)
    listen(refusal(code))

    with pytest.raises(KeyMaterialNotAwaited, match="CHG1 is WAITING_FOR_MATERIAL"):
        take(records, answer_of(HOME))

    assert record_of(records).answer_hash is None


def test_an_answer_that_another_call_gives_right_now_is_taken_once(records: Records) -> None:
    wait(records)
    sent = listen({}, refusal("TaskTimedOut"))
    inner: list[Record] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            inner.append(record_of(records))
            take(records, answer_of(HOME))

    on(client("stepfunctions"), "provide-client-params.sfn.SendTaskSuccess", meanwhile)

    take(records, answer_of(HOME))

    assert len(sent) == 2
    assert record_of(records).status == Status.IN_PROGRESS


def test_an_answer_is_noted_only_for_the_question_it_was_given_to(records: Records) -> None:
    wait(records)
    listen()

    def meanwhile(**_: Any) -> None:
        wait(records, EUROPE, token=NEXT_TOKEN)

    on(client("stepfunctions"), "provide-client-params.sfn.SendTaskSuccess", meanwhile)

    take(records, answer_of(HOME))

    record = record_of(records)
    assert (record.status, record.task_token) == (Status.WAITING_FOR_MATERIAL, NEXT_TOKEN)
    assert record.answer_hash is None


@pytest.mark.parametrize("operation", ["GetItem", "SendTaskSuccess"])
def test_an_answer_that_a_service_does_not_take_can_be_given_again(
    operation: str, records: Records
) -> None:
    wait(records)
    service: Literal["stepfunctions", "dynamodb"] = (
        "stepfunctions" if operation == "SendTaskSuccess" else "dynamodb"
    )
    answer(client(service), operation, refusal("ThrottlingException"))
    with pytest.raises(DependencyUnavailable, match=operation):
        take(records, answer_of(HOME))
    forget_answers()
    sent = listen()

    take(records, answer_of(HOME))

    assert len(sent) == 1


def test_an_answer_that_was_taken_and_could_not_be_noted_is_not_taken_again(
    records: Records,
) -> None:
    wait(records)
    sent = listen({}, refusal("TaskTimedOut"))
    answer(client("dynamodb"), "UpdateItem", refusal("ThrottlingException"))

    with pytest.raises(DependencyUnavailable, match="UpdateItem"):
        take(records, answer_of(HOME))
    with pytest.raises(KeyMaterialNotAwaited):
        take(records, answer_of(HOME))

    assert len(sent) == 2


def test_an_answer_to_an_unknown_request_is_not_found(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    with pytest.raises(RequestNotFound, match="There is no request CHG1"):
        take(records, answer_of(HOME))

    assert woken == []


@pytest.mark.parametrize(
    "status", [Status.IN_PROGRESS, Status.CREATED, Status.FAILED, Status.REJECTED]
)
def test_a_request_that_does_not_wait_takes_no_answer(
    status: Status, records: Records, woken: list[dict[str, Any]]
) -> None:
    if status == Status.REJECTED:
        records.note_refusal("CHG1", None, None, [])
    else:
        records.claim(REQUEST, EXECUTION)
    if status in (Status.CREATED, Status.FAILED):
        records.finish(REQUEST, execution_arn=EXECUTION, status=status, key=None, errors=[])

    with pytest.raises(KeyMaterialNotAwaited, match=f"CHG1 is {status}.*status"):
        take(records, answer_of(HOME))

    assert woken == []


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (None, {("", "NOT_AN_OBJECT")}),
        ([answer_of(HOME)], {("", "NOT_AN_OBJECT")}),
        (json.dumps(answer_of(HOME)), {("", "NOT_AN_OBJECT")}),
        ({}, {("requestId", "REQUIRED"), ("materials", "REQUIRED")}),
        ({**answer_of(HOME), "requestId": None}, {("requestId", "WRONG_TYPE")}),
        ({**answer_of(HOME), "requestId": "CHG 1"}, {("requestId", "BAD_FORMAT")}),
        ({**answer_of(HOME), "material": []}, {("material", "UNKNOWN_FIELD")}),
        ({"requestId": "CHG1", "materials": None}, {("materials", "WRONG_TYPE")}),
        ({"requestId": "CHG1", "materials": {}}, {("materials", "WRONG_TYPE")}),
        ({"requestId": "CHG1", "materials": []}, {("materials", "TOO_SHORT")}),
        ({"requestId": "CHG1", "materials": [HOME]}, {("materials[0]", "WRONG_TYPE")}),
        (answer_of(HOME, validTo="x"), {("materials[0].validTo", "UNKNOWN_FIELD")}),
        (answer_of(HOME, region=None), {("materials[0].region", "WRONG_TYPE")}),
        (
            {"requestId": "CHG1", "materials": [answer_of(HOME)["materials"][0], {}]},
            {
                ("materials[1].region", "REQUIRED"),
                ("materials[1].importToken", "REQUIRED"),
                ("materials[1].encryptedKeyMaterial", "REQUIRED"),
            },
        ),
        (
            {
                "requestId": "r" * 81,
                "ticket": {},
                "materials": [
                    answer_of(HOME, importToken="?")["materials"][0],
                    {"region": 1, "importToken": "", "encryptedKeyMaterial": ["dG8="]},
                ],
            },
            {
                ("requestId", "BAD_FORMAT"),
                ("ticket", "UNKNOWN_FIELD"),
                ("materials[0].importToken", "BAD_FORMAT"),
                ("materials[1].region", "WRONG_TYPE"),
                ("materials[1].importToken", "TOO_SHORT"),
                ("materials[1].encryptedKeyMaterial", "WRONG_TYPE"),
            },
        ),
    ],
)
def test_a_bad_answer_is_refused_for_exactly_its_problems(
    document: object,
    problems: set[tuple[str, str]],
    records: Records,
    woken: list[dict[str, Any]],
) -> None:
    wait(records)

    assert pairs_of(records, document) == problems
    assert woken == []


@pytest.mark.parametrize("field", ["importToken", "encryptedKeyMaterial"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("dG9rZW4", "BAD_FORMAT"),
        ("dG9r\nZW4=", "BAD_FORMAT"),
        ("dG9rZW4=\n", "BAD_FORMAT"),
        ("dG9rZW4=dG9rZW4=", "BAD_FORMAT"),
        ("dG9r-W4_", "BAD_FORMAT"),
        ("====", "BAD_FORMAT"),
        ("dG9rZW\uff14=", "BAD_FORMAT"),
        ("", "TOO_SHORT"),
        ("A" * 8196, "TOO_LONG"),
    ],
)
def test_tokens_and_material_are_base64_of_at_most_6144_bytes(
    field: str, text: str, code: str, records: Records
) -> None:
    wait(records)

    found = pairs_of(records, answer_of(HOME, **{field: text}))

    assert found == {(f"materials[0].{field}", code)}


@pytest.mark.usefixtures("woken")
@pytest.mark.parametrize("text", ["A" * 8192, "AA==", "+/+/"])
def test_base64_at_its_limits_is_taken(text: str, records: Records) -> None:
    wait(records)

    take(records, answer_of(HOME, importToken=text, encryptedKeyMaterial=text))


def test_regions_that_are_not_asked_for_or_come_twice_are_all_named(
    records: Records, woken: list[dict[str, Any]]
) -> None:
    wait(records, HOME, EUROPE)

    with pytest.raises(RequestRejected) as caught:
        take(records, answer_of(HOME, ASIA, HOME, EUROPE, "mars-1", ASIA))

    assert [(p["path"], p["code"]) for p in caught.value.problems] == [
        ("materials[1].region", "REGION_NOT_AWAITED"),
        ("materials[2].region", "DUPLICATE_REGION"),
        ("materials[4].region", "REGION_NOT_AWAITED"),
        ("materials[5].region", "REGION_NOT_AWAITED"),
    ]
    assert f"it is in {HOME}, {EUROPE}." in caught.value.problems[0]["message"]
    assert woken == []


def test_a_refusal_of_very_many_regions_still_fits_into_an_event(records: Records) -> None:
    wait(records)
    document = answer_of(*["x"] * 900)

    with pytest.raises(RequestRejected) as caught:
        take(records, document)

    *kept, last = caught.value.problems
    assert last["code"] == "TOO_MANY_PROBLEMS"
    assert sum(json_text.size(problem) for problem in kept) <= MAX_PROBLEMS_BYTES


@pytest.mark.usefixtures("woken")
@pytest.mark.parametrize(("over", "fits"), [(0, True), (1, False)])
def test_an_answer_has_at_most_96_kb(over: int, *, fits: bool, records: Records) -> None:
    regions = [f"{HOME[:-1]}{n}" for n in range(1, 7)]
    wait(records, *regions)
    document = answer_of(*regions, importToken="A" * 8192, encryptedKeyMaterial="A" * 7000)
    left = MAX_ANSWER_BYTES - json_text.size(document)
    document["materials"][0]["region"] += "x" * (left + over)

    found = pairs_of(records, document)

    not_awaited = ("materials[0].region", "REGION_NOT_AWAITED")
    assert found == {not_awaited if fits else ("", "ANSWER_TOO_LARGE")}


def test_an_answer_nested_too_deeply_is_refused(records: Records) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    assert pairs_of(records, {"requestId": "CHG1", "materials": nested}) == {("", "TOO_DEEP")}


@given(document=JSON | st.dictionaries(st.sampled_from(["requestId", "materials"]), JSON))
def test_any_json_is_refused_with_its_problems(document: object) -> None:
    no_client: Any = None
    assert pairs_of(Records(no_client, "no table is asked"), document)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (answer_of(HOME), "CHG1"),
        ({"requestId": "CHG 1"}, None),
        ({"requestId": 1}, None),
        ({}, None),
        (None, None),
        ([answer_of(HOME)], None),
    ],
)
@pytest.mark.usefixtures("aws")
def test_a_refusal_is_told_with_the_request_it_is_about(document: object, told: str | None) -> None:
    events = published_on(client("events"))

    publish_refusal(document, [PROBLEM], events=client("events"), bus="keys")

    detail = {"requestId": told, "errors": [PROBLEM]}
    assert events == [("mrk.provisioner", "Multi-Region Key Material Refused", detail)]


def test_a_refusal_that_the_bus_does_not_take_is_not_told() -> None:
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    with pytest.raises(EventNotPublished):
        publish_refusal(answer_of(HOME), [PROBLEM], events=client("events"), bus="keys")
