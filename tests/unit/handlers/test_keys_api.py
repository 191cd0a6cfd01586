import base64
import json
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from keys_api import app, tables
from provisioner.aws.clients import client, impatient_kms
from provisioner.aws.history import History
from provisioner.aws.records import Records, Status
from provisioner.errors import Problem
from tests.support.answering import answer, calls_of, forget_answers, lose_on_the_wire, on, refusal
from tests.support.published import published_on
from tests.support.samples import ADMIN, EXECUTION, ROOT, in_days, key_arn, request_of, sample_event
from tests.support.waiting import ASIA, DEADLINE, EUROPE, HOME, NEXT_TOKEN, TOKEN, answer_of, wait

pytestmark = pytest.mark.usefixtures("records")

LEAST = {"requestId": "CHG1", "alias": "alias/cards"}


@pytest.fixture(autouse=True)
def _the_apis_own_clients_are_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "records", Records(client("dynamodb"), "requests"))
    monkeypatch.setattr(tables, "history", History(client("dynamodb"), "history"))


@pytest.fixture
def call(context: Any) -> Any:
    def send(event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answered = app.handler(event, context)
        assert answered["multiValueHeaders"]["Content-Type"] == ["application/json"]
        return answered["statusCode"], json.loads(answered["body"])

    return send


def post(body: object, **query: str) -> dict[str, Any]:
    event: dict[str, Any] = sample_event("api-post-keys")
    text = body if isinstance(body, str | None) else json.dumps(body)
    return {**event, "body": text, "queryStringParameters": query or None}


def get(request_id: str) -> dict[str, Any]:
    return {**sample_event("api-get-keys"), "path": f"/keys/{request_id}"}


def delete(request_id: str) -> dict[str, Any]:
    return {**sample_event("api-delete-keys"), "path": f"/keys/{request_id}"}


def provide(body: object, request_id: str = "CHG1") -> dict[str, Any]:
    event: dict[str, Any] = sample_event("api-post-material")
    text = body if isinstance(body, str | None) else json.dumps(body)
    return {**event, "path": f"/keys/{request_id}/material", "body": text}


def started() -> list[Any]:
    found = client("stepfunctions").list_executions(
        stateMachineArn="arn:aws:states:us-east-1:111122223333:stateMachine:provision-key"
    )
    return list(found["executions"])


def test_the_schema_is_the_models_own(call: Any) -> None:
    status, body = call({**sample_event("api-get-keys"), "path": "/schema"})

    assert status == 200
    assert body["required"] == ["requestId", "alias"]
    of_changes = {"enabled", "desiredState", "deletionWindowInDays", "confirm"}
    assert body["properties"].keys() == request_of(**LEAST).keys() | of_changes


def test_a_request_is_accepted_and_its_execution_started(call: Any) -> None:
    status, body = call(sample_event("api-post-keys"))

    (execution,) = started()
    assert status == 202
    assert body == {
        "requestId": "CHG0031404",
        "executionArn": execution["executionArn"],
        "status": "IN_PROGRESS",
    }
    begun = client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    assert json.loads(begun["input"])["replicas"] == [{"region": "eu-west-1"}]


def test_the_same_request_again_is_the_same_execution(call: Any) -> None:
    first, second = call(post(LEAST)), call(post({**LEAST, "tags": {}}))

    assert first == second
    assert len(started()) == 1


def test_a_body_in_base64_is_read(call: Any) -> None:
    body = base64.b64encode(json.dumps(LEAST).encode()).decode()

    status, _ = call({**post(body), "isBase64Encoded": True})

    assert status == 202


@pytest.mark.parametrize("body", [None, "", "[1]", "null", '"text"'])
def test_a_body_that_is_no_object_is_refused(body: str | None, call: Any) -> None:
    status, answered = call(post(body))

    assert status == 400
    assert [(e["path"], e["code"]) for e in answered["errors"]] == [("", "NOT_AN_OBJECT")]


NOT_JSON = ["{", "[" * 100_000, '{"requestId": "CHG1" "alias": "alias/cards"}', "\ufeff"]


@pytest.mark.parametrize("body", NOT_JSON)
def test_a_body_that_is_no_json_is_refused_and_says_where(body: str, call: Any) -> None:
    status, answered = call(post(body))

    (error,) = answered["errors"]
    assert (status, error["path"], error["code"]) == (400, "", "NOT_JSON")
    assert started() == []


@pytest.mark.parametrize("body", ["not base64!", base64.b64encode(b"\xff\xfe{").decode(), "\u0421"])
def test_a_base64_body_that_is_no_text_is_refused(body: str, call: Any) -> None:
    for event in (post(body), provide(body)):
        status, answered = call({**event, "isBase64Encoded": True})

        assert (status, answered["errors"][0]["code"]) == (400, "NOT_JSON")


def test_a_name_that_stands_twice_is_refused_and_published_under_its_request(call: Any) -> None:
    events = published_on(client("events"))

    status, body = call(post('{"requestId": "CHG1", "alias": "alias/a", "alias": "alias/b"}'))

    assert status == 400
    assert [(e["path"], e["code"]) for e in body["errors"]] == [("alias", "DUPLICATE_NAME")]
    ((_, _, detail),) = events
    assert (detail["requestId"], detail["errors"]) == ("CHG1", body["errors"])


def test_a_byte_order_mark_before_a_body_does_no_harm(call: Any) -> None:
    assert call(post("\ufeff" + json.dumps(LEAST)))[0] == 202


UNKNOWN, DUPLICATE = "UNKNOWN_PARAMETER", "DUPLICATE_PARAMETER"


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"Plan": ["true"]}, [("Plan", UNKNOWN)]),
        ({"dry_run": ["true"]}, [("dry_run", UNKNOWN)]),
        ({"plan": ["false", "true"]}, [("plan", DUPLICATE)]),
        ({"plan": ["true", "true"], "x": ["1"]}, [("plan", DUPLICATE), ("x", UNKNOWN)]),
        ({" plan": ["true"], "": [""]}, [("", UNKNOWN), (" plan", UNKNOWN)]),
    ],
)
def test_parameters_that_are_unknown_or_repeated_create_nothing(
    given: dict[str, list[str]], problems: list[tuple[str, str]], call: Any
) -> None:
    events = published_on(client("events"))
    last = {name: values[-1] for name, values in given.items()}
    event = {**post(LEAST, **last), "multiValueQueryStringParameters": given}

    status, body = call(event)

    assert status == 400
    assert [(e["path"], e["code"]) for e in body["errors"]] == problems
    assert (started(), events) == ([], [])
    assert call(get("CHG1"))[0] == 404


