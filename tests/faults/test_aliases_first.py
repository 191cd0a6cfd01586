"""The look-up of every Region's alias before there is a key, where one Region of them fails.

The schedules of `test_schedules` let one fault meet all of these calls, as they are sent at once.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults import workflow
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.faults import Fault, go_wrong, kinds_at
from tests.support.faults.scenario import Scenario, is_created, problems
from tests.support.faults.wiring import QUIET_SECONDS

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
FAULTS: list[Fault] = [
    fault
    for fault in kinds_at(Call("kms", "us-east-1", "DescribeKey"))
    if fault not in (Fault.REDELIVERED, Fault.STOPPED)
]


class OneLookUp(Network):
    """Lets the first DescribeKey of a Region go wrong, and nothing else."""

    def __init__(self, region: str, fault: Fault) -> None:
        self._left = {region: fault}
        self.calls: list[Call] = []

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        self.calls.append(call)
        fault = self._left.pop(call.region, None) if call.operation == "DescribeKey" else None
        return go_wrong(call, effect, fault) if fault else effect()


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_one_key_set_is_left_where_the_look_up_fails_in_one_region(
    region: str, fault: Fault
) -> None:
    scenario = Scenario()
    network = scenario.aws.network = OneLookUp(region, fault)
    scenario.deliver()

    assert is_created(scenario.aws)
    created = [call.operation for call in network.calls].index("CreateKey")
    asked = [call.region for call in network.calls[:created] if call.operation == "DescribeKey"]
    # A Region of a replica that does not say whose the alias is holds nothing up.
    ends_the_step: set[Fault] = {Fault.NOT_ENABLED, Fault.KILLED}
    if region == "us-east-1":
        ends_the_step = set(FAULTS) - {Fault.REFUSED}
    assert asked.count("us-east-1") == (2 if fault in ends_the_step else 1)
    scenario.aws.time += QUIET_SECONDS + 1
    workflow.sweep(scenario.aws)
    assert problems(scenario.aws) == []


class Faster(Network):
    """Somebody else, who takes the alias of a Region once CreateKey was sent."""

    def __init__(self, aws: Aws, region: str) -> None:
        self._kms, self.place = aws.kms, (region, "alias/payments/cards")

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation == "CreateKey":
            self._kms.take_alias(*self.place)
        return effect()


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_what_the_loser_of_a_race_for_an_alias_has_made_is_reported(region: str) -> None:
    scenario = Scenario()
    network = Faster(scenario.aws, region)
    orderly, scenario.aws.network = scenario.aws.network, network
    scenario.deliver()
    [failed] = [event.detail for event in scenario.aws.events]
    assert [error["code"] for error in failed["errors"]] == ["ALIAS_IN_USE"]
    made = {arn for arn, key in scenario.aws.kms.keys.items() if key.facts["type"]}
    assert made

    scenario.aws.time += 2 * 86_400
    workflow.sweep(scenario.aws)

    found = [event.detail for event in scenario.aws.events[1:]]
    assert {one["kind"] for one in found} == {"UNFINISHED_KEY_SET"}
    assert {one["keyArn"] for one in found} == made

    # As the error says: that alias is deleted, and the request sent again.
    scenario.aws.network = orderly
    del scenario.aws.kms.aliases[network.place]
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []
