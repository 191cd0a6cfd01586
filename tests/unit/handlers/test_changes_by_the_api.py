"""Changes of finished key sets that come through the API: planned, refused, claimed, started."""

import json
from dataclasses import replace
from typing import Any

import pytest

from keys_api import accepting, app, planning, reading, requests, tables
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.change import work
from provisioner.domain.change import observed_as_declared, plan_change, plan_id
from provisioner.domain.plan import KeySetRequest
from provisioner.intake.request import parse_request
from provisioner.settings import settings
from tests.support import answering, finished_sets
from tests.support.answering import answer, forget_answers
from tests.support.faults.errors import refusal
from tests.support.key_sets import ALIAS, TAGS, KeySet
from tests.support.published import published_on
from tests.support.samples import EXECUTION, SETTINGS, sample_event
from tests.support.walks import walks

CHANGES = SETTINGS.change_state_machine_arn
REQUEST_ID = "CHG0031337"
DOCUMENT: dict[str, Any] = {
    "requestId": REQUEST_ID,
    "alias": ALIAS,
    "description": "Card data",
    "tags": {"team": "payments"},
    "replicas": [{"region": "eu-west-1"}, {"region": "us-west-2"}],
}
CHANGED = {**DOCUMENT, "description": "Cards", "revision": 2}
WITHOUT_EUROPE = {**DOCUMENT, "replicas": [{"region": "us-west-2"}], "revision": 2}
REMOVE = {**WITHOUT_EUROPE, "confirm": ["REMOVE:eu-west-1"]}
CREATED = parse_request(DOCUMENT, SETTINGS)


@pytest.fixture
def key_set(records: Records, monkeypatch: pytest.MonkeyPatch) -> KeySet:
    """Return a key set in KMS that was created for `DOCUMENT` and is as it says."""
    found = KeySet()
    of_the_stack = replace(settings(), stack_name=TAGS["mrk:stack"])
    for module in (accepting, planning, requests):
        monkeypatch.setattr(module, "settings", lambda: of_the_stack)
    monkeypatch.setattr(tables, "records", Records(client("dynamodb"), "requests"))
    for module in (planning, reading):
        monkeypatch.setattr(module, "impatient_kms", found.kms_for)

    def client_for(service: Any, region: str | None = None) -> Any:
        return found.tagging_for(region) if region else client(service)

    monkeypatch.setattr(planning, "client", client_for)
    finished_sets.create(records, CREATED, arn=found.arn)
    return found


@pytest.fixture
def call(context: Any, key_set: KeySet) -> Any:  # noqa: ARG001
    def send(document: dict[str, Any], **query: str) -> tuple[int, dict[str, Any]]:
        event: dict[str, Any] = sample_event("api-post-keys")
        event |= {"body": json.dumps(document), "queryStringParameters": query or None}
        answered = app.handler(event, context)
        return answered["statusCode"], json.loads(answered["body"])

    return send


def ask(context: Any) -> dict[str, Any]:
    event = {**sample_event("api-get-keys"), "path": f"/keys/{REQUEST_ID}"}
    body: dict[str, Any] = json.loads(app.handler(event, context)["body"])
    return body


def record_of(records: Records) -> Any:
    return records.get(REQUEST_ID)


def started(machine: str = CHANGES) -> list[str]:
    found = client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return [one["executionArn"] for one in found]


def request_of(document: dict[str, Any]) -> KeySetRequest:
    return parse_request(document, SETTINGS)


def carried_out(records: Records, document: dict[str, Any], status: Status, **more: Any) -> None:
    """Let a change be carried out beside the API."""
    request = request_of(document)
    claimed, _ = records.claim_change(request, EXECUTION, seen=record_of(records), superseded={})
    assert claimed
    finished_sets.end(records, status, request, EXECUTION, **more)


def codes(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error["path"], error["code"]) for error in body["errors"]]


def test_a_change_is_claimed_and_its_execution_started(call: Any, records: Records) -> None:
    status, body = call(CHANGED)

    (execution,) = started()
    assert (status, body) == (
        202,
        {"requestId": REQUEST_ID, "executionArn": execution, "status": "IN_PROGRESS"},
    )
    begun = client("stepfunctions").describe_execution(executionArn=execution)
    assert json.loads(begun["input"]) == request_of(CHANGED)
    record = record_of(records)
    assert (record.execution_arn, record.revision, record.applied) == (execution, 2, CREATED)
    assert started(SETTINGS.state_machine_arn) == []


