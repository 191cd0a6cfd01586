"""The three ways to send a request, and what the API answers."""

import json
from typing import Any

import pytest

from local.emulator.faults import Fault
from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.material_holder import wait_for_question
from tests.support.stack.reading import ADMIN, USER, calls_since, meaning, new_request, read_key

REPLICAS: list[dict[str, Any]] = [
    {"region": "eu-west-1"},
    {"region": "us-west-2", "policy": {"administrators": [ADMIN], "users": []}},
    {"region": "ap-south-1", "policy": None},
]


def test_an_event_starts_one_execution(stack: Stack) -> None:
    request = new_request("event")

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])

    assert len(stack.executions(request["requestId"])) == 1
    assert outcome["detail"]["executionArn"] == stack.executions(request["requestId"])[0]


def test_an_execution_can_be_started_with_the_same_document(stack: Stack) -> None:
    request = new_request("start")

    arn = stack.start_execution(request)
    execution = stack.wait_for_execution(arn)

    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["status"] == "CREATED"
    assert stack.wait_for_outcome(request["requestId"])["detail"]["executionArn"] == arn


def test_a_post_is_accepted_and_followed_to_its_end(stack: Stack) -> None:
    request = new_request("post", replicas=[{"region": "eu-west-1"}], ticket={"id": "T1"})

    accepted = stack.api("POST", "/keys", json=request)
    outcome = stack.wait_for_outcome(request["requestId"])
    status = stack.api("GET", f"/keys/{request['requestId']}")

    assert accepted.status_code == 202
    arn = outcome["detail"]["executionArn"]
    assert accepted.json() == {
        "requestId": request["requestId"],
        "executionArn": arn,
        "status": "IN_PROGRESS",
    }
    assert status.status_code == 200
    shown = status.json()
    assert shown["startedAt"] <= shown["updatedAt"]
    assert [one["state"] for one in shown["rotations"]] == ["CURRENT"]
    assert shown == {
        "requestId": request["requestId"],
        "revision": 1,
        "status": "CREATED",
        "startedAt": shown["startedAt"],
        "updatedAt": shown["updatedAt"],
        "warnings": [],
        "rotations": shown["rotations"],
        "key": outcome["detail"]["key"],
        "errors": [],
        "ticket": {"id": "T1"},
        "executionArn": arn,
        "request": shown["request"],
    }


def test_a_post_sent_again_gives_where_the_request_stands_and_no_second_run(stack: Stack) -> None:
    request = new_request("again")

    first = stack.api("POST", "/keys", json=request)
    stack.wait_for_outcome(request["requestId"])
    second = stack.api("POST", "/keys", json={**request, "keySpec": "SYMMETRIC_DEFAULT"})

    assert (second.status_code, second.json()) == (202, {**first.json(), "status": "CREATED"})
    assert len(stack.executions(request["requestId"])) == 1
    assert len(stack.outcomes(request["requestId"])) == 1


def test_a_request_that_waits_for_key_material_is_cancelled(stack: Stack) -> None:
    request = new_request("cancel", origin="EXTERNAL")
    stack.api("POST", "/keys", json=request)
    wait_for_question(stack, request["requestId"])

    accepted = stack.api("DELETE", f"/keys/{request['requestId']}")
    outcome = stack.wait_for_outcome(request["requestId"])

    assert accepted.status_code == 202
    assert outcome["detail"]["status"] == "FAILED"
    assert [error["code"] for error in outcome["detail"]["errors"]] == ["CANCELLED"]


def test_a_mistyped_parameter_creates_nothing(stack: Stack) -> None:
    request = new_request("mistyped")

    for query in ("Plan=true", "dry_run=true", "plan=false&plan=true"):
        refused = stack.api("POST", f"/keys?{query}", json=request)
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (
            400,
            query.split("=", 1)[0],
        )
    assert stack.api("GET", f"/keys/{request['requestId']}").status_code == 404


def test_other_content_under_the_same_id_is_a_conflict(stack: Stack) -> None:
    request = new_request("conflict")
    stack.api("POST", "/keys", json=request)
    stack.wait_for_outcome(request["requestId"])

    answer = stack.api("POST", "/keys", json={**request, "description": "other"})

    assert answer.status_code == 409
    assert [e["code"] for e in answer.json()["errors"]] == ["REQUEST_CONFLICT"]
    assert len(stack.executions(request["requestId"])) == 1


def test_a_bad_post_is_refused_with_every_problem_and_announced(stack: Stack) -> None:
    request = new_request("bad", replica=[], keySpec="DES")

    answer = stack.api("POST", "/keys", json=request)
    outcome = stack.wait_for_outcome(request["requestId"])
    status = stack.api("GET", f"/keys/{request['requestId']}")

    assert answer.status_code == 400
    assert {e["path"] for e in answer.json()["errors"]} == {"replica", "keySpec"}
    assert outcome["detail-type"] == "Multi-Region Key Request Rejected"
    assert outcome["detail"]["errors"] == answer.json()["errors"]
    assert status.json()["status"] == "REJECTED"


