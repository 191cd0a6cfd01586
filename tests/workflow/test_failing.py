"""Requests that stop part-way: what is reported, what stays, and how they are completed."""

from typing import Any

import pytest

from local.stack.stack import Stack
from tests.support.stack.denials import denied, replica_denied
from tests.support.stack.reading import (
    ACCOUNT,
    ADMIN,
    USER,
    WRITES,
    calls_since,
    keys_of_request,
    new_request,
    read_key,
    root_alone,
)

HOME = "us-east-1"
REWRITTEN: dict[str, Any] = {
    "Version": "2012-10-17",
    "Id": "",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [ACCOUNT]},
            "Action": ["KMS:*"],
            "Resource": ["*"],
            "Condition": {},
        },
        {
            "Sid": "Use",
            "Effect": "Allow",
            "Principal": {"AWS": [USER, ADMIN]},
            "Action": ["kms:Encrypt", "kms:Decrypt"],
            "Resource": "*",
            "Condition": {
                "Bool": {"kms:MultiRegion": True},
                "NumericLessThan": {"aws:MultiFactorAuthAge": 300},
            },
        },
    ],
}
"""A policy of which KMS returns nothing as it was put."""


def test_a_denied_region_is_named_and_completed_with_the_same_key(stack: Stack) -> None:
    replicas = [{"region": "eu-west-1"}, {"region": "us-west-2"}]
    request = new_request("retain", policy={"document": REWRITTEN}, replicas=replicas)

    with replica_denied(stack, "us-west-2"):
        stack.send(request)
        failed = stack.wait_for_outcome(request["requestId"])

    assert failed["detail-type"] == "Multi-Region Key Creation Failed"
    detail = failed["detail"]
    assert [(e["path"], e["code"]) for e in detail["errors"]] == [
        ("replicas[1].region", "KMS_ACCESS_DENIED")
    ]
    assert "us-west-2" in detail["errors"][0]["message"]
    assert detail["key"]["primary"]["alias"] == request["alias"]
    assert [r["region"] for r in detail["key"]["replicas"]] == ["eu-west-1"]
    assert stack.api("GET", f"/keys/{request['requestId']}").json()["status"] == "FAILED"
    before = len(stack.kms_calls())

    stack.send(request)
    created = stack.wait_for_outcomes(request["requestId"], 2)[1]

    made = [call["operation"] for call in calls_since(stack, before)]
    # The primary key's before the replicas and once more beside them, and the replica's.
    assert made.count("GetKeyPolicy") == 3
    assert "PutKeyPolicy" not in made
    assert created["detail-type"] == "Multi-Region Key Created"
    assert created["detail"]["key"]["keyId"] == detail["key"]["keyId"]
    assert len(created["detail"]["key"]["replicas"]) == 2
    assert len(keys_of_request(stack, request["requestId"], HOME)) == 1


def test_a_roll_back_removes_what_the_request_made_and_nothing_older(stack: Stack) -> None:
    older = new_request("older", replicas=[{"region": "eu-west-1"}])
    stack.send(older)
    kept = stack.wait_for_outcome(older["requestId"])["detail"]["key"]
    request = new_request(
        "rollback",
        replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}],
        onFailure="ROLL_BACK",
    )

    with replica_denied(stack, "us-west-2"):
        stack.send(request)
        detail = stack.wait_for_outcome(request["requestId"])["detail"]

    assert detail["status"] == "FAILED"
    gone = [detail["key"]["primary"], *detail["key"]["replicas"]]
    assert [k["region"] for k in gone] == [HOME, "eu-west-1"]
    for key in gone:
        found = read_key(stack, key["region"], key["arn"])
        assert found["state"] in ("PendingDeletion", "PendingReplicaDeletion")
        assert key["keyState"] == found["state"]
        assert found["aliases"] == []
        assert key["alias"] is None
    for key in [kept["primary"], *kept["replicas"]]:
        found = read_key(stack, key["region"], key["arn"])
        assert (found["state"], found["aliases"]) == ("Enabled", [older["alias"]])


def test_a_rolled_back_request_sent_again_gets_its_keys_back(stack: Stack) -> None:
    request = new_request(
        "recover",
        replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}],
        onFailure="ROLL_BACK",
    )
    with replica_denied(stack, "us-west-2"):
        stack.send(request)
        failed = stack.wait_for_outcome(request["requestId"])["detail"]

    stack.send(request)
    created = stack.wait_for_outcomes(request["requestId"], 2)[1]["detail"]

    assert created["status"] == "CREATED"
    assert created["key"]["keyId"] == failed["key"]["keyId"]
    for key in [created["key"]["primary"], *created["key"]["replicas"]]:
        found = read_key(stack, key["region"], key["arn"])
        assert (found["state"], found["aliases"]) == ("Enabled", [request["alias"]])


def test_a_replica_pending_deletion_is_recovered(stack: Stack) -> None:
    request = new_request("pending", replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}])
    with replica_denied(stack, "us-west-2"):
        stack.send(request)
        replica = stack.wait_for_outcome(request["requestId"])["detail"]["key"]["replicas"][0]
    stack.client("kms", "eu-west-1").schedule_key_deletion(
        KeyId=replica["arn"], PendingWindowInDays=7
    )

    stack.send(request)
    created = stack.wait_for_outcomes(request["requestId"], 2)[1]["detail"]

    assert created["status"] == "CREATED"
    assert read_key(stack, "eu-west-1", replica["arn"])["state"] == "Enabled"


def test_settings_that_drifted_before_a_resend_are_put_right(stack: Stack) -> None:
    request = new_request(
        "drift",
        description="as asked",
        tags={"team": "payments"},
        policy={"administrators": [ADMIN]},
        rotation={"periodInDays": 100},
        replicas=[{"region": "us-west-2"}],
    )
    with replica_denied(stack, "us-west-2"):
        stack.send(request)
        primary = stack.wait_for_outcome(request["requestId"])["detail"]["key"]["primary"]
    before = read_key(stack, HOME, primary["arn"])
    kms, key_id = stack.client("kms", HOME), primary["arn"]
    kms.update_key_description(KeyId=key_id, Description="not as asked")
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "team", "TagValue": "other"}])
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "cost-centre", "TagValue": "7"}])
    kms.put_key_policy(KeyId=key_id, Policy=root_alone(before["policy"]))
    kms.disable_key_rotation(KeyId=key_id)
    kms.delete_alias(AliasName=request["alias"])

    stack.send(request)
    stack.wait_for_outcomes(request["requestId"], 2)

    after = read_key(stack, HOME, primary["arn"])
    assert after == {**before, "tags": {"team": "payments", "cost-centre": "7"}}
    assert kms.get_key_rotation_status(KeyId=key_id)["RotationPeriodInDays"] == 100


def test_an_alias_in_use_stops_the_request_before_any_key(stack: Stack) -> None:
    first = new_request("first")
    stack.send(first)
    owner = stack.wait_for_outcome(first["requestId"])["detail"]["key"]["primary"]["arn"]
    second = new_request("second") | {"alias": first["alias"]}
    before = len(stack.kms_calls())

    stack.send(second)
    detail = stack.wait_for_outcome(second["requestId"])["detail"]

    assert [(e["path"], e["code"]) for e in detail["errors"]] == [("alias", "ALIAS_IN_USE")]
    assert detail["key"] is None
    assert not [c for c in calls_since(stack, before) if c["operation"] in WRITES]
    assert read_key(stack, HOME, owner)["aliases"] == [first["alias"]]


