"""Faults that calls can be made to meet: what the caller sees, and whether there was an effect."""

import io
import json
import socket
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from local.emulator import connections
from local.emulator.faults import Fault, Kind, parse
from local.polling import wait_for
from local.settings import ROOT_CREDENTIALS
from local.stack.endpoint import Endpoint
from tests.support.stack.kms_calls import HOME, OTHER, THROTTLED, refusal

# A function that calls KMS once, and survives whatever answer it gets.
FUNCTION = """
import boto3
from botocore.exceptions import BotoCoreError

def handler(event, context):
    kms = boto3.client("kms", config=boto3.session.Config(retries={"total_max_attempts": 1}))
    try:
        kms.create_key(Description=event["description"])
    except BotoCoreError as error:
        return str(error)
"""


@pytest.fixture(autouse=True)
def no_faults_left(emulator: Endpoint) -> Iterator[None]:
    yield
    emulator.clear_faults()


@pytest.fixture
def made(kms: Any) -> Callable[[str], bool]:
    """Return a function that says whether a key with a description exists."""

    def exists(description: str) -> bool:
        keys = kms.list_keys()["Keys"]
        described = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in keys[-5:]]
        return description in [key["Description"] for key in described]

    return exists


def description() -> str:
    return f"fault {uuid.uuid4()}"


def test_a_refusal_is_given_as_it_was_asked_for(
    emulator: Endpoint, kms: Any, made: Callable[[str], bool]
) -> None:
    name = description()
    emulator.put_faults(
        Fault("CreateKey", "refuse", code="LimitExceededException", status=400, message="Full.")
    )

    assert refusal(kms.create_key, Description=name) == ("LimitExceededException", "Full.")
    assert not made(name)
    assert kms.create_key(Description=name)
    assert made(name)


def test_throttling(emulator: Endpoint, kms: Any) -> None:
    emulator.put_faults(Fault("CreateKey", "throttle", times=2))

    assert refusal(kms.create_key) == ("ThrottlingException", THROTTLED)
    assert refusal(kms.create_key) == ("ThrottlingException", THROTTLED)
    assert kms.create_key()


@pytest.mark.parametrize(("fault", "effect"), [("error-before", False), ("error-after", True)])
def test_an_error_inside_kms(
    emulator: Endpoint, kms: Any, made: Callable[[str], bool], fault: Kind, effect: bool
) -> None:
    name = description()
    emulator.put_faults(Fault("CreateKey", fault))

    with pytest.raises(ClientError) as raised:
        kms.create_key(Description=name)
    assert raised.value.response["Error"]["Code"] == "KMSInternalException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert made(name) is effect


@pytest.mark.parametrize(("fault", "effect"), [("lose-before", False), ("lose-after", True)])
def test_a_lost_answer(
    emulator: Endpoint, kms: Any, made: Callable[[str], bool], fault: Kind, effect: bool
) -> None:
    name = description()
    emulator.put_faults(Fault("CreateKey", fault))
    before = len(emulator.kms_calls())

    with pytest.raises(ConnectionClosedError):
        kms.create_key(Description=name)
    call = emulator.kms_calls(since=before)[0]
    assert (call["operation"], call["status"], call["error"]) == ("CreateKey", 0, None)
    assert (call["region"], call["caller"]) == (HOME, "arn:aws:iam::111122223333:root")
    assert made(name) is effect


def test_an_answer_that_comes_too_late(emulator: Endpoint, made: Callable[[str], bool]) -> None:
    name = description()
    emulator.put_faults(Fault("CreateKey", "hang-after", seconds=60))
    impatient = boto3.client(
        "kms",
        region_name=HOME,
        endpoint_url=emulator.url,
        aws_access_key_id=ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(read_timeout=0.5, retries={"total_max_attempts": 1, "mode": "standard"}),
    )

    with pytest.raises(ReadTimeoutError):
        impatient.create_key(Description=name)
    assert made(name)


def test_an_answer_that_comes_late(emulator: Endpoint, kms: Any) -> None:
    emulator.put_faults(Fault("CreateKey", "hang-after", seconds=0.3))
    began = time.monotonic()

    assert kms.create_key()["KeyMetadata"]["KeyState"] == "Enabled"
    assert time.monotonic() - began >= 0.3


