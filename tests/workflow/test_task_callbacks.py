"""Tasks that wait for a token, in the local stack as in AWS.

The state machines are the tests' own. All but one send their token to a queue; that one sends it to
a function that fails.
"""

import io
import json
import shlex
import shutil
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.polling import wait_for
from local.settings import STATE
from local.stack import server
from local.stack.endpoint import Endpoint

HOME = "us-east-1"
SENT = "{% $states.context.Task.Token %}"
RETRIED = [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 2}]
CAUGHT = [
    {"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Next": "Caught"},
]
RESPONSES = ["states:SendTaskSuccess", "states:SendTaskFailure"]

BOOTSTRAP = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m awslambdaric "$_HANDLER"\n'
FAILING = """\
class SealsDoNotMatch(Exception):
    pass


def handler(event, context):
    raise SealsDoNotMatch(event["token"])
"""


@dataclass
class Machine:
    """A state machine with one task that waits, and the queue that gets its tokens."""

    emulator: Endpoint
    arn: str = ""
    queue: str = ""

    @property
    def states(self) -> Any:
        return self.emulator.client("stepfunctions")

    def start(self, **given: Any) -> str:
        started = self.states.start_execution(stateMachineArn=self.arn, input=json.dumps(given))
        return str(started["executionArn"])

    def token(self) -> str:
        """Take the next token that was sent."""
        sqs = self.emulator.client("sqs")

        def received() -> str | None:
            for message in sqs.receive_message(QueueUrl=self.queue).get("Messages", []):
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                return str(message["Body"])
            return None

        return wait_for(received, "a task token", timeout=10)

    def ended(self, execution: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            described: dict[str, Any] = self.states.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        return wait_for(over, "the execution to end", timeout=15)


def machine(emulator: Endpoint, **task: Any) -> Machine:
    """Make a state machine; `task` are fields of its task beyond a token sent to a queue."""
    name = f"callbacks-{uuid.uuid4()}"
    queue = emulator.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    waiting = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Arguments": {"QueueUrl": queue, "MessageBody": SENT},
        "Catch": CAUGHT,
        "Next": "Answered",
    }
    states = {
        "Waiting": waiting | task,
        "Answered": {"Type": "Succeed"},
        "Caught": {"Type": "Succeed"},
    }
    return Machine(
        emulator, deploy(emulator, name, {"StartAt": "Waiting", "States": states}), queue
    )


def deploy(emulator: Endpoint, name: str, definition: dict[str, Any]) -> str:
    invoke = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [invoke]}
    created = emulator.client("stepfunctions").create_state_machine(
        name=name,
        definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
        roleArn=emulator.create_role(name, policy=policy),
    )
    return str(created["stateMachineArn"])


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    return str(raised.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def failing_function(emulator: Endpoint) -> str:
    name = f"failing-{uuid.uuid4()}"
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", FAILING)
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        archive.writestr(bootstrap, BOOTSTRAP)
    emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="app.handler",
        Role=emulator.create_role(name),
        Code={"ZipFile": code.getvalue()},
        Timeout=20,
    )
    return name


def test_the_task_gives_what_the_token_was_answered_with(emulator: Endpoint) -> None:
    answered = machine(emulator)

    execution = answered.start()
    answered.states.send_task_success(taskToken=answered.token(), output='{"sealed": true}')

    assert json.loads(answered.ended(execution)["output"]) == {"sealed": True}


def test_an_error_of_the_function_fails_the_task(emulator: Endpoint, failing_function: str) -> None:
    payload = {"FunctionName": failing_function, "Payload": {"token": SENT}}
    failing = machine(
        emulator, Resource="arn:aws:states:::lambda:invoke.waitForTaskToken", Arguments=payload
    )

    output = json.loads(failing.ended(failing.start())["output"])

    assert output["Error"] == "SealsDoNotMatch"
    token = json.loads(output["Cause"])["errorMessage"]
    assert code_of(failing.states.send_task_success, taskToken=token, output="{}") == "TaskTimedOut"


def test_each_attempt_has_a_token_of_its_own(emulator: Endpoint) -> None:
    retried = machine(emulator, Retry=RETRIED)
    states = retried.states

    execution = retried.start()
    first = retried.token()
    states.send_task_failure(taskToken=first, error="Again", cause="not yet")
    second = retried.token()

    assert second != first
    assert code_of(states.send_task_success, taskToken=first, output="{}") == "TaskTimedOut"
    states.send_task_success(taskToken=second, output='"second"')
    assert json.loads(retried.ended(execution)["output"]) == "second"


def test_a_token_is_answered_once_and_with_json(emulator: Endpoint) -> None:
    answered = machine(emulator)
    states = answered.states

    execution = answered.start()
    token = answered.token()

    assert code_of(states.send_task_success, taskToken="nobody's", output="{}") == (
        "TaskDoesNotExist"
    )
    assert code_of(states.send_task_success, taskToken=token, output="{") == "InvalidOutput"
    states.send_task_success(taskToken=token, output="{}")
    assert code_of(states.send_task_failure, taskToken=token, error="Late") == "TaskTimedOut"
    assert answered.ended(execution)["output"] == "{}"


def test_the_timeout_of_a_callback_can_be_computed(emulator: Endpoint) -> None:
    until = "$toMillis($states.input.until)"
    entered = "$toMillis($states.context.State.EnteredTime)"
    late = machine(emulator, TimeoutSeconds=f"{{% $ceil(({until} - {entered}) / 1000) %}}")

    began = time.monotonic()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    execution = late.start(until=soon)
    token = late.token()
    output = json.loads(late.ended(execution)["output"])

    assert output["Error"] == "States.Timeout"
    assert time.monotonic() - began < 10
    assert code_of(late.states.send_task_success, taskToken=token, output="{}") == "TaskTimedOut"


