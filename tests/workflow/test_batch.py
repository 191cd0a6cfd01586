"""Files of requests: each line its key set or its refusal, none twice, whatever stops the batch."""

import csv
import io
import json
import uuid
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

import pytest

from local.commands.batch import read_object, read_progress, start
from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.kms_calls import HOME
from tests.support.stack.reading import (
    ADMIN,
    USER,
    calls_since,
    keys_of_request,
    new_request,
    read_key,
)

BAD_LINES = ['{"requestId": "half', "[]", '{"alias": "alias/no-id"}']


def as_lines(requests: list[dict[str, Any]], *others: str) -> bytes:
    return "\n".join([*map(json.dumps, requests), *others, ""]).encode()


def run(stack: Stack, content: bytes, name: str = "keys.jsonl") -> list[dict[str, Any]]:
    """Run a batch to its end; give its results."""
    return results(stack, start(stack, name, content))


def results(stack: Stack, execution: str) -> list[dict[str, Any]]:
    """Wait for a batch; give its results, which are of JSON Lines."""
    ended = stack.wait_for_execution(execution, timeout=120)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    progress = json.loads(ended["output"])
    assert progress == read_progress(stack, execution)
    text = read_object(stack, progress["results"])
    found = [json.loads(line) for line in text.splitlines()]
    counts = Counter(result["status"] for result in found)
    assert (progress["lines"], progress["done"], progress["refused"], progress["failed"]) == (
        *(len(found), counts["CREATED"], counts["REJECTED"]),
        counts["FAILED"],
    )
    return found


def created(stack: Stack, requests: list[dict[str, Any]]) -> dict[str, int]:
    """Count the primary keys of each request, by their tags."""
    ids = {request["requestId"] for request in requests}
    counts = {request_id: len(keys_of_request(stack, request_id, HOME)) for request_id in ids}
    return {request_id: count for request_id, count in counts.items() if count}


def slow_pace(stack: Stack) -> AbstractContextManager[None]:
    """Let a request start a second after the other, at this stack's pace of waits."""
    slow = {"BATCH_KMS_QUOTAS": "CreateKey=1", "BATCH_QUOTA_PERCENT": "2"}
    return stack.changed_environment("ReadBatchFunction", **slow)


def test_each_line_gets_its_key_set_or_its_refusal(stack: Stack) -> None:
    whole = new_request(
        "batch",
        tags={"team": "payments"},
        policy={"administrators": [ADMIN], "users": [USER]},
        replicas=[{"region": "eu-west-1"}, {"region": "us-west-2", "alias": None}],
    )
    plain, wrong = new_request("batch"), new_request("batch", keySpec="DES")

    found = run(stack, as_lines([whole, wrong, plain], *BAD_LINES))

    assert [result["line"] for result in found] == [1, 2, 3, 4, 5, 6]
    statuses = ["CREATED", "REJECTED", "CREATED", "REJECTED", "REJECTED", "REJECTED"]
    assert [result["status"] for result in found] == statuses
    assert [(e["path"], e["code"]) for e in found[1]["errors"]] == [
        ("keySpec", "KEY_SPEC_NOT_MULTI_REGION")
    ]
    assert [result["errors"][0]["code"] for result in found[3:5]] == ["NOT_JSON", "NOT_AN_OBJECT"]
    replicas = {replica["region"]: replica for replica in found[0]["key"]["replicas"]}
    for region, arn in {r: key["arn"] for r, key in replicas.items()}.items():
        key = read_key(stack, region, arn)
        assert (key["state"], key["tags"]) == ("Enabled", {"team": "payments"})
    assert replicas["us-west-2"]["alias"] is None


def test_a_line_gets_everything_that_a_single_request_gets(stack: Stack) -> None:
    good = new_request("batch", ticket={"id": "T1"})
    wrong = new_request("batch", keySpec="DES", ticket={"id": "T2"})

    run(stack, as_lines([good, wrong]))

    for request, status in ((good, "CREATED"), (wrong, "REJECTED")):
        (outcome,) = stack.wait_for_outcomes(request["requestId"], 1)
        assert outcome["detail"]["status"] == status
        assert outcome["detail"]["ticket"] == request["ticket"]
        answer = stack.api("GET", f"/keys/{request['requestId']}").json()
        assert answer["status"] == status


