"""The door for ticket systems: what goes through, and 10,000 deliveries that do not."""

import io
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from provisioner.aws import secrets
from provisioner.aws.clients import client
from provisioner.aws.secrets import Secret
from provisioner.intake.envelope import unwrap
from receive_hook import app as receive_hook
from tests.support.answering import answer, refusal
from tests.support.any_json import JSON
from tests.support.clock import Clock
from tests.support.deliveries import (
    ENTRIES,
    HOSTILE_BODIES,
    NOW,
    SOURCES,
    Sent,
    forged,
    sound,
    with_request,
)
from tests.support.emitted_metrics import metrics_in
from tests.support.published import published_on
from tests.support.samples import document_of
from validate_request import app as validate_request

ACTORS = {
    "jira": "5b10a2844c20165700ede21g",
    "jira-automation": "5b10a2844c20165700ede21g",
    "servicenow": "abel.tuter",
    "github": "hubot",
    "gitlab": "sidney",
    "portal": None,
}
TICKETS = {
    "jira": {"system": "jira", "id": "KEYS-42"},
    "jira-automation": {"system": "jira", "id": "KEYS-43"},
    "servicenow": {"system": "servicenow", "id": "46f09e75a9fe198100f4ffd8d366d17b"},
    "github": {"system": "github", "id": "12"},
    "gitlab": {"system": "gitlab", "id": "23"},
    "portal": {"system": "portal", "id": "PORTAL-7"},
}
REFUSED = {
    "statusCode": 401,
    "headers": {"Content-Type": "application/json"},
    "body": '{"errors":[{"path":"","code":"NOT_AUTHENTICATED",'
    '"message":"The delivery is not authenticated."}]}',
}


@pytest.fixture(autouse=True)
def _the_door(clock: Clock, monkeypatch: pytest.MonkeyPatch, aws: None) -> None:
    """Set the clock, and the secret to the samples' entries."""
    del aws
    clock.time = NOW
    _set_secret(monkeypatch, json.dumps(ENTRIES))


def _set_secret(monkeypatch: pytest.MonkeyPatch, *answers: str | BotoCoreError) -> list[str]:
    """Let the secret hold these, one each time it is read; return a list that grows with reads."""
    coming, asked = iter(answers), list[str]()

    class Manager:
        def get_secret_value(self, SecretId: str) -> Any:  # noqa: N803 - AWS's name
            asked.append(SecretId)
            given = next(coming)
            if isinstance(given, BotoCoreError):
                raise given
            return {"SecretString": given}

    manager: Any = Manager()
    monkeypatch.setattr(receive_hook, "_entries", Secret(manager, "arn", receive_hook._read))
    return asked


@pytest.fixture
def published() -> list[tuple[str, str, dict[str, Any]]]:
    return published_on(client("events"))


def _deliver(sent: Sent, context: Any) -> Any:
    return receive_hook.handler(sent.event(), context)


@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize("source", SOURCES)
def test_every_sample_is_handed_on_as_it_stands(
    source: str, is_base64: bool, published: list[Any], context: Any
) -> None:
    sent = replace(sound(source), is_base64=is_base64)

    taken = _deliver(sent, context)

    ((put_by, detail_type, detail),) = published
    assert taken["statusCode"] == 202
    assert json.loads(taken["body"]) == {"requestId": detail["request"]["requestId"]}
    assert (put_by, detail_type) == ("mrk.hooks", "Multi-Region Key Requested")
    assert unwrap(detail) == (detail["request"], {"hook": source, "actor": ACTORS[source]})
    assert detail["request"]["ticket"] == TICKETS[source]
    validated = validate_request.handler(detail, context)
    assert validated["problems"] == []
    assert validated["via"] == {"hook": source, "actor": ACTORS[source]}


