"""Errors that a user meets: each is provoked, and what its message says to do ends well."""

from collections.abc import Callable
from typing import Any

import pytest

from provisioner import errors
from tests.support.faults.aws import Call, Network
from tests.support.faults.errors import refusal
from tests.support.faults.kms import Key
from tests.support.faults.next_steps import Refusing, failed_with, failures, run_what_is_named
from tests.support.faults.scenario import REQUEST, Scenario, is_created, problems
from tests.support.faults.wiring import QUIET_SECONDS
from tests.support.walks import walks


class NotEnabled(Network):
    """An account that has not enabled a Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.region == self._region:
            raise refusal("UnrecognizedClientException", call.operation)
        return effect()


# By error: what is refused, with which code, and the outcome's code.
REFUSALS: dict[str, list[tuple[str, str, int]]] = {
    "KmsThrottled": [("ReplicateKey", "ThrottlingException", 400)],
    "KmsUnavailable": [("ReplicateKey", "KMSInternalException", 500)],
    "KmsAccessDenied": [
        ("CreateKey", "AccessDeniedException", 400),
        ("ReplicateKey", "AccessDeniedException", 400),
    ],
    "RegionNotEnabled": [("ReplicateKey", "UnrecognizedClientException", 400)],
    "KmsLimitExceeded": [
        ("CreateKey", "LimitExceededException", 400),
        ("ReplicateKey", "LimitExceededException", 400),
        ("CreateAlias", "LimitExceededException", 400),
    ],
    "KmsRequestRefused": [("CreateKey", "TagException", 400), ("CreateAlias", "X", 400)],
    "KeyPolicyRefused": [
        ("CreateKey", "MalformedPolicyDocumentException", 400),
        ("ReplicateKey", "MalformedPolicyDocumentException", 400),
    ],
    "KeyStateConflict": [("CreateAlias", "KMSInvalidStateException", 400)],
    "DependencyUnavailable": [("GetResources", "InternalServiceException", 500)],
}


REPLICAS = len(REQUEST["replicas"])


def ends_well(scenario: Scenario) -> None:
    """Send the same request again, as the message says, and see it created with all it asks."""
    scenario.deliver()
    assert is_created(scenario.aws)
    scenario.aws.time += QUIET_SECONDS + 1
    scenario.sweep()
    assert problems(scenario.aws) == []


@pytest.mark.parametrize(
    ("error", "refused"),
    [(error, refused) for error, all_of_it in REFUSALS.items() for refused in all_of_it],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
@walks(
    "KmsThrottled",
    "KmsUnavailable",
    "KmsAccessDenied",
    "RegionNotEnabled",
    "KmsLimitExceeded",
    "KmsRequestRefused",
    "KeyPolicyRefused",
    "KeyStateConflict",
    "DependencyUnavailable",
)
def test_a_request_is_finished_once_the_cause_of_a_refusal_is_corrected(
    error: str, refused: tuple[str, str, int]
) -> None:
    scenario = Scenario()
    orderly, scenario.aws.network = scenario.aws.network, Refusing(*refused)
    scenario.deliver()
    failed_with(scenario, error)

    scenario.aws.network = orderly

    ends_well(scenario)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("error", ["AliasInUse", "AliasNotVisible"])
@walks("AliasInUse", "AliasNotVisible")
def test_a_request_is_finished_once_the_alias_of_another_key_is_deleted(
    region: str, error: str
) -> None:
    scenario = Scenario()
    kms, place = scenario.aws.kms, (region, "alias/payments/cards")
    kms.take_alias(*place)
    if error == "AliasNotVisible":
        kms.alias_seconds = 10**10
    scenario.deliver()
    failed_with(scenario, error)

    kms.alias_seconds = 0
    del kms.aliases[place]

    ends_well(scenario)


@walks("ReplicaKeyNotEnabled")
def test_a_replica_that_is_made_for_longer_than_half_an_hour_is_awaited_again() -> None:
    usual = Scenario().play().aws.transitions
    scenario = Scenario()
    scenario.aws.kms.creating_seconds = 3_600
    began = scenario.aws.time
    scenario.deliver()
    failed_with(scenario, "ReplicaKeyNotEnabled")
    assert len(failures(scenario.aws)) == REPLICAS
    assert all("is still Creating" in one["message"] for one in failures(scenario.aws))
    assert scenario.aws.time - began > 1_800
    # One for each attempt after the first, and what a failure enters more than a success.
    assert scenario.aws.transitions - usual == 36 * REPLICAS + 1

    scenario.aws.time += 3_600

    ends_well(scenario)


def stopped_at(operation: str, code: str, **more: Any) -> tuple[Scenario, Key]:
    """Return a request that failed at a call after it had made its primary key, and that key."""
    scenario = Scenario(document={**REQUEST, **more})
    orderly, scenario.aws.network = scenario.aws.network, Refusing(operation, code)
    scenario.deliver()
    scenario.aws.network = orderly
    scenario.aws.events.clear()
    return scenario, scenario.aws.kms.primaries()[0]


@pytest.mark.parametrize("asked", ["RETAIN", "ROLL_BACK"])
@walks("PrimaryKeyMoved")
def test_a_request_is_finished_once_its_primary_key_is_moved_back(asked: str) -> None:
    scenario, primary = stopped_at("CreateAlias", "LimitExceededException")
    scenario.document = {**scenario.document, "onFailure": asked}
    scenario.aws.time += 3_600
    scenario.aws.kms.promote(primary.key_id, "eu-west-1")
    scenario.deliver()
    failed_with(scenario, "PrimaryKeyMoved")
    scenario.sweep()
    found = [event.detail.get("kind") for event in scenario.aws.events]
    assert found.count("PRIMARY_ELSEWHERE") == 1
    [message] = {one["message"] for one in failures(scenario.aws)}
    assert primary.arn in message
    assert "the primary key of its key set is in eu-west-1" in message
    if asked == "ROLL_BACK":
        # All keys wait for their deletion now, and the next message says how to end that.
        assert all(key.leaving for key in scenario.aws.kms.keys.values())
        scenario.aws.events.clear()
        scenario.deliver()

    run_what_is_named(scenario)

    ends_well(scenario)


@pytest.mark.parametrize("stack", [None, "another"])
@pytest.mark.parametrize("state", ["as it was", "disabled"])
@walks("KeyTagMissing")
def test_a_request_is_finished_once_the_tag_of_its_key_is_put_back(
    stack: str | None, state: str
) -> None:
    scenario, primary = stopped_at("ReplicateKey", "LimitExceededException")
    scenario.aws.time += 3_600
    del primary.tags["mrk:stack"]
    if stack:
        primary.tags["mrk:stack"] = stack
    primary.disabled = state == "disabled"
    scenario.deliver()
    failed_with(scenario, "KeyTagMissing")

    run_what_is_named(scenario)

    ends_well(scenario)


@walks("ReplicaRegionNotEnabled")
def test_a_request_is_corrected_once_a_replica_has_no_region_to_go_to() -> None:
    scenario = Scenario()
    scenario.aws.network = NotEnabled("us-west-2")
    scenario.deliver()
    [failure] = failures(scenario.aws)
    assert (failure["path"], failure["code"]) == ("replicas", "REGION_NOT_ENABLED")
    assert errors.ReplicaRegionNotEnabled.next_step in failure["message"]
    assert scenario.aws.kms.keys == {}

    scenario.document = {**REQUEST, "replicas": REQUEST["replicas"][:1]}
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws, scenario.document) == []


@pytest.mark.parametrize("state", ["disabled", "leaving"])
def test_a_request_is_finished_whatever_state_its_key_was_left_in(state: str) -> None:
    scenario = Scenario()
    orderly = scenario.aws.network
    scenario.aws.network = Refusing("ReplicateKey", "KMSInvalidStateException")
    scenario.deliver()
    failed_with(scenario, "KeyStateConflict")
    [key] = scenario.aws.kms.primaries()
    setattr(key, state, True)

    scenario.aws.network = orderly

    ends_well(scenario)