def test_a_spreadsheet_is_answered_with_a_spreadsheet(stack: Stack) -> None:
    one, two = new_request("batch"), new_request("batch")
    content = (
        "requestId;alias;tags.team;policy.administrators;replicas\r\n"
        f"{one['requestId']};{one['alias']};payments;{ADMIN};eu-west-1 us-west-2\r\n"
        f"{two['requestId']};{two['alias']};;;here\r\n"
    )

    execution = start(stack, "keys.csv", content.encode())
    ended = stack.wait_for_execution(execution)
    text = read_object(stack, json.loads(ended["output"])["results"])

    first, second = csv.DictReader(io.StringIO(text))
    assert (first["line"], first["status"], second["status"]) == ("2", "CREATED", "REJECTED")
    for arn in [first["primaryKeyArn"], *first["replicaKeyArns"].split()]:
        assert arn.endswith(first["keyId"])
        assert read_key(stack, arn.split(":")[3], arn)["tags"] == {"team": "payments"}
    assert second["errors"].startswith("replicas[0].region: ")


def test_a_batch_that_is_sent_again_calls_nothing_in_kms(stack: Stack) -> None:
    requests = [new_request("batch", replicas=[{"region": "eu-west-1"}]) for _ in range(3)]
    first = run(stack, as_lines(requests))
    calls, executions = len(stack.kms_calls()), stack.executions(requests[0]["requestId"])

    second = run(stack, as_lines(requests))

    assert second == first
    assert calls_since(stack, calls) == []
    assert stack.executions(requests[0]["requestId"]) == executions


def test_a_batch_that_is_stopped_half_way_is_finished_by_the_next(stack: Stack) -> None:
    requests = [new_request("batch") for _ in range(16)]
    content = as_lines(requests, *BAD_LINES)
    with slow_pace(stack):
        execution = start(stack, "keys.jsonl", content)

        def half_way() -> bool | None:
            return sum(map(bool, map(stack.outcomes, ids))) >= len(ids) // 3 or None

        ids = [request["requestId"] for request in requests]
        wait_for(half_way, "a third of the requests", timeout=60)
        stack.client("stepfunctions").stop_execution(executionArn=execution)
    assert stack.wait_for_execution(execution)["status"] == "ABORTED"
    left = [name for name in ids if not stack.executions(name)]
    assert left, "the batch was stopped too late"

    found = results(stack, start(stack, "keys.jsonl", content))

    statuses = Counter(result["status"] for result in found)
    assert statuses == {"CREATED": len(requests), "REJECTED": len(BAD_LINES)}
    assert created(stack, requests) == dict.fromkeys(ids, 1)
    assert all(len(stack.outcomes(name)) == 1 for name in ids)
    assert all(len(stack.executions(name)) == 1 for name in left)


def test_a_second_batch_waits_for_the_first(stack: Stack) -> None:
    early, late = [new_request("batch") for _ in range(4)], new_request("batch")
    with slow_pace(stack):
        first = start(stack, "keys.jsonl", as_lines(early))
        wait_for(lambda: read_progress(stack, first), "the first batch to begin", timeout=60)
        second = start(stack, "keys.jsonl", as_lines([late]))
        results(stack, second)

    assert stack.describe_execution(first)["status"] == "SUCCEEDED"
    assert stack.history(second)[-1]["timestamp"] > stack.history(first)[-1]["timestamp"]
    states = [
        event["stateEnteredEventDetails"]["name"]
        for event in stack.history(second)
        if "stateEnteredEventDetails" in event
    ]
    assert "WaitForOtherBatch" in states


def test_a_file_that_is_not_there_fails_the_batch_and_says_so(stack: Stack) -> None:
    ended = stack.wait_for_execution(stack.start_batch(f"requests/{uuid.uuid4()}.csv"))

    assert (ended["status"], ended["error"]) == ("FAILED", "BatchFailed")
    assert "There is no object requests/" in ended["cause"]
    assert "start the batch again" in ended["cause"]


@pytest.mark.parametrize("given", [{}, [], {"file": None}, {"file": ""}])
def test_a_batch_that_names_no_file_says_how_it_is_started(stack: Stack, given: Any) -> None:
    answer = stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["BatchStateMachineArn"], input=json.dumps(given)
    )

    ended = stack.wait_for_execution(answer["executionArn"])

    assert ended["status"] == "FAILED"
    assert '{"file": "requests/keys.jsonl"}' in ended["cause"]
