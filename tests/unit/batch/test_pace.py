"""When requests may start: never faster than the quotas, and hardly slower."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.batch.pace import KMS_QUOTAS, Pace, Quota, needs, parse_quotas
from tests.support.samples import imported_request_of, request_of

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "us-west-2"
TO_AWAY = needs(request_of(replicas=[{"region": AWAY}]))


def pace(percent: int = 100, starts: int = 1_000, *quotas: str) -> Pace:
    return Pace(parse_quotas(quotas), percent, starts)


def seconds(planner: Pace, taken: Counter[Quota], count: int) -> list[int]:
    return [planner.reserve(taken) for _ in range(count)]


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


def test_one_replica_starts_two_and_a_half_times_a_second() -> None:
    starts = seconds(pace(), TO_AWAY, 1_000)

    assert starts[:6] == [0, 0, 0, 1, 1, 2]
    assert starts[-1] == 399


def test_a_share_of_the_quotas_takes_as_much_longer() -> None:
    assert seconds(pace(percent=50), TO_AWAY, 1_000)[-1] == 799


def test_a_region_that_is_both_takes_three_create_key_for_a_pair() -> None:
    planner = pace()
    there = needs(request_of(replicas=[{"region": AWAY}]))
    back = needs(request_of(primaryRegion=AWAY, replicas=[{"region": HOME}]))

    starts = [planner.reserve(taken) for _ in range(500) for taken in (there, back)]

    assert max(starts) == pytest.approx(500 * 3 / 5, abs=2)


def test_other_regions_are_not_held_up() -> None:
    planner = pace()
    seconds(planner, TO_AWAY, 100)
    elsewhere = needs(request_of(primaryRegion=FAR, replicas=[{"region": "ap-south-1"}]))

    assert planner.reserve(elsewhere) == 0


def test_a_hole_that_a_wide_request_left_is_filled() -> None:
    planner = pace()
    seconds(planner, needs(request_of()), 50)
    wide = needs(request_of(replicas=[{"region": AWAY}]))
    alone = needs(request_of(primaryRegion=AWAY))

    assert planner.reserve(wide) == 10
    assert seconds(planner, alone, 48)[-1] == 9


def test_more_than_a_second_has_spills_into_the_next() -> None:
    planner = pace()
    regions = ["eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-central-1", "us-west-1"]
    wide = needs(request_of(replicas=[{"region": region} for region in regions]))

    assert seconds(planner, wide, 5) == [0, 1, 2, 3, 4]
    assert seconds(planner, wide, 6)[-1] == 12


def test_what_needs_nothing_of_kms_starts_at_the_rate_of_starts() -> None:
    assert seconds(pace(starts=25), Counter(), 100)[-1] == 3


def test_raised_quotas_count_for_every_region_or_for_one() -> None:
    raised = pace(100, 1_000, "CreateKey=50", "ReplicateKey=50", "CreateAlias=50")
    partly = pace(100, 1_000, f"{AWAY}/CreateKey=10", f"{AWAY}/CreateAlias=10")

    assert seconds(raised, TO_AWAY, 1_000)[-1] == 39
    # Now it is the five CreateKey, CreateAlias and ReplicateKey of the primary's Region.
    assert seconds(partly, TO_AWAY, 1_000)[-1] == 199


@pytest.mark.parametrize(
    "item", ["CreateKey", "CreateKey=", "CreateKey=0", "CreateKey=-1", "CreatKey=5", "CreateKey=x"]
)
def test_a_quota_that_cannot_be_read_is_named(item: str) -> None:
    with pytest.raises(ValueError, match=f"KmsQuotas holds '{item}'"):
        parse_quotas([item])


regions = st.sampled_from([HOME, AWAY, FAR, "ap-south-1"])


@given(
    sets=st.lists(st.lists(regions, min_size=1, max_size=4, unique=True), max_size=60),
    percent=st.integers(10, 100),
)
def test_no_quota_is_ever_exceeded(sets: list[list[str]], percent: int) -> None:
    planner = pace(percent)
    used: Counter[tuple[Quota, int]] = Counter()

    for primary, *others in sets:
        request = request_of(primaryRegion=primary, replicas=[{"region": o} for o in others])
        taken = needs(request)
        second = planner.reserve(taken)
        for quota, count in taken.items():
            left = count * 100
            # From what the second before has left, then what does not fit goes into those after.
            at = max(second - 1, 0)
            while left:
                part = min(left, KMS_QUOTAS[quota[1]] * percent - used[quota, at])
                assert part > 0 or left < count * 100 or at < second, "it starts without room"
                used[quota, at] += part
                left -= part
                at += 1

    for (quota, _), count in used.items():
        assert count <= KMS_QUOTAS[quota[1]] * percent
