"""The door for ticket systems on the deployed stack, past API Gateway and IAM."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from local.hooks import proof, sample_body
from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.deliveries import ENTRIES, SOURCES, Sent, forged, with_request
from tests.support.stack.reading import calls_since, new_request

FUNCTION = "ReceiveHookFunction"
PLACES = {source: ENTRIES[source]["ticket"]["system"] for source in SOURCES}


@contextmanager
def holding(stack: Stack, entries: Any) -> Iterator[Stack]:
    """Let the stack's secret have these entries, and the function know of it at once."""
    secret, manager = stack.outputs["HooksSecretArn"], stack.client("secretsmanager")
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps(entries))
    try:
        # Whatever changes in its environment makes the function start anew.
        with stack.changed_environment(FUNCTION, STARTED=uuid.uuid4().hex):
            yield stack
    finally:
        manager.put_secret_value(SecretId=secret, SecretString=before)


@pytest.fixture(scope="module")
def door(stack: Stack) -> Iterator[Stack]:
    """Return the stack with the samples' entries in its secret."""
    with holding(stack, ENTRIES):
        yield stack


def delivered(stack: Stack, source: str, body: bytes) -> httpx.Response:
    return stack.deliver(source, body, proof(ENTRIES[source], body))


def status_of(stack: Stack, request_id: str) -> dict[str, Any]:
    """Return a request's status as soon as it waits for approval."""

    def waiting() -> dict[str, Any] | None:
        status: dict[str, Any] = stack.api("GET", f"/keys/{request_id}").json()
        return status if status.get("status") == "WAITING_FOR_APPROVAL" else None

    return wait_for(waiting, f"request {request_id} to wait for approval", timeout=60)


def test_the_door_is_closed_as_long_as_the_secret_has_no_entry(stack: Stack) -> None:
    with holding(stack, {}):
        answer = delivered(stack, "jira", sample_body("jira"))

    assert answer.status_code == 401


@pytest.mark.parametrize("source", SOURCES)
def test_a_proved_delivery_becomes_a_request_that_waits_for_approval(
    door: Stack, source: str
) -> None:
    request = new_request(source)

    answer = delivered(door, source, with_request(source, request))

    assert (answer.status_code, answer.json()) == (202, {"requestId": request["requestId"]})
    status = status_of(door, request["requestId"])
    assert status["approval"]["requester"] is None
    assert status["approval"]["via"]["hook"] == source
    assert status["ticket"]["system"] == PLACES[source]


def test_a_delivery_that_comes_again_is_one_request_and_one_key_set(door: Stack) -> None:
    request = new_request("again", replicas=[{"region": "eu-west-1"}], revision="1")
    body = with_request("portal", request)

    with door.changed_environment("ClaimRequestFunction", APPROVAL="none,7,false"):
        for _ in range(2):
            # Each is signed anew, with an identifier of its own.
            assert delivered(door, "portal", body).status_code == 202
        created = door.wait_for_outcome(request["requestId"])
        assert delivered(door, "portal", body).status_code == 202
        wait_for(
            lambda: (
                len(door.executions(request["requestId"])) == 3
                and not any(map(door.is_running, door.executions(request["requestId"])))
            ),
            "three executions to end",
            timeout=60,
        )

    assert created["detail"]["status"] == "CREATED"
    assert created["detail"]["via"] == {"hook": "portal", "actor": None}
    outcomes = {
        (outcome["detail"]["status"], outcome["detail"]["key"]["keyId"])
        for outcome in door.outcomes(request["requestId"])
    }
    assert outcomes == {("CREATED", created["detail"]["key"]["keyId"])}
    creations = [
        call
        for call in door.kms_calls()
        if call["operation"] == "CreateKey" and _is_of(call, request)
    ]
    assert len(creations) == 1


def _is_of(call: dict[str, Any], request: dict[str, Any]) -> bool:
    return request["requestId"] in json.dumps(call)


def test_a_ticket_that_is_not_approved_asks_for_nothing(door: Stack) -> None:
    body = sample_body("jira").replace(b'"name": "Approved"', b'"name": "In review"')

    answer = delivered(door, "jira", body)

    assert (answer.status_code, answer.content) == (204, b"")


