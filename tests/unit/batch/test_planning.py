"""The plan of a batch: what each line is and when it starts."""

import json
from datetime import timedelta
from typing import Any

import pytest

from provisioner.aws.records import Records, Status
from provisioner.batch.file import Line, read_lines
from provisioner.batch.lines import lines_text, parse_lines
from provisioner.batch.pace import Pace, needs, parse_quotas
from provisioner.batch.planning import Plan, plan_batch
from provisioner.clock import precise_text
from provisioner.domain.plan import KeySetRequest, content_hash
from provisioner.errors import new_problem
from tests.support.clock import Clock
from tests.support.samples import (
    EXECUTION,
    SETTINGS,
    document_of,
    imported_request_of,
    in_days,
    request_of,
)

BATCH = "arn:aws:states:us-east-1:111122223333:execution:provision-batch:monday"


def line(number: int, **fields: Any) -> Line:
    document = document_of(**fields)
    return Line(number, json.dumps(document), document)


def new_pace() -> Pace:
    return Pace(parse_quotas([]), 100, 25)


def plan(records: Records, *lines: Line, batch: str = BATCH) -> Plan:
    return plan_batch(
        lines,
        batch=batch,
        pace=new_pace(),
        records=records,
        settings=SETTINGS,
    )


def create(records: Records, request: KeySetRequest, *, published: bool = True) -> None:
    records.claim(request, EXECUTION)
    key: Any = {}
    records.finish(request, execution_arn=EXECUTION, status=Status.CREATED, key=key, errors=[])
    if published:
        records.mark_published(request["requestId"], EXECUTION)


def test_a_later_revision_that_names_no_primary_region_has_that_of_before(
    records: Records,
) -> None:
    away: dict[str, Any] = {"primaryRegion": "eu-west-1", "requestId": "R1"}
    create(records, request_of(**away))

    (known, unknown) = plan(
        records,
        line(1, requestId="R1", description="second", revision=2),
        line(2, requestId="R2", description="second", revision=2),
    ).lines

    second = {"description": "second", "revision": 2}
    assert known.content == content_hash(request_of(**away, **second))
    assert unknown.content == content_hash(request_of(requestId="R2", **second))


def test_every_request_gets_its_time_and_the_earliest_is_first(
    records: Records, clock: Clock
) -> None:
    lines = [line(n, requestId=f"R{n}", replicas=[{"region": "eu-west-1"}]) for n in range(1, 6)]

    planned = plan(records, *lines)

    begins = clock.time + timedelta(seconds=5)
    taken = needs(request_of(replicas=[{"region": "eu-west-1"}]))
    starts = [begins + timedelta(seconds=s) for s in new_pace().plan([taken] * 5)]
    assert [item["notBefore"] for item in planned.items] == list(map(precise_text, starts))
    assert [json.loads(item["request"])["requestId"] for item in planned.items] == [
        f"R{n}" for n in range(1, 6)
    ]
    assert planned.last_start == starts[-1]
    assert [one.execution for one in planned.lines] == [item["name"] for item in planned.items]


def test_an_execution_is_named_after_its_request_and_its_batch(records: Records) -> None:
    long = "r" * 80
    first, again, other = (
        plan(records, line(1, requestId=long), batch=batch).items[0]["name"]
        for batch in (BATCH, BATCH, f"{BATCH}-2")
    )

    assert first == again != other
    assert first.startswith("r" * 43)
    assert len(first) == 80


def test_a_line_that_is_not_valid_is_sent_to_be_refused(records: Records) -> None:
    planned = plan(records, line(1, alias="cards"), line(2, requestId="no id"))

    first, second = planned.lines
    assert (first.request_id, second.request_id) == ("CHG1", None)
    assert [problem["path"] for problem in first.problems] == ["alias"]
    assert [item["name"].rsplit("-", 5)[0] for item in planned.items] == ["CHG1", "line"]
    assert (first.content, first.terms) == (None, None)


def test_a_line_that_cannot_be_read_is_not_sent(records: Records) -> None:
    bad = Line(3, "", {"requestId": "CHG1"}, [new_problem("", "TOO_MANY_CELLS", "Many.")])

    planned = plan(records, Line(1, "", None, [new_problem("", "NOT_JSON", "No.")]), bad)

    assert [(one.number, one.request_id, one.execution) for one in planned.lines] == [
        (1, None, None),
        (3, "CHG1", None),
    ]
    assert planned.items == []