def test_ten_thousand_forged_deliveries_are_all_refused_alike(
    published: list[Any], log: io.StringIO, context: Any
) -> None:
    kinds: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for kind, sent in forged(10_000):
        kinds[kind] += 1
        answers[json.dumps(_deliver(sent, context))] += 1

    assert answers == {json.dumps(REFUSED): 10_000}
    assert published == []
    assert min(kinds.values()) > 100, kinds
    assert len(kinds) == 16, kinds
    _shows_nothing(log.getvalue())


def _shows_nothing(logged: str) -> None:
    lines = [json.loads(line) for line in logged.splitlines()]
    for entry in ENTRIES.values():
        assert entry["secrets"][0] not in logged
    assert "alias" not in logged
    headers = {entry["header"].casefold() for entry in ENTRIES.values() if "header" in entry}
    assert not any(name in logged.casefold() for name in headers | {"webhook-", "authorization"})
    assert {*chain.from_iterable(lines)} <= {
        *("level", "location", "message", "timestamp", "service", "cold_start", "function_name"),
        *("function_memory_size", "function_arn", "function_request_id", "reason", "xray_trace_id"),
    }
    # A line has words of ours alone, the same whatever was sent.
    assert {(line["message"], line["reason"]) for line in lines} == {
        ("delivery refused", "no entry of the secret has its name"),
        ("delivery refused", "its proof is missing or wrong, or its time is too far from now"),
    }


@pytest.mark.parametrize("body", HOSTILE_BODIES.values(), ids=[*HOSTILE_BODIES])
@pytest.mark.parametrize("source", ["jira", "portal"])
def test_a_hostile_body_that_is_proved_is_refused_with_its_problems(
    source: str, body: bytes, published: list[Any], context: Any
) -> None:
    sent = replace(sound(source, body), is_base64=True)

    taken = _deliver(sent, context)

    too_large = len(body) > 262_144
    assert taken["statusCode"] == (413 if too_large else 400)
    (problem,) = json.loads(taken["body"])["errors"]
    assert problem["code"] == ("TOO_LARGE" if too_large else problem["code"])
    assert published == []


@pytest.mark.parametrize("is_base64", [False, True])
def test_a_body_has_at_most_256_kilobytes_whoever_sends_it(
    is_base64: bool, published: list[Any], context: Any
) -> None:
    body = json.dumps({"padding": "a" * 262_144})[:262_144].encode()
    for size, status in ((262_144, 401), (262_145, 413), (6_000_000, 413)):
        sent = Sent("unknown", body[:size].ljust(size), {}, is_base64)
        assert _deliver(sent, context)["statusCode"] == status
    assert published == []


def test_a_body_of_a_megabyte_is_answered_alike_whether_its_proof_fits_or_not(
    published: list[Any], log: io.StringIO, context: Any
) -> None:
    body = HOSTILE_BODIES["one MB"]
    answers: Counter[str] = Counter()
    for source in SOURCES:
        proved = sound(source, body)
        for sent in (proved, replace(sound(source), body=body), replace(proved, headers={})):
            for is_base64 in (False, True):
                answered = _deliver(replace(sent, is_base64=is_base64), context)
                answers[json.dumps(answered)] += 1
        answers[json.dumps(_deliver(replace(proved, source="unknown"), context))] += 1

    ((answered, count),) = [(json.loads(text), count) for text, count in answers.items()]
    assert (answered["statusCode"], count) == (413, 7 * len(SOURCES))
    assert published == []
    assert log.getvalue() == ""


def test_a_body_that_is_said_to_be_base64_and_is_not_proves_nothing(context: Any) -> None:
    event = {**sound("jira").event(), "isBase64Encoded": True}

    assert receive_hook.handler(event, context) == REFUSED


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"pathParameters": None, "body": None, "multiValueHeaders": None},
        {"pathParameters": {"source": "jira"}, "body": "", "multiValueHeaders": {"A": None}},
    ],
)
def test_a_call_with_nothing_in_it_is_refused_alike(event: Any, context: Any) -> None:
    assert receive_hook.handler(event, context) == REFUSED


