import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provisioner.aws.client_types import KeyTag
from provisioner.aws.clients import client
from provisioner.aws.records import Record, Records, Status
from provisioner.clock import instant_text
from provisioner.domain.plan import KeySetRequest, own_tags
from tests.support.answering import answer, kms_for, on, refusal
from tests.support.clock import Clock
from tests.support.published import published_on
from tests.support.samples import EXECUTION, OTHER_EXECUTION, SETTINGS, key_arn, request_of
from tests.support.sweeping import region_sweeper, sweep, sweeper, workers_started
from tests.support.tagged_keys import make_key, multi_region, show

HOME = "us-east-1"
REQUEST = request_of(replicas=[{"region": "eu-west-1"}])
QUIET = SETTINGS.quiet_period_seconds
MAY_DELETE = replace(SETTINGS, sweeper_may_delete=True)

Findings = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def published(aws: None) -> Findings:  # noqa: ARG001
    return published_on(client("events"))


def actions(published: Findings) -> list[tuple[str, str]]:
    assert {detail_type for _, detail_type, _ in published} <= {"Multi-Region Key Finding"}
    return [(detail["kind"], detail["action"]) for _, _, detail in published]


def executions() -> list[Any]:
    machine = SETTINGS.state_machine_arn
    return list(client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])


def holder_is(status: str) -> None:
    """Let Step Functions say this of every execution."""
    answer(client("stepfunctions"), "DescribeExecution", {"status": status})


def claimed(records: Records, request: KeySetRequest = REQUEST) -> None:
    records.claim(request, EXECUTION)


def end(records: Records, status: Status, request: KeySetRequest = REQUEST) -> None:
    records.finish(request, execution_arn=EXECUTION, status=status, key=None, errors=[])
    records.mark_published(request["requestId"], EXECUTION)


def waiting(records: Records) -> None:
    claimed(records)
    materials: list[Any] = [{}]
    assert records.await_material(
        "CHG1", EXECUTION, "task", key=None, materials=materials, errors=[]
    )


def created(records: Records, key: dict[str, Any] | None = None) -> dict[str, Any]:
    """Record a created request and its key, which has its alias."""
    key = key or make_key()
    claimed(records)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key["Arn"])
    end(records, Status.CREATED)
    client("kms", HOME).create_alias(AliasName="alias/cards", TargetKeyId=key["KeyId"])
    return key


