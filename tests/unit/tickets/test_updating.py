"""Tickets are updated once, and each way in which that fails is told apart."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from provisioner.aws.clients import client
from provisioner.errors import (
    TicketNotMoved,
    TicketNotUpdatable,
    TicketSystemBusy,
    TicketSystemRefused,
)
from provisioner.intake.ticket_systems import Systems
from provisioner.tickets import http
from provisioner.tickets.updating import marker_of, update_ticket
from tests.support.answering import answer, calls_of
from tests.support.emitted_metrics import metrics_in
from tests.support.samples import key_arn
from tests.support.ticket_server import SYS_ID, Answered, TicketServer
from tests.support.walks import walks
from update_ticket import app

OUTCOME = "4ee24a52-6f25-5d2e-9a5c-5f1f3bb8a5ab"
TOKEN = "a-token-of-the-ticket-system"  # noqa: S105
URL = "https://tickets.example.com"
SYSTEMS = {
    "jira": {
        "kind": "jira",
        "url": URL,
        "user": "mrk@example.com",
        "token": TOKEN,
        "transitions": {"CREATED": "done", "FAILED": "Needs work", "REJECTED": "Nowhere"},
    },
    "servicenow": {
        "kind": "servicenow",
        "url": URL,
        "user": "mrk",
        "token": TOKEN,
        "transitions": {"CREATED": "3"},
    },
    "github": {
        "kind": "github",
        "url": URL,
        "token": TOKEN,
        "repository": "acme/keys",
        "transitions": {"CREATED": "closed"},
    },
}
TICKETS = {"jira": "OPS-7", "servicenow": "CHG0031337", "github": "acme/keys#12"}
KEPT = {"jira": "OPS-7", "servicenow": SYS_ID, "github": "12"}
STATES = {"jira": "Done", "servicenow": "3", "github": "closed"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> TicketServer:
    """Return a ticket system that is reached without a network."""
    system = TicketServer(url=URL)

    def request(
        method: str, url: str, *, body: bytes | None, headers: dict[str, str], redirect: bool
    ) -> Any:
        assert not redirect
        system.headers.append(headers)
        found = json.loads(body) if body else None
        answered, content = system.answer(method, url.removeprefix(URL), found)
        if answered.status is None:
            raise urllib3.exceptions.ProtocolError("Connection aborted.")
        return urllib3.HTTPResponse(
            json.dumps(content).encode(), answered.headers, answered.status, preload_content=False
        )

    monkeypatch.setattr(http._POOL, "request", request)
    return system


def event_of(
    system: str = "jira", detail_type: str = "Multi-Region Key Created", **fields: Any
) -> Any:
    keys = [
        {"region": region, "arn": key_arn(region), "alias": "alias/x", "keyState": "Enabled"}
        for region in ("us-east-1", "eu-west-1")
    ]
    detail = {
        "outcomeId": OUTCOME,
        "requestId": "CHG1",
        "revision": 1,
        "status": "CREATED",
        "ticket": {"system": system, "id": TICKETS.get(system, "1")},
        "key": {"primary": keys[0], "replicas": keys[1:]},
        "errors": [],
        "warnings": [],
        "requester": "arn:aws:iam::111122223333:user/alice",
        "approvals": [{"approver": "arn:aws:iam::111122223333:user/bob", "decision": "APPROVE"}],
        **fields,
    }
    return {"detail-type": detail_type, "detail": detail}


def update(event: Any, systems: dict[str, Any] = SYSTEMS, *, insecure: bool = False) -> bool:
    return update_ticket(event, Systems(json.dumps(systems)), insecure=insecure)


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_outcome_is_one_comment_with_the_keys_and_one_transition(
    system: str, server: TicketServer
) -> None:
    for _ in range(3):
        assert update(event_of(system))

    (comment,) = server.comments[KEPT[system]]
    for part in (OUTCOME, key_arn("us-east-1"), key_arn("eu-west-1"), "user/alice", "user/bob"):
        assert part in comment
    assert server.states == {KEPT[system]: STATES[system]}
    assert all(
        TOKEN not in comment for comments in server.comments.values() for comment in comments
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_comment_whose_answer_is_lost_is_not_written_twice(
    system: str, server: TicketServer
) -> None:
    server.after_writing = Answered(None)
    with pytest.raises(TicketSystemBusy):
        update(event_of(system))

    update(event_of(system))

    assert len(server.comments[KEPT[system]]) == 1
    assert server.states == {KEPT[system]: STATES[system]}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_call_may_fail_and_the_comment_is_there_once(
    system: str, server: TicketServer
) -> None:
    update(event_of(system))
    calls = len(server.calls)
    for place in range(calls):
        server.comments.clear()
        server.states.clear()
        failing = place + len(server.calls)

        def fail(
            method: str, path: str, body: Any, ask: Any = server.answer, at: int = failing
        ) -> Any:
            if len(server.calls) == at:
                server.calls.append((method, path))
                return Answered(503), {}
            return ask(method, path, body)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server, "answer", fail)
            with pytest.raises(TicketSystemBusy):
                update(event_of(system))
            update(event_of(system))

        assert len(server.comments[KEPT[system]]) == 1, place
        assert server.states == {KEPT[system]: STATES[system]}, place


def test_a_transition_that_is_not_offered_is_said_in_the_comment(server: TicketServer) -> None:
    update(event_of(detail_type="Multi-Region Key Request Rejected", status="REJECTED", key=None))

    (comment,) = server.comments["OPS-7"]
    assert "The transition Nowhere is not offered" in comment
    assert server.states == {}


def test_a_state_that_a_record_does_not_take_is_said_in_the_note(server: TicketServer) -> None:
    server.script.append(("PATCH", Answered(403)))

    update(event_of("servicenow"))

    (note,) = server.comments[SYS_ID]
    assert "The state 3 is not taken." in note
    assert server.states == {}


def test_an_error_is_written_with_its_next_step(server: TicketServer) -> None:
    errors = [
        {"path": "replicas[0].region", "code": "REGION_NOT_ALLOWED", "message": "Ask for it."}
    ]

    update(
        event_of(
            detail_type="Multi-Region Key Creation Failed", status="FAILED", key=None, errors=errors
        )
    )

    (comment,) = server.comments["OPS-7"]
    assert "replicas[0].region: REGION_NOT_ALLOWED: Ask for it." in comment
    assert server.states == {"OPS-7": "Needs work"}


def test_whoever_has_to_approve_reads_what_and_until_when(server: TicketServer) -> None:
    row = {"region": "eu-west-1", "property": "key", "call": "ScheduleKeyDeletion"}
    update(
        event_of(
            detail_type="Multi-Region Key Approval Required",
            status="WAITING_FOR_APPROVAL",
            until="2026-12-03T00:00:00+00:00",
            contentHash="0" * 64,
            requester=None,
            plan=[{**row, "confirm": "REMOVE:eu-west-1"}],
        )
    )

    (comment,) = server.comments["OPS-7"]
    for part in ("2026-12-03", "0" * 64, "two people", "REMOVE:eu-west-1", "/keys/CHG1/approval"):
        assert part in comment


def test_whoever_holds_key_material_reads_for_which_keys(server: TicketServer) -> None:
    detail = {
        "requestId": "CHG1",
        "ticket": {"system": "github", "id": "12"},
        "materials": [{"region": "us-east-1", "keyArn": key_arn(), "importToken": "x"}],
        "errors": [],
        "deadline": "2026-12-03T00:00:00+00:00",
    }
    event: Any = {"detail-type": "Multi-Region Key Material Required", "detail": detail}
    for _ in range(2):
        update(event)

    (comment,) = server.comments["12"]
    assert key_arn() in comment
    assert marker_of(event) in comment


@walks("TicketNotUpdatable")
@pytest.mark.parametrize("status", [403, 404, 409, 410, 422])
def test_a_ticket_that_is_gone_is_a_finding_and_another_one_is_written(
    status: int, server: TicketServer
) -> None:
    server.script.append(("GET", Answered(status)))

    with pytest.raises(TicketNotUpdatable, match="sent with another ticket writes there"):
        update(event_of("github"))
    assert server.writes() == []

    assert update(event_of("github", ticket={"system": "github", "id": "13"}))
    assert len(server.comments["13"]) == 1


REFUSED_TRANSITIONS = {
    "jira": ("POST .*/transitions", 400, "done"),
    "github": ("PATCH", 422, "closed"),
}


@walks("TicketNotMoved")
@pytest.mark.parametrize("system", REFUSED_TRANSITIONS)
def test_a_transition_that_is_refused_is_not_a_ticket_that_is_gone(
    system: str, server: TicketServer
) -> None:
    writes, status, transition = REFUSED_TRANSITIONS[system]
    server.script += [(writes, Answered(status))] * 2

    for _ in range(2):
        with pytest.raises(TicketNotMoved, match="Move the ticket by hand") as refused:
            update(event_of(system))

    told = f"{TICKETS[system]} does not take the transition '{transition}': {system} answered "
    assert str(refused.value).startswith(told)
    assert len(server.comments[KEPT[system]]) == 1
    assert server.states == {}
    # Somebody corrects the entry, or lets the workflow take it.
    assert update(event_of(system))
    assert len(server.comments[KEPT[system]]) == 1
    assert server.states == {KEPT[system]: STATES[system]}


@pytest.mark.parametrize("system", REFUSED_TRANSITIONS)
def test_a_transition_is_done_later_where_the_system_is_busy(
    system: str, server: TicketServer
) -> None:
    writes, *_ = REFUSED_TRANSITIONS[system]
    server.script.append((writes, Answered(503)))

    with pytest.raises(TicketSystemBusy):
        update(event_of(system))

    assert update(event_of(system))
    assert len(server.comments[KEPT[system]]) == 1


@walks("TicketSystemBusy")
@pytest.mark.parametrize(
    ("answered", "seconds"),
    [
        (Answered(429, {"Retry-After": "120"}), 120),
        (Answered(503, {"Retry-After": "0"}), 30),
        (Answered(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), 30),
        (Answered(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"}), 30),
        (Answered(403, {"Retry-After": "60"}), 60),
        (Answered(403, {"X-RateLimit-Remaining": "0"}), None),
        (Answered(503, {"Retry-After": "soon"}), None),
        (Answered(500), None),
        (Answered(None), None),
    ],
)
def test_a_system_that_is_busy_is_asked_later(
    answered: Answered, seconds: int | None, server: TicketServer
) -> None:
    server.script.append(("GET", answered))

    with pytest.raises(TicketSystemBusy, match="once the system answers") as busy:
        update(event_of())
    assert busy.value.retry_after == seconds

    assert update(event_of())
    assert len(server.comments["OPS-7"]) == 1


HOSTILE = "[code]<img src=x>[/code] @acme/all ``` ![x](https://evil.example.com)\n\n# Yes\u202e"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_request_names_is_text_and_nothing_else(system: str, server: TicketServer) -> None:
    errors = [{"path": HOSTILE, "code": "UNKNOWN_FIELD", "message": HOSTILE}]

    update(event_of(system, status="REJECTED", key=None, errors=errors))

    (comment,) = server.comments[KEPT[system]]
    assert "\u202e" not in comment
    assert "\n# Yes" not in comment
    if system == "servicenow":
        assert "[code]" not in comment
        assert "[/code]" not in comment
    if system == "github":
        # A fence that is longer than any in the text, around all of it.
        assert comment.startswith("````text\n")
        assert comment.endswith("\n````")
    if system == "jira":
        assert {one["type"] for one in json.loads(comment)["content"]} == {"paragraph"}


@pytest.mark.parametrize("content", [b"<html>Log in</html>", b"[]", b'{"other": 1}'])
def test_a_page_in_the_place_of_an_answer_is_a_wrong_entry(
    content: bytes, server: TicketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = urllib3.HTTPResponse(content, status=200, preload_content=True)
    monkeypatch.setattr(http._POOL, "request", lambda *_, **__: page)

    with pytest.raises(TicketSystemRefused):
        update(event_of())

    assert server.writes() == []


@walks("TicketSystemRefused")
@pytest.mark.parametrize(
    "answered", [Answered(401), Answered(302, {"Location": "http://169.254.169.254/"})]
)
def test_a_wrong_entry_writes_nothing_until_it_is_corrected(
    answered: Answered, server: TicketServer
) -> None:
    server.script.append(("GET", answered))

    with pytest.raises(TicketSystemRefused, match="TicketsSecretArn"):
        update(event_of())
    assert len(server.calls) == 1

    assert update(event_of())


@pytest.mark.parametrize(
    ("system", "ticket_id"),
    [
        ("jira", "OPS-7/../../myself"),
        ("jira", "ops-7"),
        ("jira", "OPS-7?x=1"),
        ("servicenow", "CHG1^ORnumber=CHG2"),
        ("servicenow", "../incident"),
        ("servicenow", "CHG0000000"),
        ("github", "other/keys#12"),
        ("github", "acme/..#12"),
        ("github", "acme/keys#12/../../13"),
        ("github", "\u0661"),
    ],
)
def test_an_id_that_is_none_of_its_system_reaches_no_other_ticket(
    system: str, ticket_id: str, server: TicketServer
) -> None:
    with pytest.raises(TicketNotUpdatable):
        update(event_of(system, ticket={"system": system, "id": ticket_id}))

    assert server.writes() == []


def test_the_address_is_the_secrets_and_never_the_tickets(server: TicketServer) -> None:
    ticket = {"system": "jira", "id": "OPS-7", "url": "https://evil.example.com"}

    update(event_of(ticket=ticket))

    assert len(server.comments["OPS-7"]) == 1


def test_an_address_without_tls_is_for_a_local_stack_alone(server: TicketServer) -> None:
    entry = {**SYSTEMS["jira"], "url": "http://tickets.example.com"}

    with pytest.raises(TicketSystemRefused):
        update(event_of(), {"jira": entry})

    assert server.calls == []


@pytest.mark.parametrize(
    "ticket",
    [None, {}, {"system": "jira"}, {"system": "other", "id": "1"}, {"system": [], "id": 1}],
)
def test_a_ticket_of_no_known_system_is_left_alone(ticket: Any, server: TicketServer) -> None:
    assert not update(event_of(ticket=ticket))
    assert server.calls == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("", "The secret is no JSON object."),
        ("[]", "The secret is no JSON object."),
        ('{"jira": {"kind": "jira"}}', "jira: jira.token, jira.url, jira.user"),
        ('{"jira": {"kind": "other", "url": "https://x"}}', "jira: it"),
    ],
)
def test_a_broken_entry_is_named_without_a_value(text: str, broken: str) -> None:
    systems = Systems(text)

    assert systems.entries == {}
    assert systems.broken == [broken]


class Fixed:
    """A secret that says the same for ever."""

    def value(self) -> Systems:
        return Systems(json.dumps(SYSTEMS))


@pytest.fixture
def deliver(aws: None, context: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:  # noqa: ARG001
    monkeypatch.setattr(app, "_systems", Fixed())

    def send(event: Any) -> Any:
        message: app.Message = {"messageId": "1", "receiptHandle": "r", "body": json.dumps(event)}
        return app.handler({"Records": [message]}, context)

    return send


DONE: dict[str, Any] = {"batchItemFailures": []}
AGAIN = {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_a_message_is_done_once_and_its_repeat_calls_nobody(
    deliver: Any, server: TicketServer
) -> None:
    assert deliver(event_of()) == DONE
    calls = len(server.calls)

    assert deliver(event_of()) == DONE

    assert len(server.calls) == calls


def test_a_busy_systems_message_comes_again_when_it_says(
    deliver: Any, server: TicketServer
) -> None:
    server.script.append(("GET", Answered(429, {"Retry-After": "99999"})))
    sent = calls_of(client("sqs"))
    answer(client("sqs"), "ChangeMessageVisibility", {})

    assert deliver(event_of()) == AGAIN

    ((_, hidden),) = [one for one in sent if one[0] == "ChangeMessageVisibility"]
    assert hidden["VisibilityTimeout"] == 42_300
    assert deliver(event_of()) == DONE
    assert len(server.comments["OPS-7"]) == 1


@pytest.mark.parametrize("system", REFUSED_TRANSITIONS)
def test_a_ticket_that_is_not_moved_is_counted_and_said_in_the_log(
    system: str,
    deliver: Any,
    server: TicketServer,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    writes, status, transition = REFUSED_TRANSITIONS[system]
    server.script.append((writes, Answered(status)))

    assert deliver(event_of(system)) == DONE

    (line,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (line["message"], line["code"]) == ("ticket is not updated", "TICKET_NOT_MOVED")
    assert (line["request_id"], line["level"]) == ("CHG1", "WARNING")
    assert f"{TICKETS[system]} does not take the transition '{transition}'" in line["reason"]
    emitted = metrics_in(capsys.readouterr().out.splitlines())
    assert [(one.name, values) for one, values in emitted.items()] == [("TicketsNotUpdated", [1.0])]


def test_a_refused_message_stays_and_one_of_a_lost_ticket_goes(
    deliver: Any, server: TicketServer
) -> None:
    server.script += [("GET", Answered(401)), ("GET", Answered(404))]

    assert deliver(event_of()) == AGAIN
    assert deliver(event_of()) == DONE
    assert server.writes() == []