@pytest.mark.parametrize(
    ("text", "broken"), [("{}", 0), ("", 1), ("not JSON", 1), ('{"jira": {}}', 1), ("[]", 1)]
)
def test_a_secret_without_a_sound_entry_keeps_the_door_closed(
    text: str, broken: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    names = ("published", "context", "log", "capsys")
    published, context, log, capsys = map(request.getfixturevalue, names)
    _set_secret(monkeypatch, text)

    for source in ("jira", "jira", ""):
        assert _deliver(replace(sound("jira"), source=source), context) == REFUSED

    assert published == []
    emitted = metrics_in(capsys.readouterr().out.splitlines())
    counted = [(metric.name, values) for metric, values in emitted.items()]
    assert counted == [("BrokenHooks", [1.0])] * broken
    assert log.getvalue().count('"ERROR"') == broken


def test_a_broken_entry_closes_its_own_door_alone(
    monkeypatch: pytest.MonkeyPatch, context: Any, log: io.StringIO
) -> None:
    broken = {**ENTRIES["jira"], "secrets": ["too short"]}
    _set_secret(monkeypatch, json.dumps({**ENTRIES, "jira": broken}))

    assert _deliver(sound("jira"), context) == REFUSED
    assert _deliver(sound("github"), context)["statusCode"] == 202
    assert "too short" not in log.getvalue()
    assert "a secret has fewer than 16 bytes" in log.getvalue()


def test_a_new_secret_counts_within_a_minute(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    at = 1_000.0
    monkeypatch.setattr(secrets, "monotonic", lambda: at)
    old = sound("jira-automation")
    rotated = {**ENTRIES["jira-automation"], "secrets": ["a new one, long enough"]}
    new = replace(old, headers={"X-Automation-Token": "a new one, long enough"})

    both = json.dumps(ENTRIES), json.dumps({"jira-automation": rotated})
    asked = _set_secret(monkeypatch, *both)

    assert _deliver(old, context)["statusCode"] == 202
    at += 59
    assert _deliver(old, context)["statusCode"] == 202
    assert len(asked) == 1
    at += 1
    assert _deliver(old, context) == REFUSED
    assert _deliver(new, context)["statusCode"] == 202
    assert asked == ["arn", "arn"]


@pytest.mark.parametrize("sent", [sound("jira"), Sent("unknown", b"", {})])
def test_a_secret_that_cannot_be_read_answers_everybody_alike(
    sent: Sent, published: list[Any], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_secret(monkeypatch, EndpointConnectionError(endpoint_url="https://secrets"))

    taken = _deliver(sent, context)

    assert taken["statusCode"] == 503
    assert json.loads(taken["body"])["errors"] == [
        {
            "path": "",
            "code": "DEPENDENCY_UNAVAILABLE",
            "message": "Deliver it again in a moment.",
        }
    ]
    assert published == []


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (refusal("InternalException", status=500), "DEPENDENCY_UNAVAILABLE"),
        (
            {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]},
            "EVENT_NOT_PUBLISHED",
        ),
    ],
)
def test_a_delivery_that_the_bus_does_not_take_is_asked_for_again(
    result: dict[str, Any], code: str, context: Any
) -> None:
    answer(client("events"), "PutEvents", result)

    taken = _deliver(sound("jira"), context)

    assert taken["statusCode"] == 503
    assert json.loads(taken["body"])["errors"][0]["code"] == code


def test_a_ticket_that_is_not_as_asked_for_asks_for_nothing(
    published: list[Any], context: Any
) -> None:
    changes: list[dict[str, Any]] = [
        {"webhookEvent": "jira:issue_created"},
        {"issue": {}},
        {"issue": None},
    ]
    for changed in changes:
        document = {**json.loads(sound("jira").body), **changed}
        taken = _deliver(sound("jira", json.dumps(document).encode()), context)
        assert (taken["statusCode"], taken["body"]) == (204, "")
    assert published == []