def state_of(key: dict[str, Any]) -> str:
    return str(client("kms", HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"])


def test_nothing_is_nothing_to_tell(records: Records, published: Findings) -> None:
    assert sweep(records) == {"requests": 0, "keys": 0, "failed": 0}

    assert published == []


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT", "SUCCEEDED"])
def test_a_stuck_request_is_resumed_and_reported(
    status: str, records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    clock.move(seconds=QUIET)
    holder_is(status)

    counts = sweep(records)

    ((_, _, detail),) = published
    (execution,) = executions()
    assert counts == {"requests": 1, "keys": 0, "failed": 0}
    assert (detail["kind"], detail["action"]) == ("REQUEST_STUCK", "RESUMED")
    assert (detail["requestId"], detail["region"], detail["keyArn"]) == ("CHG1", HOME, None)
    assert EXECUTION in detail["message"]
    assert execution["executionArn"] in detail["message"]


def test_a_resumed_request_is_sent_as_it_was(records: Records, clock: Clock) -> None:
    claimed(records)
    clock.move(seconds=QUIET)

    sweep(records)

    (execution,) = executions()
    step_functions = client("stepfunctions")
    found = step_functions.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["input"]) == REQUEST


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_a_request_whose_outcome_nobody_was_told_is_resumed(
    status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    records.finish(REQUEST, execution_arn=EXECUTION, status=status, key=None, errors=[])
    clock.move(seconds=QUIET)
    holder_is("FAILED")

    sweep(records)

    assert actions(published) == [("REQUEST_STUCK", "RESUMED")]


def test_a_request_that_was_claimed_a_moment_ago_is_left_alone(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    clock.move(seconds=QUIET - 1)
    holder_is("FAILED")

    counts = sweep(records)

    assert (counts["requests"], published, executions()) == (1, [], [])


def test_a_request_that_still_runs_is_left_alone(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    clock.move(seconds=QUIET)
    holder_is("RUNNING")

    sweep(records)

    assert (published, executions()) == ([], [])


def test_a_published_request_is_not_looked_at(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    end(records, Status.FAILED)
    clock.move(seconds=QUIET)

    assert sweep(records)["requests"] == 0
    assert (published, executions()) == ([], [])


@pytest.mark.parametrize("request_id", ["CHG7", None])
def test_a_key_that_no_record_knows_is_reported(
    request_id: str | None, records: Records, published: Findings, clock: Clock
) -> None:
    key = make_key(request_id=request_id)
    clock.move(seconds=QUIET)

    counts = sweep(records)

    ((_, _, detail),) = published
    assert counts == {"requests": 0, "keys": 1, "failed": 0}
    assert (detail["kind"], detail["action"]) == ("SURPLUS_KEY", "REPORTED")
    assert (detail["requestId"], detail["keyArn"]) == (request_id, key["Arn"])
    assert state_of(key) == "Enabled"


def test_a_second_key_of_a_request_is_reported_and_the_first_is_not(
    records: Records, published: Findings, clock: Clock
) -> None:
    created(records)
    second = make_key()
    clock.move(seconds=QUIET)

    sweep(records)

    assert actions(published) == [("SURPLUS_KEY", "REPORTED")]
    assert published[0][2]["keyArn"] == second["Arn"]


def test_a_surplus_key_is_scheduled_for_deletion_where_the_sweeper_may(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    second = make_key()
    clock.move(seconds=QUIET)

    sweep(records, settings=MAY_DELETE)

    assert actions(published) == [
        ("SURPLUS_KEY", "REPORTED"),
        ("SURPLUS_KEY", "SCHEDULED_FOR_DELETION"),
    ]
    assert (state_of(key), state_of(second)) == ("Enabled", "PendingDeletion")


@pytest.mark.parametrize("used_by", ["alias", "replica"])
def test_a_surplus_key_that_may_be_in_use_is_never_scheduled_for_deletion(
    used_by: str, records: Records, published: Findings, clock: Clock
) -> None:
    key = make_key()
    if used_by == "alias":
        client("kms", HOME).create_alias(AliasName="alias/x", TargetKeyId=key["KeyId"])
    else:
        show(key, **multi_region("PRIMARY", key_arn("eu-west-1")))
    clock.move(seconds=QUIET)

    sweep(records, settings=MAY_DELETE)

    assert actions(published) == [("SURPLUS_KEY", "REPORTED")]
    assert state_of(key) == "Enabled"


def test_the_key_of_an_open_attempt_is_never_scheduled_for_deletion(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    end(records, Status.FAILED)
    key = make_key()
    clock.move(seconds=QUIET)

    sweep(records, settings=MAY_DELETE)

    assert actions(published) == [("SURPLUS_KEY", "REPORTED")]
    assert state_of(key) == "Enabled"


def test_the_keys_of_a_request_in_progress_are_left_alone(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    holder_is("RUNNING")
    keys = [make_key(), make_key()]
    clock.move(seconds=QUIET)

    counts = sweep(records, settings=MAY_DELETE)

    assert (counts["keys"], published) == (2, [])
    assert [state_of(key) for key in keys] == ["Enabled", "Enabled"]


@pytest.mark.parametrize("state", ["PendingDeletion", "PendingReplicaDeletion"])
def test_a_surplus_key_on_its_way_out_is_left_alone(
    state: str, records: Records, published: Findings, clock: Clock
) -> None:
    show(make_key(), KeyState=state)
    clock.move(seconds=QUIET)

    sweep(records)

    assert published == []


def test_a_key_that_was_made_a_moment_ago_is_left_alone(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = make_key()
    show(key, CreationDate=clock.time)
    clock.move(seconds=QUIET - 1)

    sweep(records, settings=MAY_DELETE)

    assert published == []
    assert state_of(key) == "Enabled"


def test_a_key_that_only_the_index_knows_is_no_finding(
    records: Records, published: Findings
) -> None:
    tags = [{"Key": "mrk:request-id", "Value": "CHG1"}]
    found = {"ResourceTagMappingList": [{"ResourceARN": key_arn(), "Tags": tags}]}
    answer(client("resourcegroupstaggingapi", HOME), "GetResources", found)

    assert sweep(records) == {"requests": 0, "keys": 1, "failed": 0}
    assert published == []


def test_a_created_key_with_its_alias_is_no_finding(
    records: Records, published: Findings, clock: Clock
) -> None:
    created(records)
    clock.move(seconds=QUIET)

    sweep(records)

    assert published == []


def test_the_replica_of_a_created_key_is_looked_at_in_its_own_region(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    replica = make_key("eu-west-1")
    arn = key["Arn"].replace(HOME, "eu-west-1")
    tags = [{"Key": key, "Value": value} for key, value in own_tags("CHG1", SETTINGS).items()]
    found = {"ResourceARN": arn, "Tags": tags}
    tagging = client("resourcegroupstaggingapi", "eu-west-1")
    answer(tagging, "GetResources", {"ResourceTagMappingList": [found]})
    of_replica = {
        **replica,
        "Arn": arn,
        "KeyId": key["KeyId"],
        "KeyState": "Enabled",
        **multi_region("REPLICA"),
    }
    kms = kms_for("eu-west-1")
    answer(kms, "DescribeKey", {"KeyMetadata": of_replica}, refusal("NotFoundException"))
    clock.move(seconds=QUIET)

    sweep(records, HOME, "eu-west-1")

    ((_, _, detail),) = published
    assert (detail["kind"], detail["region"]) == ("ALIAS_ELSEWHERE", "eu-west-1")
    assert detail["message"] == f"alias/cards in eu-west-1 points to no key, not to {arn}."


def test_an_alias_that_points_elsewhere_is_reported(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    other = client("kms", HOME).create_key()["KeyMetadata"]
    client("kms", HOME).update_alias(AliasName="alias/cards", TargetKeyId=other["KeyId"])
    clock.move(seconds=QUIET)

    sweep(records)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["action"]) == ("ALIAS_ELSEWHERE", "REPORTED")
    assert (detail["requestId"], detail["keyArn"]) == ("CHG1", key["Arn"])
    assert f"points to {other['Arn']}, not to {key['Arn']}" in detail["message"]


def test_an_alias_that_is_gone_is_reported(
    records: Records, published: Findings, clock: Clock
) -> None:
    created(records)
    client("kms", HOME).delete_alias(AliasName="alias/cards")
    clock.move(seconds=QUIET)

    sweep(records)

    assert actions(published) == [("ALIAS_ELSEWHERE", "REPORTED")]


@pytest.mark.parametrize(
    "state", ["Creating", "Updating", "PendingImport", "Unavailable", "PendingDeletion"]
)
def test_a_created_key_that_is_not_enabled_is_reported(
    state: str, records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    show(key, KeyState=state)
    clock.move(seconds=QUIET)

    sweep(records)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["action"]) == ("KEY_NOT_ENABLED", "REPORTED")
    assert f"{key['Arn']} is {state}" in detail["message"]


@pytest.mark.parametrize("days", [-1, 0, 1, 30])
def test_key_material_that_expires_within_30_days_is_reported(
    days: int, records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    clock.move(seconds=QUIET)
    show(key, ValidTo=clock.time + timedelta(days=days))

    sweep(records)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["action"]) == ("MATERIAL_EXPIRES", "REPORTED")
    assert (detail["requestId"], detail["region"]) == ("CHG1", HOME)
    assert detail["keyArn"] == key["Arn"]
    at = instant_text(clock.time + timedelta(days=days))
    verb = "expires" if days > 0 else "expired"
    assert f"The key material of {key['Arn']} {verb} at {at}." in detail["message"]
    assert "Send request CHG1 again with a later validTo" in detail["message"]


@pytest.mark.parametrize("left", [timedelta(days=30, seconds=1), timedelta(days=31)])
def test_key_material_that_expires_later_is_no_finding(
    left: timedelta, records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    clock.move(seconds=QUIET)
    show(key, ValidTo=clock.time + left)

    sweep(records)

    assert published == []


def test_key_material_that_has_expired_leaves_a_key_that_is_not_enabled(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    show(key, KeyState="PendingImport")
    clock.move(seconds=QUIET)

    sweep(records)

    assert actions(published) == [("KEY_NOT_ENABLED", "REPORTED")]


def test_the_keys_of_a_request_that_waits_for_key_material_are_left_alone(
    records: Records, published: Findings, clock: Clock
) -> None:
    waiting(records)
    holder_is("RUNNING")
    key = make_key()
    show(key, KeyState="PendingImport", ValidTo=clock.time)
    clock.move(seconds=QUIET)

    counts = sweep(records, settings=MAY_DELETE)

    assert counts == {"requests": 1, "keys": 1, "failed": 0}
    assert (published, executions()) == ([], [])


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED_OUT"])
def test_a_request_that_waits_and_has_no_execution_any_more_is_resumed(
    status: str, records: Records, published: Findings, clock: Clock
) -> None:
    waiting(records)
    clock.move(seconds=QUIET)
    holder_is(status)

    sweep(records)

    assert actions(published) == [("REQUEST_STUCK", "RESUMED")]
    assert len(executions()) == 1


def test_the_key_of_a_failed_request_needs_neither_alias_nor_state(
    records: Records, published: Findings, clock: Clock
) -> None:
    key = make_key()
    show(key, KeyState="PendingImport")
    claimed(records)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key["Arn"])
    end(records, Status.FAILED)
    clock.move(seconds=QUIET)

    sweep(records)

    assert published == []


def test_a_request_that_cannot_be_looked_at_is_counted_and_the_rest_goes_on(
    records: Records,
    published: Findings,
    clock: Clock,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for request_id in ("CHG1", "CHG2"):
        claimed(records, request_of(requestId=request_id))
    stray = make_key(request_id="CHG3")
    clock.move(seconds=QUIET)
    answers = (refusal("ThrottlingException"), {"status": "FAILED"})
    answer(client("stepfunctions"), "DescribeExecution", *answers)

    counts = sweep(records)

    assert counts == {"requests": 2, "keys": 1, "failed": 1}
    assert [detail["keyArn"] for _, _, detail in published] == [None, stray["Arn"]]
    (line,) = [
        line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] == "ERROR"
    ]
    assert line["message"] == "check failed"
    assert line["subject"] in ("CHG1", "CHG2")
    assert '"ChecksFailed":[1.0]' in capsys.readouterr().out


def test_a_key_that_cannot_be_looked_at_is_counted_and_the_rest_goes_on(
    records: Records, published: Findings, clock: Clock, log: io.StringIO
) -> None:
    stray = [make_key(request_id="CHG2"), make_key("eu-west-1", "CHG3")]
    clock.move(seconds=QUIET)
    answer(client("kms", HOME), "DescribeKey", refusal("AccessDeniedException"))

    counts = sweep(records, HOME, "eu-west-1")

    assert counts == {"requests": 0, "keys": 2, "failed": 1}
    assert [detail["keyArn"] for _, _, detail in published] == [stray[1]["Arn"]]
    assert stray[0]["Arn"] in log.getvalue()


def test_a_finding_that_cannot_be_told_is_counted(records: Records, clock: Clock) -> None:
    key = make_key()
    clock.move(seconds=QUIET)
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    counts = sweep(records, settings=MAY_DELETE)

    assert counts["failed"] == 1
    assert state_of(key) == "Enabled"


def test_a_region_whose_keys_cannot_be_listed_is_counted_and_the_rest_goes_on(
    records: Records, published: Findings, clock: Clock
) -> None:
    stray = make_key("eu-west-1", "CHG3")
    clock.move(seconds=QUIET)
    tagging = client("resourcegroupstaggingapi", HOME)
    answer(tagging, "GetResources", refusal("ThrottledException"))

    counts = sweep(records, HOME, "eu-west-1")

    assert counts == {"requests": 0, "keys": 1, "failed": 1}
    assert [detail["keyArn"] for _, _, detail in published] == [stray["Arn"]]


@pytest.mark.parametrize("fields", [{}, {"ValidTo": datetime(2026, 11, 24, tzinfo=UTC)}])
def test_a_replica_that_the_request_does_not_name_is_somebody_elses(
    fields: dict[str, Any], records: Records, published: Findings, clock: Clock
) -> None:
    key = created(records)
    region = "eu-central-1"
    client("kms", HOME).replicate_key(KeyId=key["KeyId"], ReplicaRegion=region)
    tags = {"mrk:stack": "mrk-provisioner", "mrk:request-id": "CHG1"}
    client("kms", region).tag_resource(
        KeyId=key["KeyId"], Tags=[{"TagKey": k, "TagValue": v} for k, v in tags.items()]
    )
    show({**key, "Arn": key["Arn"].replace(HOME, region)}, **fields)
    clock.move(seconds=QUIET)

    counts = sweep(records, region)

    assert counts == {"requests": 0, "keys": 1, "failed": 0}
    assert published == []


def test_a_single_region_key_with_our_tags_is_reported_like_any_other(
    records: Records, published: Findings, clock: Clock
) -> None:
    tags: list[KeyTag] = [
        {"TagKey": "mrk:stack", "TagValue": "mrk-provisioner"},
        {"TagKey": "mrk:request-id", "TagValue": "CHG9"},
    ]
    stray = client("kms", HOME).create_key(Tags=tags)["KeyMetadata"]["Arn"]
    clock.move(seconds=QUIET)

    counts = sweep(records)

    assert counts["failed"] == 0
    assert [detail["keyArn"] for _, _, detail in published] == [stray]


def test_what_is_swept_twice_is_resumed_once(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    clock.move(seconds=QUIET)

    sweep(records)
    (execution,) = executions()
    records.claim(REQUEST, execution["executionArn"], dead_execution=EXECUTION)
    clock.move(seconds=QUIET)
    sweep(records)

    assert len(published) == 1
    assert len(executions()) == 1


@pytest.mark.parametrize("is_taken", [False, True])
def test_an_execution_that_followed_and_died_as_well_is_followed_unless_it_claimed(
    records: Records, clock: Clock, is_taken: bool
) -> None:
    claimed(records)
    clock.move(seconds=QUIET)
    sweep(records)
    (first,) = executions()
    client("stepfunctions").stop_execution(executionArn=first["executionArn"])
    read = records.get_many

    def read_later(request_ids: Iterable[str], *, consistently: bool = False) -> Iterator[Record]:
        if is_taken and consistently:
            records.claim(REQUEST, first["executionArn"], dead_execution=EXECUTION)
        return read(request_ids, consistently=consistently)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "get_many", read_later)
        sweep(records)

    assert len(executions()) == (1 if is_taken else 2)


def test_a_holder_that_changes_meanwhile_keeps_its_request(records: Records, clock: Clock) -> None:
    claimed(records)
    clock.move(seconds=QUIET)

    def meanwhile(**_: Any) -> None:
        records.claim(REQUEST, OTHER_EXECUTION, dead_execution=EXECUTION)

    on(client("stepfunctions"), "before-call.sfn.StartExecution", meanwhile)
    sweep(records)

    record = records.get("CHG1")
    assert record
    assert record.execution_arn == OTHER_EXECUTION


def test_a_worker_is_started_in_each_region_with_the_age_of_the_table(records: Records) -> None:
    work = workers_started()
    made_at = client("dynamodb").describe_table(TableName="requests")["Table"]["CreationDateTime"]

    counts = sweeper(records).sweep([HOME, "eu-west-1"])

    assert counts == {"requests": 0, "regions": 2, "failed": 0}
    assert work == [
        {"region": region, "tableMadeAt": made_at.isoformat(), "begin": True}
        for region in (HOME, "eu-west-1")
    ]


def test_a_worker_that_cannot_be_started_is_counted_and_the_rest_goes_on(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = (refusal("TooManyRequestsException", status=429), {"StatusCode": 202})
    answer(client("lambda"), "Invoke", *answers)

    counts = sweeper(records).sweep([HOME, "eu-west-1"])

    assert counts == {"requests": 0, "regions": 1, "failed": 1}
    assert '"ChecksFailed":[1.0]' in capsys.readouterr().out


def test_no_region_is_no_worker(records: Records) -> None:
    work = workers_started()

    assert sweeper(records).sweep([])["regions"] == 0
    assert work == []


def test_only_regions_with_something_left_over_get_a_worker_again(records: Records) -> None:
    region_sweeper(records, HOME).sweep("worker", begin=True)
    region_sweeper(records, "eu-west-1").sweep("worker", begin=True, has_time=lambda: False)
    claimed(records)
    work = workers_started()

    counts = sweeper(records).go_on([HOME, "eu-west-1", "us-west-2"])

    assert counts == {"requests": 0, "regions": 1, "failed": 0}
    assert [(asked["region"], asked["begin"]) for asked in work] == [("eu-west-1", False)]


@pytest.mark.parametrize("ended", [True, False])
def test_a_region_that_was_not_looked_through_for_hours_is_counted(
    ended: bool, records: Records, clock: Clock, log: io.StringIO
) -> None:
    region_sweeper(records).sweep("worker", begin=True, has_time=lambda: ended)
    workers_started()
    clock.move(seconds=3 * 3600)
    in_time = sweeper(records).sweep([HOME])
    clock.move(seconds=1)

    overdue = sweeper(records).sweep([HOME])

    assert (in_time["failed"], overdue["failed"]) == (0, 1)
    assert json.loads(log.getvalue().splitlines()[-1])["subject"] == HOME


def now_invalid(records: Records, clock: Clock) -> KeySetRequest:
    """Claim a request whose `validTo` passes before the sweep looks at it."""
    valid_to = instant_text(clock.time + timedelta(seconds=QUIET))
    request = request_of(origin="EXTERNAL", keyMaterial={"validTo": valid_to})
    claimed(records, request)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key_arn())
    clock.move(seconds=QUIET + 1)
    holder_is("ABORTED")
    return request


def published_outcomes(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    """Let Lambda give these answers; give a list that grows with the outcomes to be published."""
    outcomes: list[dict[str, Any]] = []

    def take(params: dict[str, Any], **_: Any) -> None:
        if params["FunctionName"] == "publish-outcome":
            outcomes.append(json.loads(params["Payload"]))

    on(client("lambda"), "provide-client-params.lambda.Invoke", take)
    answer(client("lambda"), "Invoke", *answers)
    return outcomes


def payload(content: str) -> dict[str, Any]:
    return {"StatusCode": 200, "Payload": io.BytesIO(content.encode())}


def test_a_stuck_request_that_is_not_valid_any_more_ends_with_its_key(
    records: Records, published: Findings, clock: Clock
) -> None:
    request = now_invalid(records, clock)
    outcomes = published_outcomes(payload('{"status": "FAILED"}'))

    sweeper(records).sweep([])

    (outcome,) = outcomes
    assert (outcome["status"], outcome["executionArn"]) == ("FAILED", EXECUTION)
    assert outcome["request"] == request
    assert outcome["primary"]["arn"] == key_arn()
    (failure,) = outcome["failures"]
    assert (failure["error"], failure["region"]) == ("RequestRejected", HOME)
    assert "keyMaterial.validTo: " in failure["cause"]
    assert "The keys that exist are kept." in failure["cause"]
    assert (actions(published), executions()) == ([("REQUEST_STUCK", "ENDED")], [])
    assert published[0][2]["keyArn"] == key_arn()


def test_a_guardrail_that_was_tightened_ends_a_stuck_request_without_a_key(
    records: Records, published: Findings, clock: Clock
) -> None:
    claimed(records)
    clock.move(seconds=QUIET)
    holder_is("FAILED")
    outcomes = published_outcomes(payload("{}"))

    sweeper(records, replace(SETTINGS, alias_prefixes=("alias/other/",))).sweep([])

    (outcome,) = outcomes
    assert outcome["primary"] is None
    assert "AliasPrefixes" in outcome["failures"][0]["cause"]
    assert "No key is recorded." in outcome["failures"][0]["cause"]
    assert actions(published) == [("REQUEST_STUCK", "ENDED")]


def test_a_created_request_that_nobody_was_told_of_ends_as_created(
    records: Records, published: Findings, clock: Clock
) -> None:
    request = now_invalid(records, clock)
    facts: Any = {"region": HOME, "arn": key_arn(), "alias": "alias/cards", "keyState": "Enabled"}
    key: Any = {"primary": facts, "replicas": [facts], "keyMetadata": {"KeyId": "x"}}
    records.finish(request, execution_arn=EXECUTION, status=Status.CREATED, key=key, errors=[])
    outcomes = published_outcomes(payload("{}"))

    sweeper(records).sweep([])

    (outcome,) = outcomes
    assert (outcome["status"], outcome["failures"]) == ("CREATED", [])
    assert (outcome["primary"], outcome["replicas"]) == (facts, [facts])
    assert outcome["keyMetadata"] == {"KeyId": "x"}
    assert actions(published) == [("REQUEST_STUCK", "ENDED")]


@pytest.mark.parametrize(
    "refused",
    [
        refusal("TooManyRequestsException", status=429),
        {"StatusCode": 200, "FunctionError": "Unhandled"},
    ],
)
def test_an_outcome_that_was_not_published_is_left_to_the_next_sweep(
    refused: dict[str, Any], records: Records, published: Findings, clock: Clock
) -> None:
    now_invalid(records, clock)
    published_outcomes(refused)

    counts = sweeper(records).sweep([])

    assert (counts["failed"], published) == (1, [])


def test_nothing_is_told_of_a_request_that_another_execution_has_taken_over(
    records: Records, published: Findings, clock: Clock
) -> None:
    now_invalid(records, clock)
    published_outcomes(payload("null"))

    counts = sweeper(records).sweep([])

    assert (counts["failed"], published) == (0, [])
