"""What happens, long after, to requests that nobody finished and to keys that were changed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from provisioner.settings import settings
from tests.faults.aws import Aws, Event, WaitingTask
from tests.faults.scenario import IMPORTED, REQUEST_ID, Scenario, imported, is_created, recorded_key
from tests.faults.wiring import QUIET_SECONDS

VALID_TO = datetime.fromisoformat(IMPORTED["keyMaterial"]["validTo"]).timestamp()


def told(aws: Aws, kind: str) -> list[Event]:
    return [event for event in aws.events if event.detail_type.endswith(kind)]


def stop(_aws: Aws, task: WaitingTask) -> None:
    task.execution.status = "ABORTED"


def stopped() -> Scenario:
    """Return the scenario of a request that was stopped while it waited for its material."""
    scenario = imported(holder=stop)
    scenario.deliver()
    assert recorded_key(scenario.aws)
    return scenario


@pytest.fixture
def parameters() -> Iterator[pytest.MonkeyPatch]:
    """Let a test set parameters of the stack; it clears the settings that were read before."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    settings.cache_clear()


@pytest.mark.parametrize("why", ["validTo", "AliasPrefixes"])
def test_a_stuck_request_that_is_not_valid_any_more_ends_once_and_names_its_key(
    why: str, parameters: pytest.MonkeyPatch
) -> None:
    scenario = stopped()
    aws = scenario.aws
    if why == "validTo":
        aws.time = VALID_TO
    else:
        aws.time += QUIET_SECONDS + 1
        parameters.setenv("ALIAS_PREFIXES", "alias/other/")
        settings.cache_clear()

    for _ in range(3):
        scenario.sweep()
        aws.time += 3600

    [failed] = told(aws, "Creation Failed")
    assert failed.detail["key"]["primary"]["arn"] == recorded_key(aws)
    [error] = failed.detail["errors"]
    assert error["code"] == "REQUEST_REJECTED"
    assert why in error["message"]
    assert told(aws, "Request Rejected") == []
    findings = [(e.detail["kind"], e.detail["action"]) for e in told(aws, "Finding")]
    assert findings == [("REQUEST_STUCK", "ENDED")]
    record = aws.dynamodb.tables["requests"][REQUEST_ID]
    assert record["status"] == {"S": "FAILED"}
    assert "unfinished" not in record
    assert aws.violations == []


def test_a_request_that_was_sent_again_meanwhile_is_not_ended() -> None:
    scenario = stopped()
    aws = scenario.aws
    aws.time = VALID_TO
    execution = aws.new_execution(IMPORTED)
    publish = aws.publish

    def claim_first(outcome: Any) -> dict[str, Any]:
        record = aws.dynamodb.tables["requests"][REQUEST_ID]
        record["executionArn"] = {"S": execution.arn}
        return publish(outcome)

    aws.publish = claim_first

    scenario.sweep()

    assert told(aws, "Creation Failed") == []
    assert told(aws, "Finding") == []
    assert not is_created(aws)


@pytest.mark.parametrize("does_its_work", [True, False])
def test_a_failing_publication_is_made_up_for_by_the_next_sweep(does_its_work: bool) -> None:
    scenario = stopped()
    aws = scenario.aws
    aws.time = VALID_TO
    publish, calls = aws.publish, list[Any]()

    def fail_first(outcome: Any) -> dict[str, Any]:
        calls.append(outcome)
        answer = publish(outcome) if does_its_work or len(calls) > 1 else {}
        return answer if len(calls) > 1 else {"FunctionError": "Unhandled"}

    aws.publish = fail_first

    for _ in range(3):
        scenario.sweep()

    assert len(told(aws, "Creation Failed")) == 1
    assert len(calls) == (1 if does_its_work else 2)


def test_the_key_of_a_request_that_ended_so_is_found_a_day_later() -> None:
    scenario = stopped()
    aws = scenario.aws
    aws.time = VALID_TO
    scenario.sweep()
    aws.time += 86_400

    for _ in range(3):
        scenario.sweep()

    findings = [(e.detail["kind"], e.detail["keyArn"]) for e in told(aws, "Finding")]
    assert findings[1:] == [("UNFINISHED_KEY_SET", recorded_key(aws))]
