r"""Every single fault at every call of a rotation on demand, and pairs of them.

KMS rotates once more for each RotateKeyOnDemand that comes after a rotation has ended. There are
never two rotations for one operation. CI plays a fixed share of the pairs. All of them:

    FAULTS_PAIRS=all pytest tests/faults/test_rotation.py --disable-socket --allow-unix-socket -s
"""

import os
from functools import partial

from tests.support.faults.changes import ROTATING
from tests.support.faults.enumeration import play_all
from tests.support.faults.rotations import RotationScenario, sent

ONE_IN = 1 if os.environ.get("FAULTS_PAIRS") == "all" else 100
rotation = partial(RotationScenario, before=(ROTATING,), kind="ROTATE")


def test_a_rotation_takes_place_once_and_its_operation_ends_with_it() -> None:
    scenario = rotation()

    report = scenario.play()

    assert report.problems == []
    assert sent(scenario.aws) == 1
    assert [one.state for one in scenario.materials.all] == ["NON_CURRENT", "CURRENT"]


def test_there_is_one_rotation_for_one_operation_after_any_fault_and_pairs_of_faults() -> None:
    tally = play_all(rotation, one_in=ONE_IN)

    print(f"{tally.singles} single faults, {tally.pairs} pairs, {tally.seconds:.0f} seconds")
    assert tally.failures[:10] == []
    assert tally.singles > 100
    assert tally.pairs > 50
