"""When requests may start: never faster than the quotas, and hardly slower."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.batch.pace import KMS_QUOTAS, Pace, Quota, needs, parse_quotas
from tests.support.samples import imported_request_of, request_of

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "us-west-2"
TO_AWAY = needs(request_of(replicas=[{"region": AWAY}]))


def pace(percent: int = 100, starts: int = 1_000, *quotas: str) -> Pace:
    return Pace(parse_quotas(quotas), percent, starts)


def moments(planner: Pace, taken: Counter[Quota], count: int) -> list[float]:
    return planner.plan([taken] * count)


def rate(starts: Sequence[float]) -> float:
    """Count the starts a second, once the first seconds are over."""
    later = sorted(start for start in starts if start > 10)
    return (len(later) - 1) / (later[-1] - later[0])


def test_a_replica_takes_two_create_key_in_its_own_region() -> None:
    assert TO_AWAY == {
        (HOME, "CreateKey"): 1,
        (HOME, "ReplicateKey"): 1,
        (HOME, "CreateAlias"): 1,
        (AWAY, "CreateKey"): 2,
        (AWAY, "CreateAlias"): 1,
    }


def test_what_is_not_asked_for_takes_nothing() -> None:
    replicas = [{"region": AWAY, "alias": None}, {"region": FAR, "alias": "alias/own"}]
    taken = needs(request_of(replicas=replicas, rotation={"periodInDays": 365}))

    assert taken[HOME, "EnableKeyRotation"] == 1
    assert taken[HOME, "ReplicateKey"] == 2
    assert (AWAY, "CreateAlias") not in taken
    assert taken[FAR, "CreateAlias"] == 1
    assert not {operation for _, operation in TO_AWAY} & {"EnableKeyRotation", "ImportKeyMaterial"}


def test_imported_key_material_takes_its_own_calls_in_every_region() -> None:
    taken = needs(imported_request_of(replicas=[{"region": AWAY}]))

    assert {
        (region, operation): count
        for (region, operation), count in taken.items()
        if "Import" in operation
    } == {
        (region, operation): 1
        for region in (HOME, AWAY)
        for operation in ("GetParametersForImport", "ImportKeyMaterial")
    }


@pytest.mark.parametrize(("replicas", "expected"), [(0, 5), (1, 2.5), (2, 2.5), (3, 5 / 3)])
def test_key_sets_start_as_often_as_their_fullest_quota_allows(
    replicas: int, expected: float
) -> None:
    taken = needs(
        request_of(replicas=[{"region": r} for r in (AWAY, FAR, "ap-south-1")[:replicas]])
    )

    assert rate(moments(pace(), taken, 1_000)) == pytest.approx(expected, rel=0.01)
    assert rate(moments(pace(percent=50), taken, 1_000)) == pytest.approx(expected / 2, rel=0.01)


def test_starts_are_spread_within_each_second() -> None:
    starts = moments(pace(), TO_AWAY, 1_000)

    distances = [after - before for before, after in itertools.pairwise(starts)]
    assert min(distances) == pytest.approx(0.4, abs=0.01)
    assert max(distances[100:]) == pytest.approx(0.4, abs=0.06)


def test_the_first_seconds_are_slower_and_lose_half_of_their_starts() -> None:
    starts = moments(pace(), TO_AWAY, 100)

    assert starts[0] == 0
    distances = [after - before for before, after in itertools.pairwise(starts)]
    assert distances[0] > 2
    assert distances[:8] == sorted(distances[:8], reverse=True)
    assert starts[-1] == pytest.approx(99 * 0.4 + 3, abs=0.1)


def test_a_region_that_is_both_takes_three_create_key_for_a_pair() -> None:
    there = needs(request_of(replicas=[{"region": AWAY}]))
    back = needs(request_of(primaryRegion=AWAY, replicas=[{"region": HOME}]))

    starts = pace().plan([there] * 500 + [back] * 500)

    assert rate(starts) == pytest.approx(2 * 5 / 3, rel=0.01)


def test_other_regions_are_not_held_up() -> None:
    planner = pace()
    moments(planner, TO_AWAY, 100)
    elsewhere = needs(request_of(primaryRegion=FAR, replicas=[{"region": "ap-south-1"}]))

    assert moments(planner, elsewhere, 1) == [0]


def test_kinds_take_turns_and_each_keeps_its_order() -> None:
    alone = needs(request_of())

    starts = pace().plan([TO_AWAY] * 50 + [alone] * 100)

    first, second = starts[:50], starts[50:]
    assert first == sorted(first)
    assert second == sorted(second)
    assert all(sum(a < start <= b for start in second) == 2 for a, b in itertools.pairwise(first))


def test_a_hole_that_a_wide_request_left_is_filled() -> None:
    planner = pace()
    wide, alone = TO_AWAY, needs(request_of(primaryRegion=AWAY))
    moments(planner, needs(request_of()), 50)

    (after_all,) = moments(planner, wide, 1)

    assert after_all == pytest.approx(10 + 3, abs=1)
    assert moments(planner, alone, 48)[-1] < after_all


def test_a_request_that_takes_more_than_a_second_has_starts_all_the_same() -> None:
    regions = ["eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-central-1", "us-west-1"]
    wide = needs(request_of(replicas=[{"region": region} for region in regions]))

    assert rate(moments(pace(), wide, 100)) == pytest.approx(5 / 6, rel=0.02)


def test_what_needs_nothing_of_kms_starts_at_the_rate_of_starts() -> None:
    assert rate(moments(pace(starts=25), Counter(), 1_000)) == pytest.approx(25, rel=0.01)


def test_raised_quotas_count_for_every_region_or_for_one() -> None:
    raised = pace(100, 1_000, "CreateKey=50", "ReplicateKey=50", "CreateAlias=50")
    partly = pace(100, 1_000, f"{AWAY}/CreateKey=10", f"{AWAY}/CreateAlias=10")

    assert rate(moments(raised, TO_AWAY, 1_000)) == pytest.approx(25, rel=0.01)
    # Now it is the five CreateKey, CreateAlias and ReplicateKey of the primary's Region.
    assert rate(moments(partly, TO_AWAY, 1_000)) == pytest.approx(5, rel=0.01)


@pytest.mark.parametrize(
    "item", ["CreateKey", "CreateKey=", "CreateKey=0", "CreateKey=-1", "CreatKey=5", "CreateKey=x"]
)
def test_a_quota_that_cannot_be_read_is_named(item: str) -> None:
    with pytest.raises(ValueError, match=f"KmsQuotas holds '{item}'"):
        parse_quotas([item])


regions = st.sampled_from([HOME, AWAY, FAR, "ap-south-1"])
sets = st.lists(st.lists(regions, min_size=1, max_size=4, unique=True), min_size=1, max_size=60)


def needs_of(key_sets: list[list[str]]) -> list[Counter[Quota]]:
    return [
        needs(request_of(primaryRegion=primary, replicas=[{"region": other} for other in others]))
        for primary, *others in key_sets
    ]


@given(key_sets=sets, percent=st.integers(1, 100))
def test_no_time_however_long_takes_more_than_its_share_of_a_quota(
    key_sets: list[list[str]], percent: int
) -> None:
    taken = needs_of(key_sets)
    starts = sorted(zip(pace(percent).plan(taken), range(len(taken)), strict=True))

    for quota in set().union(*taken):
        calls = [(moment, taken[n][quota]) for moment, n in starts if taken[n][quota]]
        share = KMS_QUOTAS[quota[1]] * percent / 100
        # Beside what comes in the time itself: 0.35 seconds' worth, a few ticks, and one request.
        tick = 1 / math.ceil(percent / 5)
        allowance = share * (0.35 + 3 * tick) + max(count for _, count in calls)
        for first, (begin, _) in enumerate(calls):
            used = 0
            for moment, count in calls[first:]:
                used += count
                assert used <= share * (moment - begin) + allowance


@given(key_sets=sets, percent=st.integers(1, 100))
def test_requests_of_one_kind_keep_their_order_and_none_is_before_the_start(
    key_sets: list[list[str]], percent: int
) -> None:
    taken = needs_of(key_sets)
    last: dict[frozenset[tuple[Quota, int]], float] = {}

    for needed, moment in zip(taken, pace(percent).plan(taken), strict=True):
        kind = frozenset(needed.items())
        assert moment >= last.get(kind, 0)
        last[kind] = moment


def refused(calls: list[tuple[float, int]], calls_a_second: int) -> int:
    """Count what a bucket refuses that holds a second's worth, and fills up as fast."""
    left, at, count = float(calls_a_second), 0.0, 0
    for moment, taken in sorted(calls):
        left = min(calls_a_second, left + (moment - at) * calls_a_second)
        at = moment
        if left >= taken:
            left -= taken
        else:
            count += 1
    return count