def test_no_other_route_takes_parameters(call: Any) -> None:
    wait(Records(client("dynamodb"), "requests"))
    schema = {**get("x"), "path": "/schema"}
    for event in (get("CHG1"), schema, delete("CHG1"), provide(answer_of(HOME))):
        status, body = call({**event, "queryStringParameters": {"plan": "true"}})

        assert status == 400
        assert [(e["path"], e["code"]) for e in body["errors"]] == [("plan", UNKNOWN)]
    assert call(get("CHG1"))[1]["status"] == "WAITING_FOR_MATERIAL"


def test_a_request_that_is_under_way_is_cancelled(call: Any) -> None:
    _, accepted = call(post(LEAST))

    first, second = call(delete("CHG1")), call(delete("CHG1"))

    assert first == second == (202, accepted)
    record = Records(client("dynamodb"), "requests").get("CHG1")
    assert record
    assert record.cancelled_at
    assert len(started()) == 1


def test_a_cancellation_wakes_the_execution_that_waits_for_key_material(call: Any) -> None:
    wait(Records(client("dynamodb"), "requests"))
    step_functions = client("stepfunctions")
    answer(step_functions, "SendTaskFailure", {}, refusal("TaskTimedOut"))
    answer(step_functions, "DescribeExecution", {"status": "RUNNING"}, {"status": "RUNNING"})
    calls = calls_of(step_functions)

    first, second = call(delete("CHG1")), call(delete("CHG1"))

    body = {"requestId": "CHG1", "executionArn": EXECUTION, "status": "WAITING_FOR_MATERIAL"}
    assert first == second == (202, body)
    failure = calls[0][1]
    assert (failure["taskToken"], failure["error"]) == (TOKEN, "Cancelled")
    assert json.loads(failure["cause"])["errorMessage"].startswith("Request CHG1 was cancelled.")


def test_a_request_whose_execution_died_is_ended_by_another(call: Any) -> None:
    _, accepted = call(post(LEAST))
    client("stepfunctions").stop_execution(executionArn=accepted["executionArn"])

    first, second = call(delete("CHG1")), call(delete("CHG1"))

    assert first == second
    assert first[0] == 202
    ending = first[1]["executionArn"]
    assert {one["executionArn"] for one in started()} == {accepted["executionArn"], ending}


def test_a_request_whose_execution_was_never_started_is_ended_by_that_one(call: Any) -> None:
    answer(client("stepfunctions"), "StartExecution", refusal("StateMachineDeleting"))
    call(post(LEAST))
    forget_answers()

    status, body = call(delete("CHG1"))

    assert status == 202
    assert [one["executionArn"] for one in started()] == [body["executionArn"]]
    assert call(get("CHG1"))[1]["executionArn"] == body["executionArn"]


def test_step_functions_that_does_not_take_a_cancellation_makes_the_api_unavailable(
    call: Any,
) -> None:
    wait(Records(client("dynamodb"), "requests"))
    answer(client("stepfunctions"), "SendTaskFailure", refusal("ThrottlingException"))

    assert call(delete("CHG1"))[0] == 503


@pytest.mark.parametrize("request_id", ["CHG2", "CHG 1"])
def test_what_was_never_requested_cannot_be_cancelled(request_id: str, call: Any) -> None:
    status, body = call(delete(request_id))

    assert (status, body["errors"][0]["code"]) == (404, "NOT_FOUND")


def test_a_request_that_has_ended_cannot_be_cancelled_unless_that_ended_it(call: Any) -> None:
    _, accepted = call(post(LEAST))
    records = Records(client("dynamodb"), "requests")
    outcome: dict[str, Any] = {"execution_arn": accepted["executionArn"], "key": None}
    failed: list[Problem] = [{"path": "", "code": "KMS_THROTTLED", "message": "later"}]
    cancelled: list[Problem] = [
        {"path": "requestId", "code": "CANCELLED", "message": "Request CHG1 was."}
    ]
    records.finish(request_of(**LEAST), status=Status.FAILED, errors=failed, **outcome)
    refused, body = call(delete("CHG1"))
    records.finish(request_of(**LEAST), status=Status.FAILED, errors=cancelled, **outcome)
    answer(client("stepfunctions"), "DescribeExecution", {"status": "FAILED"})

    again, answered = call(delete("CHG1"))

    (error,) = body["errors"]
    assert (refused, error["path"], error["code"]) == (409, "requestId", "NOT_UNDER_WAY")
    assert (again, answered["status"]) == (202, "FAILED")
    assert len(started()) == 1


