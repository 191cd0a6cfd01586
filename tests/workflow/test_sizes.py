"""A request of 128 KB of text that is not ASCII, through every trigger; and what is larger."""

import csv
import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.commands.batch import read_object, start
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.dead_letters import put_dead_letter, queue_url, waiting
from tests.support.stack.reading import new_request, read_key

MOST = 128 * 1024
# Outside the Basic Multilingual Plane: four bytes in UTF-8, twelve as escapes.
WIDE = "\N{CJK UNIFIED IDEOGRAPH-20BB7}"
TAGS = {f"tag{n}": "鍵" * 256 for n in range(47)}
TOO_LARGE = [("", "REQUEST_TOO_LARGE")]


def size(document: Any) -> int:
    return len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def request_of(bytes_: int, name: str = "large") -> dict[str, Any]:
    """Return a sound request of so many bytes."""
    replica = {"region": "eu-west-1", "tags": TAGS, "description": ""}
    request = new_request(name, tags=TAGS, description=WIDE * 8192, replicas=[replica])
    wide, narrow = divmod(bytes_ - size(request), 4)
    replica["description"] = WIDE * wide + "x" * narrow
    assert size(request) == bytes_
    return request


def as_csv(request: dict[str, Any]) -> bytes:
    """Write a request as a spreadsheet of one line."""
    tags = {f"tags.{key}": value for key, value in request["tags"].items()}
    plain = {name: request[name] for name in ("requestId", "alias", "description")}
    replicas = json.dumps(request["replicas"], ensure_ascii=False)
    row = {**plain, **tags, "replicas": replicas}
    written = io.StringIO()
    rows = csv.DictWriter(written, row)
    rows.writeheader()
    rows.writerow(row)
    return written.getvalue().encode()


def send_all(stack: Stack, size_of_each: int) -> dict[str, str]:
    """Send a request of that size through every trigger; return their IDs."""
    requests = {
        trigger: request_of(size_of_each, trigger)
        for trigger in ("event", "post", "start", "jsonl", "redrive")
    }
    requests["csv"] = request_of(size_of_each, "csv")
    stack.send(requests["event"])
    accepted = stack.api("POST", "/keys", json=requests["post"])
    assert accepted.status_code == (202 if size_of_each <= MOST else 400)
    stack.start_execution(requests["start"])
    put_dead_letter(stack, "UndeliveredRequests", json.dumps(requests["redrive"]))
    assert stack.invoke("RedriveFunction", {})["requests"] == 1
    start(stack, "keys.jsonl", f"{json.dumps(requests['jsonl'])}\n".encode())
    start(stack, "keys.csv", as_csv(requests["csv"]))
    return {trigger: request["requestId"] for trigger, request in requests.items()}


def test_a_request_of_128_kb_goes_through_every_trigger(stack: Stack) -> None:
    ids = send_all(stack, MOST)

    for trigger, request_id in ids.items():
        detail = stack.wait_for_outcome(request_id, timeout=120)["detail"]
        assert detail["status"] == "CREATED", (trigger, detail["errors"])
        (replica,) = detail["key"]["replicas"]
        key = read_key(stack, "eu-west-1", replica["arn"])
        assert (key["tags"], key["description"].startswith(WIDE)) == (TAGS, True)
        answer = stack.api("GET", f"/keys/{request_id}").json()
        assert answer["status"] == "CREATED"


def test_one_byte_more_is_refused_through_every_trigger(stack: Stack) -> None:
    ids = send_all(stack, MOST + 1)

    for trigger, request_id in ids.items():
        (outcome,) = stack.wait_for_outcomes(request_id, 1, timeout=120)
        found = [(e["path"], e["code"]) for e in outcome["detail"]["errors"]]
        assert (outcome["detail"]["status"], found) == ("REJECTED", TOO_LARGE), trigger
        assert stack.api("GET", f"/keys/{request_id}").json()["status"] == "REJECTED"
    assert waiting(stack, "UndeliveredRequests") == 0


