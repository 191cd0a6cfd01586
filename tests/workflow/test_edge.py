"""The edge of the stack: what the API answers by itself, dead letters, and what is logged."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.dead_letters import put_dead_letter, queue_url, waiting
from tests.support.stack.material_holder import new_material, wait_for_question, wrapped
from tests.support.stack.reading import new_request


def test_a_dead_request_is_redriven_to_completion(stack: Stack) -> None:
    whole, bare = new_request("dead"), new_request("dead")
    event = {"id": str(uuid.uuid4()), "detail-type": "Multi-Region Key Requested", "detail": whole}
    put_dead_letter(stack, "UndeliveredRequests", json.dumps(event))
    put_dead_letter(stack, "UndeliveredRequests", json.dumps(bare))
    unreadable = put_dead_letter(stack, "UndeliveredRequests", "{this is no JSON")

    redriven = stack.invoke("RedriveFunction", {})

    assert redriven == {"requests": 2, "answers": 0, "left": [unreadable]}
    for request in (whole, bare):
        assert stack.wait_for_outcome(request["requestId"])["detail"]["status"] == "CREATED"
    assert waiting(stack, "UndeliveredRequests") == 1
    stack.client("sqs").purge_queue(QueueUrl=queue_url(stack, "UndeliveredRequests"))


def test_a_dead_answer_is_redriven_to_completion(stack: Stack) -> None:
    request = new_request(
        "dead-answer", origin="EXTERNAL", keyMaterial={"wrappingKeySpec": "RSA_2048"}
    )
    stack.send(request)
    question = wait_for_question(stack, request["requestId"])
    answer = wrapped(question, new_material("SYMMETRIC_DEFAULT").secret)
    put_dead_letter(stack, "UndeliveredAnswers", json.dumps(answer))

    redriven = stack.invoke("RedriveFunction", {})

    assert redriven == {"requests": 0, "answers": 1, "left": []}
    assert stack.wait_for_outcome(request["requestId"])["detail"]["status"] == "CREATED"
    assert waiting(stack, "UndeliveredAnswers") == 0


def test_a_letter_is_kept_until_it_is_taken(stack: Stack) -> None:
    request = new_request("kept")
    iam, role = stack.client("iam"), stack.role_of("RedriveFunction")
    denied = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "states:StartExecution", "Resource": "*"}],
    }
    message = put_dead_letter(stack, "UndeliveredRequests", json.dumps(request))
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=json.dumps(denied))
    try:
        assert stack.invoke("RedriveFunction", {})["left"] == [message]
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")
    assert waiting(stack, "UndeliveredRequests") == 1
    sqs, url = stack.client("sqs"), queue_url(stack, "UndeliveredRequests")
    assert stack.executions(request["requestId"]) == []

    sqs.purge_queue(QueueUrl=url)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        *((body, "NOT_AN_OBJECT") for body in (b"", b"[]", b"null", b'"text"')),
        *((body, "NOT_JSON") for body in (b"{", b'{"a": 1e}')),
    ],
)
def test_what_is_no_object_is_refused_in_the_shape_of_every_refusal(
    stack: Stack, body: bytes, code: str
) -> None:
    answer = post(stack, body)

    assert answer.status_code == 400
    assert [(e["path"], e["code"]) for e in answer.json()["errors"]] == [("", code)]


def post(stack: Stack, body: bytes) -> httpx.Response:
    request = httpx.Request(
        "POST",
        f"{stack.outputs['ApiUrl']}/keys",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    stack._sign(request, ROOT_USER)
    with httpx.Client(timeout=60) as client:
        return client.send(request)


def test_the_schema_of_a_request_is_published(stack: Stack) -> None:
    schema = stack.api("GET", "/schema").json()

    assert set(schema["required"]) == {"requestId", "alias"}
    assert schema["additionalProperties"] is False


def test_nothing_secret_is_logged(stack: Stack, emulator_log: Any) -> None:
    # One that no other test names: KMS's reason for refusing a principal is logged with its name.
    role, began = f"Unlogged{uuid.uuid4().hex[:8]}", datetime.now(UTC)
    stack.create_role(role)
    principal = f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"
    request = new_request(
        "logged",
        origin="EXTERNAL",
        keyMaterial={"wrappingKeySpec": "RSA_2048"},
        description="words of the description",
        tags={"team": "value-of-a-tag"},
        policy={"administrators": [principal]},
        ticket={"system": "name-of-the-ticket-system"},
    )
    stack.send(request)
    question = wait_for_question(stack, request["requestId"])
    answer = wrapped(question, new_material("SYMMETRIC_DEFAULT").secret)
    stack.api("POST", f"/keys/{request['requestId']}/material", json=answer)
    stack.wait_for_outcome(request["requestId"])
    secrets = [
        *("words of the description", "value-of-a-tag", "name-of-the-ticket-system"),
        *("kms:PutKeyPolicy", "Allow access for Key Administrators", role),
        question["materials"][0]["importToken"],
        question["materials"][0]["publicKey"],
        answer["materials"][0]["encryptedKeyMaterial"],
    ]

    def lines() -> str | None:
        text = "\n".join(logged(stack, began)) + emulator_log.read_text(errors="replace")
        return text if f'"request_id":"{request["requestId"]}"' in text else None

    text = wait_for(lines, "the request's lines", timeout=30)
    assert not [secret for secret in secrets if secret in text]


def logged(stack: Stack, since: datetime) -> list[str]:
    """List every line of every log group from a time on; the emulator lists 10,000 at most."""
    logs = stack.client("logs")
    return [
        event["message"]
        for group in logs.describe_log_groups()["logGroups"]
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], startTime=int(since.timestamp() * 1000)
        )
        for event in page["events"]
    ]
