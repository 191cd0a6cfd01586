"""Plans a batch: what each line of its file is, and when its request may be started.

A batch keeps no state beside the requests table. What became of a line is read from the record of
its request, so a batch that was stopped is started again from the same file: what is created
already is left alone, and the rest goes on where it stopped.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from provisioner import json_text
from provisioner.aws.records import Record, Records
from provisioner.batch.file import Line
from provisioner.batch.lines import PlannedLine, is_created
from provisioner.batch.pace import Pace, Quota, needs
from provisioner.batch.turns import Item, new_item
from provisioner.clock import now, precise_text
from provisioner.domain.plan import (
    KeySetRequest,
    content_hash,
    is_request_id,
    material_terms,
    revision_of,
)
from provisioner.errors import RequestRejected, new_problem
from provisioner.intake.primary_region import declared_before, needs_record
from provisioner.intake.request import parse_request
from provisioner.settings import Settings

_TIME_TO_BEGIN = timedelta(seconds=5)
"""Until Step Functions has the list."""
_MAX_NAME = 43
"""What is left of the 80 characters of an execution's name beside a UUID and a hyphen."""
_MAX_ITEM_BYTES = 255 * 1024
"""What a line may have, quoted in an item. An execution takes no more than 256 KB for its input.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""


@dataclass(frozen=True)
class Plan:
    """A planned batch."""

    lines: list[PlannedLine]
    items: list[Item]
    """What is started, the earliest first."""
    last_start: datetime


def plan_batch(
    lines: Iterable[Line],
    *,
    batch: str,
    pace: Pace,
    records: Records,
    settings: Settings,
) -> Plan:
    """Check every line, leave out what is created already, and set the time of the rest.

    An object is sent into the workflow even where it is no valid request, so that its refusal is
    published like any other.

    Parameters
    ----------
    batch
        The ARN of the batch's execution, from which the names of its executions are made.

    Raises
    ------
    DependencyUnavailable
        The records cannot be read.
    """
    lines = [*lines]
    held = _held(lines, records)
    checked = [(line, *_check(line, batch, settings, held)) for line in lines]
    firsts: dict[str, PlannedLine] = {}
    for _, request, planned in checked:
        if request:
            firsts.setdefault(request["requestId"], planned)
    created = {
        record.request_id
        for record in records.get_many(firsts)
        if is_created(record, firsts[record.request_id])
    }
    planned_lines = []
    taken: dict[str, Counter[Quota]] = {}
    texts: dict[str, str] = {}
    for line, request, unsettled in checked:
        planned = _settled(unsettled, firsts, created) if request else unsettled
        planned_lines.append(planned)
        name = planned.execution
        if name and name not in taken:
            taken[name] = needs(request) if request else Counter()
            texts[name] = line.text
    seconds = pace.plan(list(taken.values()))
    begins = now() + _TIME_TO_BEGIN
    starts = {
        name: begins + timedelta(seconds=second)
        for name, second in zip(taken, seconds, strict=True)
    }
    in_turn = sorted(starts, key=starts.__getitem__)
    items = [new_item(starts[name], name, texts[name]) for name in in_turn]
    timed = [
        replace(line, not_before=precise_text(starts[line.execution])) if line.execution else line
        for line in planned_lines
    ]
    return Plan(timed, items, max(starts.values(), default=begins))


def _held(lines: list[Line], records: Records) -> dict[str, Record]:
    """Read the records of the requests that have their primary key in the Region of before."""
    names = {name for line in lines if (name := needs_record(line.document))}
    found = records.get_many(sorted(names), consistently=True)
    return {record.request_id: record for record in found}


def _check(
    line: Line, batch: str, settings: Settings, held: Mapping[str, Record]
) -> tuple[KeySetRequest | None, PlannedLine]:
    given = line.document.get("requestId") if isinstance(line.document, dict) else None
    request_id = given if is_request_id(given) else None
    refused = PlannedLine(line.number, request_id, None, None, None, line.problems)
    if not line.text:
        return None, refused
    # It travels as text inside JSON, where quotation marks and backslashes take two bytes.
    if json_text.size(line.text) > _MAX_ITEM_BYTES:
        text = "The line is too large for a batch."
        return None, replace(refused, problems=[new_problem("", "LINE_TOO_LARGE", text)])
    try:
        record = held.get(request_id) if request_id else None
        usual = declared_before(record, line.document, settings)
        request = parse_request(line.document, settings, primary_region=usual)
    except RequestRejected as rejection:
        if not isinstance(line.document, dict):
            # An execution takes an object for its input, and only an object has an ID to answer to.
            return None, replace(refused, problems=rejection.problems)
        name = _execution_name(batch, request_id or "line", str(line.number))
        return None, replace(refused, execution=name, problems=rejection.problems)
    return request, PlannedLine(
        number=line.number,
        request_id=request["requestId"],
        content=content_hash(request),
        terms=material_terms(request),
        # By the requestId alone: a request that the file has twice is started once.
        execution=_execution_name(batch, request["requestId"], request["requestId"]),
        problems=[],
        revision=revision_of(request),
    )


def _execution_name(batch: str, title: str, subject: str) -> str:
    """Make the name of an execution: the same however often this batch is planned."""
    return f"{title[:_MAX_NAME]}-{uuid.uuid5(uuid.NAMESPACE_OID, f'{batch} {subject}')}"


def _settled(line: PlannedLine, firsts: dict[str, PlannedLine], created: set[str]) -> PlannedLine:
    """Take out what is not to be started: a repetition with other content, and what is created."""
    request_id = str(line.request_id)
    first = firsts[request_id]
    if first.content != line.content:
        text = f"Line {first.number} has the same requestId with other content."
        problem = new_problem("requestId", "REQUEST_ID_REPEATED", text)
        return replace(line, content=None, terms=None, execution=None, problems=[problem])
    return replace(line, execution=None) if request_id in created else line
