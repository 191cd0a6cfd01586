"""What the sweep does and says of key sets that are changed, and of keys that changes removed."""

import io
import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Removed, Status
from provisioner.domain.plan import KeySetRequest
from tests.support import finished_sets
from tests.support.answering import answer, kms_for, on, refusal
from tests.support.clock import Clock
from tests.support.emitted_metrics import metrics_in
from tests.support.finished_sets import (
    CHANGE_EXECUTION,
    CHANGED,
    CREATED,
    change,
    create,
    end,
    record_of,
)
from tests.support.published import published_on
from tests.support.samples import SETTINGS, request_of
from tests.support.sweeping import HOME, LOOKS, region_sweeper, sweep_table, sweeper
from tests.support.tagged_keys import make_key, multi_region

FAR = "eu-west-1"
TAGGING: Literal["resourcegroupstaggingapi"] = "resourcegroupstaggingapi"
QUIET = SETTINGS.quiet_period_seconds
WITHOUT_FAR = request_of(description="first", revision=2)
GONE = request_of(
    description="first", replicas=[{"region": FAR}], desiredState="DECOMMISSIONED", revision=2
)
Findings = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def published(aws: None) -> Findings:  # noqa: ARG001
    return published_on(client("events"))


@pytest.fixture
def arn(records: Records, clock: Clock) -> str:
    """Return the primary key of a created key set, which has its alias; it is old enough."""
    key = make_key()
    create(records, arn=key["Arn"])
    kms_for(HOME).create_alias(AliasName="alias/cards", TargetKeyId=key["KeyId"])
    clock.move(seconds=QUIET)
    return str(key["Arn"])


def look(records: Records, region: str = HOME) -> None:
    position = region_sweeper(records, region).sweep("worker", begin=True)
    assert position
    assert not position.is_under_way


def found(published: Findings) -> list[tuple[str, str]]:
    return [(detail["kind"], detail["keyArn"]) for _, _, detail in published]


def removed(arn: str, region: str = FAR) -> dict[str, Removed]:
    return {region: {"arn": arn, "notBefore": "2027-01-01T00:00:00Z", "revision": 2}}


def in_far(arn: str) -> str:
    return arn.replace(HOME, FAR)


def show_in_far(arn: str, state: str = "PendingDeletion") -> None:
    """Let the far Region show the replica key in a state, with its tags."""
    home = client("kms", HOME).describe_key(KeyId=arn)["KeyMetadata"]
    shown = {**home, "Arn": in_far(arn), "KeyState": state, **multi_region("REPLICA")}
    tags = [{"Key": "mrk:request-id", "Value": "CHG1"}]
    tags.append({"Key": "mrk:stack", "Value": SETTINGS.stack_name})
    listed = {"ResourceTagMappingList": [{"ResourceARN": in_far(arn), "Tags": tags}]}
    answer(client(TAGGING, FAR), "GetResources", listed)
    answer(kms_for(FAR), "DescribeKey", {"KeyMetadata": shown})


def forget_in_far(region: str = FAR) -> None:
    answer(client(TAGGING, region), "GetResources", {"ResourceTagMappingList": []})
    answer(kms_for(region), "DescribeKey", refusal("NotFoundException"))


def change_to(records: Records, request: KeySetRequest, arn: str, **more: Any) -> None:
    status = more.pop("status", Status.UPDATED)
    change(records, status, request, key=finished_sets.key_of(request, arn), **more)


@pytest.mark.parametrize("status", [Status.UPDATED, Status.UPDATE_FAILED])
def test_a_removed_key_is_no_finding_while_it_waits_for_its_deletion(
    status: Status, arn: str, records: Records, published: Findings
) -> None:
    change_to(records, WITHOUT_FAR, arn, removed=removed(in_far(arn)), status=status)
    show_in_far(arn)

    look(records, FAR)

    assert found(published) == []


def test_a_removed_key_that_is_gone_is_reported_once_and_forgotten(
    arn: str, records: Records, published: Findings
) -> None:
    change_to(records, WITHOUT_FAR, arn, removed=removed(in_far(arn)))
    forget_in_far()
    LOOKS.asked.clear()

    look(records, FAR)
    look(records, FAR)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["keyArn"], detail["region"]) == ("KEY_DELETED", in_far(arn), FAR)
    assert "which revision 2 of request CHG1 had removed" in detail["message"]
    assert record_of(records).removed == {}
    assert sweep_table().open_findings(FAR) == {}
    assert LOOKS.asked == ["CHG1"], "what was open of it is to be settled"


def test_a_removed_key_that_is_gone_is_reported_again_where_the_bus_did_not_take_it(
    arn: str, records: Records
) -> None:
    change_to(records, WITHOUT_FAR, arn, removed=removed(in_far(arn)))
    forget_in_far()
    answer(client("events"), "PutEvents", refusal("InternalException"))

    look(records, FAR)

    assert record_of(records).removed == removed(in_far(arn))


