"""Every fault at every call of an adoption and of a release, and pairs of them.

The set was made by somebody else, who has tagged its keys, named them and replicated them to a
Region of their own. Whatever happens, nothing but the stack's own tags is written, and the sweep,
which looks in between, finds neither a surplus key nor a missing tag.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults.adopting import (
    AdoptionScenario,
    ReleaseScenario,
    adoption_of,
)
from tests.support.faults.api import adopt, operate, post
from tests.support.faults.aws import Call, Network
from tests.support.faults.changes import ROTATING, copy_of, revised
from tests.support.faults.enumeration import play_all
from tests.support.faults.scenario import REQUEST_ID, Scenario
from tests.support.faults.workflow import INVOCATION
from tests.support.walks import walks

ONE_IN = 1 if os.environ.get("FAULTS_PAIRS") == "all" else 1000


@pytest.mark.parametrize("make", [AdoptionScenario, ReleaseScenario])
def test_only_our_tags_come_and_go_after_pairs_of_faults(
    make: type[AdoptionScenario | ReleaseScenario],
) -> None:
    assert make(()).play().problems == []

    tally = play_all(make, one_in=ONE_IN)

    print(
        f"{make.__name__}: {tally.singles} single faults, {tally.pairs} pairs, "
        f"{tally.seconds:.0f} seconds"
    )
    assert tally.failures[:10] == []
    assert tally.singles > 150


@walks("Released")
def test_a_released_set_is_changed_once_it_is_adopted_again() -> None:
    released = ReleaseScenario()
    released.deliver()
    aws, renamed = released.aws, revised(ROTATING, description="Cards")

    status, body = post(aws, renamed)
    assert (status, body["errors"][0]["code"]) == (409, "RELEASED")
    repair = {"operationId": "repair", "operation": "REPAIR"}
    status, body = operate(aws, REQUEST_ID, repair)
    assert (status, body["errors"][0]["code"]) == (409, "RELEASED")

    adopt(aws, adoption_of(aws))
    released.run_started()
    assert post(aws, renamed)[0] == 202
    released.run_started()
    assert released.record["status"] == {"S": "UPDATED"}


@walks("KeySetManaged")
def test_a_managed_set_is_adopted_under_another_id_once_it_is_released() -> None:
    scenario = Scenario(aws=copy_of((ROTATING,)))
    aws = scenario.aws
    other = adoption_of(aws, requestId="CHG2")
    status, body = adopt(aws, other)
    assert (status, body["errors"][0]["code"]) == (409, "KEY_SET_MANAGED")
    assert REQUEST_ID in body["errors"][0]["message"]

    operate(aws, REQUEST_ID, {"operationId": "release", "operation": "RELEASE"})
    scenario.run_started()
    assert adopt(aws, other)[0] == 202
    scenario.run_started()
    assert "adoptedAt" in aws.dynamodb.tables["requests"]["CHG2"]


@walks("KeyNotAdoptable")
def test_a_key_that_is_not_there_is_adopted_under_its_own_arn() -> None:
    scenario = AdoptionScenario()
    wrong = scenario.document["keyArn"].replace("us-east-1", "ap-south-1")

    status, body = adopt(scenario.aws, {**scenario.document, "keyArn": wrong})
    assert (status, body["errors"][0]["code"]) == (409, "KEY_NOT_ADOPTABLE")

    scenario.deliver()
    assert scenario.is_done()


@walks("OtherManager")
def test_a_manager_that_comes_meanwhile_is_taken_over_by_word_alone() -> None:
    scenario = AdoptionScenario()

    def manage() -> None:
        for key in scenario.aws.kms.keys.values():
            key.tags["aws:cloudformation:stack-name"] = "cards"

    scenario.aws.network = _AtTheStep(manage)
    scenario.deliver()
    scenario.aws.network = scenario.network
    codes = {error["code"] for error in scenario.aws.events[-1].detail["errors"]}
    assert codes == {"OTHER_MANAGER"}
    assert scenario.aws.done == []

    status, body = adopt(scenario.aws, scenario.document)
    assert (status, body["errors"][0]["code"]) == (409, "OTHER_MANAGER")
    scenario.document["takeOver"] = True
    scenario.deliver()
    assert scenario.is_done()


class _AtTheStep(Network):
    """Lets something happen right before the first call of AdoptKey."""

    def __init__(self, happen: Callable[[], None]) -> None:
        self._happen: Callable[[], None] | None = happen

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        del call
        if self._happen and INVOCATION.get().function_name == "AdoptKeyFunction":
            happen, self._happen = self._happen, None
            happen()
        return effect()