@pytest.mark.parametrize("text", ['"XB-2"', "1", "null", "[]", '["XB-2"]', "true"])
def test_a_line_that_is_not_an_object_is_refused_and_nothing_is_started(
    records: Records, text: str
) -> None:
    lines = read_lines("keys.jsonl", f"{text}\n{json.dumps(document_of())}\n".encode())

    planned = plan(records, *lines)

    refused, valid = planned.lines
    assert (refused.number, refused.request_id, refused.execution) == (1, None, None)
    assert refused.problems
    assert [item["name"] for item in planned.items] == [valid.execution]


@pytest.mark.parametrize(
    "fields", [{"description": "x" * 262_000}, {"ticket": {"x": '"' * 130_000}}]
)
def test_a_line_that_is_too_large_for_an_item_is_not_sent(
    records: Records, fields: dict[str, Any]
) -> None:
    planned = plan(records, line(1, **fields), line(2, requestId="CHG2"))

    assert [problem["code"] for problem in planned.lines[0].problems] == ["LINE_TOO_LARGE"]
    assert [json.loads(item["request"])["requestId"] for item in planned.items] == ["CHG2"]


def test_two_lines_that_say_the_same_are_one_request(records: Records) -> None:
    planned = plan(records, line(1), line(2, tags={}))

    assert len(planned.items) == 1
    assert planned.lines[0].execution == planned.lines[1].execution
    assert not planned.lines[1].problems


def test_a_request_id_with_other_content_is_refused_the_second_time(records: Records) -> None:
    create(records, request_of())

    planned = plan(records, line(4), line(7, description="Other"))

    assert planned.items == []
    assert [p["code"] for p in planned.lines[1].problems] == ["REQUEST_ID_REPEATED"]
    assert "Line 4 has the same" in planned.lines[1].problems[0]["message"]


def test_what_is_created_already_is_not_started_again(records: Records) -> None:
    create(records, request_of())
    create(records, request_of(requestId="CHG2"), published=False)
    create(records, request_of(requestId="CHG3", description="Other"))
    records.claim(request_of(requestId="CHG4"), EXECUTION)

    planned = plan(records, *(line(n, requestId=f"CHG{n}") for n in range(1, 5)))

    assert [one.execution is None for one in planned.lines] == [True, False, False, False]
    assert planned.lines[0].content == content_hash(request_of())


@pytest.mark.parametrize(("revision", "starts"), [(1, 0), (2, 1), (3, 1)])
def test_a_line_of_another_revision_than_the_created_one_is_started(
    revision: int, starts: int, records: Records
) -> None:
    create(records, request_of())

    assert len(plan(records, line(1, revision=revision)).items) == starts


def test_a_line_that_corrects_a_failed_request_is_started(records: Records) -> None:
    other = request_of(description="Other")
    records.claim(other, EXECUTION)
    records.finish(other, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])
    records.mark_published("CHG1", EXECUTION)

    assert len(plan(records, line(1)).items) == 1


def test_key_material_that_is_to_expire_later_is_a_renewal(records: Records) -> None:
    earlier, later = in_days(10), in_days(20)
    create(records, imported_request_of(keyMaterial={"validTo": earlier}))

    same = plan(records, line(1, origin="EXTERNAL", keyMaterial={"validTo": earlier}))
    renewed = plan(records, line(1, origin="EXTERNAL", keyMaterial={"validTo": later}))

    assert (len(same.items), len(renewed.items)) == (0, 1)


def test_a_batch_of_nothing_to_start_ends_at_once(records: Records, clock: Clock) -> None:
    create(records, request_of())

    assert plan(records, line(1)).last_start == clock.time + timedelta(seconds=5)


def test_planned_lines_are_read_as_they_were_written(records: Records) -> None:
    planned = plan(records, line(1), line(2, alias="é"), line(3, requestId="B", origin="EXTERNAL"))

    assert parse_lines(lines_text(planned.lines).encode()) == planned.lines


def test_a_line_knows_when_its_request_is_started(records: Records) -> None:
    create(records, request_of())
    planned = plan(records, line(1), line(2, requestId="CHG2"))

    assert [one.not_before for one in planned.lines] == [None, planned.items[0]["notBefore"]]


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_many_records_are_read_a_hundred_a_call(records: Records, count: int) -> None:
    create(records, request_of(requestId=f"R{count}"))

    planned = plan(records, *(line(n, requestId=f"R{n}") for n in range(1, count + 1)))

    assert [one.number for one in planned.lines if one.execution is None] == [count]


def test_a_line_of_128_kb_that_was_written_in_escapes_is_sent(records: Records) -> None:
    request = {"requestId": "CHG1", "alias": "alias/a", "ticket": {"a": "é" * 65_000}}
    (read,) = read_lines("keys.jsonl", json.dumps(request).encode())

    planned = plan(records, read)

    (item,) = planned.items
    assert json.loads(item["request"]) == request
    assert len(json.dumps(request)) > 256 * 1024