def test_key_sets_are_counted_by_status_and_their_keys_that_wait_for_deletion(
    arn: str, records: Records, published: Findings, capsys: pytest.CaptureFixture[str]
) -> None:
    look(records)
    first = counted(capsys)
    change_to(records, WITHOUT_FAR, arn, removed=removed(in_far(arn)))
    show_in_far(arn)
    look(records, FAR)

    none = dict.fromkeys(first, 0.0)
    assert first == {**none, "CREATED": 1}
    assert counted(capsys) == {**none, "UPDATED": 1, "PendingDeletions": 1}
    assert none.keys() >= {"UPDATE_FAILED", "FAILED", "IN_PROGRESS", "DECOMMISSIONED"}
    assert found(published) == []


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Return the numbers of key sets by their status, and that of keys that wait for deletion."""
    metrics = metrics_in(capsys.readouterr().out.splitlines())
    return {
        dict(metric.dimensions).get("status", metric.name): value
        for metric, (value,) in metrics.items()
        if metric.name in {"KeySets", "PendingDeletions"}
    }


@pytest.mark.parametrize("state", ["PendingDeletion", "PendingReplicaDeletion"])
def test_a_decommissioned_key_set_is_no_finding_while_it_waits(
    state: str, arn: str, records: Records, published: Findings
) -> None:
    change_to(records, GONE, arn, status=Status.DECOMMISSIONED)
    metadata = client("kms", HOME).describe_key(KeyId=arn)["KeyMetadata"]
    answer(kms_for(HOME), "DescribeKey", {"KeyMetadata": {**metadata, "KeyState": state}})

    look(records)

    assert found(published) == []


def test_every_key_of_a_decommissioned_set_that_is_gone_is_reported_once(
    arn: str, records: Records, published: Findings
) -> None:
    both = {**removed(in_far(arn)), **removed(arn, HOME)}
    change_to(records, GONE, arn, status=Status.DECOMMISSIONED, removed=both)
    for region in (FAR, HOME):
        forget_in_far(region)

    for region in (FAR, HOME, FAR, HOME):
        look(records, region)

    assert found(published) == [("KEY_DELETED", in_far(arn)), ("KEY_DELETED", arn)]
    assert record_of(records).removed == {}


def test_a_key_that_is_still_wanted_and_gone_is_missing_after_a_change_too(
    arn: str, records: Records, published: Findings
) -> None:
    change_to(records, CHANGED, arn)
    forget_in_far()

    look(records, FAR)

    assert found(published) == [("KEY_MISSING", in_far(arn))]


def test_a_key_that_a_failed_change_was_to_add_is_not_missed(
    arn: str, records: Records, published: Findings
) -> None:
    more = request_of(replicas=[{"region": FAR}, {"region": "us-west-2"}], revision=2)
    change_to(records, more, arn, status=Status.UPDATE_FAILED)
    forget_in_far("us-west-2")

    look(records, "us-west-2")

    assert found(published) == []


@pytest.mark.parametrize("pointing", ["alias/cards", "alias/new"])
def test_after_a_failed_change_either_alias_is_right(
    pointing: str, arn: str, records: Records, published: Findings
) -> None:
    renamed = request_of(alias="alias/new", replicas=[{"region": FAR}], revision=2)
    change_to(records, renamed, arn, status=Status.UPDATE_FAILED)
    kms = kms_for(HOME)
    kms.delete_alias(AliasName="alias/cards")
    kms.create_alias(AliasName=pointing, TargetKeyId=arn)

    look(records)
    assert found(published) == []
    kms.delete_alias(AliasName=pointing)
    look(records)

    assert found(published) == [("ALIAS_ELSEWHERE", arn)]


@pytest.mark.usefixtures("arn")
def test_a_key_set_is_left_alone_while_it_is_changed(records: Records, published: Findings) -> None:
    finished_sets.claim(records)
    kms_for(HOME).delete_alias(AliasName="alias/cards")

    look(records)

    assert found(published) == []


def started() -> list[Any]:
    machine = SETTINGS.state_machine_arn
    return list(client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])


def holder_has_died() -> None:
    """Let the execution of the change have ended; every other one was never started."""
    states = client("stepfunctions")
    executions.start(states, executions.machine_of(CHANGE_EXECUTION), CHANGE_EXECUTION, CHANGED)
    states.stop_execution(executionArn=CHANGE_EXECUTION)


@pytest.mark.parametrize("status", [None, Status.UPDATED, Status.UPDATE_FAILED])
def test_a_change_whose_execution_died_is_sent_into_the_workflow_again_once(
    status: Status | None, records: Records, published: Findings, clock: Clock
) -> None:
    create(records)
    finished_sets.claim(records)
    if status:
        end(records, status, published=False)
    holder_has_died()
    clock.move(seconds=QUIET)

    sweeper(records).sweep([])
    sweeper(records).sweep([])

    (execution,) = started()
    begun = client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    assert json.loads(begun["input"]) == CHANGED
    assert {(detail["kind"], detail["action"]) for _, _, detail in published} == {
        ("REQUEST_STUCK", "RESUMED")
    }


@pytest.mark.parametrize(
    ("status", "ends_as"), [(None, "UPDATE_FAILED"), (Status.UPDATED, "UPDATED")]
)
def test_a_change_that_is_not_valid_any_more_ends_as_one(
    status: Status | None, ends_as: str, records: Records, clock: Clock
) -> None:
    create(records)
    finished_sets.claim(records)
    if status:
        end(records, status, published=False)
    holder_has_died()
    clock.move(seconds=QUIET)
    outcomes: list[dict[str, Any]] = []
    states = client("lambda")
    on(
        states,
        "provide-client-params.lambda.Invoke",
        lambda params, **_: outcomes.append(json.loads(params["Payload"])),
    )
    answer(states, "Invoke", {"StatusCode": 200, "Payload": io.BytesIO(b"{}")})

    sweeper(records, replace(SETTINGS, alias_prefixes=("alias/other/",))).sweep([])

    (outcome,) = outcomes
    assert (outcome["status"], outcome["executionArn"]) == (ends_as, CHANGE_EXECUTION)
    assert (outcome["request"], outcome["removed"]) == (CHANGED, {})
    causes = [failure["cause"] for failure in outcome["failures"]]
    assert [("with revision 3" in cause) for cause in causes] == ([True] if not status else [])
    assert record_of(records).applied == (CHANGED if status else CREATED)