def test_a_request_that_is_refused_is_answered_and_published(door: Stack) -> None:
    request = new_request("refused", replica=[])
    answer = delivered(door, "github", with_request("github", request))
    refused = door.wait_for_outcome(request["requestId"])["detail"]

    assert answer.status_code == 400
    assert [error["code"] for error in answer.json()["errors"]] == ["UNKNOWN_FIELD"]
    assert refused["status"] == "REJECTED"
    assert refused["errors"] == answer.json()["errors"]
    assert refused["ticket"] == {"system": "github", "id": "12"}


def test_a_request_that_cannot_be_read_is_refused_in_its_ticket(door: Stack) -> None:
    document = json.loads(sample_body("github"))
    document["issue"]["number"] = int(uuid.uuid4().int % 10**9)
    document["issue"]["body"] = "```json\n{this is no JSON}\n```"
    answer = delivered(door, "github", json.dumps(document).encode())
    ticket = {"system": "github", "id": str(document["issue"]["number"])}

    def published() -> dict[str, Any] | None:
        found = [e["detail"] for e in door.all_outcomes() if e["detail"].get("ticket") == ticket]
        return found[0] if found else None

    refused = wait_for(published, "the refusal", timeout=60)
    assert answer.status_code == 400
    assert refused["errors"] == answer.json()["errors"]
    assert [error["code"] for error in refused["errors"]] == ["NOT_JSON"]
    assert "at line 2, column 2" in refused["errors"][0]["message"]


def test_a_body_of_a_megabyte_is_refused_unread(door: Stack) -> None:
    answer = delivered(door, "jira", b"a" * 1024 * 1024)

    assert answer.status_code == 413
    assert [error["code"] for error in answer.json()["errors"]] == ["TOO_LARGE"]


def test_forged_deliveries_are_all_refused_alike_and_call_nothing(door: Stack) -> None:
    began, calls = datetime.now(UTC), len(door.kms_calls())
    permissions = len(door.permissions())
    answers: Counter[tuple[int, str, str]] = Counter()
    sent = [one for _, one in forged(240, seed=2026) if _travels(one)]
    for one in sent:
        answer = _unthrottled(door, one)
        answers[answer.status_code, answer.text, answer.headers["content-type"]] += 1

    assert [status for status, *_ in answers] == [401]
    assert len(sent) > 200
    assert calls_since(door, calls) == []
    asked = {p["action"] for p in door.permissions()[permissions:] if FUNCTION in p["principal"]}
    assert asked <= {"secretsmanager:GetSecretValue", "logs:CreateLogStream", "logs:PutLogEvents"}
    logged = "".join(_logged_since(door, began))
    assert '"delivery refused"' in logged
    assert not any(secret in logged for entry in ENTRIES.values() for secret in entry["secrets"])
    assert "alias/" not in logged


def _unthrottled(stack: Stack, sent: Sent) -> httpx.Response:
    """Deliver as soon as the API's throttle lets it in."""

    def let_in() -> httpx.Response | None:
        answer = stack.deliver(sent.source, sent.body, sent.headers)
        return answer if answer.status_code != 429 else None

    return wait_for(let_in, "the API's throttle", timeout=60)


def _travels(sent: Sent) -> bool:
    """Whether HTTP carries a delivery's headers: none with half a character, nor with a NUL."""
    return not any(
        "\ud800" <= char <= "\udfff" or char < " " for char in "".join(sent.headers.values())
    )


def _logged_since(stack: Stack, time: datetime) -> list[str]:
    logs, group = stack.client("logs"), stack.resources("AWS::Logs::LogGroup")["FunctionLogs"]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(time.timestamp() * 1000)
    )
    return [event["message"] for page in pages for event in page["events"]]


def test_whoever_signs_for_aws_has_no_way_past_the_proof(door: Stack) -> None:
    body = sample_body("jira")

    assert door.api("POST", "/hooks/jira", content=body).status_code == 401
    assert door.api("GET", "/hooks/jira").status_code in (403, 404)
    assert door.deliver("jira/more", body, proof(ENTRIES["jira"], body)).status_code in (403, 404)
