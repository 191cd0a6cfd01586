"""Requests that AWS lets wait: for the tags of new keys to count, for Lambda to have room."""

from typing import Any

from local.stack.stack import Stack
from tests.support.stack.reading import new_request, read_key

REPLICAS = [{"region": "eu-west-1"}, {"region": "us-west-2"}]
# Waits and retries pass fifty times as fast here: four minutes.
TAGS_COUNT_AFTER = 240 * 0.02


def errors_retried(stack: Stack, outcome: dict[str, Any]) -> list[str]:
    """Name the error of every try of a step that failed."""
    history = stack.history(outcome["detail"]["executionArn"])
    kinds = ("taskFailedEventDetails", "lambdaFunctionFailedEventDetails")
    return [event[kind]["error"] for event in history for kind in kinds if kind in event]


def test_a_key_set_is_created_although_its_tags_count_after_four_minutes(stack: Stack) -> None:
    request = new_request("late-tags", replicas=REPLICAS, rotation={"periodInDays": 100})

    with stack.changed_kms_settings(authorization_seconds=TAGS_COUNT_AFTER):
        stack.send(request)
        outcome = stack.wait_for_outcome(request["requestId"], timeout=120)

    assert outcome["detail"]["status"] == "CREATED", outcome["detail"]["errors"]
    key = outcome["detail"]["key"]
    for one in (key["primary"], *key["replicas"]):
        assert read_key(stack, one["region"], one["arn"])["aliases"] == [request["alias"]]
    retried = errors_retried(stack, outcome)
    assert set(retried) == {"KeyTagsNotInEffect"}
    print(f"{len(retried)} retries of three keys")


def test_requests_share_an_account_that_runs_few_functions_at_once(stack: Stack) -> None:
    requests = [new_request(f"crowded-{n}", replicas=REPLICAS) for n in range(3)]

    with stack.limited_lambdas(2):
        started = [stack.start_execution(request) for request in requests]
        for arn in started:
            stack.wait_for_execution(arn, timeout=120)
    outcomes = [stack.wait_for_outcome(request["requestId"]) for request in requests]

    assert [outcome["detail"]["status"] for outcome in outcomes] == ["CREATED"] * 3
    refused = [error for outcome in outcomes for error in errors_retried(stack, outcome)]
    assert set(refused) == {"Lambda.TooManyRequestsException"}
