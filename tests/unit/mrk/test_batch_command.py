"""`mrk batch`: a file is sent, watched to its end, and its outcomes are printed."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mrk import api as mrk_api
from tests.support.mrk_api import PlayedApi

Mrk = Callable[..., Result]
DONE, FAILED, WRONG_USAGE = 0, 1, 2
ARN = "arn:aws:states:us-east-1:111122223333:execution:batch:b1"
OUTPUTS = {"BatchesBucketName": "bucket", "BatchStateMachineArn": "arn:machine"}


def progress(done: int, waiting: int, failed: int = 0) -> dict[str, Any]:
    counts = {"lines": 2, "done": done, "waiting": waiting, "refused": 0, "failed": failed}
    end = "2026-11-27T07:00:00Z" if waiting else None
    return counts | {"waitingForApproval": 0, "expectedEnd": end, "results": "batches/b1/results"}


class PlayedBatch:
    """S3 and Step Functions, as far as a batch goes by them; both clients in one."""

    class NoSuchKey(Exception):
        """There is no such object yet."""

    exceptions = property(type)

    def __init__(self) -> None:
        self.put: list[tuple[str, bytes]] = []
        self.started: list[str] = []
        self.states: list[dict[str, Any]] = [{"status": "RUNNING"}, {"status": "SUCCEEDED"}]
        self.progress: list[dict[str, Any] | None] = [None, progress(2, 0)]

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        assert Bucket == "bucket"
        self.put.append((Key, Body))

    def start_execution(self, *, stateMachineArn: str, input: str) -> dict[str, str]:  # noqa: A002, N803
        assert stateMachineArn == "arn:machine"
        self.started.append(json.loads(input)["file"])
        return {"executionArn": ARN}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        assert executionArn == ARN
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803
        if not Key.endswith("progress.json"):
            return {"Body": io.BytesIO(b"the outcomes\n")}
        found = self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]
        if found is None:
            raise self.NoSuchKey
        return {"Body": io.BytesIO(json.dumps(found).encode())}


@pytest.fixture
def batch(played: PlayedApi, monkeypatch: pytest.MonkeyPatch) -> PlayedBatch:
    """Let the command find a stack whose batches are played."""
    assert played.sent == []
    play = PlayedBatch()
    monkeypatch.setattr(mrk_api, "stack_outputs", lambda *_: OUTPUTS)
    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_: play)
    Path("batch.jsonl").write_text("{}")
    return play


def test_a_batch_is_started_with_the_file(batch: PlayedBatch, mrk: Mrk) -> None:
    result = mrk("batch", "batch.jsonl", "--stack", "s")

    [(key, content)] = batch.put
    assert batch.started == [key]
    assert content == b"{}"
    assert result.exit_code == DONE
    assert f"mrk batch --follow --execution {ARN} --stack s" in result.stdout


def test_a_batch_is_watched_to_its_end(batch: PlayedBatch, mrk: Mrk) -> None:
    batch.progress = [None, progress(1, 1), progress(2, 0)]
    batch.states = [{"status": "RUNNING"}, {"status": "RUNNING"}, {"status": "SUCCEEDED"}]

    result = mrk("batch", "batch.jsonl", "--stack", "s", "--follow")

    assert result.exit_code == DONE
    assert "1 of 2 done, 0 refused, 0 failed, 1 waiting, expected end 2026-11" in result.stderr
    assert result.stdout == "the outcomes\n"


def test_a_line_that_failed_ends_with_code_1(batch: PlayedBatch, mrk: Mrk) -> None:
    batch.progress = [progress(1, 0, failed=1)]

    result = mrk("batch", "--execution", ARN, "--stack", "s", "--results", "out", "--json")

    assert result.exit_code == FAILED
    assert json.loads(result.stdout)["failed"] == 1
    assert Path("out").read_text() == "the outcomes\n"


def test_a_batch_that_failed_as_a_whole_says_why(batch: PlayedBatch, mrk: Mrk) -> None:
    batch.states = [{"status": "FAILED", "cause": "The file is empty."}]

    result = mrk("batch", "--execution", ARN, "--stack", "s")

    assert result.exit_code == FAILED
    assert "The batch as a whole FAILED: The file is empty." in result.stderr


def test_an_interrupted_batch_goes_on_and_says_how_to_watch_it(
    batch: PlayedBatch, mrk: Mrk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)

    result = mrk("batch", "batch.jsonl", "--stack", "s", "--follow")

    assert batch.started != []
    assert result.exit_code == FAILED
    assert f"The batch goes on. To watch on: mrk batch --follow --execution {ARN}" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["batch.jsonl", "--execution", ARN], ["batch.jsonl"]])
@pytest.mark.usefixtures("batch")
def test_what_names_no_batch_is_wrong_usage(mrk: Mrk, arguments: list[str]) -> None:
    assert mrk("batch", *arguments).exit_code == WRONG_USAGE
