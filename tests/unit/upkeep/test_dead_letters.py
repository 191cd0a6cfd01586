"""Dead letters on their way again."""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from provisioner.aws.clients import client
from provisioner.errors import DependencyUnavailable
from provisioner.upkeep.dead_letters import deliver_answer, deliver_request, redrive
from redrive import app
from tests.support.answering import answer, calls_of

MACHINE = "arn:aws:states:us-east-1:111122223333:stateMachine:mrk-provision-key"


class Queue:
    """A queue in memory: what is received is hidden until it is deleted."""

    def __init__(self, *bodies: str) -> None:
        self.messages = {f"message-{n}": body for n, body in enumerate(bodies)}
        self._hidden: set[str] = set()
        self.failing = ""

    def receive_message(self, **_: Any) -> dict[str, Any]:
        self._fail("ReceiveMessage")
        found = [name for name in self.messages if name not in self._hidden][:2]
        self._hidden.update(found)
        return {
            "Messages": [
                {"MessageId": name, "Body": self.messages[name], "ReceiptHandle": name}
                for name in found
            ]
        }

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        assert QueueUrl == "url"
        self._fail("DeleteMessage")
        del self.messages[ReceiptHandle]

    def _fail(self, operation: str) -> None:
        if self.failing == operation:
            raise ClientError({"Error": {"Code": "InternalError"}}, operation)


def invoked() -> dict[str, Any]:
    """Return what Lambda answers of a function that returned nothing."""
    return {"StatusCode": 200, "Payload": io.BytesIO(b"null")}


def test_every_letter_is_delivered_and_then_deleted() -> None:
    queue: Any = Queue(*(json.dumps({"requestId": f"CHG{n}"}) for n in range(5)))
    delivered: list[Any] = []

    def deliver(message_id: str, document: Any) -> bool:
        assert message_id in queue.messages
        delivered.append(document["requestId"])
        return True

    redriven = redrive(queue, "url", deliver)

    assert (redriven.taken, redriven.left) == (5, [])
    assert sorted(delivered) == [f"CHG{n}" for n in range(5)]
    assert queue.messages == {}


@pytest.mark.parametrize(
    ("body", "document"),
    [
        ({"detail-type": "Multi-Region Key Requested", "detail": {"a": 1}}, {"a": 1}),
        ({"requestId": "CHG1"}, {"requestId": "CHG1"}),
        ({"detail": {"a": 1}}, {"detail": {"a": 1}}),
        (["no object"], ["no object"]),
    ],
)
def test_a_letter_is_an_event_or_its_detail(body: Any, document: Any) -> None:
    delivered: list[Any] = []

    def deliver(_: str, found: Any) -> bool:
        delivered.append(found)
        return True

    queue: Any = Queue(json.dumps(body))
    redrive(queue, "url", deliver)

    assert delivered == [document]


def test_what_is_not_taken_or_not_read_stays_and_is_named() -> None:
    queue: Any = Queue(*('{"requestId": "CHG1"}', "{no JSON", '{"requestId": "CHG3"}', "[]"))

    def deliver(_: str, document: Any) -> bool:
        if document and document["requestId"] == "CHG1":
            raise DependencyUnavailable("Step Functions is away.")
        return bool(document)

    redriven = redrive(queue, "url", deliver)

    assert (redriven.taken, redriven.left) == (1, ["message-0", "message-1", "message-3"])
    assert queue.messages.keys() == {"message-0", "message-1", "message-3"}


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessage"])
def test_a_queue_that_fails_is_told(operation: str) -> None:
    queue: Any = Queue('{"requestId": "CHG1"}')
    queue.failing = operation

    with pytest.raises(DependencyUnavailable, match=operation):
        redrive(queue, "url", lambda *_: True)

    assert len(queue.messages) == 1