def test_a_plan_of_what_the_post_would_answer_with_a_conflict_is_one(call: Any) -> None:
    other = {**LEAST, "description": "other"}
    assert call(post(LEAST, plan="true"))[0] == 200
    call(post(LEAST))

    assert call(post(LEAST, plan="true"))[0] == 200
    planned, posted = call(post(other, plan="true")), call(post(other))

    assert planned == posted
    assert planned[0] == 409


def test_a_plan_of_a_revision_that_is_not_the_first_is_a_conflict(call: Any) -> None:
    later = {**LEAST, "revision": 2}

    planned, posted = call(post(later, plan="true")), call(post(later))

    assert planned == posted
    assert planned[1]["errors"][0]["code"] == "REVISION_SKIPPED"


def test_a_plan_of_other_terms_than_those_under_way_is_a_conflict(call: Any) -> None:
    external = {**LEAST, "origin": "EXTERNAL", "keyMaterial": {"validTo": in_days(100)}}
    call(post(external))
    other = {**external, "keyMaterial": {"validTo": in_days(200)}}

    planned, posted = call(post(other, plan="true")), call(post(other))

    assert planned == posted
    assert planned[0] == 409


def test_a_bad_request_is_refused_with_all_its_problems_and_told_on_the_bus(call: Any) -> None:
    events = published_on(client("events"))

    status, body = call(post({"requestId": "CHG1", "rotation": {"periodInDays": 1}}))

    codes = {(e["path"], e["code"]) for e in body["errors"]}
    assert status == 400
    assert codes == {("alias", "REQUIRED"), ("rotation.periodInDays", "OUT_OF_RANGE")}
    ((_, detail_type, detail),) = events
    assert detail_type == "Multi-Region Key Request Rejected"
    assert (detail["executionArn"], detail["errors"]) == (None, body["errors"])
    assert started() == []


def test_a_refused_request_may_be_sent_again_with_corrected_content(call: Any) -> None:
    call(post({"requestId": "CHG1"}))
    refused, shown = call(get("CHG1")), call(post(LEAST))

    assert refused[1]["status"] == "REJECTED"
    assert shown[0] == 202


def test_other_content_under_the_same_id_is_a_conflict(call: Any) -> None:
    call(post(LEAST))

    status, body = call(post({**LEAST, "description": "other"}))

    (error,) = body["errors"]
    assert status == 409
    assert (error["path"], error["code"]) == ("requestId", "REQUEST_CONFLICT")
    assert "CHG1 is under way with other content" in error["message"]
    assert len(started()) == 1


def end(status: Status, key: Any = None, **fields: Any) -> None:
    """Let the request of `LEAST` end, and report that."""
    records = Records(client("dynamodb"), "requests")
    record = records.get("CHG1")
    assert record
    execution = str(record.execution_arn)
    asked = request_of(**fields)
    assert records.finish(asked, execution_arn=execution, status=status, key=key, errors=[])
    records.mark_published("CHG1", execution)


@pytest.mark.parametrize("revision", [1, 2])
def test_a_failed_request_is_corrected_under_its_own_id(revision: int, call: Any) -> None:
    call(post(LEAST))
    end(Status.FAILED)

    status, body = call(post({**LEAST, "description": "corrected", "revision": revision}))

    assert (status, body["status"]) == (202, "IN_PROGRESS")
    assert len(started()) == 2


@pytest.mark.parametrize(
    ("status", "fields", "path", "code"),
    [
        (Status.CREATED, {"description": "other"}, "requestId", "REQUEST_CONFLICT"),
        (Status.CREATED, {"description": "other", "revision": 3}, "revision", "REVISION_SKIPPED"),
        (Status.FAILED, {"description": "other", "revision": 3}, "revision", "REVISION_SKIPPED"),
        (Status.FAILED, {"origin": "EXTERNAL"}, "origin", "IMMUTABLE"),
    ],
)
def test_a_conflict_is_reported_once_with_what_exists(
    status: Status, fields: dict[str, Any], path: str, code: str, call: Any
) -> None:
    key = {"keyId": "mrk-1"}
    _, body = call(post(LEAST))
    records = Records(client("dynamodb"), "requests")
    records.announce_attempt("CHG1", body["executionArn"], 1, "token")
    end(status, key)
    events = published_on(client("events"))
    ticket = {"id": "CHG0031337"}

    answered, body = call(post({**LEAST, **fields, "ticket": ticket}))

    assert answered == 409
    assert [(error["path"], error["code"]) for error in body["errors"]] == [(path, code)]
    ((_, detail_type, detail),) = events
    assert detail_type == "Multi-Region Key Request Rejected"
    assert (detail["errors"], detail["key"]) == (body["errors"], key)
    assert (detail["ticket"], detail["revision"]) == (ticket, fields.get("revision", 1))
    assert call(get("CHG1"))[1]["status"] == status
    assert len(started()) == 1


def test_a_request_that_waits_for_material_is_answered_with_its_status(call: Any) -> None:
    imported = {**LEAST, "origin": "EXTERNAL"}
    _, first = call(post(imported))
    Records(client("dynamodb"), "requests").await_material(
        "CHG1", first["executionArn"], "token", key=None, materials=[], errors=[], deadline=DEADLINE
    )

    status, body = call(post(imported))

    assert (status, body) == (202, {**first, "status": "WAITING_FOR_MATERIAL"})