def test_an_alias_in_use_in_a_replica_region_stops_the_request_before_any_key(
    stack: Stack,
) -> None:
    first = new_request("holder", primaryRegion="eu-west-1")
    stack.send(first)
    owner = stack.wait_for_outcome(first["requestId"])["detail"]["key"]["primary"]["arn"]
    second = new_request("wanter", replicas=[{"region": "eu-west-1", "alias": first["alias"]}])

    before = len(stack.kms_calls())

    stack.send(second)
    detail = stack.wait_for_outcome(second["requestId"])["detail"]

    assert [(e["path"], e["code"]) for e in detail["errors"]] == [("alias", "ALIAS_IN_USE")]
    assert f"{first['alias']} in eu-west-1 points to {owner}." in detail["errors"][0]["message"]
    assert detail["key"] is None
    assert not [c for c in calls_since(stack, before) if c["operation"] in WRITES]
    assert read_key(stack, "eu-west-1", owner)["aliases"] == [first["alias"]]


def test_a_denied_primary_leaves_nothing(stack: Stack) -> None:
    request = new_request("denied")

    with denied(stack, "CreatePrimaryKeyFunction", "kms:CreateKey", HOME):
        stack.send(request)
        detail = stack.wait_for_outcome(request["requestId"])["detail"]
    stack.send(request)
    again = stack.wait_for_outcomes(request["requestId"], 2)[1]["detail"]

    assert [(e["path"], e["code"]) for e in detail["errors"]] == [
        ("primaryRegion", "KMS_ACCESS_DENIED")
    ]
    assert detail["key"] is None
    assert again["status"] == "CREATED"
    assert len(keys_of_request(stack, request["requestId"], HOME)) == 1


def test_a_request_sent_again_after_success_changes_nothing(stack: Stack) -> None:
    request = new_request("twice", replicas=[{"region": "eu-west-1"}])
    stack.send(request)
    stack.wait_for_outcome(request["requestId"])
    before = len(stack.kms_calls())

    again = stack.wait_for_execution(stack.start_execution(request))

    assert again["status"] == "SUCCEEDED"
    assert calls_since(stack, before) == []
    assert len(stack.outcomes(request["requestId"])) == 1


def test_other_content_under_the_same_id_is_refused_by_event(stack: Stack) -> None:
    request = new_request("other")
    stack.send(request)
    first = stack.wait_for_outcome(request["requestId"])
    before = len(stack.kms_calls())

    stack.send({**request, "keySpec": "HMAC_256"})
    second = stack.wait_for_outcomes(request["requestId"], 2)[1]

    assert second["detail-type"] == "Multi-Region Key Request Rejected"
    assert [(e["path"], e["code"]) for e in second["detail"]["errors"]] == [
        ("requestId", "REQUEST_CONFLICT")
    ]
    assert second["detail"]["key"] == first["detail"]["key"]
    assert calls_since(stack, before) == []
    status = stack.api("GET", f"/keys/{request['requestId']}").json()
    assert (status["status"], status["key"]) == ("CREATED", first["detail"]["key"])


def test_a_typing_error_in_a_replicas_policy_is_corrected_under_the_same_id(stack: Stack) -> None:
    """The primary exists and has its alias by then; both triggers, side by side."""
    mistyped = {"region": "eu-west-1", "policy": {"administrators": [ADMIN], "users": [USER + "x"]}}
    right = {**mistyped, "policy": {"administrators": [ADMIN], "users": [USER]}}
    by_event = new_request("typing-error", replicas=[mistyped])
    by_api = new_request("typing-error", replicas=[mistyped])
    stack.send(by_event)
    assert stack.api("POST", "/keys", json=by_api).status_code == 202
    failed = [stack.wait_for_outcome(one["requestId"])["detail"] for one in (by_event, by_api)]

    stack.send({**by_event, "replicas": [right]})
    corrected = {**by_api, "replicas": [right], "revision": 2}
    assert stack.api("POST", "/keys", json=corrected).status_code == 202

    for request, before, revision in zip((by_event, by_api), failed, (1, 2), strict=True):
        created = stack.wait_for_outcomes(request["requestId"], 2)[1]["detail"]
        [replica] = created["key"]["replicas"]
        found = read_key(stack, "eu-west-1", replica["arn"])
        assert [error["path"] for error in before["errors"]] == ["replicas[0].policy"]
        assert (before["status"], created["status"]) == ("FAILED", "CREATED")
        assert created["revision"] == revision
        assert created["key"]["keyId"] == before["key"]["keyId"]
        assert (found["state"], found["aliases"]) == ("Enabled", [request["alias"]])
        assert USER in str(found["policy"])
        assert USER + "x" not in str(found["policy"])
        assert keys_of_request(stack, request["requestId"], HOME) == [
            created["key"]["primary"]["arn"]
        ]