def test_the_samples_of_a_change_are_one_plan_of_the_key_set_of_the_other_samples() -> None:
    created = request_of(json.loads(sample_event("api-post-keys-plan")["body"]))
    planned, sent = (sample_event(f"api-post-keys-{name}") for name in ("plan-change", "change"))
    declared = request_of(json.loads(sent["body"]))

    as_created = observed_as_declared(created, SETTINGS)
    changes = plan_change(created, declared, as_created, SETTINGS)

    assert planned["body"] == sent["body"]
    assert planned["queryStringParameters"] == {"plan": "true"}
    assert sent["queryStringParameters"] == {"planId": plan_id(1, declared, changes)}
    assert [(change["region"], change["property"]) for change in changes] == [
        ("us-east-1", "tags.cost-center"),
        ("eu-west-1", "tags.cost-center"),
    ]


@pytest.mark.parametrize("query", [{}, {"plan": "true"}], ids=["sent", "planned"])
def test_a_change_that_is_too_large_for_an_execution_is_refused(
    call: Any, records: Records, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    monkeypatch.setattr(work, "_ROOM", 100)

    status, body = call(CHANGED, **query)

    assert (status, codes(body)) == (400, [("tags", "CHANGE_NOT_SUPPORTED")])
    assert record_of(records).status == Status.CREATED


def test_the_same_change_again_is_the_same_execution(call: Any) -> None:
    answer(client("stepfunctions"), "DescribeExecution", {"status": "RUNNING"})

    assert call(CHANGED) == call({**CHANGED, "ticket": {"id": "7"}})
    assert len(started()) == 1


def test_a_change_that_was_claimed_and_not_started_is_started_by_the_next_call(
    call: Any, records: Records
) -> None:
    answer(client("stepfunctions"), "StartExecution", answering.refusal("ServiceUnavailable"))
    assert call(CHANGED)[0] == 503
    forget_answers()
    assert started() == []

    status, body = call(CHANGED)

    assert (status, [body["executionArn"]]) == (202, started())
    assert record_of(records).execution_arn == body["executionArn"]


def test_a_plan_is_a_diff_of_what_kms_has_and_claims_nothing(
    call: Any, records: Records, key_set: KeySet
) -> None:
    before = record_of(records)

    status, body = call(WITHOUT_EUROPE, plan="true")

    assert (status, body.get("errors")) == (200, None)
    assert body["request"]["revision"] == 2
    assert [key["region"] for key in body["keys"]] == ["us-east-1", "us-west-2"]
    (change,) = body["changes"]
    assert {name: change[name] for name in ("region", "property", "call", "confirm")} == {
        "region": "eu-west-1",
        "property": "keyState",
        "call": "ScheduleKeyDeletion",
        "confirm": "REMOVE:eu-west-1",
    }
    assert [warning["code"] for warning in body["warnings"]] == ["CONFIRMATION_REQUIRED"]
    assert (record_of(records), started(), key_set.writes()) == (before, [], [])


def test_a_plan_of_what_is_there_already_has_no_changes(call: Any) -> None:
    status, body = call(DOCUMENT, plan="true")

    assert (status, body["changes"]) == (200, [])
    assert body["planId"]


def test_what_somebody_changed_by_hand_is_in_the_plan_of_the_next_revision(
    call: Any, key_set: KeySet
) -> None:
    key_set.key("eu-west-1").description = "by hand"

    _, body = call({**DOCUMENT, "revision": 2}, plan="true")

    (change,) = body["changes"]
    assert (change["property"], change["from"], change["to"]) == (
        "description",
        "by hand",
        "Card data",
    )


def test_a_plan_of_a_request_that_is_not_known_has_no_changes_and_no_id(call: Any) -> None:
    _, body = call({**DOCUMENT, "requestId": "CHG2", "alias": "alias/new"}, plan="true")

    assert body.keys() == {"request", "keys", "warnings"}


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (WITHOUT_EUROPE, [("replicas", "CONFIRMATION_REQUIRED")]),
        ({**REMOVE, "confirm": ["REMOVE:us-west-2"]}, None),
        ({**CHANGED, "confirm": ["DISABLE:eu-west-1"]}, [("confirm[0]", "CONFIRMATION_UNUSED")]),
        (
            {**CHANGED, "keySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"},
            [("keySpec", "IMMUTABLE"), ("keyUsage", "IMMUTABLE")],
        ),
        ({**CHANGED, "origin": "EXTERNAL"}, [("origin", "IMMUTABLE")]),
    ],
    ids=["missing", "of another Region", "unused", "spec", "origin"],
)
def test_a_change_without_its_words_is_refused_and_claims_nothing(
    document: dict[str, Any],
    problems: list[tuple[str, str]] | None,
    call: Any,
    records: Records,
) -> None:
    before = record_of(records)
    events = published_on(client("events"))

    status, body = call(document)

    assert status == 400
    wanted = [("confirm[0]", "CONFIRMATION_UNUSED"), ("replicas", "CONFIRMATION_REQUIRED")]
    assert sorted(codes(body)) == (problems or wanted)
    ((_, detail_type, detail),) = events
    assert detail_type == "Multi-Region Key Request Rejected"
    assert (detail["errors"], detail["revision"]) == (body["errors"], 2)
    assert (record_of(records), started()) == (before, [])


