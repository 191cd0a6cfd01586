"""A request becomes a key set, read back from KMS in every Region."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.commands.execution_steps import Steps
from local.stack.stack import Stack
from tests.support.key_kinds import KEY_KINDS
from tests.support.stack.material_holder import new_material, provide
from tests.support.stack.reading import (
    ADMIN,
    USER,
    WRITES,
    calls_since,
    keys_of_request,
    new_request,
    read_key,
    sids,
)

ROOT_ONLY = {"Enable IAM User Permissions"}
CONSOLE = [
    "Enable IAM User Permissions",
    "Allow access for Key Administrators",
    "Allow use of the key",
    "Allow attachment of persistent resources",
]
NOT_IN_THIS_PARTITION = {"SM2"}


def test_the_sample_event_becomes_its_key_set(stack: Stack) -> None:
    event = json.loads(Path("events/key-requested.json").read_text())
    detail = event["detail"]

    stack.send(detail)
    outcome = stack.wait_for_outcome(detail["requestId"])

    assert outcome["source"] == "mrk.provisioner"
    assert outcome["detail-type"] == "Multi-Region Key Created"
    key = outcome["detail"]["key"]
    assert outcome["detail"]["status"] == "CREATED"
    assert outcome["detail"]["ticket"] == detail["ticket"]
    assert outcome["detail"]["errors"] == []
    assert key["keyId"].startswith("mrk-")
    assert key["primary"]["region"] == "us-east-1"
    assert [r["region"] for r in key["replicas"]] == ["eu-west-1", "us-west-2"]
    members = key["keyMetadata"]["MultiRegionConfiguration"]
    assert {r["Region"] for r in members["ReplicaKeys"]} == {"eu-west-1", "us-west-2"}

    primary, same, other = (
        read_key(stack, k["region"], k["arn"]) for k in [key["primary"], *key["replicas"]]
    )
    assert (primary["type"], same["type"], other["type"]) == ("PRIMARY", "REPLICA", "REPLICA")
    assert primary["ownTags"]["mrk:request-id"] == detail["requestId"]
    assert primary["ownTags"]["mrk:attempt"] == "1"
    for field in ("aliases", "tags", "description", "policy", "state"):
        assert same[field] == primary[field]
    assert other["aliases"] == ["alias/payments/cards-us"]
    assert other["tags"] == {"team": "payments-us"}
    assert other["description"] == ""
    assert other["policy"] != primary["policy"]
    assert sids(other["policy"]) == set(CONSOLE)


def test_the_least_request_becomes_one_primary_key(stack: Stack) -> None:
    request = new_request("least")

    stack.send(request)
    key = stack.wait_for_outcome(request["requestId"])["detail"]["key"]

    found = read_key(stack, "us-east-1", key["primary"]["arn"])
    assert found["aliases"] == [request["alias"]]
    assert found["tags"] == {}
    assert found["description"] == ""
    assert sids(found["policy"]) == ROOT_ONLY
    assert key["replicas"] == []


SAME: dict[str, Any] = {}
OTHER = {
    "alias": "alias/its-own-name",
    "description": "its own",
    "tags": {"own": "yes"},
    "policy": {"administrators": [ADMIN]},
}
NONE = {"alias": None, "description": None, "tags": None, "policy": None}


@pytest.mark.parametrize("primary_region", ["us-east-1", "eu-central-1"])
def test_replica_settings_are_the_same_other_or_none(stack: Stack, primary_region: str) -> None:
    request = new_request(
        "settings",
        primaryRegion=primary_region,
        description="shared words",
        tags={"team": "payments", "cost": "42"},
        policy={"administrators": [ADMIN], "users": [USER]},
        replicas=[
            {"region": "eu-west-1", **SAME},
            {"region": "us-west-2", **OTHER, "alias": f"alias/own-{primary_region}"},
            {"region": "ap-south-1", **NONE},
        ],
    )

    stack.send(request)
    key = stack.wait_for_outcome(request["requestId"])["detail"]["key"]

    primary, same, other, none = (
        read_key(stack, k["region"], k["arn"]) for k in [key["primary"], *key["replicas"]]
    )
    assert primary["aliases"] == [request["alias"]]
    assert primary["description"] == "shared words"
    assert primary["tags"] == {"team": "payments", "cost": "42"}
    assert sids(primary["policy"]) == set(CONSOLE)
    assert {f: same[f] for f in ("aliases", "description", "tags", "policy")} == {
        f: primary[f] for f in ("aliases", "description", "tags", "policy")
    }
    assert other["aliases"] == [f"alias/own-{primary_region}"]
    assert other["description"] == "its own"
    assert other["tags"] == {"own": "yes"}
    assert sids(other["policy"]) == set(CONSOLE[:2])
    assert none["aliases"] == []
    assert none["description"] == ""
    assert none["tags"] == {}
    assert sids(none["policy"]) == ROOT_ONLY
    for found in (primary, same, other, none):
        assert found["ownTags"]["mrk:request-id"] == request["requestId"]


def test_rotation_is_set_on_the_primary(stack: Stack) -> None:
    request = new_request("rotation", rotation={"periodInDays": 180})

    stack.send(request)
    arn = stack.wait_for_outcome(request["requestId"])["detail"]["key"]["primary"]["arn"]

    status = stack.client("kms", "us-east-1").get_key_rotation_status(KeyId=arn)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)


@pytest.mark.parametrize("rotation", [None, {"periodInDays": 365}])
def test_one_creation_takes_the_least_kms_calls(
    stack: Stack, rotation: dict[str, int] | None
) -> None:
    regions = ["eu-west-1", "us-west-2", "ap-south-1"]
    request = new_request("calls", rotation=rotation, replicas=[{"region": r} for r in regions])
    before = len(stack.kms_calls())

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])

    made = [call["operation"] for call in calls_since(stack, before)]
    writes = [name for name in made if name in WRITES]
    reads = [name for name in made if name not in WRITES]
    assert outcome["detail"]["status"] == "CREATED"
    assert len(writes) == 2 + 2 * len(regions) + (1 if rotation else 0), writes
    # Each Region's alias before anything, each replica's state, and the finished primary key.
    assert reads == ["DescribeKey"] * (2 * len(regions) + 2), reads


def test_every_kind_of_key_goes_through_the_workflow(stack: Stack) -> None:
    kinds = [kind for kind in KEY_KINDS if kind[0] not in NOT_IN_THIS_PARTITION]
    requests = {
        kind: new_request(
            "kind",
            keySpec=kind[0],
            keyUsage=kind[1],
            origin=kind[2],
            replicas=[{"region": "eu-west-1"}],
        )
        for kind in kinds
    }

    for request in requests.values():
        stack.send(request)
    for (spec, _, origin), request in requests.items():
        if origin == "EXTERNAL":
            material = new_material(spec)
            provide(stack, request["requestId"], material.secret)
            provide(stack, request["requestId"], material.secret, number=2)

    for (spec, usage, origin), request in requests.items():
        detail = stack.wait_for_outcome(request["requestId"])["detail"]
        key = detail["key"]
        found = read_key(stack, "us-east-1", key["primary"]["arn"])
        assert (found["spec"], found["usage"], found["origin"]) == (spec, usage, origin)
        assert found["aliases"] == [request["alias"]]
        assert detail["status"] == "CREATED", (spec, usage, origin, detail["errors"])
        assert [r["keyState"] for r in key["replicas"]] == ["Enabled"]
        assert len(keys_of_request(stack, request["requestId"], "us-east-1")) == 1


def test_the_history_names_the_states_of_each_replica(stack: Stack) -> None:
    request = new_request("history", replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}])

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])

    history = stack.history(outcome["detail"]["executionArn"])
    entered = [
        (event["type"], event["stateEnteredEventDetails"]["name"])
        for event in history
        if "stateEnteredEventDetails" in event
    ]
    for state in (
        ("TaskStateEntered", "CreateReplicaKey"),
        ("WaitStateEntered", "WaitForReplicaKey"),
        ("TaskStateEntered", "ApplyReplicaKeySettings"),
    ):
        assert entered.count(state) == 2
    assert entered.count(("ParallelStateEntered", "SetUpKeys")) == 1
    assert entered.count(("TaskStateEntered", "ApplyPrimaryKeySettings")) == 1
    assert entered.count(("MapStateEntered", "CreateReplicaKeys")) == 1


def test_each_event_of_the_history_leads_back_to_its_own_state(stack: Stack) -> None:
    request = new_request("chain", replicas=[{"region": "eu-west-1"}, {"region": "us-west-2"}])

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])
    stack.wait_for_execution(outcome["detail"]["executionArn"])

    history = stack.history(outcome["detail"]["executionArn"])
    events = {event["id"]: event for event in history}
    exits = [event for event in history if event["type"] == "TaskStateExited"]
    for event in exits:
        entered = event
        while "stateEnteredEventDetails" not in entered:
            entered = events[entered["previousEventId"]]
        left = event["stateExitedEventDetails"]["name"]
        assert entered["stateEnteredEventDetails"]["name"] == left
    lines = Steps(history).lines
    of_replicas = [
        [line.text for line in lines if line.region == region]
        for region in ("eu-west-1", "us-west-2")
    ]
    assert of_replicas[0] == of_replicas[1] != []
    assert all(line.times == 1 and line.since is None and not line.failed for line in lines)
