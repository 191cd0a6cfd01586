"""What KMS shows or allows late: a new key's tags in authorisation, a new alias.

https://docs.aws.amazon.com/kms/latest/developerguide/abac.html says "up to five minutes" of tags.
"""

from typing import Any

import pytest

from tests.support.faults.aws import Aws, Call
from tests.support.faults.enumeration import singles_played
from tests.support.faults.faults import Fault, go_wrong
from tests.support.faults.scenario import REQUEST, Scenario, imported

FIVE_MINUTES = 300
ROLLED_BACK: dict[str, Any] = {**REQUEST, "onFailure": "ROLL_BACK"}


def late(seconds: float) -> Aws:
    aws = Aws()
    aws.kms.authorization_seconds = seconds
    return aws


def place_of(operation: str, **of_scenario: Any) -> int:
    calls = Scenario(**of_scenario).play().calls
    return next(place for place, call in enumerate(calls) if call.operation == operation)


class Denying(Scenario):
    """A request of which one operation is denied for good, in every Region."""

    def __init__(self, operation: str, aws: Aws, **more: Any) -> None:
        super().__init__(aws=aws, **more)
        self._operation = operation
        carry = self.network.carry
        self.network.carry = lambda call, effect: (  # type: ignore[method-assign]
            self._deny(call) if call.operation == operation else carry(call, effect)
        )

    def _deny(self, call: Call) -> Any:
        return go_wrong(call, lambda: None, Fault.REFUSED)

    def seconds_to_fail(self) -> float:
        """Send the request; return how long it took until it failed."""
        began = self.aws.time
        self.deliver()
        assert self.aws.events[-1].detail["status"] == "FAILED"
        return self.aws.time - began


@pytest.mark.parametrize("seconds", [0.1, 60, 240, FIVE_MINUTES])
def test_a_key_set_is_created_however_late_its_tags_count(seconds: float) -> None:
    report = Scenario(aws=late(seconds)).play()

    assert report.problems == [], str(report)
    assert [event.detail_type for event in report.aws.events] == ["Multi-Region Key Created"]


def test_tags_that_count_after_four_minutes_cost_a_few_transitions_a_key() -> None:
    usual = Scenario().play().aws.transitions

    transitions = Scenario(aws=late(240)).play().aws.transitions

    # 5, 10, 20, and then 30 seconds again and again: 10 retries are 245 seconds.
    retried = transitions - usual
    print(f"{transitions} transitions, {retried} of them retries of three keys")
    assert retried == 3 * 10


def test_imported_material_comes_in_however_late_the_tags_of_its_keys_count() -> None:
    report = imported(aws=late(FIVE_MINUTES)).play()

    assert report.problems == [], str(report)


def test_a_key_set_whose_tags_do_not_count_yet_is_rolled_back_all_the_same() -> None:
    scenario = Denying("ReplicateKey", late(FIVE_MINUTES), document=ROLLED_BACK)

    scenario.seconds_to_fail()

    [primary] = scenario.aws.kms.primaries()
    assert scenario.aws.kms.state_of(primary) == "PendingDeletion"
    assert scenario.aws.kms.aliases == {}


def test_a_denial_on_a_new_key_is_reported_as_such_when_its_tags_must_count() -> None:
    scenario = Denying("CreateAlias", Aws(), document={**REQUEST, "replicas": []})

    assert FIVE_MINUTES < scenario.seconds_to_fail() < 2 * FIVE_MINUTES
    [error] = scenario.aws.events[-1].detail["errors"]
    assert error["code"] == "KMS_ACCESS_DENIED"
    assert "its tags may not count in authorisation yet" in error["message"]


def test_a_denial_on_an_older_key_is_reported_within_a_minute() -> None:
    scenario = Denying("CreateAlias", Aws())
    scenario.seconds_to_fail()
    scenario.aws.time += FIVE_MINUTES

    assert scenario.seconds_to_fail() <= 60
    [error] = scenario.aws.events[-1].detail["errors"]
    assert error["code"] == "KMS_ACCESS_DENIED"


def test_after_every_fault_a_key_set_is_created_although_tags_count_late() -> None:
    for report in singles_played(lambda schedule: Scenario(schedule, aws=late(240))):
        assert report.problems == [], str(report)


@pytest.mark.parametrize("fault", [Fault.RESENT, Fault.BROKEN_AFTER, Fault.KILLED_AFTER])
def test_an_alias_that_is_shown_late_is_no_alias_of_another_key(fault: Fault) -> None:
    aws = Aws()
    aws.kms.alias_seconds = 20
    report = Scenario(((place_of("CreateAlias"), fault),), aws=aws).play()

    assert report.problems == [], str(report)
    assert [event.detail_type for event in report.aws.events] == ["Multi-Region Key Created"]


def test_a_deletion_that_is_sent_twice_is_scheduled_and_no_failure() -> None:
    first = place_of("ReplicateKey")
    # The primary's Region refuses the one replica, the first time and with every retry.
    refused = tuple((first + tried, Fault.NOT_ENABLED) for tried in range(4))
    calls = Scenario(refused, document=ROLLED_BACK).play().calls
    places = [n for n, call in enumerate(calls) if call.operation == "ScheduleKeyDeletion"]

    assert places
    for place in places:
        scenario = Scenario((*refused, (place, Fault.RESENT)), document=ROLLED_BACK)
        scenario.deliver()

        errors = scenario.aws.events[-1].detail["errors"]
        assert [error["code"] for error in errors] == ["REGION_NOT_ENABLED"]
        assert all(key.leaving for key in scenario.aws.kms.keys.values())
