from copy import deepcopy
from typing import Any

import pytest

from provisioner.domain.change import ObservedSet, plan_change
from provisioner.domain.drift import (
    SHUT_OUT,
    Difference,
    differences,
    digest_of,
    is_moving,
    repairs_itself,
    subject_of,
)
from provisioner.domain.plan import KeySetRequest, plan_key
from tests.support.changing import OTHER_KEY, key_of, observed_of, shown_otherwise
from tests.support.samples import ADMIN, ROOT, SETTINGS, imported_request_of, key_arn, request_of

US, EU, WEST, ASIA = "us-east-1", "eu-west-1", "us-west-2", "ap-south-1"
REPLICAS: list[dict[str, Any]] = [{"region": EU}, {"region": WEST}]
ROTATION = {"periodInDays": 365}
ALIAS = "alias/payments/cards"
GONE = "AROAABCDEFGHIJKLMNOPQ"
REGIONS = pytest.mark.parametrize("region", [US, EU, WEST])


def declared_of(**fields: Any) -> KeySetRequest:
    asked = {
        "alias": ALIAS,
        "replicas": REPLICAS,
        "tags": {"team": "cards"},
        "description": "Cards",
    }
    return request_of(**{**asked, "rotation": ROTATION, **fields})


DECLARED = declared_of()


def found(
    observed: ObservedSet, *declared: KeySetRequest, settings: Any = SETTINGS, **more: Any
) -> list[Difference]:
    return differences(declared or [DECLARED], observed, settings, **more)


def brief(some: list[Difference]) -> list[tuple[Any, ...]]:
    return [(d["region"], d["property"], d["from"], d["to"]) for d in some]


def set_on(region: str, **fields: Any) -> ObservedSet:
    observed = observed_of(DECLARED)
    observed["keys"][region].update(fields)  # type: ignore[typeddict-item]
    return observed


def rewritten(observed: ObservedSet) -> ObservedSet:
    for key in observed["keys"].values():
        key["policy"] = shown_otherwise(key["policy"])
    return observed


def test_a_key_set_that_is_as_declared_differs_in_nothing() -> None:
    assert not found(observed_of(DECLARED))


def test_what_kms_only_rewrites_is_no_difference() -> None:
    assert not found(rewritten(observed_of(DECLARED)))


@REGIONS
@pytest.mark.parametrize(
    ("fields", "what", "before", "after", "calls", "words"),
    [
        ({"description": "Else"}, "description", "Cards", "Else", ["UpdateKeyDescription"], []),
        ({"keyState": "Disabled"}, "keyState", "Enabled", "Disabled", ["EnableKey"], []),
        (
            {"keyState": "PendingDeletion"},
            "keyState",
            "Enabled",
            "PendingDeletion",
            ["CancelKeyDeletion", "EnableKey"],
            ["RESTORE"],
        ),
        ({"aliases": {ALIAS: None}}, "alias", ALIAS, None, ["CreateAlias"], []),
        (
            {"aliases": {ALIAS: key_arn(ASIA, OTHER_KEY)}},
            "alias",
            ALIAS,
            key_arn(ASIA, OTHER_KEY),
            ["UpdateAlias"],
            ["MOVE_ALIAS"],
        ),
    ],
    ids=["description", "disabled", "pending-deletion", "alias-deleted", "alias-moved"],
)
def test_every_property_of_every_key_is_compared(  # noqa: PLR0917
    region: str,
    fields: dict[str, Any],
    what: str,
    before: str,
    after: str | None,
    calls: list[str],
    words: list[str],
) -> None:
    [one] = found(set_on(region, **fields))
    assert brief([one]) == [(region, what, before, after)]
    assert one["repair"] == {
        "operation": "REPAIR",
        "confirm": [f"{word}:{region}" for word in words],
        "calls": calls,
    }
    assert all(name in one["whatToDo"] for name in [*calls, *one["repair"]["confirm"]])


@REGIONS
def test_declared_tags_are_compared_and_others_are_nobodys(region: str) -> None:
    observed = observed_of(DECLARED)
    observed["keys"][region]["tags"] |= {"team": "else", "added": "by hand"}
    assert brief(found(observed)) == [(region, "tags.team", "cards", "else")]
    del observed["keys"][region]["tags"]["team"]
    assert brief(found(observed)) == [(region, "tags.team", "cards", None)]


@REGIONS
def test_without_the_tag_of_the_stack_no_operation_can_repair_anything(region: str) -> None:
    observed = observed_of(DECLARED)
    del observed["keys"][region]["tags"]["mrk:stack"]
    [one] = found(observed)
    assert brief([one]) == [(region, "tags.mrk:stack", "mrk-provisioner", None)]
    assert one["repair"]["operation"] is None
    assert "by hand" in one["whatToDo"]
    assert not repairs_itself(one)