def test_a_plan_shows_every_regions_policy_and_creates_nothing(call: Any) -> None:
    writes = calls_of(client("dynamodb"))

    status, body = call(sample_event("api-post-keys-plan"))

    assert status == 200
    assert body["request"]["keySpec"] == "SYMMETRIC_DEFAULT"
    assert [key["region"] for key in body["keys"]] == ["us-east-1", "eu-west-1", "us-west-2"]
    assert [key["alias"] for key in body["keys"]] == [
        "alias/payments/cards",
        "alias/payments/cards",
        "alias/payments/cards-us",
    ]
    for key in body["keys"]:
        assert key["policy"]["Statement"][1]["Principal"] == {"AWS": [ADMIN]}
        assert key["tags"]["mrk:request-id"] == "CHG0031337"
    assert [name for name, _ in writes] == ["GetItem"]
    assert started() == []


def test_a_plan_warns_of_what_its_key_policies_make_impossible(call: Any) -> None:
    account = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    deny = {**account, "Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion"}
    policy = {"document": {"Version": "2012-10-17", "Statement": [account, deny]}}

    status, body = call(post({**LEAST, "policy": policy}, plan="true"))

    warning, change = body["warnings"]
    assert status == 200
    assert change["code"] == "CHANGE_IMPOSSIBLE"
    assert warning == {
        "path": "policy.document.Statement[1]",
        "code": "ROLLBACK_IMPOSSIBLE",
        "message": (
            "This stack's roles in us-east-1: Statement[1] denies kms:ScheduleKeyDeletion (to "
            "retire a second key, to schedule the deletion). Without that, a request that fails "
            "leaves its keys behind."
        ),
    }
    assert call(post(LEAST, plan="true"))[1]["warnings"] == []


TWO_REGIONS = {**LEAST, "replicas": [{"region": EUROPE}]}
OTHER_KEY = f"arn:aws:kms:{EUROPE}:111122223333:key/mrk-{'f' * 32}"


def plan_warnings(call: Any, document: dict[str, Any]) -> list[dict[str, str]]:
    status, body = call(post(document, plan="true"))
    assert status == 200
    warnings: list[dict[str, str]] = body["warnings"]
    return warnings


def test_a_plan_warns_of_an_alias_that_another_key_has_and_names_it(call: Any) -> None:
    answer(impatient_kms(EUROPE), "DescribeKey", {"KeyMetadata": {"Arn": OTHER_KEY}})
    home, europe = calls_of(impatient_kms(HOME)), calls_of(impatient_kms(EUROPE))

    (warning,) = plan_warnings(call, TWO_REGIONS)

    assert (warning["path"], warning["code"]) == ("replicas[0].alias", "ALIAS_IN_USE")
    assert f"alias/cards points to {OTHER_KEY}." in warning["message"]
    assert home == europe == [("DescribeKey", {"KeyId": "alias/cards"})]


def test_an_alias_of_the_requests_own_key_is_no_warning(call: Any) -> None:
    arn, records = record_primary(call), Records(client("dynamodb"), "requests")
    request = request_of(**TWO_REGIONS)
    records.finish(request, execution_arn=arn, status=Status.FAILED, key=None, errors=[])
    records.mark_published("CHG1", arn)
    for region in (HOME, EUROPE):
        answer(impatient_kms(region), "DescribeKey", {"KeyMetadata": {"Arn": key_arn(region)}})

    assert plan_warnings(call, {**TWO_REGIONS, "description": "corrected"}) == []


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidClientTokenId"])
@pytest.mark.parametrize("alias", [{}, {"alias": None}])
def test_a_plan_warns_of_a_region_that_is_not_enabled(
    code: str, alias: dict[str, None], call: Any
) -> None:
    answer(impatient_kms(EUROPE), "DescribeKey", refusal(code, "The token is invalid."))

    (warning,) = plan_warnings(call, {**LEAST, "replicas": [{"region": EUROPE, **alias}]})

    assert (warning["path"], warning["code"]) == ("replicas[0].region", "REGION_NOT_ENABLED")
    assert EUROPE in warning["message"]


DENIED, LOST = refusal("AccessDeniedException"), refusal("KMSInternalException", status=500)
HAS_NO_ALIAS = {"replicas": [{"region": EUROPE, "alias": None}]}


@pytest.mark.parametrize(
    ("region", "fields", "answered", "paths"),
    [
        (HOME, {}, DENIED, ["alias"]),
        (HOME, {}, LOST, ["alias"]),
        (EUROPE, HAS_NO_ALIAS, LOST, ["replicas[0].region"]),
        (EUROPE, HAS_NO_ALIAS, DENIED, []),
        (EUROPE, HAS_NO_ALIAS, {"KeyMetadata": {"Arn": OTHER_KEY}}, []),
    ],
)
def test_a_plan_says_what_kms_did_not_answer(
    region: str,
    fields: dict[str, Any],
    answered: dict[str, Any],
    paths: list[str],
    call: Any,
) -> None:
    answer(impatient_kms(region), "DescribeKey", answered)

    warnings = plan_warnings(call, {**LEAST, **fields})

    assert [(one["path"], one["code"]) for one in warnings] == [
        (path, "NOT_CHECKED") for path in paths
    ]
    assert all(region in one["message"] for one in warnings)


