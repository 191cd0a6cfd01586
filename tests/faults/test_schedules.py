"""Every single fault and every pair of faults, at every call of a creation with two replicas.

With imported key material there are more calls, and every single fault at each of them is tried.

A fault in a pair may hit any call that happens after the first one, in whatever execution, the
second sending included. Faults between which the code cannot tell a difference are tried as pairs
once; `faults.distinct_kinds_at` says which and why. So are pairs after which everything is as after
another one; `enumeration` says how that is known. Nothing is sampled.
"""

from collections import defaultdict
from functools import partial

import pytest

from tests.support.faults.change_kinds import KINDS
from tests.support.faults.changes import ChangeScenario
from tests.support.faults.enumeration import Make, firsts, last_before, play_all, singles
from tests.support.faults.faults import Fault, distinct_kinds_at
from tests.support.faults.scenario import Report, Scenario, imported, renewed

BEFORE, PROMOTION = KINDS["a promotion"]


def test_one_key_set_is_left_after_every_fault_and_every_pair_of_faults() -> None:
    tally = play_all()

    print(
        f"{tally.singles} single faults, {tally.pairs} pairs, {tally.same} more that go on as "
        f"another one, {tally.seconds:.0f} seconds"
    )
    assert tally.failures[:10] == []
    assert tally.singles > 200
    assert tally.pairs + tally.same > 15_000


def test_what_is_left_out_is_the_same() -> None:
    left_out = [(first, pair) for first in firsts(Scenario) for pair in first.same_pairs()]
    for first, pair in left_out[::75]:
        assert first.other
        schedule, place = first.other
        second, fault = pair[-1]
        counterpart = (*schedule, (second - first.new + place, fault))

        report, other = Scenario(pair).play(), Scenario(counterpart).play()

        assert report.calls[first.new :] == other.calls[place:], (pair, counterpart)
        assert report.aws.digest() == other.aws.digest(), (pair, counterpart)
    assert len(left_out) > 3_000


@pytest.mark.parametrize(
    "make", [Scenario, imported, partial(ChangeScenario, before=BEFORE, document=PROMOTION)]
)
def test_going_on_from_a_moment_is_the_same_as_playing_what_came_before_it(make: Make) -> None:
    compared = 0
    for first in [*firsts(make)][::40]:
        moments = make(first.schedule).moments()
        for pair in [*first.pairs(range(first.schedule[0][0] + 1, len(first.calls)))][::60]:
            since = last_before(pair[1][0], moments)
            report, other = make(pair).play_to({}, since), make(pair).play()

            assert report.calls == other.calls, pair
            assert report.aws.memory() == other.aws.memory(), pair
            compared += since is not None
    assert compared > 10


def test_one_key_set_of_imported_material_is_left_after_every_fault() -> None:
    operations = set()
    for first in firsts(imported):
        [(place, _)] = first.schedule

        assert not first.failure
        operations.add(first.calls[place].operation)

    assert {"GetParametersForImport", "ImportKeyMaterial", "SendTaskSuccess"} < operations


def test_a_renewal_makes_and_deletes_no_key_after_any_fault() -> None:
    make = partial(renewed, on_failure="ROLL_BACK")
    for first in firsts(make):
        operations = {call.operation for call in first.calls}

        assert not first.failure
        assert operations.isdisjoint({"CreateKey", "ScheduleKeyDeletion"}), first.schedule


def test_merged_faults_make_no_difference() -> None:
    reports: dict[int, dict[Fault, Report]] = defaultdict(dict)
    for place, fault in singles():
        reports[place][fault] = Scenario(((place, fault),)).play()

    for place, by_fault in reports.items():
        call = by_fault[Fault.KILLED].calls[place]
        distinct = distinct_kinds_at(call)
        histories = {fault: history(report) for fault, report in by_fault.items()}
        for fault in by_fault.keys() - set(distinct):
            assert histories[fault] in [histories[other] for other in distinct], (call, fault)


def history(report: Report) -> tuple[object, ...]:
    """Everything that was done and when, without the texts that errors carry."""
    record = dict(report.aws.dynamodb.tables["requests"]["CHG0031337"])
    return (
        report.calls,
        report.aws.time,
        record.keys(),
        [(event.detail_type, event.detail.get("outcomeId")) for event in report.aws.events],
        list(report.aws.kms.keys),
        report.problems,
    )
