"""Outcomes in their tickets, through the deployed stack and a ticket system that records."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.held_secrets import holding
from tests.support.stack.reading import new_request
from tests.support.ticket_server import SYS_ID, Answered, TicketServer, ticket_server

TOKEN = "a-token-of-the-ticket-system"  # noqa: S105
TICKETS = {"jira": "OPS-7", "servicenow": "CHG0031337", "github": "acme/keys#12"}
KEPT = {"jira": "OPS-7", "servicenow": SYS_ID, "github": "12"}
DONE = {"jira": "Done", "servicenow": "3", "github": "closed"}


def entry(server: TicketServer, system: str) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": system, "url": server.url, "token": TOKEN}
    if system != "github":
        found["user"] = "mrk"
    states = {
        "jira": ("Done", "Needs work"),
        "servicenow": ("3", "4"),
        "github": ("closed", "open"),
    }
    created, rejected = states[system]
    return {**found, "transitions": {"CREATED": created, "UPDATED": created, "REJECTED": rejected}}


@pytest.fixture(scope="module")
def tickets(stack: Stack) -> Iterator[TicketServer]:
    """Return a ticket system that the stack writes to."""
    with ticket_server() as server:
        entries = {system: entry(server, system) for system in TICKETS}
        with holding(stack, "TicketsSecretArn", "UpdateTicketFunction", entries):
            yield server


def comments_on(server: TicketServer, ticket: str, count: int) -> list[str]:
    def found() -> list[str] | None:
        comments = server.comments.get(ticket, [])
        return [*comments] if len(comments) >= count else None

    return wait_for(found, f"{count} comments on {ticket}", timeout=60)


@pytest.mark.parametrize("system", TICKETS)
def test_what_became_of_a_request_is_in_its_ticket_once(
    system: str, stack: Stack, tickets: TicketServer
) -> None:
    ticket = {"system": system, "id": TICKETS[system]}
    request = new_request(f"ticket-{system}", ticket=ticket, replicas=[{"region": "eu-west-1"}])
    stack.send(request)
    created = stack.wait_for_outcome(request["requestId"])["detail"]
    (comment,) = comments_on(tickets, KEPT[system], 1)
    key = created["key"]
    for part in (created["outcomeId"], key["primary"]["arn"], key["replicas"][0]["arn"]):
        assert part in comment
    state = wait_for(lambda: tickets.states.get(KEPT[system]), "a transition", timeout=20)
    assert state == DONE[system]

    # The event comes once more, as EventBridge may deliver it.
    stack.invoke(
        "UpdateTicketFunction",
        {"Records": [message_of("Multi-Region Key Created", created)]},
    )
    stack.send({**request, "revision": 2, "description": "Changed", "colour": 1})
    stack.wait_for_outcomes(request["requestId"], 2)
    comments = comments_on(tickets, KEPT[system], 2)

    assert len(comments) == 2
    assert "UNKNOWN_FIELD" in comments[1]
    assert "colour" in comments[1]


def test_a_ticket_that_is_gone_is_given_up_and_a_busy_system_is_waited_for(
    stack: Stack, tickets: TicketServer
) -> None:
    gone = new_request("ticket-gone", ticket={"system": "github", "id": "acme/keys#404x"})
    stack.send(gone)
    busy = new_request("ticket-busy", ticket={"system": "github", "id": "acme/keys#99"})
    tickets.script.append(("issues/99", Answered(429, {"Retry-After": "1"})))
    stack.send(busy)

    created = stack.wait_for_outcome(busy["requestId"])["detail"]
    stack.wait_for_outcome(gone["requestId"])

    (comment,) = comments_on(tickets, "99", 1)
    assert created["outcomeId"] in comment
    assert tickets.calls.count(("GET", "/repos/acme/keys/issues/99")) == 2


def message_of(detail_type: str, detail: dict[str, Any]) -> dict[str, str]:
    body = json.dumps({"detail-type": detail_type, "detail": detail})
    return {"messageId": "1", "receiptHandle": "1", "body": body}
