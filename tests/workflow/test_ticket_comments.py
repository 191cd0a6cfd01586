"""What people find in their ticket for each outcome, as docs/tickets.md shows it."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.changes import EUROPE, Document, revised
from tests.support.stack.denials import denied
from tests.support.stack.held_secrets import holding
from tests.support.stack.ticket_page import renew, section, shown, text_of
from tests.support.stack.workflow_paths import APPROVERS, approve
from tests.support.ticket_server import TicketServer, ticket_server

VIA = {"hook": "jira", "actor": "5b10a2844c20165700ede21g"}


@pytest.fixture(scope="module")
def tickets(stack: Stack) -> Iterator[TicketServer]:
    """Return a Jira that the stack writes to."""
    with ticket_server() as server:
        transitions = {"CREATED": "Done", "FAILED": "Needs work", "REJECTED": "Reopen"}
        entry = {"kind": "jira", "url": server.url, "user": "mrk", "token": "x"}
        jira = {"jira": {**entry, "transitions": transitions}}
        with holding(stack, "TicketsSecretArn", "UpdateTicketFunction", jira):
            yield server


def document_of(number: int, **fields: Any) -> Document:
    """Return the request of an issue."""
    name = f"KEYS-{number}"
    ticket = {"system": "jira", "id": name}
    return {"requestId": name, "alias": f"alias/payments/{number}", "ticket": ticket, **fields}


def comment(server: TicketServer, request: Document, number: int) -> str:
    """Wait for a comment on a request's issue, the first of which is number 1."""
    issue = request["ticket"]["id"]

    def found() -> list[str] | None:
        comments = server.comments.get(issue, [])
        return comments if len(comments) >= number else None

    comments = wait_for(found, f"comment {number} on {issue}", timeout=90)
    return text_of(comments[number - 1])


def of_a_life(stack: Stack, server: TicketServer) -> Iterator[tuple[str, str]]:
    """Ask for a key set, change it, and give it up."""
    first = document_of(42, replicas=[{"region": EUROPE}])
    stack.send({"request": first, "via": VIA})
    yield "It waits for approval", comment(server, first, 1)
    approve(stack, first["requestId"])
    yield "The key set is there", comment(server, first, 2)
    second = revised(first, description="Refunds")
    stack.send(second)
    yield "It was changed", comment(server, first, 3)
    third = revised(second, description="Refunds of cards")
    with denied(stack, "ApplyChangeFunction", "kms:UpdateKeyDescription", EUROPE):
        stack.send(third)
        yield "A change failed", comment(server, first, 4)
    stack.send(revised(third, "DECOMMISSION", desiredState="DECOMMISSIONED"))
    yield "It was decommissioned", comment(server, first, 5)


def refused(stack: Stack, server: TicketServer) -> Iterator[tuple[str, str]]:
    """Ask for what an approver refuses, nobody approves, and is not valid."""
    request = document_of(43)
    name = request["requestId"]
    stack.send({"request": request, "via": VIA})
    comment(server, request, 1)
    content_hash = stack.api("GET", f"/keys/{name}").json()["approval"]["contentHash"]
    decision = {"decision": "REFUSE", "contentHash": content_hash, "comment": "Not this week"}
    who = stack.credentials_of(APPROVERS, "carol")
    path = f"/keys/{name}/approval"
    assert stack.api("POST", path, json=decision, credentials=who).status_code == 202
    yield "An approver refused it", comment(server, request, 2)
    late = document_of(44)
    with stack.changed_environment("ClaimRequestFunction", APPROVAL="hooks,0,false"):
        stack.send({"request": late, "via": VIA})
        yield "Nobody approved it in time", comment(server, late, 2)
    wrong = document_of(45, keySpec="DES", replica=[])
    stack.send(wrong)
    yield "The request is not valid", comment(server, wrong, 1)


def failed(stack: Stack, server: TicketServer) -> Iterator[tuple[str, str]]:
    """Ask for an alias that another key has, and for imported material that nobody provides."""
    request, kms = document_of(46), stack.client("kms")
    owner = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=request["alias"], TargetKeyId=owner)
    stack.send(request)
    yield "The key set could not be made", comment(server, request, 1)
    imported = document_of(47, origin="EXTERNAL")
    stack.send(imported)
    yield "It waits for key material", comment(server, imported, 1)
    assert stack.api("DELETE", f"/keys/{imported['requestId']}").status_code == 202
    yield "It was cancelled", comment(server, imported, 2)


def test_the_page_shows_what_is_written_into_a_ticket(stack: Stack, tickets: TicketServer) -> None:
    scenarios = (of_a_life, refused, failed)
    comments = {title: text for scenario in scenarios for title, text in scenario(stack, tickets)}
    written = section(comments)
    if os.environ.get("RENEW_PAGE"):
        renew(written)

    assert shown() == written, "make ticket-comments renews the page."