@given(replicas=st.integers(0, 3), late=st.lists(st.floats(0, 0.2), min_size=10, max_size=60))
def test_nothing_is_refused_though_calls_come_up_to_a_fifth_of_a_second_later(
    replicas: int, late: list[float]
) -> None:
    others = [{"region": region} for region in (AWAY, FAR, "ap-south-1")[:replicas]]
    taken = needs(request_of(replicas=others))
    starts = moments(pace(92), taken, 10 * len(late))

    for quota, count in taken.items():
        calls = [(at + late[n % len(late)], count) for n, at in enumerate(starts)]
        assert refused(calls, KMS_QUOTAS[quota[1]]) == 0


MIXED: list[list[str]] = [
    [HOME],
    [HOME, AWAY],
    [AWAY, HOME],
    [HOME, FAR, "ap-south-1"],
    [HOME, "ap-south-1"],
    [AWAY],
    [HOME, AWAY, FAR, "ap-south-1"],
    [AWAY, HOME, FAR, "ap-south-1"],
    [HOME, FAR],
    [AWAY, "ap-south-1", FAR],
]


def test_key_sets_of_several_kinds_use_the_quota_and_none_of_their_calls_is_refused() -> None:
    taken = needs_of(MIXED) * 100
    starts = pace(92).plan(taken)
    # Up to a fifth of a second, in no order.
    late = [number * 7919 % 201 / 1_000 for number in range(len(starts))]

    assert rate(starts) > 0.91 * 5
    for quota in set().union(*taken):
        calls = [
            (start + late[n], count)
            for n, start in enumerate(starts)
            for count in calls_of(quota, taken[n][quota])
        ]
        assert refused(calls, KMS_QUOTAS[quota[1]]) == 0


def calls_of(quota: Quota, taken: int) -> list[int]:
    """Divide what a request takes of a quota into its calls: a replica takes two at once."""
    if quota[1] == "CreateKey":
        return [2] * (taken // 2) + [1] * (taken % 2)
    return [1] * taken