def test_a_plan_does_not_wait_for_a_region_that_stays_silent(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.creation.plan_warnings._SECONDS", 0.05)
    go_on = threading.Event()
    on(impatient_kms(EUROPE), "provide-client-params", lambda **_: go_on.wait(30) and None)

    (warning,) = plan_warnings(call, TWO_REGIONS)
    go_on.set()

    assert (warning["path"], warning["code"]) == ("replicas[0].alias", "NOT_CHECKED")
    assert f"KMS in {EUROPE} did not answer within" in warning["message"]


def test_a_plan_shows_when_the_key_material_of_every_region_expires(call: Any) -> None:
    at = in_days(100)
    material = {"validTo": at}
    replicas = [{"region": EUROPE}, {"region": ASIA, "keyMaterial": None}]

    _, body = call(
        post(
            {**LEAST, "origin": "EXTERNAL", "keyMaterial": material, "replicas": replicas},
            plan="true",
        )
    )

    assert [key["expiry"]["validTo"] for key in body["keys"]] == [at, at, None]


def test_a_plan_of_a_bad_request_is_refused_and_told_to_nobody(call: Any) -> None:
    events = published_on(client("events"))

    status, body = call(post({"requestId": "CHG1"}, plan="true"))

    assert (status, body["errors"][0]["code"]) == (400, "REQUIRED")
    assert events == []
    assert call(get("CHG1"))[0] == 404


@pytest.mark.parametrize("value", ["True", "1", "", "yes", "treu"])
def test_a_misspelt_plan_creates_nothing(value: str, call: Any) -> None:
    events = published_on(client("events"))

    status, body = call(post(LEAST, plan=value))

    (error,) = body["errors"]
    assert (status, error["path"], error["code"]) == (400, "plan", "NOT_ONE_OF")
    assert started() == []
    assert events == []


def test_plan_false_is_no_plan(call: Any) -> None:
    assert call(post(LEAST, plan="false"))[0] == 202


def test_the_status_of_a_request_is_shown(call: Any) -> None:
    _, accepted = call(post({**LEAST, "ticket": {"id": "7"}}))

    status, body = call(get("CHG1"))

    assert status == 200
    assert body == {
        "requestId": "CHG1",
        "revision": 1,
        "status": "IN_PROGRESS",
        "startedAt": body["startedAt"],
        "updatedAt": body["updatedAt"],
        "request": json.loads(json.dumps(request_of(**LEAST, ticket={"id": "7"}))),
        "key": None,
        "errors": [],
        "warnings": [],
        "ticket": {"id": "7"},
        "executionArn": accepted["executionArn"],
    }


def test_the_status_of_a_created_key_set_shows_the_key(call: Any) -> None:
    records = Records(client("dynamodb"), "requests")
    key: Any = {"keyId": "mrk-1", "primary": {"arn": key_arn()}}
    request = request_of(requestId="CHG0031337")
    records.finish(request, execution_arn="arn", status=Status.CREATED, key=key, errors=[])

    status, body = call(sample_event("api-get-keys"))

    assert (status, body["status"], body["key"]) == (200, "CREATED", key)


def test_the_status_shows_what_is_asked_for_only_while_it_is(call: Any) -> None:
    records = Records(client("dynamodb"), "requests")
    record = wait(records, HOME, EUROPE)
    _, waiting = call(get("CHG1"))
    records.note_answer("CHG1", TOKEN, "hash")
    _, answered = call(get("CHG1"))

    assert (waiting["status"], waiting["materials"]) == ("WAITING_FOR_MATERIAL", record.materials)
    assert waiting["deadline"] == DEADLINE
    assert waiting["updatedAt"] >= waiting["startedAt"]
    assert TOKEN not in json.dumps(waiting)
    assert answered["status"] == "IN_PROGRESS"
    assert answered.keys().isdisjoint({"materials", "deadline"})


def record_primary(call: Any, **fields: Any) -> str:
    """Let a request create its primary key, with a replica in Europe that KMS has, and run on."""
    _, accepted = call(post({**LEAST, "replicas": [{"region": EUROPE}], **fields}))
    records = Records(client("dynamodb"), "requests")
    assert records.announce_attempt("CHG1", accepted["executionArn"], 1, TOKEN)
    records.close_attempt("CHG1", 1, key_arn())
    return str(accepted["executionArn"])


def metadata(*replicas: str, **fields: Any) -> dict[str, Any]:
    """Return what DescribeKey answers for the primary key of a set."""
    keys = [{"Region": region, "Arn": key_arn(region)} for region in replicas]
    configuration = {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Region": HOME, "Arn": key_arn()},
        "ReplicaKeys": keys,
    }
    described = {"Arn": key_arn(), "Origin": "AWS_KMS", "KeyState": "Enabled"}
    return {"KeyMetadata": {**described, "MultiRegionConfiguration": configuration, **fields}}


def test_the_status_of_a_request_under_way_shows_the_keys_that_kms_has(call: Any) -> None:
    record_primary(call)
    kms = impatient_kms(HOME)
    creating = metadata(KeyState="Creating")
    answer(kms, "DescribeKey", creating, metadata("ap-south-1", EUROPE))
    calls = calls_of(kms)

    created, replicated = call(get("CHG1"))[1]["key"], call(get("CHG1"))[1]["key"]

    unread = {"alias": None, "keyState": None}
    assert created["primary"] == {
        "region": HOME,
        "arn": key_arn(),
        **unread,
        "keyState": "Creating",
    }
    assert created["replicas"] == []
    assert replicated["primary"]["keyState"] == "Enabled"
    assert replicated["replicas"] == [{"region": EUROPE, "arn": key_arn(EUROPE), **unread}]
    assert calls == [("DescribeKey", {"KeyId": key_arn()})] * 2


def test_a_primary_key_that_was_moved_by_hand_stays_the_recorded_one(call: Any) -> None:
    record_primary(call)
    moved = metadata(HOME, PendingWindowInDays=7)
    configuration = moved["KeyMetadata"]["MultiRegionConfiguration"]
    configuration["PrimaryKey"] = {"Region": EUROPE, "Arn": key_arn(EUROPE)}
    answer(impatient_kms(HOME), "DescribeKey", moved)

    key = call(get("CHG1"))[1]["key"]

    assert key["primary"]["arn"] == key_arn()
    assert [replica["arn"] for replica in key["replicas"]] == [key_arn(EUROPE)]


@pytest.mark.parametrize("valid_to", [None, datetime(2026, 12, 1, tzinfo=UTC)])
def test_the_status_shows_when_imported_key_material_expires(
    valid_to: datetime | None, call: Any
) -> None:
    record_primary(call, origin="EXTERNAL")
    expiry = {"ValidTo": valid_to} if valid_to else {}
    answer(impatient_kms(HOME), "DescribeKey", metadata(Origin="EXTERNAL", **expiry))

    primary = call(get("CHG1"))[1]["key"]["primary"]

    assert primary["validTo"] == ("2026-12-01T00:00:00Z" if valid_to else None)


@pytest.mark.parametrize(
    "refused",
    [
        refusal("AccessDeniedException"),
        refusal("NotFoundException"),
        refusal("UnrecognizedClientException"),
        refusal("KMSInternalException", status=500),
    ],
)
def test_the_status_shows_what_the_record_has_where_kms_does_not_say_more(
    refused: dict[str, Any], call: Any
) -> None:
    record_primary(call)
    answer(impatient_kms(HOME), "DescribeKey", refused)

    status, body = call(get("CHG1"))

    primary = {"region": HOME, "arn": key_arn(), "alias": None, "keyState": None}
    assert (status, body["key"]["primary"], body["key"]["replicas"]) == (200, primary, [])


def test_a_kms_that_does_not_answer_leaves_the_status_as_recorded(call: Any) -> None:
    record_primary(call)
    sent = lose_on_the_wire(impatient_kms(HOME), ReadTimeoutError(endpoint_url="https://kms"))

    status, body = call(get("CHG1"))

    assert (status, body["key"]["primary"]["arn"]) == (200, key_arn())
    assert sent == ["DescribeKey"] * 2


def test_a_failure_that_knows_no_keys_shows_those_that_kms_has(call: Any) -> None:
    arn, records = record_primary(call), Records(client("dynamodb"), "requests")
    request = request_of(**LEAST, replicas=[{"region": EUROPE}])
    finish = partial(records.finish, request, execution_arn=arn, status=Status.FAILED, errors=[])
    calls = calls_of(impatient_kms(HOME))
    answer(impatient_kms(HOME), "DescribeKey", metadata(EUROPE))

    finish(key=None)
    unknown = call(get("CHG1"))[1]["key"]
    key: Any = {"keyId": "mrk-1"}
    finish(key=key)
    known = call(get("CHG1"))[1]["key"]

    assert [replica["arn"] for replica in unknown["replicas"]] == [key_arn(EUROPE)]
    assert (known, len(calls)) == ({"keyId": "mrk-1"}, 1)


def test_a_request_that_is_taken_up_again_shows_the_keys_of_its_last_outcome(call: Any) -> None:
    _, accepted = call(post(LEAST))
    records, arn = Records(client("dynamodb"), "requests"), accepted["executionArn"]
    assert records.announce_attempt("CHG1", arn, 1, TOKEN)
    records.close_attempt("CHG1", 1, key_arn())
    primary = {"region": HOME, "arn": key_arn(), "alias": "alias/cards", "keyState": "Enabled"}
    key: Any = {"keyId": "mrk-1", "primary": primary, "replicas": []}
    request = request_of(**LEAST)
    records.finish(request, execution_arn=arn, status=Status.FAILED, key=key, errors=[])
    records.mark_published("CHG1", arn)

    assert call(post(LEAST))[0] == 202
    answer(impatient_kms(HOME), "DescribeKey", metadata(KeyState="Disabled"))

    assert call(get("CHG1"))[1]["key"]["primary"] == {**primary, "keyState": "Disabled"}


def test_key_material_is_accepted_and_wakes_the_execution(call: Any) -> None:
    wait(Records(client("dynamodb"), "requests"))
    answer(client("stepfunctions"), "SendTaskSuccess", {})
    calls = calls_of(client("stepfunctions"))

    first, second = call(provide(answer_of(HOME))), call(provide(answer_of(HOME)))

    body = {"requestId": "CHG1", "executionArn": EXECUTION, "status": "IN_PROGRESS"}
    assert first == second == (202, body)
    ((name, parameters),) = calls
    assert (name, parameters["taskToken"]) == ("SendTaskSuccess", TOKEN)


def test_the_address_is_enough_to_name_the_request(call: Any) -> None:
    wait(Records(client("dynamodb"), "requests"))
    answer(client("stepfunctions"), "SendTaskSuccess", {})

    status, body = call(provide({"materials": answer_of(HOME)["materials"]}))

    assert (status, body["requestId"]) == (202, "CHG1")


def test_the_sample_of_key_material_is_sound(call: Any) -> None:
    status, body = call(sample_event("api-post-material"))

    assert (status, body["errors"][0]["code"]) == (404, "NOT_FOUND")
    assert "CHG0031338" in body["errors"][0]["message"]


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        (None, {("", "NOT_AN_OBJECT")}),
        ("[", {("", "NOT_JSON")}),
        ([], {("", "NOT_AN_OBJECT")}),
        ({}, {("materials", "REQUIRED")}),
        ({**answer_of(HOME), "requestId": None}, {("requestId", "REQUEST_ID_DIFFERS")}),
        ({**answer_of(HOME), "requestId": "CHG2"}, {("requestId", "REQUEST_ID_DIFFERS")}),
        (answer_of(HOME, importToken="?"), {("materials[0].importToken", "BAD_FORMAT")}),
        (answer_of(EUROPE), {("materials[0].region", "REGION_NOT_AWAITED")}),
    ],
)
def test_bad_key_material_is_refused_with_its_problems(
    body: object, problems: set[tuple[str, str]], call: Any
) -> None:
    wait(Records(client("dynamodb"), "requests"))
    calls, events = calls_of(client("stepfunctions")), published_on(client("events"))

    status, answered = call(provide(body))

    assert status == 400
    assert {(e["path"], e["code"]) for e in answered["errors"]} == problems
    assert (calls, events) == ([], [])


