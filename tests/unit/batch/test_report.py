"""How far a batch is, and what became of its lines."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.clients import client
from provisioner.aws.executions import execution_arn
from provisioner.aws.records import Records, Status
from provisioner.batch.lines import PlannedLine
from provisioner.batch.report import Batch, LineStatus, Report, report_batch, results_text
from provisioner.clock import instant_text, now
from provisioner.domain.approval import content_of
from provisioner.domain.plan import KeySetRequest, content_hash, material_terms
from provisioner.errors import new_problem
from tests.support import finished_sets
from tests.support.clock import Clock
from tests.support.samples import (
    EXECUTION,
    SETTINGS,
    imported_request_of,
    in_days,
    key_arn,
    request_of,
)

MACHINE = SETTINGS.state_machine_arn
OWN = execution_arn(MACHINE, "own")
KEY: Any = {
    "keyId": "mrk-1",
    "primary": {"arn": key_arn()},
    "replicas": [{"arn": key_arn("eu-west-1")}, {"arn": key_arn("us-west-2")}],
    "keyMetadata": {"KeyId": "mrk-1"},
}
PROBLEM = new_problem("alias", "ALIAS_IN_USE", "It is in use.")


def planned(request: KeySetRequest | None = None, **fields: Any) -> PlannedLine:
    asked = request or request_of()
    known: dict[str, Any] = {
        "number": 1,
        "request_id": asked["requestId"],
        "content": content_hash(asked),
        "terms": material_terms(asked),
        "execution": "own",
        "problems": [],
        **fields,
    }
    return PlannedLine(**known)


def batch_of(clock: Clock, *, to_start: int = 1, last: float = 0, file: str = "a.jsonl") -> Batch:
    clock.time = clock.time.replace(microsecond=0)
    return {
        "name": "monday",
        "file": file,
        "folder": "batches/monday",
        "startedAt": instant_text(clock.time),
        "lastStart": instant_text(clock.time + timedelta(seconds=last)),
        "toStart": to_start,
    }


def report(records: Records, batch: Batch, *lines: PlannedLine) -> Report:
    return report_batch(
        batch,
        lines,
        records=records,
        approvals=Approvals(client("dynamodb"), "requests"),
        state_machine_arn=MACHINE,
    )


def finish(
    records: Records,
    status: Status,
    execution: str = OWN,
    request: KeySetRequest | None = None,
    *,
    published: bool = True,
) -> None:
    asked = request or request_of()
    errors = [PROBLEM] if status == Status.FAILED else []
    records.claim(asked, execution)
    records.finish(asked, execution_arn=execution, status=status, key=KEY, errors=errors)
    if published:
        records.mark_published(asked["requestId"], execution)


@pytest.fixture
def batch(clock: Clock) -> Batch:
    return batch_of(clock)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ((Status.CREATED, OWN, True), LineStatus.CREATED),
        ((Status.CREATED, EXECUTION, True), LineStatus.CREATED),
        ((Status.CREATED, OWN, False), LineStatus.IN_PROGRESS),
        ((Status.CREATED, EXECUTION, False), LineStatus.NOT_STARTED),
        ((Status.FAILED, OWN, True), LineStatus.FAILED),
        ((Status.FAILED, OWN, False), LineStatus.IN_PROGRESS),
        # An earlier try; this batch's own is still to come.
        ((Status.FAILED, EXECUTION, True), LineStatus.NOT_STARTED),
    ],
)
def test_an_outcome_is_the_lines_own(
    records: Records, batch: Batch, outcome: tuple[Status, str, bool], expected: LineStatus
) -> None:
    status, execution, published = outcome
    finish(records, status, execution, published=published)

    found = report(records, batch, planned())

    assert [result["status"] for result in found.results] == [expected]
    assert found.settled == (expected in (LineStatus.CREATED, LineStatus.FAILED))


@pytest.mark.parametrize("executions", [(EXECUTION, OWN), (OWN, EXECUTION), (EXECUTION,)])
def test_a_request_that_failed_in_another_execution_ends_its_line(
    records: Records, clock: Clock, executions: tuple[str, ...]
) -> None:
    batch = batch_of(clock)
    line = planned(not_before=instant_text(clock.time))
    for execution in executions:
        finish(records, Status.FAILED, execution)

    clock.move(seconds=31)
    found = report(records, batch, line)

    assert found.settled
    assert [(one["status"], one["errors"]) for one in found.results] == [("FAILED", [PROBLEM])]


@pytest.mark.parametrize(
    ("seconds", "published", "expected"),
    [(-60, True, "NOT_STARTED"), (20, True, "NOT_STARTED"), (31, False, "IN_PROGRESS")],
)
def test_a_line_waits_while_its_own_execution_may_still_take_a_failed_request_up(
    records: Records, clock: Clock, seconds: int, expected: str, *, published: bool
) -> None:
    batch = batch_of(clock)
    finish(records, Status.FAILED, EXECUTION, published=published)
    line = planned(not_before=instant_text(clock.time - timedelta(seconds=seconds)))

    found = report(records, batch, line)

    assert ([one["status"] for one in found.results], found.settled) == ([expected], False)


def test_a_result_shows_the_key_without_its_metadata(records: Records, batch: Batch) -> None:
    finish(records, Status.CREATED)

    (result,) = report(records, batch, planned()).results

    assert result == {
        "line": 1,
        "requestId": "CHG1",
        "status": "CREATED",
        "key": {name: KEY[name] for name in ("keyId", "primary", "replicas")},
        "errors": [],
        "approval": None,
    }


def test_a_failure_says_why(records: Records, batch: Batch) -> None:
    finish(records, Status.FAILED)

    assert report(records, batch, planned()).results[0]["errors"] == [PROBLEM]


def test_a_request_that_nobody_knows_is_not_started(records: Records, batch: Batch) -> None:
    records.note_refusal("CHG2", EXECUTION, None, [PROBLEM])

    found = report(records, batch, planned(), planned(request_of(requestId="CHG2")))

    assert {result["status"] for result in found.results} == {LineStatus.NOT_STARTED}


def test_a_request_that_was_valid_and_is_refused_when_it_starts_ends_its_line(
    records: Records, batch: Batch
) -> None:
    records.note_refusal("CHG1", OWN, None, [PROBLEM])

    found = report(records, batch, planned())

    assert found.settled
    assert [(one["status"], one["errors"]) for one in found.results] == [("REJECTED", [PROBLEM])]


def test_a_request_under_way_is_so_whoever_works_on_it(records: Records, batch: Batch) -> None:
    records.claim(request_of(), EXECUTION)
    records.claim(request_of(requestId="CHG2"), EXECUTION)
    records.await_material("CHG2", EXECUTION, "token", key=None, materials=[], errors=[])

    found = report(records, batch, planned(), planned(request_of(requestId="CHG2")))

    assert [result["status"] for result in found.results] == [
        LineStatus.IN_PROGRESS,
        LineStatus.WAITING_FOR_MATERIAL,
    ]
    assert (found.progress["waiting"], found.progress["waitingForMaterial"]) == (1, 1)


def test_who_waits_for_key_material_holds_no_batch_up(records: Records, batch: Batch) -> None:
    records.claim(request_of(), EXECUTION)
    records.await_material("CHG1", EXECUTION, "token", key=None, materials=[], errors=[])

    assert report(records, batch, planned()).settled


def test_the_same_id_with_other_content_is_a_conflict(records: Records, batch: Batch) -> None:
    finish(records, Status.CREATED, request=request_of(description="Other"))

    (result,) = report(records, batch, planned()).results

    assert (result["status"], result["key"]) == ("REJECTED", None)
    assert [error["code"] for error in result["errors"]] == ["REQUEST_CONFLICT"]


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(
    ("held", "published", "seconds", "expected"),
    [
        (Status.FAILED, True, 0, LineStatus.NOT_STARTED),
        (Status.FAILED, True, 60, LineStatus.REJECTED),
        (Status.FAILED, False, 60, LineStatus.NOT_STARTED),
        (Status.IN_PROGRESS, False, 0, LineStatus.NOT_STARTED),
        (Status.IN_PROGRESS, False, 60, LineStatus.REJECTED),
        (Status.CREATED, True, 0, LineStatus.REJECTED),
    ],
)
def test_a_line_with_other_content_is_refused_once_it_cannot_correct_its_request(
    held: Status,
    published: bool,
    seconds: float,
    expected: LineStatus,
    clock: Clock,
) -> None:
    records, batch = Records(client("dynamodb"), "requests"), batch_of(clock)
    line = planned(not_before=instant_text(clock.time - timedelta(seconds=seconds)))
    other = request_of(description="Other")
    if held == Status.IN_PROGRESS:
        records.claim(other, EXECUTION)
    else:
        finish(records, held, EXECUTION, other, published=published)

    (result,) = report(records, batch, line).results

    codes = ["REQUEST_CONFLICT"] if expected == LineStatus.REJECTED else []
    assert (result["status"], [e["code"] for e in result["errors"]]) == (expected, codes)


def test_a_line_that_corrects_its_request_ends_like_any_other(
    records: Records, batch: Batch
) -> None:
    other = request_of(description="Other")
    finish(records, Status.FAILED, EXECUTION, other)
    seen = records.get("CHG1")
    assert seen
    assert records.correct(request_of(), OWN, seen=seen, superseded={})
    under_way = report(records, batch, planned()).results[0]["status"]
    records.finish(request_of(), execution_arn=OWN, status=Status.CREATED, key=KEY, errors=[])
    marked = report(records, batch, planned()).results[0]["status"]
    records.mark_published("CHG1", OWN)

    statuses = (under_way, marked, report(records, batch, planned()).results[0]["status"])
    assert statuses == ("IN_PROGRESS", "IN_PROGRESS", "CREATED")


@pytest.mark.parametrize(
    ("revision", "status", "codes"),
    [
        (1, LineStatus.REJECTED, ["REQUEST_CONFLICT"]),
        (2, LineStatus.CREATED, []),
        (3, LineStatus.IN_PROGRESS, []),
        (4, LineStatus.REJECTED, ["REVISION_SKIPPED"]),
    ],
)
def test_a_line_counts_as_created_only_by_the_revision_that_there_is(
    revision: int, status: LineStatus, codes: list[str], records: Records, batch: Batch
) -> None:
    asked = request_of(revision=2)
    records.finish(asked, execution_arn=OWN, status=Status.CREATED, key=KEY, errors=[])
    records.mark_published("CHG1", OWN)

    (result,) = report(records, batch, planned(revision=revision)).results

    assert (result["status"], [error["code"] for error in result["errors"]]) == (status, codes)


@pytest.mark.parametrize(
    ("status", "settled"), [(Status.UPDATED, "done"), (Status.UPDATE_FAILED, "failed")]
)
def test_a_line_that_changes_a_key_set_ends_with_the_outcome_of_the_change(
    status: Status, settled: str, records: Records, clock: Clock
) -> None:
    finished_sets.create(records)
    line = planned(finished_sets.CHANGED, revision=2, not_before=instant_text(clock.time))
    own = execution_arn(SETTINGS.change_state_machine_arn, str(line.execution))

    def told() -> str:
        return report(records, batch_of(clock), line).results[0]["status"]

    planning = told()
    finished_sets.claim(records, execution=own)
    changing = told()
    finished_sets.end(records, status, execution=own)
    ended = report(records, batch_of(clock), line)

    assert (planning, changing) == (LineStatus.NOT_STARTED, LineStatus.IN_PROGRESS)
    assert (ended.results[0]["status"].value, ended.progress[settled]) == (status.value, 1)


def test_a_change_that_was_planned_long_ago_and_not_claimed_was_refused(
    records: Records, clock: Clock
) -> None:
    finished_sets.create(records)
    line = planned(finished_sets.CHANGED, revision=2, not_before=instant_text(clock.time))
    clock.move(seconds=181)

    (result,) = report(records, batch_of(clock), line).results

    assert (result["status"], result["errors"][0]["code"]) == ("REJECTED", "REQUEST_CONFLICT")


def test_a_line_that_is_not_valid_is_refused_whatever_the_table_has(
    records: Records, batch: Batch
) -> None:
    finish(records, Status.CREATED)

    (result,) = report(records, batch, planned(content=None, problems=[PROBLEM])).results

    assert (result["status"], result["key"], result["errors"]) == ("REJECTED", None, [PROBLEM])


def test_material_under_other_terms_is_not_what_was_asked(records: Records, batch: Batch) -> None:
    earlier, later = (
        imported_request_of(keyMaterial={"validTo": in_days(days)}) for days in (10, 20)
    )
    finish(records, Status.CREATED, EXECUTION, earlier)

    (renewed,) = report(records, batch, planned(later)).results
    (same,) = report(records, batch, planned(earlier, execution=None)).results

    assert (renewed["status"], same["status"]) == (LineStatus.NOT_STARTED, LineStatus.CREATED)


def wait_for_approval(
    request: KeySetRequest, execution: str = OWN, state: State = State.WAITING, *, days: int = 7
) -> Pending:
    asked = now()
    pending = Pending(
        request_id=request["requestId"],
        request=request,
        content=content_of(request),
        execution_arn=execution,
        requester=None,
        via=None,
        plan=[],
        asked_at=asked.isoformat(),
        until=(asked + timedelta(days=days)).isoformat(),
        approvals=[],
        state=state,
    )
    assert Approvals(client("dynamodb"), "requests").ask(pending, seen=None)
    return pending


@pytest.mark.parametrize("execution", [OWN, EXECUTION])
def test_a_line_that_waits_for_approval_says_what_to_approve_and_holds_no_batch_up(
    records: Records, clock: Clock, execution: str
) -> None:
    """Whoever asked: a file that is sent again asks nobody anew."""
    pending = wait_for_approval(request_of(), execution)

    found = report(records, batch_of(clock), planned())

    approval = {"contentHash": pending.content_hash, "until": pending.until}
    (result,) = found.results
    assert (result["status"], result["errors"]) == (LineStatus.WAITING_FOR_APPROVAL, [])
    assert result["approval"] == approval
    assert (found.progress["waitingForApproval"], found.progress["waiting"]) == (1, 0)
    assert found.settled


@pytest.mark.parametrize(
    "decided", [{"state": State.APPROVED}, {"state": State.REFUSED}, {"days": 0}]
)
def test_a_line_that_was_decided_and_has_no_outcome_yet_is_waited_for(
    records: Records, batch: Batch, decided: Any
) -> None:
    wait_for_approval(request_of(), **decided)

    found = report(records, batch, planned())

    (result,) = found.results
    assert (result["status"], result["approval"]) == (LineStatus.IN_PROGRESS, None)
    assert not found.settled


def test_a_line_that_was_approved_ends_as_its_record_says(records: Records, batch: Batch) -> None:
    wait_for_approval(request_of(), state=State.APPROVED)
    finish(records, Status.FAILED)

    assert report(records, batch, planned()).results[0]["status"] == LineStatus.FAILED


def test_a_key_set_that_is_there_is_done_whatever_else_is_asked_for_it(
    records: Records, batch: Batch
) -> None:
    finish(records, Status.CREATED)
    wait_for_approval(request_of(), EXECUTION)

    assert report(records, batch, planned()).results[0]["status"] == LineStatus.CREATED


@pytest.mark.parametrize("other", [{"description": "Other"}, {"revision": 2}])
def test_a_line_does_not_wait_for_the_approval_of_something_else(
    records: Records, batch: Batch, other: Any
) -> None:
    wait_for_approval(request_of(**other))

    (result,) = report(records, batch, planned()).results

    assert (result["status"], result["approval"]) == (LineStatus.NOT_STARTED, None)


def test_a_change_waits_for_approval_longer_than_planning_takes(
    records: Records, clock: Clock
) -> None:
    finished_sets.create(records)
    line = planned(finished_sets.CHANGED, revision=2, not_before=instant_text(clock.time))
    wait_for_approval(finished_sets.CHANGED)
    clock.move(seconds=181)

    (result,) = report(records, batch_of(clock), line).results

    assert (result["status"], result["errors"]) == (LineStatus.WAITING_FOR_APPROVAL, [])
    assert result["key"] is not None


def test_a_correction_waits_for_approval_and_does_not_show_the_failure_before(
    records: Records, clock: Clock
) -> None:
    finish(records, Status.FAILED, EXECUTION, request_of(description="Other"))
    line = planned(not_before=instant_text(clock.time))
    wait_for_approval(request_of())
    clock.move(seconds=60)

    (result,) = report(records, batch_of(clock), line).results

    assert (result["status"], result["errors"]) == (LineStatus.WAITING_FOR_APPROVAL, [])


@pytest.mark.parametrize(
    ("code", "expected"),
    [("APPROVAL_REFUSED", "REJECTED"), ("APPROVAL_EXPIRED", "REJECTED"), ("OTHER", "NOT_STARTED")],
)
def test_what_approvers_refused_to_the_execution_that_waited_ends_the_line(
    records: Records, clock: Clock, code: str, expected: str
) -> None:
    line = planned(not_before=instant_text(clock.time))
    records.note_refusal("CHG1", EXECUTION, None, [new_problem("requestId", code, "No.")])
    early = report(records, batch_of(clock), line).results[0]["status"]
    clock.move(seconds=31)

    late = report(records, batch_of(clock), line).results[0]["status"]

    assert (early, late) == (LineStatus.NOT_STARTED, expected)


def test_progress_counts_every_line_once(records: Records, clock: Clock) -> None:
    for number, status in enumerate((Status.CREATED, Status.CREATED, Status.FAILED)):
        finish(records, status, request=request_of(requestId=f"R{number}"))
    lines = [planned(request_of(requestId=f"R{number}")) for number in range(5)]

    found = report(
        records, batch_of(clock, to_start=5, last=100), *lines, planned(problems=[PROBLEM])
    )

    assert found.progress == {
        "batch": "monday",
        "file": "a.jsonl",
        "startedAt": instant_text(clock.time),
        "updatedAt": instant_text(clock.time),
        "lines": 6,
        "done": 2,
        "refused": 1,
        "failed": 1,
        "waiting": 2,
        "waitingForMaterial": 0,
        "waitingForApproval": 0,
        "expectedEnd": instant_text(clock.time + timedelta(seconds=160)),
    }
    assert not found.settled


@pytest.mark.parametrize(("last", "wait"), [(0, 10), (1_000, 53), (100_000, 300)])
def test_it_is_looked_at_rarely_while_much_is_left(
    records: Records, clock: Clock, last: float, wait: int
) -> None:
    assert report(records, batch_of(clock, last=last), planned()).wait_seconds == wait


def test_a_batch_that_is_late_is_expected_by_its_pace(records: Records, clock: Clock) -> None:
    batch = batch_of(clock, to_start=4, last=10)
    began = clock.time
    finish(records, Status.CREATED)
    lines = [planned(request_of(requestId=f"R{number}")) for number in range(3)]
    clock.move(seconds=200)

    found = report(records, batch, planned(), *lines)

    # One of four in 200 seconds.
    assert found.progress["expectedEnd"] == instant_text(began + timedelta(seconds=800))


def test_a_batch_that_is_late_and_has_nothing_yet_is_expected_any_moment(
    records: Records, clock: Clock
) -> None:
    batch = batch_of(clock)
    clock.move(seconds=200)

    assert report(records, batch, planned()).progress["expectedEnd"] == instant_text(clock.time)


def test_a_batch_does_not_wait_for_ever(records: Records, clock: Clock) -> None:
    batch = batch_of(clock, to_start=2)
    finish(records, Status.CREATED)
    clock.move(seconds=5_401)

    found = report(records, batch, planned(), planned(request_of(requestId="CHG2"), number=2))

    assert found.settled
    first, second = found.results
    assert (first["status"], first["errors"]) == ("CREATED", [])
    assert (second["status"], second["errors"][0]["code"]) == ("NOT_STARTED", "NOT_SETTLED")


def test_the_results_of_json_lines_are_json_lines(records: Records, batch: Batch) -> None:
    finish(records, Status.CREATED)
    results = report(records, batch, planned(), planned(number=2)).results

    name, content = results_text(batch, results)

    assert name == "results.jsonl"
    assert [json.loads(text) for text in content.splitlines()] == results


@pytest.mark.parametrize("file", ["requests/KEYS.CSV", "keys.tsv", "keys.txt"])
def test_the_results_of_a_table_are_csv(records: Records, clock: Clock, file: str) -> None:
    batch = batch_of(clock, file=file)
    finish(records, Status.CREATED)
    refused = planned(number=2, request_id=None, problems=[PROBLEM, PROBLEM])

    name, content = results_text(batch, report(records, batch, planned(), refused).results)

    assert name == "results.csv"
    rows = list(csv.DictReader(io.StringIO(content)))
    assert rows == [
        {
            "line": "1",
            "requestId": "CHG1",
            "status": "CREATED",
            "keyId": "mrk-1",
            "primaryKeyArn": key_arn(),
            "replicaKeyArns": f"{key_arn('eu-west-1')} {key_arn('us-west-2')}",
            "errors": "",
            "approvalContentHash": "",
            "approvalUntil": "",
        },
        {
            **dict.fromkeys(rows[0], ""),
            "line": "2",
            "status": "REJECTED",
            "errors": " ".join(["alias: ALIAS_IN_USE: It is in use."] * 2),
        },
    ]


def test_a_table_says_what_to_approve_and_until_when(records: Records, clock: Clock) -> None:
    pending = wait_for_approval(request_of())
    results = report(records, batch_of(clock), planned()).results

    _, content = results_text(batch_of(clock, file="a.csv"), results)

    (row,) = csv.DictReader(io.StringIO(content))
    assert row["status"] == "WAITING_FOR_APPROVAL"
    assert row["approvalContentHash"] == pending.content_hash
    assert row["approvalUntil"] == pending.until


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(
    records: Records, clock: Clock, text: str
) -> None:
    batch = batch_of(clock, file="a.csv")
    line = planned(request_id=text, problems=[new_problem("a", "B", "C.")])

    _, content = results_text(batch, report(records, batch, line).results)

    assert next(csv.DictReader(io.StringIO(content)))["requestId"] == f"'{text}"