@REGIONS
def test_a_key_policy_is_compared_by_its_meaning(region: str) -> None:
    declared = plan_key(DECLARED, region, SETTINGS).policy
    other = deepcopy(declared)
    other["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": ADMIN}, "Action": "kms:*", "Resource": "*"}
    )
    [one] = found(set_on(region, policy=other))
    assert brief([one]) == [(region, "policy", declared, other)]
    assert one["repair"]["calls"] == ["PutKeyPolicy"]
    assert repairs_itself(one)
    assert brief(found(set_on(region, policy=None))) == [(region, "policy", declared, None)]


def test_a_principal_that_is_gone_is_for_a_person_to_decide() -> None:
    declared = declared_of(policy={"administrators": [ADMIN], "users": []})
    observed = observed_of(declared)
    policy: Any = observed["keys"][EU]["policy"]
    for statement in policy["Statement"]:
        if statement["Principal"]["AWS"] != ROOT:
            statement["Principal"]["AWS"] = GONE
    [one] = found(observed, declared)
    assert (one["property"], one["repair"]["operation"]) == ("policy", None)
    assert GONE in one["whatToDo"]
    assert not repairs_itself(one)


@pytest.mark.parametrize(("period", "to"), [(None, None), (90, {"periodInDays": 90})])
def test_rotation_is_the_primary_keys(period: int | None, to: Any) -> None:
    [one] = found(set_on(US, rotationPeriodInDays=period))
    assert brief([one]) == [(US, "rotation", ROTATION, to)]
    assert one["repair"]["calls"] == ["EnableKeyRotation"]


def test_a_rotation_that_nobody_declared_is_no_difference() -> None:
    declared = declared_of(rotation=None)
    observed = observed_of(declared)
    observed["keys"][US]["rotationPeriodInDays"] = 90
    assert not found(observed, declared)


def test_the_rotation_of_a_key_that_waits_for_its_deletion_is_not_known() -> None:
    observed = set_on(US, keyState="PendingReplicaDeletion", rotationPeriodInDays=None)
    assert [one["property"] for one in found(observed)] == ["keyState"]


def test_another_primary_key_is_found() -> None:
    observed = observed_of(DECLARED)
    observed["primaryRegion"] = EU
    observed["keys"][EU]["rotationPeriodInDays"] = 365
    [one] = found(observed)
    assert brief([one]) == [(US, "primaryRegion", US, EU)]
    assert one["repair"]["operation"] is None
    assert f"PROMOTE:{US}" in one["whatToDo"]
    assert not repairs_itself(one)


@pytest.mark.parametrize("region", [EU, WEST])
def test_a_replica_key_that_is_gone_is_one_difference(region: str) -> None:
    declared = declared_of(
        revision=2, replicas=[{"region": EU, "enabled": False}, {"region": WEST}]
    )
    observed = observed_of(declared)
    del observed["keys"][region]
    [one] = found(observed, declared)
    assert brief([one]) == [(region, "region", region, None)]
    assert one["repair"]["calls"] == ["ReplicateKey"]
    assert not repairs_itself(one)


def test_a_key_set_that_is_gone_can_only_be_decommissioned() -> None:
    lost = found({"primaryRegion": US, "keys": {}})
    assert brief(lost) == [(region, "region", region, None) for region in (US, EU, WEST)]
    assert {one["repair"]["operation"] for one in lost} == {None}
    assert not found(
        {"primaryRegion": US, "keys": {}}, declared_of(revision=2, desiredState="DECOMMISSIONED")
    )


def test_a_replica_key_that_nobody_declared_is_found_until_it_is_to_go() -> None:
    observed = observed_of(DECLARED)
    observed["keys"][ASIA] = {**key_of(DECLARED, EU), "region": ASIA, "arn": key_arn(ASIA)}
    [one] = found(observed)
    assert brief([one]) == [(ASIA, "region", None, ASIA)]
    assert one["repair"]["operation"] is None
    observed["keys"][ASIA]["keyState"] = "PendingDeletion"
    assert not found(observed)


def test_a_removed_key_whose_deletion_was_canceled_is_found() -> None:
    observed = observed_of(DECLARED)
    observed["keys"][ASIA] = {
        **key_of(DECLARED, EU),
        "region": ASIA,
        "arn": key_arn(ASIA),
        "keyState": "Disabled",
    }
    [one] = found(observed, removed=[ASIA])
    assert brief([one]) == [(ASIA, "keyState", "PendingDeletion", "Disabled")]
    assert one["repair"]["operation"] is None
    observed["keys"][ASIA]["keyState"] = "PendingDeletion"
    assert not found(observed, removed=[ASIA])


