"""Errors that end a rotation: each is provoked, and what its message says to do ends well."""

from typing import Any

from tests.support.faults.aws import Call, Network
from tests.support.faults.changes import ROTATING, revised
from tests.support.faults.key_material import MOST_ON_DEMAND
from tests.support.faults.next_steps import Refusing, ended_with
from tests.support.faults.rotations import RotationScenario
from tests.support.faults.scenario import Scenario
from tests.support.walks import walks


def rotating() -> RotationScenario:
    return RotationScenario(before=(ROTATING,), kind="ROTATE")


def ends_well_anew(scenario: RotationScenario) -> None:
    """Ask for the rotation with a new operationId, and see it take place."""
    scenario.aws.network = scenario.network
    scenario.count += 1
    scenario.deliver()
    assert scenario.is_ended("FINISHED")


class SlowRotation(Network):
    """A KMS that rotates for hours."""

    def __init__(self, scenario: RotationScenario) -> None:
        self._scenario = scenario

    def carry(self, call: Call, effect: Any) -> Any:
        answer = effect()
        if call.operation == "RotateKeyOnDemand":
            self._scenario.materials.ends_at += 5 * 3_600
        return answer


@walks("RotationUnderWay")
def test_a_rotation_that_takes_hours_is_looked_for_in_the_status() -> None:
    scenario = rotating()
    scenario.aws.network = SlowRotation(scenario)
    scenario.deliver()
    ended_with(scenario, "RotationUnderWay")

    scenario.aws.time += 6 * 3_600

    assert [one.rotation_type for one in scenario.materials.all] == [None, "ON_DEMAND"]
    assert len(scenario.materials.begun) == 1


@walks("RotationNotDone")
def test_a_rotation_that_kms_never_began_is_asked_for_with_a_new_operation() -> None:
    scenario = rotating()
    scenario.aws.network = Refusing("RotateKeyOnDemand", "KMSInternalException", 500)
    for _ in range(2):
        scenario.deliver()
        ended_with(scenario, "RotationNotDone")
    assert scenario.materials.begun == []

    ends_well_anew(scenario)


@walks("AutomaticRotationNear")
def test_a_key_that_rotates_by_itself_is_rotated_on_demand_afterwards() -> None:
    scenario = rotating()
    scenario.materials.is_near = True
    scenario.deliver()
    ended_with(scenario, "AutomaticRotationNear")
    assert "rotation" not in scenario.record

    scenario.aws.time += 1_800
    scenario.materials.rotate(scenario.aws.time, "AUTOMATIC")
    scenario.materials.is_near = False

    ends_well_anew(scenario)
    assert len(scenario.materials.begun) == 1


@walks("RotationsUsedUp")
def test_a_key_that_is_rotated_on_demand_no_more_can_rotate_by_itself() -> None:
    scenario = rotating()
    scenario.materials.begun += [0] * MOST_ON_DEMAND
    scenario.deliver()
    ended_with(scenario, "RotationsUsedUp")

    change = Scenario(aws=scenario.aws, document=revised(ROTATING, rotation={"periodInDays": 90}))
    change.deliver()

    assert change.aws.events[-1].detail_type == "Multi-Region Key Updated"
    assert scenario.aws.kms.primaries()[0].rotation_days == 90