def test_a_request_that_is_refused_is_handed_on_so_that_its_ticket_hears_of_it(
    published: list[Any], context: Any
) -> None:
    body = with_request("jira", {"requestId": "A", "alias": "cards", "replica": []})

    taken = _deliver(sound("jira", body), context)

    assert taken["statusCode"] == 400
    ((_, _, detail),) = published
    refused = validate_request.handler(detail, context)
    assert refused["problems"] == json.loads(taken["body"])["errors"]
    assert [problem["code"] for problem in refused["problems"]] == ["BAD_FORMAT", "UNKNOWN_FIELD"]
    assert refused["refused"]
    assert refused["refused"]["ticket"] == {"system": "jira", "id": "KEYS-42"}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("a key, please", "NOT_JSON"),
        ("", "NO_REQUEST"),
        ('{"requestId": "A", "requestId": "B"}', "DUPLICATE_NAME"),
        ({"requestId": "A", "description": "\ud800"}, "NOT_UNICODE"),
        ({"requestId": "A", "description": "a" * 200_000}, "REQUEST_TOO_LARGE"),
        ('{"\\ud800": 1, "\\ud800": 2}', "DUPLICATE_NAME"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_its_ticket_for_what_it_is(
    request_: Any, code: str, published: list[Any], context: Any
) -> None:
    document = json.loads(sound("jira").body)
    text = request_ if isinstance(request_, str) else json.dumps(request_)
    document["issue"]["fields"]["customfield_10071"] = text
    body = json.dumps(document).encode()

    taken = _deliver(sound("jira", body), context)

    assert taken["statusCode"] == 400
    (problem,) = json.loads(taken["body"])["errors"]
    assert problem["code"] == code
    assert problem["path"].startswith("/issue/fields/customfield_10071")
    ((_, _, detail),) = published
    refused = validate_request.handler(detail, context)
    assert refused["problems"] == [problem]
    assert refused["refused"]
    assert refused["refused"]["ticket"] == {"system": "jira", "id": "KEYS-42"}
    assert refused["refused"]["requestId"] == ("A" if isinstance(request_, dict) else None)


def test_two_requests_that_cannot_be_read_are_two_refusals(
    published: list[Any], context: Any
) -> None:
    for text in ("one", "two", "one"):
        _deliver(sound("jira", with_request("jira", text)), context)

    digests = [
        validate_request.handler(detail, context)["refused"]["digest"]  # type: ignore[index]
        for _, _, detail in published
    ]
    assert digests[0] == digests[2] != digests[1]


def test_the_ticket_is_the_one_that_was_delivered_whatever_the_request_says(
    published: list[Any], context: Any
) -> None:
    other = {"system": "jira", "id": "OTHER-1", "url": "https://example.com"}
    body = with_request("github", document_of(ticket=other))
    without = json.loads(body)
    del without["issue"]["number"]

    _deliver(sound("github", body), context)
    _deliver(sound("github", json.dumps(without).encode()), context)

    tickets = [detail["request"].get("ticket") for _, _, detail in published]
    assert tickets == [{"system": "github", "id": "12"}, None]


def test_a_delivery_that_comes_again_is_the_same_request(
    published: list[Any], context: Any, clock: Clock
) -> None:
    first = sound("portal")
    clock.move(seconds=200)
    again = sound("portal", at=NOW + timedelta(seconds=200))

    assert _deliver(first, context) == _deliver(again, context)
    assert published[0] == published[1]


@given(document=JSON, source=st.sampled_from(SOURCES))
@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_proved_has_an_answer(context: Any, document: Any, source: str) -> None:
    for body in (json.dumps(document).encode(), with_request(source, document)):
        taken = _deliver(sound(source, body), context)
        assert taken["statusCode"] in (202, 204, 400)


def test_the_log_of_what_is_taken_shows_no_header_and_no_body(
    log: io.StringIO, context: Any
) -> None:
    for source in SOURCES:
        sent = sound(source)
        _deliver(sent, context)
        logged = log.getvalue()
        assert not any(value in logged for value in sent.headers.values())
        assert "alias/" not in logged
        assert "mrk" not in json.loads(logged.splitlines()[-1])["message"]