def test_a_refused_request_claims_nothing(stack: Stack) -> None:
    request = new_request("corrected", keySpec="DES")
    stack.api("POST", "/keys", json=request)

    answer = stack.api("POST", "/keys", json={**request, "keySpec": "HMAC_256"})

    assert answer.status_code == 202
    outcomes = stack.wait_for_outcomes(request["requestId"], 2)
    assert [o["detail"]["status"] for o in outcomes] == ["REJECTED", "CREATED"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/keys"), ("GET", "/keys/some-request")])
def test_a_call_without_a_signature_is_forbidden(stack: Stack, method: str, path: str) -> None:
    answer = stack.api(method, path, json={} if method == "POST" else None, signed=False)

    assert answer.status_code == 403
    assert [e["code"] for e in answer.json()["errors"]] == ["MISSING_AUTHENTICATION_TOKEN"]


def test_an_unknown_request_is_not_found(stack: Stack) -> None:
    answer = stack.api("GET", "/keys/nobody-asked-for-this")

    assert answer.status_code == 404
    assert [e["code"] for e in answer.json()["errors"]] == ["NOT_FOUND"]


def test_the_plan_creates_nothing_and_is_what_is_created(stack: Stack) -> None:
    request = new_request(
        "plan",
        keySpec="RSA_2048",
        keyUsage="SIGN_VERIFY",
        tags={"team": "payments"},
        policy={"administrators": [ADMIN], "users": [USER]},
        replicas=REPLICAS,
    )
    calls = len(stack.kms_calls())

    plan = stack.api("POST", "/keys?plan=true", json=request)

    assert plan.status_code == 200
    made = [call["operation"] for call in calls_since(stack, calls)]
    assert made == ["DescribeKey"] * 4
    assert plan.json()["warnings"] == []
    assert stack.executions(request["requestId"]) == []
    assert stack.api("GET", f"/keys/{request['requestId']}").status_code == 404

    accepted = stack.api("POST", "/keys", json=request)
    key = stack.wait_for_outcome(request["requestId"])["detail"]["key"]

    assert accepted.status_code == 202
    planned = {k["region"]: k for k in plan.json()["keys"]}
    built = {k["region"]: k for k in [key["primary"], *key["replicas"]]}
    assert planned.keys() == built.keys()
    for region, facts in built.items():
        found = read_key(stack, region, facts["arn"])
        assert found["policy"] == meaning(planned[region]["policy"])
        assert found["description"] == planned[region]["description"]
        assert found["aliases"] == [planned[region]["alias"]]


def test_a_plan_warns_of_an_alias_that_another_key_has_in_a_region(stack: Stack) -> None:
    request = new_request("taken", replicas=[{"region": "eu-west-1"}])
    kms = stack.client("kms", "eu-west-1")
    owner = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=request["alias"], TargetKeyId=owner["KeyId"])

    warnings = stack.api("POST", "/keys?plan=true", json=request).json()["warnings"]
    stack.api("POST", "/keys", json=request)
    outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    (warning,) = warnings
    (error,) = outcome["errors"]
    assert (warning["path"], warning["code"]) == ("replicas[0].alias", "ALIAS_IN_USE")
    # The replica inherits the alias, and every one that is taken is named at once.
    assert (error["path"], error["code"]) == ("alias", "ALIAS_IN_USE")
    for said in (warning, error):
        assert f"{request['alias']}" in said["message"]
        assert owner["Arn"] in said["message"]
    assert outcome["key"] is None


def test_the_status_of_a_request_under_way_shows_the_keys_that_kms_has(stack: Stack) -> None:
    request = new_request("seen", replicas=[{"region": "eu-west-1"}])
    stack.put_faults(Fault("ReplicateKey", "hang-after", seconds=5))
    stack.api("POST", "/keys", json=request)

    def replicated() -> dict[str, Any] | None:
        status = stack.api("GET", f"/keys/{request['requestId']}").json()
        return status if (status["key"] or {}).get("replicas") else None

    status = wait_for(replicated, "the replica key in the status", timeout=30, interval=0.2)
    created = stack.wait_for_outcome(request["requestId"])["detail"]["key"]

    assert status["status"] == "IN_PROGRESS"
    assert status["key"]["primary"] == {**created["primary"], "alias": None}
    (replica,) = created["replicas"]
    assert status["key"]["replicas"] == [{**replica, "alias": None, "keyState": None}]