def test_only_the_calls_that_a_rule_is_about_meet_it(emulator: Endpoint, kms: Any) -> None:
    elsewhere = emulator.client("kms", OTHER)
    emulator.put_faults(
        Fault("CreateKey", "throttle", region=OTHER, skip=1),
        Fault("ListKeys", "refuse", code="KMSInternalException", status=503),
    )

    assert kms.create_key()
    assert elsewhere.create_key()
    assert refusal(elsewhere.create_key)[0] == "ThrottlingException"
    assert elsewhere.create_key()
    assert [fault.operation for fault in emulator.faults()] == ["ListKeys"]
    emulator.clear_faults()
    assert emulator.faults() == []
    assert kms.list_keys()["Keys"]


def test_calls_of_dynamodb_and_eventbridge(emulator: Endpoint) -> None:
    tables, events = emulator.client("dynamodb"), emulator.client("events")
    emulator.put_faults(
        Fault("ListTables", "error-before", service="dynamodb"),
        Fault("PutEvents", "lose-after", service="events"),
    )
    entry = {"Source": "test", "DetailType": "test", "Detail": "{}"}

    assert refusal(tables.list_tables)[0] == "InternalServerError"
    assert "TableNames" in tables.list_tables()
    with pytest.raises(ConnectionClosedError):
        events.put_events(Entries=[entry])
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0


@pytest.mark.parametrize(
    "rules",
    [
        {"operation": "CreateKey", "fault": "throttle"},
        [{"operation": "CreateKey"}],
        [{"operation": "CreateKey", "fault": "explode"}],
        [{"operation": "CreateKey", "fault": "throttle", "when": "now"}],
        [{"operation": "CreateKey", "fault": "throttle", "service": "s3"}],
    ],
)
def test_what_is_no_rule_is_refused(emulator: Endpoint, rules: Any) -> None:
    with pytest.raises(ValueError, match=r"fault|service"):
        parse(rules)
    answer = httpx.put(f"{emulator.url}/_local/faults", json=rules, timeout=10)
    assert answer.status_code == 400


class TestKilling:
    @pytest.fixture
    def invoke(self, emulator: Endpoint) -> Iterator[Callable[[str], dict[str, Any]]]:
        """Return a function that runs the code of FUNCTION and gives its error."""
        name = f"caller-{uuid.uuid4()}"
        allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        functions = emulator.client("lambda")
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", FUNCTION)
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.handler",
            Role=emulator.create_role(name, policy=policy),
            Code={"ZipFile": code.getvalue()},
            Timeout=30,
        )

        def run(description: str) -> dict[str, Any]:
            payload = json.dumps({"description": description})
            return dict(functions.invoke(FunctionName=name, Payload=payload))

        yield run
        functions.delete_function(FunctionName=name)

    @pytest.mark.parametrize(("fault", "effect"), [("kill-before", False), ("kill-after", True)])
    def test_the_calling_process_is_killed(
        self,
        emulator: Endpoint,
        made: Callable[[str], bool],
        invoke: Callable[[str], dict[str, Any]],
        fault: Kind,
        effect: bool,
    ) -> None:
        emulator.put_faults(Fault("CreateKey", fault))
        name, before = description(), len(emulator.kms_calls())

        assert invoke(name)["FunctionError"] == "Unhandled"
        created = wait_for(lambda: emulator.kms_calls(since=before) or None, "the call", timeout=10)
        assert created[0]["operation"] == "CreateKey"
        assert created[0]["status"] == 0
        assert made(name) is effect
        assert "FunctionError" not in invoke(description())

    def test_no_other_process_can_be_killed(
        self, emulator: Endpoint, kms: Any, made: Callable[[str], bool]
    ) -> None:
        emulator.put_faults(Fault("CreateKey", "kill-after"))
        name = description()

        code, message = refusal(kms.create_key, Description=name)
        assert code == "InternalFailure"
        assert "Only a process that the emulator started" in message
        assert not made(name)


def test_a_lost_answer_closes_the_connection_to_its_own_server_alone() -> None:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    clients = [socket.socket() for _ in servers]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(10)
    clients[0].bind(("127.0.0.1", 0))
    port = clients[0].getsockname()[1]
    clients[1].bind(("127.0.0.1", port))
    served = []
    for client, server in zip(clients, servers, strict=True):
        client.connect(server.getsockname())
        served.append(server.accept()[0])

    connections.close(port, servers[1].getsockname()[1])

    assert clients[1].recv(1) == b""
    served[0].sendall(b"x")
    assert clients[0].recv(1) == b"x"
    for one in (*clients, *served, *servers):
        one.close()
