"""What the local stack refuses for its size or number, as AWS does.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.polling import wait_for
from local.stack.endpoint import Endpoint

DATA = 256 * 1024
EVENT = 1024 * 1024
LETTER = "é"  # Two bytes in UTF-8, six as an escape.
LOST = {"ErrorEquals": ["States.DataLimitExceeded"], "Output": "caught", "Next": "Done"}
LOST_LIKE_ALL = {"ErrorEquals": ["States.ALL"], "Output": "caught", "Next": "Done"}


def refusal_of(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response["Error"]
    return str(error["Code"]), str(error["Message"])


def deploy(emulator: Endpoint, **states: dict[str, Any]) -> str:
    name = f"sizes-{uuid.uuid4()}"
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": next(iter(states)),
        "States": {**states, "Done": {"Type": "Succeed"}},
    }
    created = emulator.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=emulator.create_role(name)
    )
    return str(created["stateMachineArn"])


def start(emulator: Endpoint, machine: str, given: Any, **more: str) -> str:
    text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    started = emulator.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=text, **more
    )
    return str(started["executionArn"])


def ended(emulator: Endpoint, execution: str) -> dict[str, Any]:
    states = emulator.client("stepfunctions")

    def over() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return wait_for(over, "the execution to end", timeout=30)


def test_an_execution_takes_256_kib_of_utf_8(emulator: Endpoint) -> None:
    machine = deploy(emulator, Pass={"Type": "Pass", "Next": "Done"})
    text = LETTER * (DATA // 2 - 1)

    assert ended(emulator, start(emulator, machine, text))["status"] == "SUCCEEDED"

    code, message = refusal_of(
        emulator.client("stepfunctions").start_execution,
        stateMachineArn=machine,
        input=f'"{text}a"',
    )
    assert code == "ValidationException"
    assert "'input'" in message


def test_a_name_is_taken_once_and_the_same_call_gives_the_running_execution(
    emulator: Endpoint,
) -> None:
    machine = deploy(emulator, Hold={"Type": "Wait", "Seconds": 3_000, "Next": "Done"})
    states = emulator.client("stepfunctions")
    first = start(emulator, machine, {"a": 1}, name="one")

    assert start(emulator, machine, {"a": 1}, name="one") == first
    again = {"stateMachineArn": machine, "name": "one"}
    assert refusal_of(states.start_execution, **again, input="{}")[0] == "ExecutionAlreadyExists"
    states.stop_execution(executionArn=first)
    code, _ = refusal_of(states.start_execution, **again, input='{"a":1}')
    assert code == "ExecutionAlreadyExists"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": "n" * 81}, "ValidationException"),
        ({"name": "two words"}, "InvalidName"),
        ({"input": "{no JSON"}, "InvalidExecutionInput"),
    ],
)
def test_what_names_an_execution_wrongly_starts_none(
    emulator: Endpoint, given: dict[str, str], code: str
) -> None:
    machine = deploy(emulator, Pass={"Type": "Pass", "Next": "Done"})

    found, _ = refusal_of(
        emulator.client("stepfunctions").start_execution, stateMachineArn=machine, **given
    )

    assert found == code


def test_the_answer_to_a_task_has_256_kib(emulator: Endpoint) -> None:
    code, message = refusal_of(
        emulator.client("stepfunctions").send_task_success,
        taskToken="token",
        output=json.dumps("x" * DATA),
    )

    assert code == "ValidationException"
    assert "'output'" in message


TWICE = "{% $states.input & $states.input %}"
TASK = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Done"}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"Type": "Pass", "Output": TWICE, "Next": "Done"}, "FAILED"),
        ({"Type": "Pass", "Assign": {"a": TWICE}, "Next": "Done"}, "FAILED"),
        (TASK | {"Arguments": {"Payload": TWICE}, "Catch": [LOST_LIKE_ALL]}, "FAILED"),
        (TASK | {"Arguments": {"Payload": TWICE}, "Catch": [LOST]}, "SUCCEEDED"),
    ],
    ids=["output", "variable", "arguments", "caught by its name"],
)
def test_a_state_holds_256_kib_and_only_its_own_name_catches_more(
    emulator: Endpoint, state: dict[str, Any], status: str
) -> None:
    execution = ended(emulator, start(emulator, deploy(emulator, State=state), LETTER * 66_000))

    assert execution["status"] == status
    if status == "FAILED":
        assert execution["error"] == "States.DataLimitExceeded"


def test_one_state_assigns_256_kib_and_another_one_as_much_again(emulator: Endpoint) -> None:
    one, two = ({name: "{% $states.input %}"} for name in ("a", "b"))
    at_once = deploy(emulator, Set={"Type": "Pass", "Assign": one | two, "Next": "Done"})
    in_turn = deploy(
        emulator,
        First={"Type": "Pass", "Assign": one, "Next": "Second"},
        Second={"Type": "Pass", "Assign": two, "Next": "Done"},
    )
    executions = [start(emulator, machine, "x" * 140_000) for machine in (at_once, in_turn)]

    statuses = [ended(emulator, execution)["status"] for execution in executions]

    assert statuses == ["FAILED", "SUCCEEDED"]


def test_variables_have_10_mib_together(emulator: Endpoint) -> None:
    sets = {
        f"Set{n}": {
            "Type": "Pass",
            "Assign": {f"v{n}": "{% $states.input %}"},
            "Next": f"Set{n + 1}",
        }
        for n in range(45)
    }
    machine = deploy(emulator, **sets, Set45={"Type": "Pass", "Next": "Done"})

    execution = ended(emulator, start(emulator, machine, "x" * 250_000))

    assert (execution["status"], execution["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "10 MiB" in execution["cause"]


def test_an_execution_fails_at_the_last_event_that_its_history_has_room_for(
    emulator: Endpoint,
) -> None:
    machine = deploy(
        emulator,
        Both={
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Round",
                    "States": {
                        "Round": {
                            "Type": "Choice",
                            "Choices": [{"Condition": "{% false %}", "Next": "Never"}],
                            "Default": "Pause",
                        },
                        "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Round"},
                        "Never": {"Type": "Succeed"},
                    },
                }
            ],
            "Catch": [LOST_LIKE_ALL],
            "Next": "Done",
        },
    )
    with emulator.changed_history_events(40):
        execution = ended(emulator, start(emulator, machine, {}))

    assert (execution["status"], execution["error"], execution["cause"]) == (
        "FAILED",
        "States.Runtime",
        "The execution reached the maximum number of history events (40).",
    )
    history = emulator.client("stepfunctions").get_execution_history(
        executionArn=execution["executionArn"]
    )
    last = history["events"][-1]
    assert (last["id"], last["type"]) == (40, "ExecutionFailed")


@pytest.fixture
def table(emulator: Endpoint) -> str:
    name = f"sizes-{uuid.uuid4()}"
    emulator.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def test_an_item_has_400_kb_of_names_and_values_in_utf_8(emulator: Endpoint, table: str) -> None:
    dynamodb = emulator.client("dynamodb")
    # "id", "1" and "v" take four bytes.
    largest = LETTER * ((400 * 1024 - 4) // 2)

    dynamodb.put_item(TableName=table, Item={"id": {"S": "1"}, "v": {"S": largest}})

    code, message = refusal_of(
        dynamodb.put_item, TableName=table, Item={"id": {"S": "1"}, "v": {"S": f"{largest}a"}}
    )
    assert (code, message) == (
        "ValidationException",
        "Item size has exceeded the maximum allowed size",
    )
    code, message = refusal_of(
        dynamodb.update_item,
        TableName=table,
        Key={"id": {"S": "1"}},
        UpdateExpression="SET w = :w",
        ExpressionAttributeValues={":w": {"S": "x"}},
    )
    assert (code, message) == (
        "ValidationException",
        "Item size to update has exceeded the maximum allowed size",
    )


def entry(detail: str) -> dict[str, Any]:
    return {"Source": "s", "DetailType": "d", "Detail": detail}


def test_the_entries_of_a_call_have_1_mib_together(emulator: Endpoint) -> None:
    events = emulator.client("events")
    detail = json.dumps({"x": "x" * (EVENT // 2 - 12)}, separators=(",", ":"))

    assert not events.put_events(Entries=[entry(detail), entry(detail)])["FailedEntryCount"]

    code, message = refusal_of(events.put_events, Entries=[entry(detail), entry(f"{detail} " * 2)])
    assert (code, message) == (
        "ValidationException",
        "Total size of the entries in the request is over the limit.",
    )


@pytest.fixture
def bus(emulator: Endpoint) -> Iterator[str]:
    name = f"sizes-{uuid.uuid4()}"
    events = emulator.client("events")
    events.create_event_bus(Name=name)
    yield name
    events.remove_targets(Rule=name, EventBusName=name, Ids=["workflow"])
    events.delete_rule(Name=name, EventBusName=name)
    events.delete_event_bus(Name=name)


def test_an_event_that_is_too_large_for_its_target_becomes_a_dead_letter(
    emulator: Endpoint, bus: str
) -> None:
    sqs, events = emulator.client("sqs"), emulator.client("events")
    machine = deploy(emulator, Pass={"Type": "Pass", "Next": "Done"})
    queue = sqs.create_queue(QueueName=bus)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    start_it = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    role = emulator.create_role(bus, policy={"Version": "2012-10-17", "Statement": [start_it]})
    rule = events.put_rule(Name=bus, EventBusName=bus, EventPattern='{"source":["s"]}')["RuleArn"]
    target = {
        "Id": "workflow",
        "Arn": machine,
        "RoleArn": role,
        "InputPath": "$.detail",
        "DeadLetterConfig": {"Arn": attributes["Attributes"]["QueueArn"]},
    }
    events.put_targets(Rule=bus, EventBusName=bus, Targets=[target])
    details = [{"n": 1, "text": LETTER * 130_000}, {"n": 2, "text": LETTER * 140_000}]

    for detail in details:
        sent = entry(json.dumps(detail)) | {"EventBusName": bus}
        assert not events.put_events(Entries=[sent])["FailedEntryCount"]

    (letter,) = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    event = json.loads(letter["Body"])
    assert (event["detail-type"], event["detail"]["n"]) == ("d", 2)
    named = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert (named["RULE_ARN"], named["TARGET_ARN"]) == (rule, machine)
    assert (named["ERROR_CODE"], "262144" in named["ERROR_MESSAGE"]) == ("ERROR_FROM_TARGET", True)
    started = emulator.client("stepfunctions").list_executions(stateMachineArn=machine)
    (execution,) = started["executions"]
    given = emulator.client("stepfunctions").describe_execution(
        executionArn=execution["executionArn"]
    )["input"]
    assert json.loads(given)["n"] == 1
