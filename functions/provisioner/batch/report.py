"""Reports how far a batch is, and in the end what became of each line of its file."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from provisioner import json_text
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.executions import execution_arn
from provisioner.aws.records import FINISHED, Record, Records, Status
from provisioner.batch.csv_table import TABLE_ENDINGS
from provisioner.batch.lines import PlannedLine, has_revision, is_created
from provisioner.clock import instant_text, now
from provisioner.domain.plan import content_hash, material_terms, revision_of
from provisioner.errors import Problem, new_problem
from provisioner.json_text import JsonObject

_TYPICAL_SECONDS = 60
"""From a request's start to its outcome, where KMS takes as long as it usually does."""
_LOOKS = 200
"""A look costs nine of the 25,000 events that an execution's history holds. With a 200th of the
batch's age between two looks, a week takes half of them and a year four fifths.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""
_PATIENCE = timedelta(hours=1, minutes=30)
"""The sweep resumes within the hour what stopped; what is not settled then is reported as it is."""
_TIME_TO_TAKE_UP = timedelta(seconds=30)
"""From a line's start until its execution holds the request, unless another one has it."""
_TIME_TO_PLAN = timedelta(minutes=3)
"""The same for a change, which reads KMS in every Region before it is claimed."""
_NOT_APPROVED = ("APPROVAL_REFUSED", "APPROVAL_EXPIRED")
_COLUMNS = (
    "line",
    "requestId",
    "status",
    "keyId",
    "primaryKeyArn",
    "replicaKeyArns",
    "errors",
    "approvalContentHash",
    "approvalUntil",
)


class LineStatus(StrEnum):
    """Where a line stands: a request's own status, or that nothing was started for it yet."""

    NOT_STARTED = "NOT_STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    WAITING_FOR_MATERIAL = "WAITING_FOR_MATERIAL"
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    CREATED = "CREATED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    UPDATED = "UPDATED"
    UPDATE_FAILED = "UPDATE_FAILED"
    DECOMMISSIONED = "DECOMMISSIONED"


_DONE = tuple(LineStatus(status) for status in FINISHED)
_FAILED = (LineStatus.FAILED, LineStatus.UPDATE_FAILED)
_UNSETTLED = (LineStatus.NOT_STARTED, LineStatus.IN_PROGRESS)


class AwaitedApproval(TypedDict):
    """What approvers name to approve a line, and how long it waits, ISO 8601 in UTC."""

    contentHash: str
    until: str


class LineResult(TypedDict):
    """What became of one line; `key` is as in events, without KMS's metadata.

    `approval` is there while the line's request waits for approval.
    """

    line: int
    requestId: str | None
    status: LineStatus
    key: JsonObject | None
    errors: list[Problem]
    approval: AwaitedApproval | None


class Batch(TypedDict):
    """A planned batch, as the state machine hands it on. Times are ISO 8601 in UTC."""

    name: str
    file: str
    folder: str
    startedAt: str
    lastStart: str
    toStart: int


@dataclass(frozen=True)
class Report:
    """Where a batch stands. `settled` means that no line is expected to change any more."""

    results: list[LineResult]
    progress: dict[str, object]
    settled: bool
    wait_seconds: int
    """How long until it is worth looking again."""


