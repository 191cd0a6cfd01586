"""Requests that wait for approval in the deployed stack: who asks, who decides, what comes of it.

The people are sessions of a role, as Identity Center makes them, and the API sees them as IAM
shows them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.commands.batch import read_object, start
from local.hooks import proof
from local.polling import wait_for
from local.stack.endpoint import Credentials
from local.stack.stack import Stack
from tests.support.deliveries import ENTRIES, with_request
from tests.support.stack.approvals import approving, people_of
from tests.support.stack.changes import (
    EUROPE,
    WEST,
    WRITES_OF_CHANGES,
    created,
    keys_of,
    revised,
    state_in,
)
from tests.support.stack.dead_letters import queue_url, waiting
from tests.support.stack.held_secrets import holding
from tests.support.stack.reading import new_request, operations_since
from tests.support.stack.workflow_paths import APPROVERS as ROLE

ASKED = "Multi-Region Key Approval Required"
VIA = {"hook": "jira", "actor": "557058:alice"}


@pytest.fixture(scope="module")
def people(stack: Stack) -> dict[str, Credentials]:
    """Return the credentials of three people who share a role."""
    return people_of(stack, "alice", "bob", "carol")


def question(stack: Stack, request_id: str) -> dict[str, Any]:
    """Wait until somebody is asked, and return what the event says."""

    def asked() -> dict[str, Any] | None:
        found = [e for e in stack.events(request_id) if e["detail-type"] == ASKED]
        return found[-1]["detail"] if found else None

    return wait_for(asked, f"request {request_id} to wait for approval", timeout=60)


def decide(
    stack: Stack, asked: dict[str, Any], who: Credentials, decision: str = "APPROVE"
) -> tuple[int, list[str]]:
    """Decide; return the answer's status and the codes of its errors."""
    body = {"decision": decision, "contentHash": asked["contentHash"], "comment": "Seen"}
    path = f"/keys/{asked['requestId']}/approval"
    answer = stack.api("POST", path, json=body, credentials=who)
    return answer.status_code, [error["code"] for error in answer.json().get("errors", [])]


