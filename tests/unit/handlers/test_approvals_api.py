"""Requests that wait for approval, through the API."""

import json
from typing import Any

import pytest

from keys_api import app, tables
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.history import History
from provisioner.aws.records import Records
from provisioner.settings import approval_settings
from tests.support.samples import sample_event

pytestmark = pytest.mark.usefixtures("records")

LEAST = {"requestId": "CHG1", "alias": "alias/cards"}
ALICE = "arn:aws:sts::111122223333:assumed-role/Platform/alice"
BOB = "arn:aws:sts::111122223333:assumed-role/Platform/bob"


@pytest.fixture(autouse=True)
def _everything_needs_approval(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("APPROVAL", "all,7,false")
    approval_settings.cache_clear()
    monkeypatch.setattr(tables, "records", Records(client("dynamodb"), "requests"))
    monkeypatch.setattr(tables, "approvals", Approvals(client("dynamodb"), "requests"))
    monkeypatch.setattr(tables, "history", History(client("dynamodb"), "history"))
    yield
    approval_settings.cache_clear()


@pytest.fixture
def call(context: Any) -> Any:
    def send(
        method: str, path: str, body: object = None, *, caller: str | None = ALICE
    ) -> tuple[int, dict[str, Any]]:
        event = sample_event("api-post-keys")
        identity = {"userArn": caller, "sourceIp": "192.0.2.1"}
        answered = app.handler(
            {
                **event,
                "httpMethod": method,
                "path": path,
                "body": None if body is None else json.dumps(body),
                "requestContext": {**event["requestContext"], "identity": identity},
            },
            context,
        )
        return answered["statusCode"], json.loads(answered["body"])

    return send


def started() -> list[Any]:
    machine = "arn:aws:states:us-east-1:111122223333:stateMachine:provision-key"
    return list(client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])


def test_a_request_waits_is_shown_and_is_approved_by_another_person(call: Any) -> None:
    status, accepted = call("POST", "/keys", LEAST)

    assert (status, accepted["status"]) == (202, "WAITING_FOR_APPROVAL")
    (execution,) = started()
    assert execution["executionArn"] == accepted["executionArn"]
    status, shown = call("GET", "/keys/CHG1")
    assert (status, shown["status"], shown["key"]) == (200, "WAITING_FOR_APPROVAL", None)
    approval = shown["approval"]
    assert shown["request"]["alias"] == "alias/cards"
    assert (approval["requester"], approval["approvals"]) == (ALICE, [])
    decision = {"decision": "APPROVE", "contentHash": approval["contentHash"], "comment": "Yes"}

    assert call("POST", "/keys/CHG1/approval", decision)[0] == 403
    status, body = call("POST", "/keys/CHG1/approval", decision, caller=BOB)

    assert (status, body["status"]) == (202, "WAITING_FOR_APPROVAL")
    pending = Approvals(client("dynamodb"), "requests").get("CHG1")
    assert pending
    (made,) = pending.approvals
    assert (made["approver"], made["comment"], made["sourceIp"]) == (BOB, "Yes", "192.0.2.1")


def test_the_same_request_again_waits_under_its_first_requester(call: Any) -> None:
    first = call("POST", "/keys", LEAST)

    assert call("POST", "/keys", LEAST, caller=BOB) == first
    assert len(started()) == 1
    assert call("GET", "/keys/CHG1")[1]["approval"]["requester"] == ALICE


def test_other_content_is_a_conflict_while_it_waits(call: Any) -> None:
    call("POST", "/keys", LEAST)

    status, body = call("POST", "/keys", {**LEAST, "description": "other"})

    assert (status, body["errors"][0]["code"]) == (409, "REQUEST_CONFLICT")
    assert "waits for approval" in body["errors"][0]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"decision": "APPROVE", "contentHash": "0" * 64}, 409, "CONTENT_CHANGED"),
        ({"decision": "approve", "contentHash": "x"}, 400, "NOT_ONE_OF"),
        ({"decision": "APPROVE"}, 400, "REQUIRED"),
        ({"decision": "APPROVE", "contentHash": "x", "force": True}, 400, "UNKNOWN_FIELD"),
        ({"decision": "APPROVE", "contentHash": "x", "comment": "x" * 1_025}, 400, "TOO_LONG"),
        ([], 400, "NOT_AN_OBJECT"),
    ],
)
def test_a_decision_that_is_not_sound_is_refused(
    body: object, status: int, code: str, call: Any
) -> None:
    call("POST", "/keys", LEAST)

    answered, problems = call("POST", "/keys/CHG1/approval", body, caller=BOB)

    assert (answered, problems["errors"][0]["code"]) == (status, code)


def test_a_decision_about_nothing_is_not_awaited(call: Any) -> None:
    decision = {"decision": "APPROVE", "contentHash": "x"}

    status, body = call("POST", "/keys/CHG1/approval", decision, caller=BOB)
    assert (status, body["errors"][0]["code"]) == (409, "NOT_AWAITED")
    assert call("POST", f"/keys/{'x' * 81}/approval", decision, caller=BOB)[0] == 404


def test_nobody_that_iam_does_not_show_approves(call: Any) -> None:
    call("POST", "/keys", LEAST)
    content_hash = call("GET", "/keys/CHG1")[1]["approval"]["contentHash"]
    decision = {"decision": "APPROVE", "contentHash": content_hash}

    assert call("POST", "/keys/CHG1/approval", decision, caller=None)[0] == 403


def test_a_request_that_waits_is_cancelled(call: Any) -> None:
    _, accepted = call("POST", "/keys", LEAST)

    status, body = call("DELETE", "/keys/CHG1")

    assert (status, body["executionArn"]) == (202, accepted["executionArn"])


@pytest.mark.parametrize("decision", ["APPROVE", "REFUSE"])
def test_a_request_that_was_just_decided_is_cancelled_in_a_moment(call: Any, decision: str) -> None:
    call("POST", "/keys", LEAST)
    content_hash = call("GET", "/keys/CHG1")[1]["approval"]["contentHash"]
    body = {"decision": decision, "contentHash": content_hash}
    assert call("POST", "/keys/CHG1/approval", body, caller=BOB)[0] == 202

    status, answered = call("DELETE", "/keys/CHG1")

    (error,) = answered["errors"]
    assert (status, error["code"], error["path"]) == (409, "ALREADY_DECIDED", "requestId")
    assert "Send the DELETE again in a moment." in error["message"]


def test_a_plan_asks_nobody(context: Any) -> None:
    event = sample_event("api-post-keys-plan")
    event["body"] = json.dumps(LEAST)

    assert app.handler(event, context)["statusCode"] == 200
    assert Approvals(client("dynamodb"), "requests").get("CHG1") is None