def test_key_material_for_an_unknown_request_is_not_found(call: Any) -> None:
    status, body = call(provide(answer_of(HOME)))

    (error,) = body["errors"]
    assert (status, error["path"], error["code"]) == (404, "requestId", "NOT_FOUND")


def test_key_material_that_nobody_waits_for_is_a_conflict(call: Any) -> None:
    call(post(LEAST))

    status, body = call(provide(answer_of(HOME)))

    (error,) = body["errors"]
    assert (status, error["path"], error["code"]) == (409, "requestId", "KEY_MATERIAL_NOT_AWAITED")


@pytest.mark.parametrize("is_noted", [True, False])
def test_who_answers_a_moment_later_for_another_region_is_told_to_answer_again(
    is_noted: bool, call: Any
) -> None:
    records = Records(client("dynamodb"), "requests")
    wait(records, HOME, EUROPE)
    # Before the first answer is noted, the second one finds the question and no task behind it.
    first = {} if is_noted else refusal("TaskTimedOut")
    answer(client("stepfunctions"), "SendTaskSuccess", first, {})
    if is_noted:
        assert call(provide(answer_of(HOME)))[0] == 202

    status, body = call(provide(answer_of(EUROPE)))
    wait(records, EUROPE, token=NEXT_TOKEN)

    assert (status, body["errors"][0]["code"]) == (409, "KEY_MATERIAL_NOT_AWAITED")
    assert "send this answer once more" in body["errors"][0]["message"]
    assert call(provide(answer_of(EUROPE)))[0] == 202