def test_an_event_that_no_execution_takes_is_refused_and_other_letters_stay(stack: Stack) -> None:
    large, other = new_request("dead", description="é" * 150_000), new_request("dead")
    stack.send(large)
    put_dead_letter(stack, "UndeliveredRequests", json.dumps(other))
    assert waiting(stack, "UndeliveredRequests") == 2
    try:
        (left,) = stack.invoke("RedriveFunction", {"refuseOnly": True})["left"]

        outcome = stack.wait_for_outcome(large["requestId"])
        detail = outcome["detail"]
        assert outcome["detail-type"] == "Multi-Region Key Request Rejected"
        assert [(e["path"], e["code"]) for e in detail["errors"]] == TOO_LARGE
        assert stack.api("GET", f"/keys/{large['requestId']}").json()["status"] == "REJECTED"
        assert left
        assert waiting(stack, "UndeliveredRequests") == 1
        assert stack.executions(other["requestId"]) == []
    finally:
        url = queue_url(stack, "UndeliveredRequests")
        stack.client("sqs").purge_queue(QueueUrl=url)


@pytest.mark.parametrize("left", [0, 100, 700])
def test_whatever_an_execution_takes_is_refused_with_its_outcome(stack: Stack, left: int) -> None:
    request = new_request("nearly")
    description = "x" * (256 * 1024 - left - size({**request, "description": ""}))

    arn = stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"],
        input=json.dumps({**request, "description": description}, separators=(",", ":")),
    )["executionArn"]

    assert stack.wait_for_execution(arn)["status"] == "SUCCEEDED"
    detail = stack.wait_for_outcome(request["requestId"])["detail"]
    assert [(e["path"], e["code"]) for e in detail["errors"]] == TOO_LARGE


def test_a_refusal_of_much_that_is_wrong_fits_with_a_request_of_128_kb(stack: Stack) -> None:
    request = new_request("wrong")
    request |= {f"{'é' * 40}{n}": n for n in range(1_100)}
    assert 90_000 < size(request) <= MOST

    stack.send(request)

    detail = stack.wait_for_outcome(request["requestId"])["detail"]
    assert detail["status"] == "REJECTED"
    assert detail["errors"][-1]["code"] == "TOO_MANY_PROBLEMS"


def test_a_larger_body_than_a_state_holds_is_refused_by_the_api(stack: Stack) -> None:
    request = new_request("post", description="é" * 1_000_000)

    answer = stack.api("POST", "/keys", json=request, credentials=ROOT_USER)

    assert answer.status_code == 400
    assert [(e["path"], e["code"]) for e in answer.json()["errors"]] == TOO_LARGE
    assert stack.wait_for_outcome(request["requestId"])["detail"]["status"] == "REJECTED"


def test_half_a_surrogate_pair_is_refused_wherever_it_comes_from(stack: Stack) -> None:
    posted, sent, line = (new_request("half", description="\ud800") for _ in range(3))

    answer = stack.api("POST", "/keys", content=json.dumps(posted))
    stack.send(sent)
    execution = start(stack, "keys.jsonl", f"{json.dumps(line)}\n".encode())
    progress = json.loads(stack.wait_for_execution(execution)["output"])

    assert [e["code"] for e in answer.json()["errors"]] == ["NOT_UNICODE"]
    for request in (posted, sent):
        detail = stack.wait_for_outcome(request["requestId"])["detail"]
        assert [e["code"] for e in detail["errors"]] == ["NOT_UNICODE"]
    (result,) = map(json.loads, read_object(stack, progress["results"]).splitlines())
    assert (result["requestId"], [e["code"] for e in result["errors"]]) == (
        line["requestId"],
        ["NOT_UNICODE"],
    )


def test_a_functions_environment_has_4_kb(stack: Stack) -> None:
    functions = stack.client("lambda")
    name = stack.functions()["RedriveFunction"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    with pytest.raises(ClientError, match="exceeded the 4KB limit") as raised:
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables | {"MORE": "x" * 4_000}}
        )

    assert raised.value.response["Error"]["Code"] == "InvalidParameterValueException"


@pytest.mark.parametrize(
    ("kind", "most"), [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)]
)
def test_an_invocation_has_6_mb_and_an_asynchronous_one_1_mib(
    stack: Stack, kind: str, most: int
) -> None:
    with pytest.raises(ClientError, match="payload is too large") as raised:
        stack.client("lambda").invoke(
            FunctionName=stack.functions()["RedriveFunction"],
            InvocationType=kind,
            Payload=json.dumps("x" * most),
        )

    assert raised.value.response["Error"]["Code"] == "RequestTooLargeException"
