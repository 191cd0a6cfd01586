"""Where a message offers several ways out, or commands to run, each of them ends well."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults import workflow
from tests.support.faults.api import ask
from tests.support.faults.aws import Aws, Call, Network, WaitingTask
from tests.support.faults.corrections import BAD_PRIMARY, BAD_REPLICA
from tests.support.faults.holder import answer, answer_promptly, asked_for, give
from tests.support.faults.kms import ACCOUNT
from tests.support.faults.next_steps import (
    Full,
    LateAlias,
    Refusing,
    ended_with,
    failed_with,
    failures,
    last,
    run_what_is_named,
    send,
)
from tests.support.faults.scenario import (
    IMPORTED,
    RENEWED,
    REQUEST,
    REQUEST_ID,
    Scenario,
    imported,
    is_created,
    problems,
    renewed,
)
from tests.support.faults.wiring import QUIET_SECONDS
from tests.support.walks import walks

ANOTHER_ID = "CHG0031338"
ANOTHER_ALIAS = "alias/payments/other"


def is_as_sent(scenario: Scenario) -> bool:
    """Whether the newest outcome says that the key set of its request was created as it asked."""
    outcome, kms = last(scenario.aws), scenario.aws.kms
    members = [scenario.document, *scenario.document["replicas"]]
    keys = [outcome["key"]["primary"], *outcome["key"]["replicas"]]
    return outcome["status"] == "CREATED" and [
        (member.get("alias", scenario.document["alias"]), "Enabled") for member in members
    ] == [(key["alias"], kms.state_of(kms.keys[key["arn"]])) for key in keys]


@pytest.mark.parametrize(
    ("error", "operation", "code", "field"),
    [
        ("KmsLimitExceeded", "ReplicateKey", "LimitExceededException", "replicas"),
        ("RegionNotEnabled", "ReplicateKey", "UnrecognizedClientException", "replicas"),
        ("KmsRequestRefused", "CreateKey", "TagException", "tags"),
    ],
)
@walks("KmsLimitExceeded", "RegionNotEnabled", "KmsRequestRefused")
def test_a_request_is_finished_once_what_kms_refuses_is_taken_out_of_it(
    error: str, operation: str, code: str, field: str
) -> None:
    scenario = Scenario()
    scenario.aws.network = Refusing(
        operation, code, is_caused=lambda: scenario.document[field] == REQUEST[field]
    )
    scenario.deliver()
    failed_with(scenario, error)

    send(scenario, **{field: type(REQUEST[field])()})

    assert is_as_sent(scenario)


@pytest.mark.parametrize("error", ["AliasInUse", "AliasNotVisible"])
@walks("AliasInUse", "AliasNotVisible")
def test_a_request_is_finished_once_it_asks_for_another_alias(error: str) -> None:
    owner = Scenario(document={**REQUEST, "requestId": ANOTHER_ID, "replicas": []})
    owner.deliver()
    if error == "AliasNotVisible":
        owner.aws.kms.named_at = dict.fromkeys(owner.aws.kms.named_at, 10**10)
    scenario = Scenario(aws=owner.aws)
    scenario.deliver()
    failed_with(scenario, error)

    send(scenario, alias=ANOTHER_ALIAS)

    assert is_as_sent(scenario)


@pytest.mark.parametrize("wrong", [BAD_PRIMARY, BAD_REPLICA], ids=["primary", "replica"])
@walks("KeyPolicyRefused")
def test_a_request_is_finished_once_its_policy_is_corrected(wrong: dict[str, Any]) -> None:
    scenario = Scenario(document=wrong)
    scenario.deliver()
    failed_with(scenario, "KeyPolicyRefused")

    send(scenario, **REQUEST)

    assert is_as_sent(scenario)


@pytest.mark.parametrize("way", ["create it again", "leave it out"])
@walks("PolicyPrincipalGone")
def test_a_request_is_finished_once_a_principal_that_is_gone_is_back_or_left_out(way: str) -> None:
    scenario = Scenario()
    scenario.aws.network = Refusing("CreateAlias", "KMSInvalidStateException")
    scenario.deliver()
    (primary,) = scenario.aws.kms.primaries()
    primary.policy = primary.policy.replace(
        f"arn:aws:iam::{ACCOUNT}:role/CardService", "AROAEXAMPLEEXAMPLE123"
    )
    scenario.aws.network = Refusing(
        "PutKeyPolicy",
        "MalformedPolicyDocumentException",
        is_caused=lambda: scenario.document["policy"] == REQUEST["policy"],
    )
    scenario.deliver()
    outcome = ended_with(scenario, "PolicyPrincipalGone")
    assert "AROAEXAMPLEEXAMPLE123" in outcome["errors"][0]["message"]

    if way == "create it again":
        scenario.aws.network = scenario.aws
        scenario.deliver()
    else:
        send(scenario, policy=None)

    assert is_as_sent(scenario)


@walks("AliasNotVisible")
def test_an_alias_that_kms_showed_late_is_used_when_the_request_is_sent_again() -> None:
    scenario = Scenario()
    scenario.aws.network = LateAlias(scenario.aws)
    scenario.deliver()
    failed_with(scenario, "AliasNotVisible")
    assert "aws kms list-aliases --region us-east-1" in failures(scenario.aws)[0]["message"]

    scenario.aws.network = scenario.aws
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@walks("RevisionSkipped")
def test_revisions_are_taken_in_their_order() -> None:
    scenario = Scenario(document={**REQUEST, "revision": 2})
    scenario.deliver()
    ended_with(scenario, "RevisionSkipped", "REJECTED")

    send(scenario, **BAD_REPLICA, revision=1)
    send(scenario, **REQUEST, revision=2)

    assert is_as_sent(scenario)


def as_immutable() -> Scenario:
    scenario = Scenario(document={**BAD_REPLICA, "alias": REQUEST["alias"]})
    scenario.deliver()
    scenario.document = {**REQUEST, "keySpec": "HMAC_256"}
    scenario.deliver()
    return scenario


def as_conflict() -> Scenario:
    scenario = Scenario()
    scenario.deliver()
    send(scenario, description="other")
    return scenario


def as_earlier_deployment() -> Scenario:
    scenario = Scenario()
    scenario.deliver()
    scenario.aws.time += QUIET_SECONDS
    scenario.aws.dynamodb.tables["requests"].clear()
    scenario.deliver()
    return scenario


@pytest.mark.parametrize(
    ("code", "meet"),
    [
        ("IMMUTABLE", as_immutable),
        ("REQUEST_CONFLICT", as_conflict),
        ("KEY_OF_EARLIER_DEPLOYMENT", as_earlier_deployment),
    ],
)
@walks("Immutable", "RequestConflict", "KeyOfEarlierDeployment")
def test_another_request_id_needs_aliases_that_no_key_has(
    code: str, meet: Callable[[], Scenario]
) -> None:
    scenario = meet()
    [message] = {e["message"] for e in last(scenario.aws)["errors"] if e["code"] == code}
    assert "choose another requestId and aliases that no key has yet" in message

    send(scenario, requestId=ANOTHER_ID, replicas=REQUEST["replicas"][:1])
    ended_with(scenario, "AliasInUse")
    send(scenario, alias=ANOTHER_ALIAS)

    assert is_as_sent(scenario)


@walks("KmsKeyNotFound")
def test_a_key_that_kms_showed_late_is_found_when_the_request_is_sent_again() -> None:
    scenario = Scenario()
    scenario.aws.network = Refusing("CreateAlias", "NotFoundException")
    scenario.deliver()
    failed_with(scenario, "KmsKeyNotFound")
    assert "The key is arn:aws:kms:us-east-1:" in failures(scenario.aws)[0]["message"]

    scenario.aws.network = scenario.aws
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@pytest.mark.parametrize(
    ("state", "commands"),
    [("disabled", ["enable-key"]), ("leaving", ["cancel-key-deletion", "enable-key"])],
)
@walks("KeyStateConflict")
def test_a_renewal_is_finished_once_the_key_is_brought_back(
    state: str, commands: list[str]
) -> None:
    scenario = renewed()
    [replica] = [key for key in scenario.aws.kms.keys.values() if key.region == "eu-west-1"]
    setattr(replica, state, True)
    scenario.deliver()
    ended_with(scenario, "KeyStateConflict")

    assert run_what_is_named(scenario) == commands
    scenario.deliver()

    assert last(scenario.aws)["status"] == "CREATED"
    assert problems(scenario.aws, RENEWED) == []


class DisablesAtTheEnd(Network):
    """Somebody disables the primary key as soon as its last replica has its settings."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        answer = effect()
        if (call.operation, call.region) == ("CreateAlias", "us-west-2"):
            self._aws.kms.primaries()[0].disabled = True
        return answer


