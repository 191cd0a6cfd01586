"""How the bench of the sweep plays Regions, and judges what came of it."""

import re

from bench.sweep_fakes import Swept, sweep_in_process
from bench.sweeps import Sweep, _grid, _targets

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")


def sweep_of(sets: int, swept: Swept, regions: int = 1) -> Sweep:
    return Sweep(sets, "in process", **vars(swept), regions=regions)


def test_a_worker_that_is_killed_half_way_costs_a_page_and_not_the_way() -> None:
    swept = sweep_in_process(2_000, killed_after=1_000)

    assert (swept.looked_at, swept.workers) == (2_000, 2)
    assert 2_000 < swept.calls["DescribeKey"] <= 2_100
    # The second worker begins when the first one is certainly dead.
    assert swept.seconds > 15 * 60
    assert max(n for (name, *_), n in swept.by_second.items() if name == "DescribeKey") <= 120
    assert all(target.reached for target in _targets(sweep_of(2_000, swept)))


def test_regions_are_swept_side_by_side_each_within_its_own_quotas() -> None:
    alone = sweep_in_process(1_000, killed_after=500)
    swept = sweep_in_process(1_000, killed_after=500, in_regions=REGIONS)

    assert (swept.looked_at, swept.workers) == (3_000, 6)
    assert swept.calls == {name: 3 * number for name, number in alone.calls.items()}
    assert alone.seconds <= swept.seconds < 1.1 * alone.seconds
    sweep = sweep_of(1_000, swept, regions=3)
    assert all(target.reached for target in _targets(sweep))
    assert [row[:4] for row in _grid([sweep]).rows] == [("1,000", "3", "in process", "3,000")]
    # How many calls fall into one second is up to the threads; the targets have the most.
    assert re.fullmatch(r"3,300 \([45]\.\d%\)", _grid([sweep]).rows[0][4])


def test_a_sweep_that_begins_again_misses_its_target() -> None:
    swept = sweep_in_process(500, killed_after=10_000)
    swept.calls["DescribeKey"] *= 2

    missed = [target.text for target in _targets(sweep_of(500, swept)) if not target.reached]

    assert missed == ["500 keys: a killed worker's keys looked at again, a page at most"]