def test_what_a_correction_leaves_out_is_taken_off_the_keys_and_a_replica_is_named(
    stack: Stack,
) -> None:
    mistyped = {"region": "eu-west-1", "policy": {"administrators": [ADMIN], "users": [USER + "x"]}}
    wrong = new_request(
        "left-out",
        tags={"team": "crads", "stage": "test"},
        rotation={"periodInDays": 100},
        replicas=[mistyped, {"region": "us-west-2"}],
    )
    stack.send(wrong)
    key = stack.wait_for_outcome(wrong["requestId"])["detail"]["key"]
    primary, europe, dropped = [
        (region, key["primary"]["arn"].replace(HOME, region))
        for region in (HOME, "eu-west-1", "us-west-2")
    ]
    kms = stack.client("kms", HOME)
    somebody_elses = f"{wrong['alias']}-somebody-elses"
    kms.create_alias(AliasName=somebody_elses, TargetKeyId=primary[1])
    kms.tag_resource(KeyId=primary[1], Tags=[{"TagKey": "cost-center", "TagValue": "42"}])
    before = read_key(stack, *dropped)

    right = {
        **wrong,
        "alias": f"{wrong['alias']}-right",
        "tags": {"team": "cards"},
        "rotation": None,
        "replicas": [{"region": "eu-west-1"}],
    }
    stack.send(right)
    created = stack.wait_for_outcomes(wrong["requestId"], 2)[1]["detail"]

    assert created["status"] == "CREATED"
    assert [one["region"] for one in created["key"]["replicas"]] == ["eu-west-1"]
    found = read_key(stack, *primary)
    assert sorted(found["aliases"]) == [right["alias"], somebody_elses]
    assert found["tags"] == {"team": "cards", "cost-center": "42"}
    assert not kms.get_key_rotation_status(KeyId=primary[1])["KeyRotationEnabled"]
    found = read_key(stack, *europe)
    assert (found["aliases"], found["tags"]) == ([right["alias"]], {"team": "cards"})
    assert read_key(stack, *dropped) == before
    [warning] = created["warnings"]
    assert (warning["path"], warning["code"]) == ("replicas", "REPLICA_NOT_ASKED_FOR")
    assert dropped[1] in warning["message"]
    status = stack.api("GET", f"/keys/{wrong['requestId']}").json()
    assert status["warnings"] == created["warnings"]


@pytest.mark.parametrize("logical_id", ["CreatePrimaryKeyFunction", "CreateReplicaKeyFunction"])
def test_no_key_is_made_without_our_tag(stack: Stack, logical_id: str) -> None:
    """The roles themselves, whatever the code does: assume one and try."""
    credentials: Any = stack.credentials_of(stack.role_of(logical_id))
    kms = stack.client("kms", HOME, credentials=credentials)

    with pytest.raises(kms.exceptions.ClientError, match="AccessDenied"):
        kms.create_key(MultiRegion=True)
    with pytest.raises(kms.exceptions.ClientError, match="AccessDenied"):
        kms.create_key(MultiRegion=False, Tags=[{"TagKey": "mrk:request-id", "TagValue": "x"}])
