"""The steps of a batch, called with the files of events/ that belong to them."""

import io
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.aws import executions, objects
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.batch.pace import Quota
from provisioner.batch.turns import divide, new_item
from provisioner.errors import AnotherBatchRuns, BatchUnreadable
from read_batch import app as read_batch
from report_batch import app as report_batch
from start_requests import app as start_requests
from tests.support.answering import answer, calls_of, refusal
from tests.support.clock import Clock
from tests.support.samples import SETTINGS, request_of, sample_event
from tests.support.walks import walks

pytestmark = pytest.mark.usefixtures("aws")

READ, REPORT = sample_event("read-batch"), sample_event("report-batch")
START = sample_event("start-requests")
BATCH = READ["executionArn"]
FILE = READ["given"]["file"]
CONTENT = b'{"requestId": "CHG1", "alias": "alias/a"}\nnonsense\n'
NOTHING_RUNS: dict[str, Any] = {"executions": []}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | bytes]:
    """Return a bucket in memory, with the file of the sample event."""
    held: dict[str, str | bytes] = {FILE: CONTENT}

    def read(_client: Any, bucket: str, key: str) -> bytes:
        assert bucket == "batches"
        content = held[key]
        return content.encode() if isinstance(content, str) else content

    def write(_client: Any, bucket: str, key: str, content: str) -> None:
        assert bucket == "batches"
        held[key] = content

    monkeypatch.setattr(objects, "read", read)
    monkeypatch.setattr(objects, "write", write)
    return held


@pytest.fixture
def step_functions() -> Any:
    answer(client("stepfunctions"), "ListExecutions", NOTHING_RUNS)
    return client("stepfunctions")