def test_a_request_starts_one_execution_for_each_message() -> None:
    started: list[Any] = []

    class StepFunctions:
        exceptions = boto3.client("stepfunctions", "us-east-1").exceptions

        def start_execution(self, **arguments: Any) -> None:
            started.append(arguments)
            if len(started) > 1:
                raise self.exceptions.ExecutionAlreadyExists(
                    {"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution"
                )

    step_functions: Any = StepFunctions()
    for _ in range(2):
        deliver_request(step_functions, MACHINE, "message-1", {"requestId": "CHG1"})

    assert [s["name"] for s in started] == ["redriven-message-1"] * 2
    assert json.loads(started[0]["input"]) == {"requestId": "CHG1"}


@pytest.mark.parametrize("outcome", [{"FunctionError": "Unhandled"}, ClientError({}, "Invoke")])
def test_an_answer_that_is_not_taken_is_told(outcome: Any) -> None:
    class Lambda:
        def invoke(self, **_: Any) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    functions: Any = Lambda()
    with pytest.raises(DependencyUnavailable, match="receive"):
        deliver_answer(functions, "receive", {})


def test_an_answer_is_handed_over_as_it_is() -> None:
    handed: dict[str, Any] = {}

    class Lambda:
        def invoke(self, **arguments: Any) -> dict[str, Any]:
            handed.update(arguments)
            return invoked()

    functions: Any = Lambda()
    deliver_answer(functions, "receive", {"requestId": "CHG1"})

    assert handed == {"FunctionName": "receive", "Payload": b'{"requestId":"CHG1"}'}


@pytest.mark.usefixtures("aws")
def test_requests_go_to_the_workflow_and_answers_to_their_function(
    context: Any, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = client("sqs")
    queues = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("requests", "answers")]
    for name, url in zip(("REQUESTS", "ANSWERS"), queues, strict=True):
        monkeypatch.setenv(f"UNDELIVERED_{name}", url)
    monkeypatch.setenv("RECEIVE_KEY_MATERIAL_FUNCTION", "receive")
    letter = sqs.send_message(QueueUrl=queues[0], MessageBody='{"requestId": "CHG1"}')
    unreadable = sqs.send_message(QueueUrl=queues[0], MessageBody="{no JSON")
    sqs.send_message(QueueUrl=queues[1], MessageBody='{"requestId": "CHG2"}')
    handed = calls_of(client("lambda"))
    answer(client("lambda"), "Invoke", *(invoked() for _ in range(3)))

    counts = app.handler({}, context)

    assert counts == {"requests": 1, "answers": 1, "left": [unreadable["MessageId"]]}
    machine = "arn:aws:states:us-east-1:111122223333:stateMachine:provision-key"
    (execution,) = client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert execution["name"] == f"redriven-{letter['MessageId']}"
    assert [arguments["FunctionName"] for _, arguments in handed] == ["receive"]
    assert "CHG1" not in log.getvalue()
    assert unreadable["MessageId"] in log.getvalue()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("event", "delivered"), [({}, True), ({"refuseOnly": True}, False)])
def test_a_request_that_no_execution_takes_is_refused_whoever_looks(
    event: Any, context: Any, monkeypatch: pytest.MonkeyPatch, *, delivered: bool
) -> None:
    sqs = client("sqs")
    queues = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("requests", "answers")]
    for name, url in zip(("REQUESTS", "ANSWERS"), queues, strict=True):
        monkeypatch.setenv(f"UNDELIVERED_{name}", url)
    monkeypatch.setenv("RECEIVE_KEY_MATERIAL_FUNCTION", "receive")
    monkeypatch.setenv("PUBLISH_OUTCOME_FUNCTION", "publish")
    other = sqs.send_message(QueueUrl=queues[0], MessageBody='{"requestId": "CHG1"}')
    large = {"detail-type": "t", "detail": {"requestId": "CHG2", "description": "é" * 70_000}}
    letter = sqs.send_message(QueueUrl=queues[0], MessageBody=json.dumps(large))
    sqs.send_message(QueueUrl=queues[1], MessageBody='{"requestId": "CHG3"}')
    handed = calls_of(client("lambda"))
    answer(client("lambda"), "Invoke", *(invoked() for _ in range(3)))

    counts = app.handler(event, context)

    payloads = {arguments["FunctionName"]: arguments["Payload"] for _, arguments in handed}
    refusal = json.loads(payloads["publish"])
    assert (refusal["letter"], refusal["executionArn"]) == (letter["MessageId"], None)
    assert (refusal["status"], refusal["request"]["requestId"]) == ("REJECTED", "CHG2")
    assert [problem["code"] for problem in refusal["problems"]] == ["REQUEST_TOO_LARGE"]
    assert ("receive" in payloads) is delivered
    left = [] if delivered else [other["MessageId"]]
    assert counts == {"requests": 1 + delivered, "answers": int(delivered), "left": left}
