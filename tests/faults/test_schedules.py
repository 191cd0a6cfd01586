"""Every single fault and every pair of faults, at every call of a creation with two replicas.

With imported key material there are more calls, and every single fault at each of them is tried.

A fault in a pair may hit any call that happens after the first one, in whatever execution, the
second sending included. Faults between which the code cannot tell a difference are tried as pairs
once; `faults.distinct_kinds_at` says which and why. Nothing is sampled.
"""

import time
from collections import defaultdict
from functools import partial

from tests.support.faults.enumeration import play_all, singles
from tests.support.faults.faults import Fault, distinct_kinds_at
from tests.support.faults.scenario import Report, Scenario, imported, renewed


def test_one_key_set_is_left_after_every_fault_and_every_pair_of_faults() -> None:
    started = time.monotonic()

    tally = play_all()

    seconds = time.monotonic() - started
    print(f"{tally.singles} single faults, {tally.pairs} pairs, {seconds:.0f} seconds")
    assert tally.failures[:10] == []
    assert tally.singles > 200
    assert tally.pairs > 10_000


def test_one_key_set_of_imported_material_is_left_after_every_fault() -> None:
    operations = set()
    for single in singles(imported):
        report = imported((single,)).play()

        assert report.problems == [], str(report)
        operations.add(report.calls[single[0]].operation)

    assert {"GetParametersForImport", "ImportKeyMaterial", "SendTaskSuccess"} < operations


def test_a_renewal_makes_and_deletes_no_key_after_any_fault() -> None:
    make = partial(renewed, on_failure="ROLL_BACK")
    for single in singles(make):
        report = make((single,)).play()

        assert report.problems == [], str(report)
        operations = {call.operation for call in report.calls}
        assert operations.isdisjoint({"CreateKey", "ScheduleKeyDeletion"}), str(report)


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
