r"""Every single fault at every call of a rotation to new imported key material, and pairs of them.

CI plays a fixed share of the pairs. All of them:

    FAULTS_PAIRS=all pytest tests/faults/test_rotating_material.py --disable-socket \
        --allow-unix-socket -s
"""

import os
from typing import Any

from tests.support.faults.enumeration import play_all
from tests.support.faults.faults import Schedule
from tests.support.faults.holder import MATERIAL, NEW_MATERIAL, answer_new
from tests.support.faults.rotations import RotationScenario, sent
from tests.support.faults.scenario import IMPORTED

ONE_IN = 1 if os.environ.get("FAULTS_PAIRS") == "all" else 150
DECLARED: dict[str, Any] = {**IMPORTED, "keyMaterial": {"expires": False, "deadlineInDays": 2}}


class RotatingMaterial(RotationScenario):
    """A set of two Regions that is rotated to new material, whose holder answers at once."""

    def __init__(self, schedule: Schedule = (), **more: Any) -> None:
        given = {"kind": "ROTATE_MATERIAL", "holder": answer_new(), **more}
        super().__init__(schedule, before=(DECLARED,), is_used=False, **given)

    def problems(self) -> list[str]:
        found = super().problems()
        materials = self.materials.all
        if [(one.secret, one.state) for one in materials] != [
            (MATERIAL, "NON_CURRENT"),
            (NEW_MATERIAL, "CURRENT"),
        ]:
            found.append(f"the key material is {materials}")
        for key in self.aws.kms.keys.values():
            if self.aws.kms.state_of(key) != "Enabled" or [*key.later] != [NEW_MATERIAL]:
                found.append(f"{key.arn} is {self.aws.kms.state_of(key)} with {key.later}")
        return found


def test_new_material_is_imported_everywhere_and_then_rotated_to() -> None:
    scenario = RotatingMaterial()

    report = scenario.play()

    assert report.problems == []
    assert sent(scenario.aws) == 1
    imports = [str(call) for call in scenario.aws.done if call.operation == "ImportKeyMaterial"]
    assert imports == ["kms ImportKeyMaterial in us-east-1", "kms ImportKeyMaterial in eu-west-1"]


def test_material_is_rotated_to_once_after_any_fault_and_pairs_of_faults() -> None:
    tally = play_all(RotatingMaterial, one_in=ONE_IN)

    print(f"{tally.singles} single faults, {tally.pairs} pairs, {tally.seconds:.0f} seconds")
    assert tally.failures[:10] == []
    assert tally.singles > 100
    assert tally.pairs > 50