def report_batch(
    batch: Batch,
    lines: Iterable[PlannedLine],
    *,
    records: Records,
    approvals: Approvals,
    state_machine_arn: str,
) -> Report:
    """Read the record of every line's request, and the approval that it waits for.

    People may take days, so a line that waits for them holds no batch up: its own execution waits.

    Raises
    ------
    DependencyUnavailable
        The records or the approvals cannot be read.
    """
    planned = list(lines)
    names = {line.request_id for line in planned if line.request_id and not line.problems}
    # In this order: of what is approved in between, the record may show that it is claimed, and
    # never that nothing waits for it and nothing came of it.
    pending = {one.request_id: one for one in approvals.get_many(names)}
    found = {record.request_id: record for record in records.get_many(names)}
    results = [
        _result(
            line,
            found.get(line.request_id or ""),
            pending.get(line.request_id or ""),
            state_machine_arn,
        )
        for line in planned
    ]
    counts = Counter(result["status"] for result in results)
    waiting = sum(counts[status] for status in _UNSETTLED)
    moment = now()
    expected = _expected_end(batch, waiting, moment)
    given_up = moment > datetime.fromisoformat(batch["lastStart"]) + _PATIENCE
    if given_up:
        results = [_given_up(result) for result in results]
    progress = {
        "batch": batch["name"],
        "file": batch["file"],
        "startedAt": batch["startedAt"],
        "updatedAt": instant_text(moment),
        "lines": len(results),
        "done": sum(counts[status] for status in _DONE),
        "refused": counts[LineStatus.REJECTED],
        "failed": sum(counts[status] for status in _FAILED),
        "waiting": waiting,
        "waitingForMaterial": counts[LineStatus.WAITING_FOR_MATERIAL],
        "waitingForApproval": counts[LineStatus.WAITING_FOR_APPROVAL],
        "expectedEnd": instant_text(expected) if waiting else None,
    }
    elapsed = (moment - datetime.fromisoformat(batch["startedAt"])).total_seconds()
    remaining = (expected - moment).total_seconds()
    return Report(
        results=results,
        progress=progress,
        settled=given_up or not waiting,
        wait_seconds=int(max(10, elapsed / _LOOKS, min(300, remaining / 20))),
    )


def results_text(batch: Batch, results: list[LineResult]) -> tuple[str, str]:
    """Write the results in the form of the batch's own file; return the file's name and content."""
    if batch["file"].lower().endswith(TABLE_ENDINGS):
        return "results.csv", _as_csv(results)
    return "results.jsonl", "".join(json_text.text(result) + "\n" for result in results)


def _result(
    line: PlannedLine, record: Record | None, pending: Pending | None, machine: str
) -> LineResult:
    approval: AwaitedApproval | None = None
    if line.problems:
        status, key, errors = LineStatus.REJECTED, None, line.problems
    elif pending and _is_asked_for(line, record, pending):
        status, key, errors = LineStatus.IN_PROGRESS, record.key if record else None, []
        if pending.state == State.WAITING and not pending.is_over:
            status = LineStatus.WAITING_FOR_APPROVAL
            approval = {"contentHash": pending.content_hash, "until": pending.until}
    elif record and _was_refused(line, record, machine):
        status, key, errors = LineStatus.REJECTED, None, record.errors
    elif record is None or record.content_hash is None:
        status, key, errors = LineStatus.NOT_STARTED, None, []
    elif record.content_hash != line.content:
        refused = _is_refused(line, record)
        status = LineStatus.REJECTED if refused else LineStatus.NOT_STARTED
        key, errors = None, [_conflict(record)] if refused else []
    elif record.ever_created and not has_revision(record, line):
        status, key, errors = LineStatus.REJECTED, None, [_revision_problem(record, line)]
    else:
        status, key, errors = _status(line, record, machine), record.key, record.errors
    shown = {name: value for name, value in key.items() if name != "keyMetadata"} if key else None
    return {
        "line": line.number,
        "requestId": line.request_id,
        "status": status,
        "key": shown,
        "errors": errors,
        "approval": approval,
    }


def _is_asked_for(line: PlannedLine, record: Record | None, pending: Pending) -> bool:
    """Whether a line's very request waits for approval, or was decided and is not claimed yet.

    Whoever asked: a file that is sent again leaves the request to the execution that waits.
    """
    is_same = (
        line.revision == revision_of(pending.request)
        and line.content == content_hash(pending.request)
        and line.terms == material_terms(pending.request)
    )
    is_done = record is not None and is_created(record, line)
    return is_same and not is_done and pending.is_ahead_of(record)


def _was_refused(line: PlannedLine, record: Record, machine: str) -> bool:
    """Whether a request was refused when it was started.

    Where approvers refused it to another execution that waited, the line's own has left it to that.
    """
    if record.status != Status.REJECTED:
        return False
    by_approvers = any(error["code"] in _NOT_APPROVED for error in record.errors)
    return _is_own(line, record, machine) or (by_approvers and _is_passed(line))