def run_batch(stack: Stack, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a batch to its end; return its results."""
    content = "\n".join(map(json.dumps, requests)).encode()
    ended = stack.wait_for_execution(start(stack, "keys.jsonl", content), timeout=120)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    progress = json.loads(ended["output"])
    found = [json.loads(line) for line in read_object(stack, progress["results"]).splitlines()]
    waiting = [result for result in found if result["status"] == "WAITING_FOR_APPROVAL"]
    assert progress["waitingForApproval"] == len(waiting)
    return found


def codes(outcome: dict[str, Any]) -> list[str]:
    return [error["code"] for error in outcome["detail"]["errors"]]


def test_a_request_waits_until_a_second_person_approves_it(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    request = new_request("approved", replicas=[{"region": EUROPE}], ticket={"id": "T1"})
    name, before = request["requestId"], len(stack.kms_calls())
    with approving(stack, "all"):
        accepted = stack.api("POST", "/keys", json=request, credentials=people["alice"])
        asked = question(stack, name)
        status = stack.api("GET", f"/keys/{name}").json()

        assert (accepted.status_code, accepted.json()["status"]) == (202, "WAITING_FOR_APPROVAL")
        assert asked["requester"].endswith(f":assumed-role/{ROLE}/alice")
        assert (asked["revision"], asked["ticket"]) == (1, {"id": "T1"})
        assert [row["region"] for row in asked["plan"]] == ["us-east-1", EUROPE]
        assert status["status"] == "WAITING_FOR_APPROVAL"
        assert status["approval"]["contentHash"] == asked["contentHash"]
        assert operations_since(stack, before) == []
        assert decide(stack, asked, people["alice"]) == (403, ["APPROVER_IS_REQUESTER"])
        changed = {**request, "description": "Other"}
        assert stack.api("POST", "/keys", json=changed).status_code == 409

        assert decide(stack, asked, people["bob"]) == (202, [])
        # The other content was refused before.
        outcome = stack.wait_for_outcomes(name, 2)[-1]["detail"]

    assert outcome["status"] == "CREATED"
    assert outcome["requester"] == asked["requester"]
    (approval,) = outcome["approvals"]
    assert approval["approver"].endswith("/bob")
    assert (approval["decision"], approval["comment"]) == ("APPROVE", "Seen")
    assert decide(stack, asked, people["carol"]) == (409, ["NOT_AWAITED"])
    history = stack.api("GET", f"/keys/{name}/history").json()["outcomes"]
    kept = [(one["status"], len(one["approvals"])) for one in history]
    assert kept == [("REJECTED", 0), ("CREATED", 1)]


def test_two_people_approve_what_came_through_a_webhook_and_nothing_else_waits(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    request = new_request("hooked")
    stack.send({"request": request, "via": VIA})
    asked = question(stack, request["requestId"])
    assert (asked["requester"], asked["via"]) == (None, VIA)

    assert decide(stack, asked, people["alice"]) == (202, [])
    assert decide(stack, asked, people["bob"], "APPROVE") == (202, [])
    outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert (outcome["status"], outcome["via"]) == ("CREATED", VIA)
    assert [one["approver"].rsplit("/", 1)[1] for one in outcome["approvals"]] == ["alice", "bob"]


@contextmanager
def undelivered(stack: Stack) -> Iterator[None]:
    """Let what asks for keys end where EventBridge puts it once it gives up on the workflow."""
    events, sqs = stack.client("events"), stack.client("sqs")
    bus, _, name = stack.resources("AWS::Events::Rule")["KeyRequested"].rpartition("|")
    rule = {"Rule": name, "EventBusName": bus or stack.outputs["EventBusName"]}
    targets = events.list_targets_by_rule(**rule)["Targets"]
    queue = sqs.get_queue_attributes(
        QueueUrl=queue_url(stack, "UndeliveredRequests"), AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    events.put_targets(**rule, Targets=[{"Id": targets[0]["Id"], "Arn": queue}])
    try:
        yield
    finally:
        events.put_targets(**rule, Targets=targets)


def test_a_dead_letter_of_a_webhook_reaches_the_same_gate(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    request, before = new_request("redriven"), len(stack.kms_calls())
    name, body = request["requestId"], with_request("jira", request)
    with holding(stack, "HooksSecretArn", "ReceiveHookFunction", ENTRIES), undelivered(stack):
        assert stack.deliver("jira", body, proof(ENTRIES["jira"], body)).status_code == 202
        wait_for(lambda: waiting(stack, "UndeliveredRequests"), "the dead letter", timeout=30)
    assert stack.executions(name) == []

    assert stack.invoke("RedriveFunction", {}) == {"requests": 1, "answers": 0, "left": []}

    asked = question(stack, name)
    assert (asked["requester"], asked["via"]["hook"]) == (None, "jira")
    # One person is one, however often.
    assert decide(stack, asked, people["alice"]) == (202, [])
    assert decide(stack, asked, people["alice"]) == (202, [])
    status = stack.api("GET", f"/keys/{name}").json()
    assert (status["status"], len(status["approval"]["approvals"])) == ("WAITING_FOR_APPROVAL", 1)
    assert operations_since(stack, before) == []

    assert decide(stack, asked, people["bob"]) == (202, [])
    outcome = stack.wait_for_outcome(name)["detail"]
    assert (outcome["status"], outcome["via"]["hook"]) == ("CREATED", "jira")
    assert len(outcome["approvals"]) == 2


def test_a_refusal_says_who_and_why_and_the_request_may_be_sent_again(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    request, before = new_request("refused"), len(stack.kms_calls())
    stack.send({"request": request, "via": VIA})
    asked = question(stack, request["requestId"])

    assert decide(stack, asked, people["carol"], "REFUSE") == (202, [])
    refused = stack.wait_for_outcome(request["requestId"])

    assert refused["detail"]["status"] == "REJECTED"
    assert codes(refused) == ["APPROVAL_REFUSED"]
    assert "carol" in refused["detail"]["errors"][0]["message"]
    assert operations_since(stack, before) == []
    # Nobody need approve what did not come through a webhook.
    stack.send(request)
    assert stack.wait_for_outcomes(request["requestId"], 2)[-1]["detail"]["status"] == "CREATED"


def test_what_nobody_approves_in_time_is_refused(stack: Stack) -> None:
    request, before = new_request("late"), len(stack.kms_calls())
    with approving(stack, "hooks", days=0):
        stack.send({"request": request, "via": VIA})
        outcome = stack.wait_for_outcome(request["requestId"])

    assert (outcome["detail"]["status"], codes(outcome)) == ("REJECTED", ["APPROVAL_EXPIRED"])
    assert operations_since(stack, before) == []


def test_a_request_is_cancelled_while_it_waits(stack: Stack) -> None:
    request, before = new_request("cancelled"), len(stack.kms_calls())
    stack.send({"request": request, "via": VIA})
    question(stack, request["requestId"])

    assert stack.api("DELETE", f"/keys/{request['requestId']}").status_code == 202
    outcome = stack.wait_for_outcome(request["requestId"])

    assert (outcome["detail"]["status"], codes(outcome)) == ("FAILED", ["CANCELLED"])
    assert operations_since(stack, before) == []


def test_a_batch_ends_while_its_lines_wait_and_a_file_sent_again_asks_nobody_anew(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    requests = [new_request("line"), new_request("line")]
    names = [request["requestId"] for request in requests]
    before = len(stack.kms_calls())
    with approving(stack, "all"):
        first, again = run_batch(stack, requests), run_batch(stack, requests)
        asked = [question(stack, name) for name in names]

        assert [result["status"] for result in first] == ["WAITING_FOR_APPROVAL"] * 2
        assert [result["approval"] for result in first] == [
            {"contentHash": one["contentHash"], "until": one["until"]} for one in asked
        ]
        assert again == first
        for name in names:
            assert [event["detail-type"] for event in stack.events(name)] == [ASKED]
        assert operations_since(stack, before) == []

        for one in asked:
            assert decide(stack, one, people["alice"]) == (202, [])
            assert decide(stack, one, people["bob"]) == (202, [])
        outcomes = [stack.wait_for_outcome(name)["detail"]["status"] for name in names]
        last = run_batch(stack, requests)

    assert outcomes == ["CREATED", "CREATED"]
    assert [(result["status"], result["approval"]) for result in last] == [("CREATED", None)] * 2
    assert Counter(call for call, _ in operations_since(stack, before))["CreateKey"] == 2


def test_a_change_that_can_hurt_waits_and_is_carried_out_exactly_as_planned(
    stack: Stack, people: dict[str, Credentials]
) -> None:
    document = created(stack, "hurt", EUROPE, WEST)
    name = document["requestId"]
    arns = keys_of(stack.api("GET", f"/keys/{name}").json())
    stack.client("kms", WEST).encrypt(KeyId=arns[WEST], Plaintext=b"a card")
    fewer = revised(document, f"REMOVE:{WEST}", replicas=[{"region": EUROPE}])
    with approving(stack, "destructive"):
        plan = stack.api("POST", "/keys?plan=true", json=fewer).json()
        before = len(stack.kms_calls())
        sent = stack.api(
            "POST", f"/keys?planId={plan['planId']}", json=fewer, credentials=people["alice"]
        )
        asked = question(stack, name)
        assert (sent.status_code, asked["revision"]) == (202, 2)
        wanted = [(one["region"], one["call"]) for one in plan["changes"]]
        assert [(row["region"], row["call"]) for row in asked["plan"]] == wanted
        # Whoever decides sees that the key is in use.
        for row in (plan["changes"][0], asked["plan"][0]):
            assert row["lastUsedFor"] == "Encrypt"
            assert row["lastUsedAt"].endswith("Z")
        assert not {call for call, _ in operations_since(stack, before)} & WRITES_OF_CHANGES

        assert decide(stack, asked, people["bob"]) == (202, [])
        outcome = stack.wait_for_outcomes(name, 2)[-1]["detail"]

    assert (outcome["status"], len(outcome["approvals"])) == ("UPDATED", 1)
    writes = [one for one in operations_since(stack, before) if one[0] in WRITES_OF_CHANGES]
    assert Counter(writes) == Counter([("ScheduleKeyDeletion", WEST)])
    assert state_in(stack, WEST, arns[WEST]) == ("REPLICA", "PendingDeletion")
