"""What services do with a role in the local stack needs that role's permission, as in AWS."""

import io
import json
import uuid
import zipfile
from typing import Any

import pytest

from local.polling import wait_for
from local.stack.endpoint import Endpoint

FAILING = "def handler(event, context):\n    raise ValueError(event)\n"


def role(emulator: Endpoint, *actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]} if actions else None
    return emulator.create_role(f"role-{uuid.uuid4()}", policy=policy)


def asked_of(emulator: Endpoint, role_arn: str) -> dict[str, Any]:
    """Return the one permission that a role was asked for, once it was."""
    session = f":assumed-role/{role_arn.rsplit('/', 1)[1]}/"

    def asked() -> dict[str, Any] | None:
        return next((p for p in emulator.permissions() if session in p["principal"]), None)

    return wait_for(asked, f"{role_arn} to be used", timeout=20)


def state_machine(emulator: Endpoint, role_arn: str, state: dict[str, Any]) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": "Only", "States": {"Only": state}}
    created = emulator.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=role_arn
    )
    arn: str = created["stateMachineArn"]
    return arn


def run(emulator: Endpoint, machine: str) -> dict[str, Any]:
    """Start an execution; give its description once it has ended."""
    states = emulator.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return wait_for(ended, "the execution to end", timeout=20)


def failing_function(emulator: Endpoint, role_arn: str, **settings: Any) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", FAILING)
    name = f"failing-{uuid.uuid4()}"
    created = emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handler",
        Role=role_arn,
        Code={"ZipFile": code.getvalue()},
        **settings,
    )
    arn: str = created["FunctionArn"]
    return arn


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ([], "Lambda.AWSLambdaException"),
        (["lambda:InvokeFunction"], "Runtime.HandlerError"),
    ],
)
def test_a_state_machine_invokes_a_function_with_its_role(
    emulator: Endpoint, actions: list[str], error: str
) -> None:
    used = role(emulator, *actions)
    function = failing_function(emulator, role(emulator))
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function},
        "End": True,
    }

    assert run(emulator, state_machine(emulator, used, task))["error"] == error
    asked = asked_of(emulator, used)
    assert (asked["action"], asked["resource"]) == ("lambda:InvokeFunction", function)
    assert asked["allowed"] is bool(actions)


@pytest.mark.parametrize(
    ("actions", "error"),
    [([], "StepFunctions.AccessDeniedException"), (["states:StartExecution"], None)],
)
def test_a_state_machine_starts_another_with_its_role(
    emulator: Endpoint, actions: list[str], error: str | None
) -> None:
    used = role(emulator, *actions)
    other = state_machine(emulator, role(emulator), {"Type": "Succeed"})
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Arguments": {"StateMachineArn": other, "Input": {}},
        "End": True,
    }

    assert run(emulator, state_machine(emulator, used, task)).get("error") == error
    asked = asked_of(emulator, used)
    assert (asked["action"], asked["resource"]) == ("states:StartExecution", other)


def test_an_execution_of_a_name_that_is_used_is_refused_as_step_functions_does(
    emulator: Endpoint,
) -> None:
    other = state_machine(emulator, role(emulator), {"Type": "Succeed"})
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Arguments": {"StateMachineArn": other, "Name": "only", "Input": {}},
        "End": True,
    }
    machine = state_machine(emulator, role(emulator, "states:StartExecution"), task)

    first, second = run(emulator, machine), run(emulator, machine)

    assert first["status"] == "SUCCEEDED"
    assert second["error"] == "StepFunctions.ExecutionAlreadyExistsException"


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        ([], "States.Permissions"),
        (["states:StartExecution"], "States.Permissions"),
        (["states:StartExecution", "s3:GetObject"], None),
    ],
)
def test_a_distributed_map_reads_and_starts_its_items_with_its_role(
    emulator: Endpoint, actions: list[str], error: str | None
) -> None:
    bucket, s3 = f"items-{uuid.uuid4()}", emulator.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="items", Body=b'{"n": 1}\n{"n": 2}\n')
    state = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Arguments": {"Bucket": f"{{% '{bucket}' %}}", "Key": "items"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Item",
            "States": {"Item": {"Type": "Pass", "Output": "{% $states.input.n %}", "End": True}},
        },
        "End": True,
    }

    ended = run(emulator, state_machine(emulator, role(emulator, *actions), state))

    assert ended.get("error") == error
    if not error:
        assert json.loads(ended["output"]) == [1, 2]


@pytest.mark.parametrize("actions", [[], ["states:StartExecution"]])
def test_a_rule_starts_an_execution_with_its_targets_role(
    emulator: Endpoint, actions: list[str]
) -> None:
    used, source = role(emulator, *actions), f"test-{uuid.uuid4()}"
    machine = state_machine(emulator, role(emulator), {"Type": "Succeed"})
    events = emulator.client("events")
    events.put_rule(Name=source, EventPattern=json.dumps({"source": [source]}))
    target = {"Id": "machine", "Arn": machine, "RoleArn": used}
    events.put_targets(Rule=source, Targets=[target])

    events.put_events(Entries=[{"Source": source, "DetailType": "test", "Detail": "{}"}])

    asked = asked_of(emulator, used)
    assert (asked["action"], asked["resource"]) == ("states:StartExecution", machine)
    assert asked["allowed"] is bool(actions)

    def started() -> list[Any] | None:
        found = emulator.client("stepfunctions").list_executions(stateMachineArn=machine)
        return found["executions"] or None

    if actions:
        wait_for(started, "the execution", timeout=10)
    else:
        assert started() is None


@pytest.mark.parametrize("actions", [[], ["sqs:SendMessage"]])
def test_a_failed_event_is_kept_with_the_functions_role(
    emulator: Endpoint, actions: list[str]
) -> None:
    sqs, used = emulator.client("sqs"), role(emulator, *actions)
    queue = sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    queue_arn = attributes["Attributes"]["QueueArn"]
    function = failing_function(emulator, used, DeadLetterConfig={"TargetArn": queue_arn})
    lambda_ = emulator.client("lambda")
    lambda_.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=0)

    lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"some": "event"}')

    asked = asked_of(emulator, used)
    assert (asked["action"], asked["resource"]) == ("sqs:SendMessage", queue_arn)
    assert asked["allowed"] is bool(actions)

    def kept() -> list[Any] | None:
        return sqs.receive_message(QueueUrl=queue).get("Messages") or None

    if actions:
        [letter] = wait_for(kept, "the dead letter", timeout=10)
        assert letter["Body"] == '{"some": "event"}'
    else:
        assert kept() is None