def test_a_plan_of_what_can_never_be_is_refused(call: Any) -> None:
    status, body = call({**CHANGED, "origin": "EXTERNAL"}, plan="true")

    assert (status, codes(body)) == (400, [("origin", "IMMUTABLE")])


@pytest.mark.parametrize(
    ("document", "path", "code"),
    [
        ({**CHANGED, "revision": 1}, "requestId", "REQUEST_CONFLICT"),
        ({**CHANGED, "revision": 3}, "revision", "REVISION_SKIPPED"),
    ],
)
@pytest.mark.parametrize("query", [{}, {"plan": "true"}, {"planId": "0"}], ids=str)
def test_a_revision_that_is_not_the_next_is_a_conflict(
    query: dict[str, str], document: dict[str, Any], path: str, code: str, call: Any
) -> None:
    status, body = call(document, **query)

    assert (status, codes(body)) == (409, [(path, code)])
    assert started() == []


def test_a_plan_is_carried_out_with_its_words(call: Any) -> None:
    _, plan = call(WITHOUT_EUROPE, plan="true")

    status, body = call(REMOVE, planId=plan["planId"])

    assert (status, started()) == (202, [body["executionArn"]])


AWAY = {
    **DOCUMENT,
    "primaryRegion": "eu-west-1",
    "replicas": [{"region": "us-east-1"}, {"region": "us-west-2"}],
    "revision": 2,
}


def test_a_revision_that_names_no_primary_region_leaves_the_primary_key_where_it_is(
    call: Any, key_set: KeySet, records: Records
) -> None:
    key_set.in_region("us-east-1").update_primary_region(
        KeyId=key_set.arn, PrimaryRegion="eu-west-1"
    )
    key_set.aws.time += 3600
    key = finished_sets.key_of(request_of(AWAY), key_set.key("eu-west-1").arn)
    carried_out(records, AWAY, Status.UPDATED, key=key)
    document = {**AWAY, "description": "Cards", "revision": 3}
    del document["primaryRegion"]

    status, planned = call(document, plan="true")
    answers = [call(document) for _ in range(50)]

    assert status == 200
    assert planned["request"]["primaryRegion"] == "eu-west-1"
    assert {change["property"] for change in planned["changes"]} == {"description"}
    (execution,) = started()
    assert {(code, body["executionArn"]) for code, body in answers} == {(202, execution)}
    named = {**document, "primaryRegion": "eu-west-1"}
    assert call(named) == answers[0]
    assert record_of(records).request == request_of(named)


def test_a_set_promoted_by_hand_is_not_promoted_back_by_a_field_that_is_left_out(
    call: Any, key_set: KeySet
) -> None:
    key_set.in_region("us-east-1").update_primary_region(
        KeyId=key_set.arn, PrimaryRegion="eu-west-1"
    )
    key_set.aws.time += 3600

    status, body = call(CHANGED)

    assert (status, codes(body)) == (400, [("primaryRegion", "CONFIRMATION_REQUIRED")])
    assert "declare primaryRegion eu-west-1 and us-east-1 as a replica" in str(body)
    assert started() == []
    assert call({**AWAY, "description": "Cards"})[0] == 202


def test_a_plan_that_was_accepted_is_accepted_again(call: Any, records: Records) -> None:
    _, plan = call(CHANGED, plan="true")
    answer(client("stepfunctions"), "DescribeExecution", {"status": "RUNNING"})
    first = call(CHANGED, planId=plan["planId"])
    assert call(CHANGED, planId=plan["planId"]) == first
    request, execution = request_of(CHANGED), first[1]["executionArn"]
    finished_sets.end(records, Status.UPDATED, request, execution)

    status, body = call(CHANGED, planId=plan["planId"])

    assert (status, body["status"], len(started())) == (202, "UPDATED", 1)


@walks("PlanOutdated")
def test_a_plan_is_not_carried_out_where_the_key_set_has_changed_since(
    call: Any, key_set: KeySet, records: Records
) -> None:
    _, plan = call(CHANGED, plan="true")
    key_set.key("us-west-2").description = "by hand"
    before = record_of(records)

    status, body = call(CHANGED, planId=plan["planId"])

    assert (status, codes(body)) == (409, [("planId", "PLAN_OUTDATED")])
    assert (record_of(records), started()) == (before, [])
    _, plan = call(CHANGED, plan="true")
    assert call(CHANGED, planId=plan["planId"])[0] == 202
    assert len(started()) == 1