@walks("KeySetIncomplete")
def test_a_key_that_was_disabled_meanwhile_is_enabled_when_the_request_is_sent_again() -> None:
    scenario = Scenario()
    scenario.aws.network = DisablesAtTheEnd(scenario.aws)
    scenario.deliver()
    failed_with(scenario, "KeySetIncomplete")

    scenario.aws.network = scenario.aws
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@walks("EventNotPublished")
def test_an_outcome_that_the_bus_did_not_take_is_published_by_a_redrive() -> None:
    scenario = Scenario()
    scenario.aws.network = Full()
    scenario.deliver()
    assert scenario.aws.events == []

    scenario.aws.network = scenario.aws
    [execution] = scenario.aws.executions.values()
    workflow.redrive(execution)

    assert execution.status == "SUCCEEDED"
    assert is_created(scenario.aws)
    assert problems(scenario.aws) == []


@walks("KeyMaterialNotAwaited")
def test_the_status_says_what_an_answer_that_came_too_late_is_to_be_for() -> None:
    def answer_too_late(aws: Aws, task: WaitingTask) -> None:
        materials = asked_for(aws, REQUEST_ID)
        aws.sleep(task.ends_at - aws.time)
        give(aws, answer(REQUEST_ID, materials))
        aws.holder = ask_for_the_status

    def ask_for_the_status(aws: Aws, task: WaitingTask) -> None:
        aws.holder = answer_promptly
        _, body = ask(aws, "GET", REQUEST_ID)
        assert body["status"] == "WAITING_FOR_MATERIAL"
        assert give(aws, answer(REQUEST_ID, body["materials"]), task.execution)

    scenario = imported(holder=answer_too_late)
    scenario.deliver()

    assert is_created(scenario.aws)
    assert problems(scenario.aws, IMPORTED) == []