def _is_refused(line: PlannedLine, record: Record) -> bool:
    """Whether a line cannot be taken any more, since its request has other content.

    Until its own execution has started, it may still correct a request that failed. The next
    revision of a finished key set is planned before it is claimed.
    """
    about_to_fail = record.status in (Status.FAILED, Status.UPDATE_FAILED) and not record.published
    if record.ever_created:
        is_next = line.revision == record.revision + 1
        return not is_next or (_is_passed(line, _TIME_TO_PLAN) and not about_to_fail)
    return _is_passed(line) and not about_to_fail


def _conflict(record: Record) -> Problem:
    text = (
        f"Request {record.request_id} has other content, and keeps it: its status is "
        f"{record.status}. The event Multi-Region Key Request Rejected of this line says why, and "
        f"GET /keys/{record.request_id} returns what exists."
    )
    return new_problem("requestId", "REQUEST_CONFLICT", text)


def _revision_problem(record: Record, line: PlannedLine) -> Problem:
    text = (
        f"Request {record.request_id} has revision {record.revision}, and this line has "
        f"{line.revision}. Correct the number in the file: {record.revision} or the next."
    )
    is_late = line.revision < record.revision
    code = "REQUEST_CONFLICT" if is_late else "REVISION_SKIPPED"
    return new_problem("revision", code, text)


def _status(line: PlannedLine, record: Record, machine: str) -> LineStatus:
    if is_created(record, line):
        return LineStatus(record.status)
    if record.status in (Status.IN_PROGRESS, Status.WAITING_FOR_MATERIAL):
        return LineStatus(record.status)
    own = _is_own(line, record, machine)
    if record.status in (Status.FAILED, Status.UPDATE_FAILED) and (own or _is_passed(line)):
        return LineStatus(record.status) if record.published else LineStatus.IN_PROGRESS
    # Created under other terms or not published yet, or failed in an earlier try.
    return LineStatus.IN_PROGRESS if own else LineStatus.NOT_STARTED


def _is_own(line: PlannedLine, record: Record, machine: str) -> bool:
    own = execution_arn(machine, line.execution) if line.execution else None
    if own and record.is_of_a_change:
        # The execution that changes the key set has the name of the one that started it.
        return str(record.execution_arn).endswith(f":{line.execution}")
    return record.execution_arn == own


def _is_passed(line: PlannedLine, after: timedelta = _TIME_TO_TAKE_UP) -> bool:
    """Whether a line's own execution has left a request that failed to the one that worked on it.

    An execution takes a failed request up as soon as it is started. Where it has not, it found
    another one at work and ended, and that one's outcome is the line's.
    """
    starts = datetime.fromisoformat(line.not_before) if line.not_before else None
    return starts is not None and now() > starts + after


def _expected_end(batch: Batch, waiting: int, moment: datetime) -> datetime:
    """Take the later of the plan's end and of what the pace so far says."""
    planned = datetime.fromisoformat(batch["lastStart"]) + timedelta(seconds=_TYPICAL_SECONDS)
    settled = batch["toStart"] - waiting
    if moment < planned or settled <= 0:
        return max(planned, moment)
    elapsed = moment - datetime.fromisoformat(batch["startedAt"])
    return moment + elapsed * waiting / settled


def _given_up(result: LineResult) -> LineResult:
    if result["status"] not in _UNSETTLED:
        return result
    text = "The batch ended before this request did. Start the batch again: it goes on with it."
    return {**result, "errors": [new_problem("", "NOT_SETTLED", text)]}


def _as_csv(results: list[LineResult]) -> str:
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(_COLUMNS)
    for result in results:
        key = result["key"] or {}
        row = (
            result["line"],
            result["requestId"],
            result["status"],
            key.get("keyId"),
            (key.get("primary") or {}).get("arn"),
            " ".join(replica["arn"] for replica in key.get("replicas") or []),
            " ".join(f"{e['path']}: {e['code']}: {e['message']}" for e in result["errors"]),
            approval["contentHash"] if (approval := result["approval"]) else None,
            approval["until"] if approval else None,
        )
        rows.writerow([_cell(value) for value in row])
    return written.getvalue()


def _cell(value: object) -> object:
    """Keep a spreadsheet from taking text for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