def test_step_functions_that_does_not_take_an_answer_makes_the_api_unavailable(call: Any) -> None:
    wait(Records(client("dynamodb"), "requests"))
    answer(client("stepfunctions"), "SendTaskSuccess", refusal("ThrottlingException"))

    status, body = call(provide(answer_of(HOME)))

    assert (status, body["errors"][0]["code"]) == (503, "DEPENDENCY_UNAVAILABLE")


def test_an_unknown_request_is_not_found(call: Any) -> None:
    status, body = call(get("CHG2"))

    (error,) = body["errors"]
    assert (status, error["path"], error["code"]) == (404, "requestId", "NOT_FOUND")


@pytest.mark.parametrize("request_id", ["r" * 3000, "CHG 1", "{% $request %}", "\u0421HG1"])
def test_what_can_be_no_request_id_is_not_looked_for(call: Any, request_id: str) -> None:
    lookups = calls_of(client("dynamodb"))

    status, body = call(get(request_id))

    (error,) = body["errors"]
    assert (status, error["path"], error["code"]) == (404, "requestId", "NOT_FOUND")
    assert lookups == []


def test_an_unknown_path_is_not_found(context: Any) -> None:
    event = {**get("x"), "path": "/locks", "resource": "/locks"}

    answered = app.handler(event, context)

    (error,) = json.loads(answered["body"])["errors"]
    assert (answered["statusCode"], error["code"]) == (404, "NO_SUCH_ROUTE")
    assert "GET /locks" in error["message"]


def test_a_created_request_is_not_started_again(call: Any) -> None:
    _, accepted = call(post(LEAST))
    client("dynamodb").update_item(
        TableName="requests",
        Key={"requestId": {"S": "CHG1"}},
        UpdateExpression="SET #s = :created, publishedAt = :now",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={
            ":created": {"S": "CREATED"},
            ":now": {"S": "2026-11-25T12:00Z"},
        },
    )
    calls = calls_of(client("stepfunctions"))

    status, body = call(post(LEAST))

    assert (status, body) == (202, {**accepted, "status": "CREATED"})
    assert calls == []


def test_a_request_that_is_just_failing_is_to_be_sent_again_in_a_moment(call: Any) -> None:
    _, accepted = call(post(LEAST))
    Records(client("dynamodb"), "requests").finish(
        request_of(),
        execution_arn=accepted["executionArn"],
        status=Status.FAILED,
        key=None,
        errors=[],
    )

    status, body = call(post(LEAST))

    assert (status, body["errors"][0]["code"]) == (503, "REQUEST_BEING_FINISHED")
    assert len(started()) == 1