def test_a_key_that_is_to_be_disabled_is_found_enabled() -> None:
    declared = declared_of(revision=2, replicas=[{"region": EU, "enabled": False}])
    observed = observed_of(declared)
    observed["keys"][EU]["keyState"] = "Enabled"
    [one] = found(observed, declared)
    assert brief([one]) == [(EU, "keyState", "Disabled", "Enabled")]
    assert one["repair"]["confirm"] == [f"DISABLE:{EU}"]


def test_a_decommissioned_key_whose_deletion_was_canceled_is_found() -> None:
    declared = declared_of(revision=2, desiredState="DECOMMISSIONED")
    observed = observed_of(declared)
    assert not found(observed, declared)
    observed["keys"][EU]["keyState"] = "Disabled"
    [one] = found(observed, declared)
    assert brief([one]) == [(EU, "keyState", "PendingDeletion", "Disabled")]
    assert one["repair"]["operation"] is None
    assert not repairs_itself(one)


@pytest.mark.parametrize("enabled", [True, False])
def test_key_material_that_is_gone_is_found(enabled: bool) -> None:
    declared = imported_request_of(revision=2, replicas=[{"region": EU, "enabled": enabled}])
    observed = observed_of(declared)
    observed["keys"][EU] |= {"keyState": "PendingImport", "lacksMaterial": True}
    [one] = found(observed, declared)
    assert brief([one]) == [(EU, "keyMaterial", "imported", None)]
    assert one["repair"]["operation"] is None
    assert "validTo" in one["whatToDo"]


def test_a_key_without_material_that_waits_for_its_deletion_is_both() -> None:
    declared = imported_request_of(replicas=REPLICAS)
    observed = observed_of(declared)
    observed["keys"][EU] |= {"keyState": "PendingDeletion", "lacksMaterial": True}
    both = [(EU, "keyMaterial", "imported", None), (EU, "keyState", "Enabled", "PendingDeletion")]
    assert brief(found(observed, declared)) == both


@REGIONS
def test_a_key_policy_that_shuts_the_stack_out_is_one_difference(region: str) -> None:
    observed = observed_of(DECLARED)
    del observed["keys"][region]
    policy = plan_key(DECLARED, region, SETTINGS).policy
    [one] = found(observed, shut_out=[region])
    assert brief([one]) == [(region, "policy", policy, SHUT_OUT)]
    assert one["repair"]["operation"] is None
    assert not repairs_itself(one)


def test_what_is_known_of_a_key_that_shuts_the_stack_out_is_compared() -> None:
    observed = set_on(EU, policy=None, keyState="Disabled")
    assert {one["property"] for one in found(observed, shut_out=[EU])} == {"policy", "keyState"}


def test_keys_that_all_shut_the_stack_out_are_not_gone() -> None:
    lost = found({"primaryRegion": US, "keys": {}}, shut_out=[US, EU, WEST])
    assert [one["property"] for one in lost] == ["policy"] * 3


def test_after_a_change_that_failed_either_declaration_will_do() -> None:
    changed = declared_of(revision=2, description="Else", replicas=[*REPLICAS, {"region": ASIA}])
    observed = observed_of(DECLARED)
    observed["keys"][EU]["description"] = "Else"
    assert not found(observed, DECLARED, changed)
    observed["keys"][EU]["description"] = "By hand"
    assert brief(found(observed, DECLARED, changed)) == [(EU, "description", "Cards", "By hand")]


def test_a_difference_is_known_again_by_what_it_means() -> None:
    policy = deepcopy(plan_key(DECLARED, EU, SETTINGS).policy)
    statement = {"Effect": "Allow", "Principal": {"AWS": ADMIN}, "Action": "kms:*", "Resource": "*"}
    policy["Statement"].append(statement)
    [one] = found(set_on(EU, policy=policy))
    [again] = found(rewritten(set_on(EU, policy=policy)))
    assert digest_of(one, SETTINGS) == digest_of(again, SETTINGS)
    policy = deepcopy(policy)
    policy["Statement"][-1]["Action"] = "kms:Decrypt"
    [other] = found(set_on(EU, policy=policy))
    assert subject_of(one) == subject_of(other)
    assert digest_of(one, SETTINGS) != digest_of(other, SETTINGS)


@pytest.mark.parametrize("state", ["Creating", "Updating"])
def test_a_key_that_changes_its_state_by_itself_is_neither_old_nor_new(state: str) -> None:
    assert is_moving(set_on(EU, keyState=state))
    assert not is_moving(set_on(EU, keyState="Disabled"))


def test_repairing_plans_the_calls_that_a_difference_names() -> None:
    observed = set_on(EU, keyState="PendingDeletion", description="Else", aliases={ALIAS: None})
    calls = {call for one in found(observed) for call in one["repair"]["calls"]}
    assert calls == {c["call"] for c in plan_change(DECLARED, DECLARED, observed, SETTINGS)}
