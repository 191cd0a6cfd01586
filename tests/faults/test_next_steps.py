"""Errors that a user meets: each is provoked, and what its message says to do ends well."""

from collections.abc import Callable
from typing import Any

import pytest

from provisioner import errors
from tests.faults.aws import Aws, Call, Network
from tests.faults.errors import refusal
from tests.faults.kms import Key
from tests.faults.scenario import Scenario, is_created, problems
from tests.faults.wiring import QUIET_SECONDS


class Refusing(Network):
    """Answers one operation with an error, until its cause is corrected."""

    def __init__(self, operation: str, code: str, status: int = 400) -> None:
        self._operation, self._code, self._status = operation, code, status

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == self._operation:
            raise refusal(self._code, call.operation, status=self._status)
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


def failures(aws: Aws) -> list[dict[str, Any]]:
    """List the errors of every outcome that says the request failed."""
    return [
        error
        for event in aws.events
        if event.detail_type == "Multi-Region Key Creation Failed"
        for error in event.detail["errors"]
    ]


def failed_with(scenario: Scenario, error: str) -> None:
    found = failures(scenario.aws)
    code = "".join(f"_{c}" if c.isupper() else c.upper() for c in error).lstrip("_")
    assert {one["code"] for one in found} == {code}
    assert all(getattr(errors, error).next_step in one["message"] for one in found)


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
def test_a_request_is_finished_once_the_alias_of_another_key_is_deleted(
    region: str, error: str
) -> None:
    scenario = Scenario()
    kms, place = scenario.aws.kms, (region, "alias/payments/cards")
    other = Key(
        arn=f"arn:aws:kms:{region}:111122223333:key/other",
        region=region,
        created_at=0,
        enabled_at=0,
        facts={"type": "REPLICA", "spec": "SYMMETRIC_DEFAULT", "usage": "", "origin": "AWS_KMS"},
        description="",
        policy="",
        tags={},
    )
    if error == "AliasInUse":
        kms.keys[other.arn] = other
    kms.aliases[place], kms.named_at[place] = other.arn, 0
    if error == "AliasNotVisible":
        kms.alias_seconds = 10**10
    scenario.deliver()
    failed_with(scenario, error)

    kms.alias_seconds = 0
    del kms.aliases[place]

    ends_well(scenario)


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