@pytest.mark.usefixtures("step_functions")
def test_a_batch_is_planned(
    bucket: dict[str, str], clock: Clock, context: Any, log: io.StringIO
) -> None:
    clock.time = datetime.fromisoformat("2026-11-24T08:00:01Z")

    planned = read_batch.handler(READ, context)

    assert planned == {**REPORT["batch"], "toStart": 1}
    (item,) = [json.loads(text) for text in bucket["batches/monday/items.jsonl"].splitlines()]
    assert item["notBefore"] == "2026-11-24T08:00:06.000Z"
    assert json.loads(item["request"]) == {"requestId": "CHG1", "alias": "alias/a"}
    (turn,) = [json.loads(text) for text in bucket["batches/monday/turns.jsonl"].splitlines()]
    size = len(bucket["batches/monday/items.jsonl"])
    assert turn == {**START["turn"], "last": size - 1}
    lines = [json.loads(text) for text in bucket["batches/monday/lines.jsonl"].splitlines()]
    assert [(line["number"], line["execution"]) for line in lines] == [(1, item["name"]), (2, None)]
    (logged,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (logged["batch"], logged["lines"], logged["to_start"]) == ("monday", 2, 1)


@pytest.mark.usefixtures("step_functions", "bucket")
@pytest.mark.parametrize(
    "given",
    [None, {}, {"file": 1}, {"file": ""}, {"file": " "}, {"file": [FILE]}, FILE, {"key": FILE}],
)
def test_a_batch_without_a_file_says_how_it_is_started(given: Any, context: Any) -> None:
    event: Any = {**READ, "given": given}
    with pytest.raises(BatchUnreadable, match=r'is started with \{"file"'):
        read_batch.handler(event, context)


def test_a_name_that_no_object_can_have_is_refused(context: Any) -> None:
    event: Any = {**READ, "given": {"file": "é" * 513}}
    with pytest.raises(BatchUnreadable, match="more than 1024 bytes"):
        read_batch.handler(event, context)


@walks("AnotherBatchRuns")
@pytest.mark.usefixtures("bucket")
def test_a_batch_waits_for_one_that_was_started_before_until_that_is_stopped(context: Any) -> None:
    older = {"executionArn": "older", "startDate": datetime.fromisoformat("2026-11-23T08:00:00Z")}
    answer(client("stepfunctions"), "ListExecutions", {"executions": [older]}, NOTHING_RUNS)

    with pytest.raises(AnotherBatchRuns, match="older was started before") as caught:
        read_batch.handler(READ, context)

    command = "aws stepfunctions stop-execution --execution-arn older. This batch waits for it."
    assert command in str(caught.value)
    assert read_batch.handler(READ, context)["toStart"] == 1


@walks("BatchUnreadable")
@pytest.mark.usefixtures("step_functions")
def test_a_file_is_read_once_it_is_corrected(bucket: dict[str, Any], context: Any) -> None:
    bucket[FILE] = b"\n"
    with pytest.raises(BatchUnreadable, match="Correct the file, put it into the bucket and start"):
        read_batch.handler(READ, context)

    bucket[FILE] = CONTENT

    assert read_batch.handler(READ, context)["toStart"] == 1


@pytest.mark.usefixtures("step_functions")
def test_a_file_that_is_not_there_is_told(context: Any) -> None:
    answer(client("s3"), "GetObject", refusal("NoSuchKey", status=404))

    with pytest.raises(BatchUnreadable, match=f"no object {FILE} in the bucket batches"):
        read_batch.handler(READ, context)


def test_the_pace_is_what_the_stack_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_KMS_QUOTAS", "CreateKey=50, eu-west-1/CreateKey=10")
    monkeypatch.setenv("BATCH_QUOTA_PERCENT", "100")
    monkeypatch.setenv("BATCH_STARTS_PER_SECOND", "1000")
    quota: Quota = ("eu-west-1", "CreateKey")

    pace = read_batch._pace()

    # Two a second, of which the first seconds lose six.
    assert pace.plan([Counter({quota: 5})] * 101)[-1] == pytest.approx(100 / 2 + 3, abs=0.1)


def write_lines(bucket: dict[str, Any], context: Any) -> str:
    """Let the batch be planned; give the ARN of the execution of its one request."""
    read_batch.handler(READ, context)
    item = json.loads(bucket["batches/monday/items.jsonl"])
    return executions.execution_arn(SETTINGS.state_machine_arn, item["name"])


@pytest.mark.usefixtures("step_functions")
def test_progress_is_written_while_requests_are_under_way(
    bucket: dict[str, str], records: Records, clock: Clock, context: Any
) -> None:
    clock.time = datetime.fromisoformat(REPORT["batch"]["lastStart"])
    arn = write_lines(bucket, context)
    records.claim(request_of(alias="alias/a"), arn)

    answered = report_batch.handler(REPORT, context)

    progress = json.loads(bucket["batches/monday/progress.json"])
    assert not answered["settled"]
    assert answered["progress"] == progress
    assert (progress["waiting"], progress["refused"], progress["results"]) == (1, 1, None)
    assert "batches/monday/results.jsonl" not in bucket


@pytest.mark.usefixtures("step_functions", "clock")
def test_results_are_written_in_the_end(
    bucket: dict[str, str], records: Records, context: Any
) -> None:
    request = request_of(alias="alias/a")
    arn = write_lines(bucket, context)
    records.claim(request, arn)
    key: Any = {}
    records.finish(request, execution_arn=arn, status=Status.CREATED, key=key, errors=[])
    records.mark_published("CHG1", arn)

    answered = report_batch.handler(REPORT, context)

    assert answered["settled"]
    assert answered["progress"]["results"] == "batches/monday/results.jsonl"
    results = [json.loads(text) for text in bucket["batches/monday/results.jsonl"].splitlines()]
    assert [(r["line"], r["status"]) for r in results] == [(1, "CREATED"), (2, "REJECTED")]


def described(status: str) -> dict[str, Any]:
    return {
        "executionArn": BATCH,
        "stateMachineArn": BATCH,
        "startDate": datetime.now(UTC),
        "status": status,
    }


def test_the_requests_of_a_turn_are_started_by_their_names(
    context: Any, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = datetime.fromisoformat("2026-11-24T08:00:06Z")
    text, (turn,) = divide(
        [new_item(past, "CHG1-a", "{}"), new_item(past, "B", "[]")], "items", BATCH
    )
    calls = calls_of(client("stepfunctions"))
    answer(client("stepfunctions"), "StartExecution", {"executionArn": "arn", "startDate": past})
    answer(client("stepfunctions"), "DescribeExecution", described("RUNNING"))
    read: list[tuple[str, str, int, int]] = []

    def read_part(_client: Any, *part: Any) -> bytes:
        read.append(part)
        return text.encode()

    monkeypatch.setattr(objects, "read_part", read_part)

    assert start_requests.handler({"turn": turn}, context) is None

    assert read == [("batches", "items", turn["first"], turn["last"])]
    assert calls[0] == ("DescribeExecution", {"executionArn": BATCH})
    assert [(p["name"], p["input"], p["stateMachineArn"]) for _, p in calls[1:]] == [
        ("CHG1-a", "{}", SETTINGS.state_machine_arn),
        ("B", "[]", SETTINGS.state_machine_arn),
    ]
    (logged,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (logged["batch"], logged["started"], logged["of"]) == (BATCH, 2, 2)


def test_a_batch_that_was_stopped_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, context: Any
) -> None:
    text, (turn,) = divide([new_item(datetime.now(UTC), "A", "{}")], "items", BATCH)
    calls = calls_of(client("stepfunctions"))
    answer(client("stepfunctions"), "DescribeExecution", described("ABORTED"))
    monkeypatch.setattr(objects, "read_part", lambda *_: text.encode())

    start_requests.handler({"turn": turn}, context)

    assert [name for name, _ in calls] == ["DescribeExecution"]
