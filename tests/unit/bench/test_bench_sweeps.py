"""How the bench of the sweep plays a Region, and judges what came of it."""

from bench.sweep_fakes import sweep_in_process
from bench.sweeps import Sweep, _targets


def test_a_worker_that_is_killed_half_way_costs_a_page_and_not_the_way() -> None:
    looked_at, calls, by_second, seconds, workers = sweep_in_process(2_000, killed_after=1_000)

    assert (looked_at, workers) == (2_000, 2)
    assert 2_000 < calls["DescribeKey"] <= 2_100
    # The second worker begins when the first one is certainly dead.
    assert seconds > 15 * 60
    assert max(n for (name, _), n in by_second.items() if name == "DescribeKey") <= 120
    assert all(
        target.reached
        for target in _targets(
            Sweep(2_000, "in process", looked_at, calls, by_second, seconds, workers)
        )
    )


def test_a_sweep_that_begins_again_misses_its_target() -> None:
    looked_at, calls, by_second, seconds, workers = sweep_in_process(500, killed_after=10_000)
    calls["DescribeKey"] *= 2

    missed = [
        target.text
        for target in _targets(Sweep(500, "x", looked_at, calls, by_second, seconds, workers))
        if not target.reached
    ]

    assert missed == ["500 keys: a killed worker's keys looked at again, a page at most"]