@pytest.mark.parametrize("expression", ["{% 0 %}", "{% 1.5 %}", "{% 'soon' %}", "{% $missing %}"])
def test_a_computed_timeout_must_be_a_number_of_seconds(
    emulator: Endpoint, expression: str
) -> None:
    wrong = machine(emulator, TimeoutSeconds=expression)
    output = json.loads(wrong.ended(wrong.start())["output"])

    assert output["Error"] == "States.QueryEvaluationError"


def test_the_timeout_of_any_task_can_be_computed(emulator: Endpoint, failing_function: str) -> None:
    call = {"FunctionName": failing_function, "Payload": {"token": "none"}}
    timed = machine(
        emulator,
        TimeoutSeconds="{% $states.input.seconds %}",
        Resource="arn:aws:states:::lambda:invoke",
        Arguments=call,
    )

    for seconds, error in ((20, "SealsDoNotMatch"), (-1, "States.QueryEvaluationError")):
        output = json.loads(timed.ended(timed.start(seconds=seconds))["output"])
        assert output["Error"] == error


def test_a_stopped_execution_stays_stopped(emulator: Endpoint) -> None:
    stopped = machine(emulator)
    states = stopped.states

    execution = stopped.start()
    token = stopped.token()
    states.stop_execution(executionArn=execution, error="Stopped", cause="by hand")

    def refused() -> str | None:
        try:
            states.send_task_heartbeat(taskToken=token)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return None

    assert wait_for(refused, "the wait to end", timeout=5) == "TaskTimedOut"
    assert stopped.ended(execution)["status"] == "ABORTED"
    history = states.get_execution_history(executionArn=execution)["events"]
    assert history[-1]["type"] == "ExecutionAborted"


def test_what_fails_in_a_stopped_execution_changes_nothing(emulator: Endpoint) -> None:
    branch = {
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 100, "Next": "Fail"},
            "Fail": {"Type": "Fail"},
        },
    }
    one = Machine(emulator)
    both = {"Type": "Parallel", "Branches": [branch], "End": True}
    one.arn = deploy(emulator, f"{uuid.uuid4()}", {"StartAt": "Both", "States": {"Both": both}})

    execution = one.start()

    def entered() -> bool | None:
        history = one.states.get_execution_history(executionArn=execution)["events"]
        return len(history) > 1 or None

    wait_for(entered, "the state to be entered", timeout=5)
    one.states.stop_execution(executionArn=execution)
    # One that starts later fails later: then the stopped one's time to fail is over as well.
    assert one.ended(one.start())["status"] == "FAILED"

    assert one.ended(execution)["status"] == "ABORTED"


def test_tokens_of_branches_side_by_side_are_their_own(emulator: Endpoint) -> None:
    one = machine(emulator)
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Arguments": {"QueueUrl": one.queue, "MessageBody": SENT},
        "Output": SENT,
        "End": True,
    }
    branches = [{"StartAt": "Send", "States": {"Send": send}}] * 3
    both = {"Type": "Parallel", "Branches": branches, "End": True}
    one.arn = deploy(emulator, f"{uuid.uuid4()}", {"StartAt": "Both", "States": {"Both": both}})

    execution = one.start()
    tokens = [one.token() for _ in branches]
    for token in tokens:
        one.states.send_task_success(taskToken=token, output="{}")

    assert sorted(json.loads(one.ended(execution)["output"])) == sorted(tokens)


def test_who_may_answer_the_tasks_of_one_state_machine_answers_no_other(
    emulator: Endpoint,
) -> None:
    ours, theirs = machine(emulator), machine(emulator)
    role = f"role-{uuid.uuid4()}"
    statement = {"Effect": "Allow", "Action": RESPONSES, "Resource": ours.arn}
    emulator.create_role(role, policy={"Version": "2012-10-17", "Statement": [statement]})
    states = emulator.client("stepfunctions", HOME, emulator.credentials_of(role))
    execution = ours.start()
    theirs.start()
    token = theirs.token()

    refused = code_of(states.send_task_success, taskToken=token, output="{}")
    assert refused == "AccessDeniedException"
    assert code_of(states.send_task_failure, taskToken=token) == "AccessDeniedException"
    theirs.states.send_task_failure(taskToken=token)
    states.send_task_success(taskToken=ours.token(), output='"ours"')
    assert json.loads(ours.ended(execution)["output"]) == "ours"


@pytest.fixture
def other_server() -> Iterator[server.Server]:
    folder = STATE / f"test-callbacks-{uuid.uuid4()}"
    folder.mkdir(parents=True)
    started = server.start(server.free_port(), HOME, folder)
    yield started
    server.stop(started)
    shutil.rmtree(folder)


def test_the_emulator_ends_while_a_task_waits(other_server: server.Server) -> None:
    emulator = Endpoint(other_server.endpoint_url, HOME)
    one = machine(emulator)
    each = {
        "Type": "Map",
        "Items": [1, 2],
        "ItemProcessor": {
            "StartAt": "Send",
            "States": {
                "Send": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                    "Arguments": {"QueueUrl": one.queue, "MessageBody": SENT},
                    "End": True,
                }
            },
        },
        "End": True,
    }
    one.arn = deploy(emulator, "each", {"StartAt": "Each", "States": {"Each": each}})
    one.start()
    one.token()

    began = time.monotonic()
    server.stop(other_server)

    assert time.monotonic() - began < 5
