"""One key a request, over HTTP: the SDK's retries and the death of a process are real here."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.emulator.faults import Fault, Kind
from local.polling import wait_for
from local.stack.stack import Stack
from tests.support.stack.reading import keys_of_request, new_request, read_key
from tests.support.stack.sweeping import sweep_to_its_end

HOME = "us-east-1"
SURPLUS = "SURPLUS_KEY"


def create_keys_since(stack: Stack, since: int) -> list[dict[str, Any]]:
    return [call for call in stack.kms_calls(since=since) if call["operation"] == "CreateKey"]


def created_outcome_ids(stack: Stack, request_id: str) -> set[str]:
    return {
        outcome["detail"]["outcomeId"]
        for outcome in stack.outcomes(request_id)
        if outcome["detail"]["status"] == "CREATED"
    }


def findings(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    events = stack.events(request_id)
    return [e["detail"] for e in events if e["detail-type"] == "Multi-Region Key Finding"]


def assert_one_key_as_asked(stack: Stack, request: dict[str, Any]) -> None:
    [arn] = keys_of_request(stack, request["requestId"], HOME)
    found = read_key(stack, HOME, arn)
    assert (found["state"], found["aliases"]) == ("Enabled", [request["alias"]])
    status = stack.api("GET", f"/keys/{request['requestId']}").json()
    assert status["status"] == "CREATED"
    assert status["key"]["primary"]["arn"] == arn
    assert len(created_outcome_ids(stack, request["requestId"])) == 1


@pytest.mark.parametrize(
    ("fault", "sends"),
    [
        ("error-after", 1),
        ("lose-after", 1),
        ("hang-after", 1),
        ("kill-after", 1),
        ("error-before", 2),
        ("lose-before", 2),
        ("kill-before", 2),
    ],
)
def test_an_unanswered_create_key_ends_in_one_key(stack: Stack, fault: Kind, sends: int) -> None:
    request = new_request(f"once-{fault}", replicas=[{"region": "eu-west-1"}])
    before = len(stack.kms_calls())
    stack.put_faults(Fault("CreateKey", fault, seconds=30))

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])

    assert outcome["detail"]["status"] == "CREATED", outcome["detail"]["errors"]
    assert stack.faults() == []
    assert len(create_keys_since(stack, before)) == sends
    assert_one_key_as_asked(stack, request)
    assert findings(stack, request["requestId"]) == []


def test_a_key_that_becomes_visible_late_is_adopted(stack: Stack) -> None:
    request = new_request("late")
    before = len(stack.kms_calls())

    with stack.changed_kms_settings(propagation_seconds=2.5):
        stack.put_faults(Fault("CreateKey", "lose-after"))
        stack.send(request)
        outcome = stack.wait_for_outcome(request["requestId"])

    assert outcome["detail"]["status"] == "CREATED", outcome["detail"]["errors"]
    assert len(create_keys_since(stack, before)) == 1
    arn = outcome["detail"]["key"]["primary"]["arn"]
    wait_for(
        lambda: read_key(stack, HOME, arn)["aliases"] or None, "the alias to be seen", timeout=10
    )
    assert_one_key_as_asked(stack, request)


@pytest.mark.parametrize("fault", ["throttle", "refuse"])
def test_a_refused_create_key_goes_on_without_looking_for_a_key(stack: Stack, fault: Kind) -> None:
    request = new_request(f"refused-{fault}")
    stack.put_faults(Fault("CreateKey", fault, code="ThrottlingException"))

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])

    assert outcome["detail"]["status"] == "CREATED"
    history = stack.history(outcome["detail"]["executionArn"])
    entered = [
        e["stateEnteredEventDetails"]["name"] for e in history if "stateEnteredEventDetails" in e
    ]
    assert "ReconcilePrimaryKey" not in entered
    assert_one_key_as_asked(stack, request)


# In this order: who works on it, the attempt, its answer, the outcome, that it was sent; between
# the last two and after them Powertools writes down that the outcome is being and was published.
@pytest.mark.parametrize("skip", range(6))
@pytest.mark.parametrize("fault", ["lose-after", "kill-after"])
def test_a_lost_answer_of_the_table_changes_nothing(stack: Stack, skip: int, fault: Kind) -> None:
    request = new_request(f"table-{skip}-{fault}")
    before = len(stack.kms_calls())
    stack.put_faults(Fault("UpdateItem", fault, service="dynamodb", skip=skip))

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"], timeout=120)
    stack.wait_for_execution(outcome["detail"]["executionArn"], timeout=120)

    assert stack.faults() == []
    assert outcome["detail"]["status"] == "CREATED", outcome["detail"]["errors"]
    assert_one_key_as_asked(stack, request)
    assert len(create_keys_since(stack, before)) <= 2


@pytest.mark.parametrize("fault", ["lose-before", "lose-after", "kill-before", "kill-after"])
def test_a_lost_answer_of_the_bus_leads_to_the_same_outcome(stack: Stack, fault: Kind) -> None:
    request = new_request(f"bus-{fault}")
    stack.put_faults(Fault("PutEvents", fault, service="events"))
    # The test's own event would meet the fault.
    arn = stack.start_execution(request)

    execution = stack.wait_for_execution(arn, timeout=120)

    assert stack.faults() == []
    assert execution["status"] == "SUCCEEDED"
    assert_one_key_as_asked(stack, request)


def test_fifty_deliveries_within_a_second_are_one_request(stack: Stack) -> None:
    request = new_request("fifty", replicas=[{"region": "eu-west-1"}])
    before = len(stack.kms_calls())
    began = time.monotonic()

    with ThreadPoolExecutor(10) as pool:
        sent = [pool.submit(stack.send, request) for _ in range(25)]
        posted = [pool.submit(stack.api, "POST", "/keys", request) for _ in range(25)]
        for delivery in sent:
            delivery.result()
        seconds = time.monotonic() - began
        answers = [post.result() for post in posted]
    stack.wait_for_outcome(request["requestId"], timeout=120)

    arns = wait_for(
        lambda: arns if len(arns := stack.executions(request["requestId"])) >= 25 else None,
        "every event to start its execution",
        timeout=120,
    )
    ended = [stack.wait_for_execution(arn)["status"] for arn in arns]
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["executionArn"] for answer in answers} <= set(arns)
    assert set(ended) == {"SUCCEEDED"}
    assert len(create_keys_since(stack, before)) == 1
    assert len(stack.outcomes(request["requestId"])) == 1
    assert_one_key_as_asked(stack, request)
    print(f"25 events within {seconds:.1f} s beside 25 posts; {len(arns)} executions")


def test_the_sweeper_resumes_a_request_whose_run_was_stopped(stack: Stack) -> None:
    request = new_request("stopped", replicas=[{"region": "eu-west-1"}])
    with stack.changed_kms_settings(creating_seconds=15):
        arn = stack.start_execution(request)
        wait_for(
            lambda: keys_of_request(stack, request["requestId"], "eu-west-1") or None,
            "the replica to exist",
            timeout=60,
        )
        stack.client("stepfunctions").stop_execution(executionArn=arn)
        stack.wait_for_execution(arn)

    def resumed() -> list[dict[str, Any]] | None:
        stack.invoke("SweepFunction", {})
        return findings(stack, request["requestId"]) or None

    [finding] = wait_for(resumed, "the sweeper to find the request", timeout=60, interval=1)
    sweep_to_its_end(stack)

    assert (finding["kind"], finding["action"]) == ("REQUEST_STUCK", "RESUMED")
    outcome = stack.wait_for_outcome(request["requestId"], timeout=120)
    assert outcome["detail"]["status"] == "CREATED", outcome["detail"]["errors"]
    assert_one_key_as_asked(stack, request)


def test_the_sweeper_reports_a_key_that_no_record_knows_and_leaves_it(stack: Stack) -> None:
    request = new_request("surplus")
    stack.send(request)
    stack.wait_for_outcome(request["requestId"])
    tags = {"mrk:request-id": request["requestId"], "mrk:stack": "mrk-provisioner"}
    kms = stack.client("kms", HOME)
    stray = kms.create_key(
        MultiRegion=True, Tags=[{"TagKey": k, "TagValue": v} for k, v in tags.items()]
    )["KeyMetadata"]["Arn"]

    def reported() -> list[dict[str, Any]] | None:
        stack.invoke("SweepFunction", {})
        return findings(stack, request["requestId"]) or None

    found = wait_for(reported, "the sweeper to find the key", timeout=60, interval=1)
    sweep_to_its_end(stack)

    assert {(f["kind"], f["keyArn"], f["action"]) for f in found} == {(SURPLUS, stray, "REPORTED")}
    assert read_key(stack, HOME, stray)["state"] == "Enabled"
    kms.schedule_key_deletion(KeyId=stray, PendingWindowInDays=7)


def test_a_key_of_an_earlier_deployment_is_not_made_a_second_time(stack: Stack) -> None:
    request = new_request("earlier")
    tags = {"mrk:request-id": request["requestId"], "mrk:stack": "mrk-provisioner"}
    kms = stack.client("kms", HOME)
    earlier = kms.create_key(
        MultiRegion=True, Tags=[{"TagKey": k, "TagValue": v} for k, v in tags.items()]
    )["KeyMetadata"]["Arn"]

    stack.send(request)
    outcome = stack.wait_for_outcome(request["requestId"])["detail"]

    assert [(e["path"], e["code"]) for e in outcome["errors"]] == [
        ("requestId", "KEY_OF_EARLIER_DEPLOYMENT")
    ]
    assert earlier in outcome["errors"][0]["message"]
    assert keys_of_request(stack, request["requestId"], HOME) == [earlier]
    kms.schedule_key_deletion(KeyId=earlier, PendingWindowInDays=7)
    stack.send(request)
    assert stack.wait_for_outcomes(request["requestId"], 2)[-1]["detail"]["status"] == "CREATED"


def test_the_sweeper_reports_an_alias_that_points_elsewhere(stack: Stack) -> None:
    request, other = new_request("moved"), new_request("mover")
    keys = {}
    for wanted in (request, other):
        stack.send(wanted)
        outcome = stack.wait_for_outcome(wanted["requestId"])
        keys[wanted["requestId"]] = outcome["detail"]["key"]["primary"]["arn"]
    stack.client("kms", HOME).update_alias(
        AliasName=request["alias"], TargetKeyId=keys[other["requestId"]]
    )

    def reported() -> list[dict[str, Any]] | None:
        stack.invoke("SweepFunction", {})
        return findings(stack, request["requestId"]) or None

    found = wait_for(reported, "the sweeper to find the alias", timeout=60, interval=1)
    sweep_to_its_end(stack)

    assert found[0]["kind"] == "ALIAS_ELSEWHERE"
    assert keys[other["requestId"]] in found[0]["message"]
