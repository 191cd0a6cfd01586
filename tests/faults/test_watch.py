"""What happens, long after, to requests that nobody finished and to keys that were changed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from provisioner.settings import settings
from tests.support.faults import workflow
from tests.support.faults.aws import Aws, Event, WaitingTask, nobody
from tests.support.faults.kms import KmsInRegion
from tests.support.faults.scenario import (
    IMPORTED,
    REQUEST_ID,
    Scenario,
    imported,
    is_created,
    recorded_key,
)
from tests.support.faults.wiring import QUIET_SECONDS

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


def created(**more: Any) -> Scenario:
    """Return the scenario of a key set that was created, and is old enough to be looked at."""
    scenario = imported(**more)
    assert scenario.play().problems == []
    return scenario


def findings_of(aws: Aws) -> list[tuple[str, str]]:
    return [(e.detail["kind"], e.detail["keyArn"]) for e in told(aws, "Finding")]


def hands_on(aws: Aws, key_arn: str) -> KmsInRegion:
    """Return KMS of a key's Region as somebody sees it who may do everything."""
    return KmsInRegion(aws.kms, key_arn.split(":")[3])


def test_an_alias_that_is_gone_is_found_whatever_state_its_key_is_in() -> None:
    aws = (scenario := created()).aws
    arn = str(recorded_key(aws))
    hands_on(aws, arn).delete_imported_key_material(KeyId=arn)
    hands_on(aws, arn).delete_alias(AliasName=IMPORTED["alias"])

    scenario.sweep()

    assert {("KEY_NOT_ENABLED", arn), ("ALIAS_ELSEWHERE", arn)} <= set(findings_of(aws))


def test_nobody_is_asked_to_renew_the_material_of_a_key_that_is_being_deleted() -> None:
    aws = (scenario := created()).aws
    arn = str(recorded_key(aws))
    aws.time = VALID_TO - 86_400
    hands_on(aws, arn).schedule_key_deletion(KeyId=arn, PendingWindowInDays=30)

    scenario.sweep()

    assert [kind for kind, about in findings_of(aws) if about == arn] == ["KEY_NOT_ENABLED"]


@pytest.mark.parametrize("tag", ["mrk:stack", "mrk:request-id"])
def test_the_key_of_a_failed_request_is_found_without_its_tags(tag: str) -> None:
    aws = (scenario := imported(holder=nobody)).aws
    scenario.deliver()
    arn = str(recorded_key(aws))
    hands_on(aws, arn).untag_resource(KeyId=arn, TagKeys=[tag])
    aws.time += 86_400

    scenario.sweep()

    assert set(findings_of(aws)) == {("TAGS_MISSING", arn), ("UNFINISHED_KEY_SET", arn)}


def test_what_a_failed_request_left_is_published_again_when_it_has_failed_again() -> None:
    aws = (scenario := imported(holder=nobody)).aws
    arn: list[str | None] = []
    for _ in range(2):
        scenario.deliver()
        arn.append(recorded_key(aws))
        aws.time += 86_400
        scenario.sweep()
        scenario.sweep()
        scenario.aws.holder = sweep_while_it_waits

    assert findings_of(aws) == [("UNFINISHED_KEY_SET", one) for one in arn]


def sweep_while_it_waits(aws: Aws, _task: WaitingTask) -> None:
    workflow.sweep(aws)


def test_a_live_key_with_the_tag_of_a_request_that_is_under_way_is_watched() -> None:
    aws = (scenario := created()).aws
    arn = str(recorded_key(aws))
    other = {**IMPORTED, "requestId": "OTHER", "alias": "alias/other"}
    given = [{"TagKey": "mrk:request-id", "TagValue": "OTHER"}]

    def tag_and_sweep(_aws: Aws, _task: WaitingTask) -> None:
        hands_on(aws, arn).tag_resource(KeyId=arn, Tags=given)
        workflow.sweep(aws)

    aws.holder = tag_and_sweep

    scenario.run(aws.new_execution(other))

    assert ("TAGS_MISSING", arn) in findings_of(aws)


def test_a_promotion_is_reported_without_a_word_on_keys_that_do_not_work() -> None:
    aws = (scenario := created()).aws
    arn = str(recorded_key(aws))
    hands_on(aws, arn).update_primary_region(KeyId=arn, PrimaryRegion="eu-west-1")
    aws.time += 60
    hands_on(aws, arn).disable_key(KeyId=arn)

    scenario.sweep()

    [found] = told(aws, "Finding")
    assert (found.detail["kind"], found.detail["keyArn"]) == ("PRIMARY_ELSEWHERE", arn)
    assert "keep working" not in found.detail["message"]


def test_a_surplus_key_without_a_request_is_not_said_to_be_one_of_a_request() -> None:
    aws = (scenario := created()).aws
    made = hands_on(aws, str(recorded_key(aws))).create_key(
        MultiRegion=True,
        KeySpec="SYMMETRIC_DEFAULT",
        KeyUsage="ENCRYPT_DECRYPT",
        Origin="AWS_KMS",
        Description="",
        Policy=next(iter(aws.kms.keys.values())).policy,
        Tags=[{"TagKey": "mrk:stack", "TagValue": "mrk"}],
    )
    aws.time += QUIET_SECONDS

    scenario.sweep()

    [found] = told(aws, "Finding")
    assert found.detail["keyArn"] == made["KeyMetadata"]["Arn"]
    assert found.detail["kind"] == "SURPLUS_KEY"
    assert "None" not in found.detail["message"]