@pytest.mark.parametrize(
    ("planned", "document"),
    [(CHANGED, {**CHANGED, "tags": {}}), (REMOVE, {**REMOVE, "deletionWindowInDays": 7})],
    ids=["content", "window"],
)
def test_a_plan_of_another_request_is_outdated(
    planned: dict[str, Any], document: dict[str, Any], call: Any
) -> None:
    _, plan = call(planned, plan="true")

    status, body = call(document, planId=plan["planId"])

    assert (status, codes(body)) == (409, [("planId", "PLAN_OUTDATED")])


def test_a_plan_of_before_another_revision_is_outdated(call: Any, records: Records) -> None:
    _, plan = call(CHANGED, plan="true")
    carried_out(records, {**DOCUMENT, "tags": {}, "revision": 2}, Status.UPDATE_FAILED)

    status, body = call({**CHANGED, "revision": 3}, planId=plan["planId"])

    assert (status, codes(body)) == (409, [("planId", "PLAN_OUTDATED")])


def test_what_was_never_created_has_no_plan_to_be_carried_out(call: Any) -> None:
    new = {**DOCUMENT, "requestId": "CHG2", "alias": "alias/new"}

    status, body = call(new, planId="0")

    assert (status, codes(body)) == (409, [("planId", "PLAN_OUTDATED")])
    assert started(SETTINGS.state_machine_arn) == []


def test_a_change_is_accepted_unplanned_where_kms_does_not_show_the_key_set(
    call: Any, key_set: KeySet, records: Records
) -> None:
    key_set.refused["eu-west-1", "GetKeyPolicy"] = refusal("AccessDeniedException", "GetKeyPolicy")
    before = record_of(records)

    planned, carried = call(CHANGED, plan="true"), call(CHANGED, planId="0")
    accepted = call(CHANGED)

    assert (planned, planned[0]) == (carried, 503)
    assert codes(planned[1]) == [("region", "KMS_ACCESS_DENIED")]
    assert (accepted[0], started()) == (202, [accepted[1]["executionArn"]])
    assert record_of(records) == before, "the workflow plans it, and claims it then"


def test_the_status_says_which_keys_wait_for_their_deletion(
    call: Any, context: Any, records: Records, key_set: KeySet
) -> None:
    europe = {"arn": key_set.key("eu-west-1").arn, "notBefore": None, "revision": 2}
    carried_out(records, REMOVE, Status.UPDATED, removed={"eu-west-1": europe})

    body = ask(context)

    assert call(REMOVE)[0] == 202
    assert (body["status"], body["revision"]) == ("UPDATED", 2)
    assert body["removed"] == [
        {"region": "eu-west-1", "keyState": "PendingReplicaDeletion", **europe}
    ]


@pytest.mark.parametrize("status", [Status.UPDATE_FAILED, Status.DECOMMISSIONED])
def test_the_status_of_a_change_is_that_of_its_outcome(
    status: Status, context: Any, records: Records, key_set: KeySet
) -> None:
    carried_out(records, CHANGED, status)

    body = ask(context)

    assert (body["status"], body["revision"]) == (status, 2)
    assert body["key"]["keyId"] in key_set.arn or body["key"]
    assert bool(body["errors"]) == (status == Status.UPDATE_FAILED)


def test_a_change_that_fails_while_it_is_planned_is_planned_again(
    call: Any, records: Records, key_set: KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[None] = []

    class Slow:
        """A client in whose first call somebody else's run of the change fails."""

        def __init__(self, region: str) -> None:
            self._client = key_set.kms_for(region)

        def __getattr__(self, name: str) -> Any:
            if not failed:
                failed.append(None)
                carried_out(records, CHANGED, Status.UPDATE_FAILED)
            return getattr(self._client, name)

    monkeypatch.setattr(planning, "impatient_kms", Slow)

    status, body = call(CHANGED)

    assert (status, started()) == (202, [body["executionArn"]])
    assert record_of(records).execution_arn == body["executionArn"]
    assert key_set.writes() == []


def test_a_set_whose_keys_are_all_deleted_is_not_changed_any_more(
    call: Any, key_set: KeySet
) -> None:
    key_set.aws.kms.keys.clear()
    key_set.aws.kms.aliases.clear()

    for query in ({}, {"plan": "true"}):
        status, body = call(CHANGED, **query)

        assert status == 400
        assert [(one["path"], one["code"]) for one in body["errors"]] == [
            ("requestId", "CHANGE_NOT_SUPPORTED")
        ]
