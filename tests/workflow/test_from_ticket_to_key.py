"""From a ticket to keys and back into the ticket, through the deployed stack and two people."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from local.hooks import proof
from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.deliveries import ENTRIES, with_request
from tests.support.stack.held_secrets import holding
from tests.support.stack.reading import calls_since, new_request
from tests.support.stack.workflow_paths import APPROVERS, approve
from tests.support.ticket_server import TicketServer, ticket_server

KEPT = {"jira": "KEYS-42", "servicenow": "46f09e75a9fe198100f4ffd8d366d17b", "github": "12"}
DONE = {"jira": "Done", "servicenow": "3", "github": "closed"}
FAILED = {"jira": "Needs work", "servicenow": "4", "github": "open"}


@pytest.fixture(scope="module")
def tickets(stack: Stack) -> Iterator[TicketServer]:
    """Return a ticket system that delivers to the stack and is written to by it."""
    with ExitStack() as opened:
        server = opened.enter_context(ticket_server())
        systems: dict[str, dict[str, Any]] = {}
        for system in KEPT:
            transitions = {"CREATED": DONE[system], "REJECTED": FAILED[system]}
            entry = {"kind": system, "url": server.url, "token": "x", "transitions": transitions}
            systems[system] = entry | ({"repository": "acme/keys"} if system == "github" else {})
            if system != "github":
                systems[system]["user"] = "mrk"
        opened.enter_context(holding(stack, "HooksSecretArn", "ReceiveHookFunction", ENTRIES))
        opened.enter_context(holding(stack, "TicketsSecretArn", "UpdateTicketFunction", systems))
        yield server


def heard(server: TicketServer, system: str, count: int) -> list[str]:
    """Wait until a ticket has that many comments."""
    ticket = KEPT[system]

    def found() -> list[str] | None:
        comments = server.comments.get(ticket, [])
        return [*comments] if len(comments) >= count else None

    return wait_for(found, f"{count} comments on {ticket}", timeout=60)


@pytest.mark.parametrize("system", KEPT)
def test_a_ticket_asks_two_people_approve_and_it_hears_of_the_keys(
    system: str, stack: Stack, tickets: TicketServer
) -> None:
    request = new_request(f"whole-{system}", replicas=[{"region": "eu-west-1"}])
    body = with_request(system, request)
    tickets.comments.clear()
    tickets.states.clear()

    answer = stack.deliver(system, body, proof(ENTRIES[system], body))
    assert (answer.status_code, answer.json()) == (202, {"requestId": request["requestId"]})
    (asked,) = heard(tickets, system, 1)
    assert f"/keys/{request['requestId']}/approval" in asked
    approve(stack, request["requestId"])
    created = stack.wait_for_outcome(request["requestId"])["detail"]
    _, last = heard(tickets, system, 2)

    arns = [one["arn"] for one in (created["key"]["primary"], *created["key"]["replicas"])]
    assert all(arn in last for arn in arns)
    assert created["outcomeId"] in last
    assert [one["approver"].rsplit("/", 1)[-1] for one in created["approvals"]] == ["alice", "bob"]
    state = wait_for(lambda: tickets.states.get(KEPT[system]), "a transition", timeout=30)
    assert state == DONE[system]
    (outcome,) = stack.api("GET", f"/keys/{request['requestId']}/history").json()["outcomes"]
    assert (outcome["status"], outcome["via"]["hook"]) == ("CREATED", system)
    assert outcome["approvals"] == created["approvals"]


def test_a_ticket_hears_that_somebody_refuses(stack: Stack, tickets: TicketServer) -> None:
    request = new_request("whole-refused")
    body = with_request("jira", request)
    tickets.comments.clear()
    before = len(stack.kms_calls())

    stack.deliver("jira", body, proof(ENTRIES["jira"], body))
    heard(tickets, "jira", 1)
    pending = stack.api("GET", f"/keys/{request['requestId']}").json()["approval"]
    decision = {"decision": "REFUSE", "contentHash": pending["contentHash"], "comment": "Too wide"}
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    stack.create_role(APPROVERS, policy={"Version": "2012-10-17", "Statement": [allowed]})
    who = stack.credentials_of(APPROVERS, "carol")
    path = f"/keys/{request['requestId']}/approval"
    assert stack.api("POST", path, json=decision, credentials=who).status_code == 202
    stack.wait_for_outcome(request["requestId"])
    _, last = heard(tickets, "jira", 2)

    assert "APPROVAL_REFUSED" in last
    assert "Too wide" in json.loads(last)["content"][1]["content"][0]["text"]
    assert [
        one for one in calls_since(stack, before) if request["requestId"] in json.dumps(one)
    ] == []


def test_a_ticket_hears_that_nobody_approved_in_time(stack: Stack, tickets: TicketServer) -> None:
    request = new_request("whole-expired")
    body = with_request("jira", request)
    tickets.comments.clear()

    with stack.changed_environment("ClaimRequestFunction", APPROVAL="hooks,0,false"):
        stack.deliver("jira", body, proof(ENTRIES["jira"], body))
        _, last = heard(tickets, "jira", 2)

    assert "APPROVAL_EXPIRED" in last
    assert stack.api("GET", f"/keys/{request['requestId']}").json()["status"] == "REJECTED"


def test_a_ticket_hears_why_its_keys_could_not_be_made(stack: Stack, tickets: TicketServer) -> None:
    request = new_request("whole-failed")
    body, kms = with_request("jira", request), stack.client("kms")
    owner = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=request["alias"], TargetKeyId=owner)
    tickets.comments.clear()

    with stack.changed_environment("ClaimRequestFunction", APPROVAL="none,7,false"):
        stack.deliver("jira", body, proof(ENTRIES["jira"], body))
        (last,) = heard(tickets, "jira", 1)

    assert "ALIAS_IN_USE" in last
    assert owner in last