def test_an_execution_that_was_not_started_is_started_by_the_next_call(call: Any) -> None:
    step_functions = client("stepfunctions")
    answer(step_functions, "StartExecution", refusal("StateMachineDeleting"))
    failed_status, failed = call(post(LEAST))
    forget_answers()

    status, body = call(post(LEAST))

    assert (failed_status, failed["errors"][0]["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert status == 202
    assert [execution["executionArn"] for execution in started()] == [body["executionArn"]]


def test_an_execution_that_another_call_starts_right_now_is_left_to_it(
    call: Any, context: Any
) -> None:
    step_functions = client("stepfunctions")
    inner: list[int] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            inner.append(0)
            inner[0] = app.handler(post(LEAST), context)["statusCode"]

    on(step_functions, "before-call.sfn.StartExecution", meanwhile)

    status, _ = call(post(LEAST))

    assert (status, inner) == (202, [202])
    assert len(started()) == 1


@pytest.mark.parametrize(
    "event",
    [post(LEAST), get("CHG1"), post({"requestId": "CHG1"}), provide(answer_of(HOME))],
)
def test_a_table_that_does_not_answer_makes_the_api_unavailable(
    event: dict[str, Any], call: Any
) -> None:
    lose_on_the_wire(client("dynamodb"), ReadTimeoutError(endpoint_url="https://secret.invalid"))

    status, body = call(event)

    (error,) = body["errors"]
    assert (status, error["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert error["message"] == "Try again in a moment."


def test_a_bus_that_refuses_makes_the_api_unavailable(call: Any) -> None:
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    status, body = call(post({"requestId": "CHG1"}))

    assert (status, body["errors"][0]["code"]) == (503, "EVENT_NOT_PUBLISHED")


def with_identity(event: dict[str, Any], arn: str) -> dict[str, Any]:
    identity = {**event["requestContext"].get("identity", {}), "userArn": arn}
    return {**event, "requestContext": {**event["requestContext"], "identity": identity}}


def list_keys(**query: str) -> dict[str, Any]:
    return {**get(""), "path": "/keys", "queryStringParameters": query or None}


def history(request_id: str) -> dict[str, Any]:
    return {**get(request_id), "path": f"/keys/{request_id}/history"}


def test_who_asks_is_kept_for_the_outcome(call: Any, records: Records) -> None:
    alice = "arn:aws:sts::111122223333:assumed-role/Platform/alice"

    call(with_identity(post(LEAST), alice))

    record = records.get("CHG1")
    assert record is not None
    assert record.provenance == {"requester": alice, "via": None, "approvals": []}
    # The workflow claims it once more, and says nothing of who asks.
    _, again = records.claim(request_of(**LEAST), str(record.execution_arn))
    assert again.provenance == record.provenance


def test_who_asked_for_an_earlier_run_does_not_count_for_the_next(
    call: Any, records: Records
) -> None:
    call(with_identity(post(LEAST), "arn:aws:iam::111122223333:user/alice"))
    record = records.get("CHG1")
    assert record is not None
    arn, request = str(record.execution_arn), request_of(**LEAST)
    records.finish(request, execution_arn=arn, status=Status.FAILED, key=None, errors=[])
    records.mark_published("CHG1", arn)

    claimed, record = records.claim(request, EXECUTION)

    assert claimed
    assert record.provenance["requester"] is None


def test_requests_are_listed_page_by_page(call: Any, records: Records) -> None:
    for name in ("CHG1", "CHG2", "CHG3"):
        records.claim(request_of(requestId=name), EXECUTION)

    _, first = call(list_keys(limit="2"))
    status, second = call(list_keys(limit="2", next=first["next"]))

    assert status == 200
    assert second["next"] is None
    found = [row["requestId"] for row in first["requests"] + second["requests"]]
    assert sorted(found) == ["CHG1", "CHG2", "CHG3"]
    assert call(list_keys(status="CREATED"))[1] == {"requests": [], "next": None}


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ({"status": "created"}, ["NOT_ONE_OF"]),
        ({"limit": "0"}, ["OUT_OF_RANGE"]),
        ({"limit": "101"}, ["OUT_OF_RANGE"]),
        ({"limit": "-1"}, ["OUT_OF_RANGE"]),
        ({"limit": "\u0661"}, ["OUT_OF_RANGE"]),
        ({"limit": ""}, ["OUT_OF_RANGE"]),
        ({"next": "!"}, ["NO_SUCH_PAGE"]),
        ({"next": "\u00e9"}, ["NO_SUCH_PAGE"]),
        ({"next": "L2V0Yw=="}, ["NO_SUCH_PAGE"]),
        ({"status": "X", "limit": "x", "next": ""}, ["NOT_ONE_OF", "OUT_OF_RANGE", "NO_SUCH_PAGE"]),
        ({"state": "CREATED"}, ["UNKNOWN_PARAMETER"]),
    ],
)
def test_a_question_for_a_list_is_refused_with_every_problem(
    query: dict[str, str], codes: list[str], call: Any
) -> None:
    status, body = call(list_keys(**query))

    assert status == 400
    assert [error["code"] for error in body["errors"]] == codes


def test_the_history_has_every_outcome(call: Any) -> None:
    call(with_identity(post({**LEAST, "color": 1}), "arn:aws:iam::111122223333:user/alice"))

    status, body = call(history("CHG1"))

    (outcome,) = body["outcomes"]
    assert status == 200
    assert (outcome["status"], outcome["requester"]) == (
        "REJECTED",
        "arn:aws:iam::111122223333:user/alice",
    )
    assert [error["code"] for error in outcome["errors"]] == ["UNKNOWN_FIELD"]


def test_a_request_without_an_outcome_has_an_empty_history(call: Any, records: Records) -> None:
    records.claim(request_of(), EXECUTION)

    assert call(history("CHG1")) == (200, {"outcomes": []})


@pytest.mark.parametrize("name", ["CHG1", "x" * 81, "approval"])
def test_a_history_of_nothing_is_not_found(name: str, call: Any) -> None:
    assert call(history(name))[0] == 404
