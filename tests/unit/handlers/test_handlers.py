"""Each step's handler, called with the file of events/ that belongs to it."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apply_key_settings import app as apply_key_settings
from ask_for_key_material import app as ask_for_key_material
from claim_request import app as claim_request
from confirm_key_set import app as confirm_key_set
from create_primary_key import app as create_primary_key
from create_replica_key import app as create_replica_key
from import_key_material import app as import_key_material
from provisioner.aws.clients import client, send_once_kms
from provisioner.aws.records import Record, Records, Status
from provisioner.errors import (
    DependencyUnavailable,
    EventNotPublished,
    KmsThrottled,
    ReplicaKeyNotEnabled,
)
from receive_key_material import app as receive_key_material
from reconcile_primary_key import app as reconcile_primary_key
from roll_back_key_set import app as roll_back_key_set
from sweep import app as sweep
from sweep_region import app as sweep_region
from tests.support.answering import (
    answer,
    answer_on_the_wire,
    calls_of,
    forget_answers,
    kms_for,
    refusal,
)
from tests.support.clock import Clock
from tests.support.emitted_metrics import metrics_in
from tests.support.published import published_on
from tests.support.samples import SETTINGS, key_arn, sample_event
from tests.support.sweeping import workers_started
from tests.support.tagged_keys import make_key
from validate_request import app as validate_request

pytestmark = pytest.mark.usefixtures("aws")

HOME = "us-east-1"
QUESTION = sample_event("ask-for-key-material")
IMPORTED = sample_event("import-key-material")
NEVER_LOGGED = [
    *("servicenow", "CardService", "KeyAdmin", "Statement", "kms:*", "Card data"),
    *(QUESTION["taskToken"], QUESTION["question"]["materials"][0]["publicKey"]),
    *(IMPORTED["answer"]["importToken"], IMPORTED["answer"]["encryptedKeyMaterial"]),
]


def metadata(region: str, state: str = "Enabled", **fields: Any) -> dict[str, Any]:
    listed = [{"Region": r, "Arn": key_arn(r)} for r in (HOME, "eu-west-1", "us-west-2")]
    roles = {"PrimaryKey": listed[0], "ReplicaKeys": listed[1:]}
    return {
        "KeyMetadata": {
            "KeyId": key_arn(region).rsplit("/", 1)[1],
            "Arn": key_arn(region),
            "KeyState": state,
            "MultiRegionConfiguration": roles,
            **fields,
        }
    }


def logged(log: io.StringIO, request_id: str = "CHG0031337") -> list[Any]:
    """Return the log's lines, which all carry the request's ID and none of its secrets."""
    text = log.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines
    assert all(line["request_id"] == request_id for line in lines)
    assert all(line["service"] == "mrk-provisioner" for line in lines)
    assert not [secret for secret in NEVER_LOGGED if secret in text]
    return lines


def claim(event: dict[str, Any], context: Any) -> None:
    claim_request.handler(
        {
            "request": event["request"],
            "executionArn": event["executionArn"],
            "materialMissing": False,
            "via": None,
        },
        context,
    )


def test_a_sound_request_is_normalised(context: Any, log: io.StringIO) -> None:
    answered = validate_request.handler(sample_event("validate-request"), context)

    request = sample_event("claim-request")["request"]
    assert answered == {"request": request, "problems": [], "refused": None, "via": None}
    (line,) = logged(log)
    assert (line["message"], line["replicas"]) == ("request is valid", 2)


def test_the_samples_about_imported_key_material_are_of_one_request(context: Any) -> None:
    document = sample_event("key-requested-external")["detail"]
    answer_sample = sample_event("receive-key-material")

    answered = validate_request.handler(document, context)

    assert answered == {
        "request": IMPORTED["request"],
        "problems": [],
        "refused": None,
        "via": None,
    }
    assert answer_sample["materials"] == [IMPORTED["answer"]]
    assert json.loads(sample_event("api-post-material")["body"]) == answer_sample
    ids = {document["requestId"], answer_sample["requestId"], QUESTION["question"]["requestId"]}
    assert ids == {"CHG0031338"}


@pytest.mark.parametrize("document", [{}, None, [], "text", {"requestId": "CHG1", "policy": 1}])
def test_a_bad_request_is_answered_with_its_problems(
    document: object, context: Any, log: io.StringIO
) -> None:
    answered = validate_request.handler(document, context)

    assert answered["request"] is None
    assert answered["problems"]
    (line,) = log.getvalue().splitlines()
    codes = [problem["code"] for problem in answered["problems"]]
    assert json.loads(line)["codes"] == codes
    given = document.get("requestId") if isinstance(document, dict) else None
    refused = answered["refused"]
    assert refused
    assert (refused["requestId"], refused["ticket"]) == (given, None)


def test_a_new_request_is_claimed(context: Any, log: io.StringIO) -> None:
    answered = claim_request.handler(sample_event("claim-request"), context)

    assert answered == {
        "decision": "PROCEED",
        "primary": None,
        "replicas": [],
        "keyMetadata": None,
        "everCreated": False,
        "superseded": {},
        "problems": [],
        "provenance": None,
        "waitSeconds": 0,
    }
    logged(log)


def test_a_claim_tells_of_the_key_that_is_there(context: Any) -> None:
    event = sample_event("claim-request")
    claim(event, context)
    records = Records(client("dynamodb"), "requests")
    records.announce_attempt("CHG0031337", event["executionArn"], 1, "token")
    records.close_attempt("CHG0031337", 1, key_arn())

    answered = claim_request.handler(event, context)

    key = {"region": HOME, "arn": key_arn(), "alias": None, "keyState": None}
    assert (answered["decision"], answered["primary"], answered["replicas"]) == ("PROCEED", key, [])


def test_a_claim_that_does_not_fit_is_answered_with_its_problems(
    context: Any, log: io.StringIO
) -> None:
    event = sample_event("claim-request")
    claim(event, context)

    other: Any = {**event, "request": {**event["request"], "description": "other"}}
    answered = claim_request.handler(other, context)

    assert (answered["decision"], answered["primary"]) == ("REFUSED", None)
    [problem] = answered["problems"]
    assert (problem["path"], problem["code"]) == ("requestId", "REQUEST_CONFLICT")
    assert logged(log)[-1]["codes"] == ["REQUEST_CONFLICT"]


def test_a_primary_key_is_created_with_everything_but_its_alias(
    context: Any, log: io.StringIO
) -> None:
    event = sample_event("create-primary-key")
    claim(event, context)

    made = create_primary_key.handler(event, context)

    key = made["key"]
    assert (key["region"], key["keyState"], made["fresh"]) == (HOME, "Enabled", True)
    assert made["keyMetadata"]
    assert made["keyMetadata"]["Arn"] == key["arn"]
    assert json.loads(json.dumps(made["keyMetadata"])) == made["keyMetadata"]
    found = client("kms", HOME).describe_key(KeyId=key["arn"])["KeyMetadata"]
    assert found["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"
    assert found["Description"] == "Card data"
    policy = json.loads(kms_for(HOME).get_key_policy(KeyId=key["arn"])["Policy"])
    assert len(policy["Statement"]) == 4
    assert logged(log)[-1]["arn"] == key["arn"]


def test_the_settings_of_an_older_replica_are_brought_to_its_own(
    context: Any, log: io.StringIO
) -> None:
    event = sample_event("apply-key-settings")
    kms = kms_for("us-west-2")
    arn = kms.create_key(MultiRegion=True, Description="Card data")["KeyMetadata"]["Arn"]

    older: Any = {**event, "key": {**event["key"], "arn": arn}}
    answered = apply_key_settings.handler(older, context)

    key = {**event["key"], "arn": arn, "alias": "alias/payments/cards-us"}
    assert answered == {"key": key, "fresh": False}
    found = kms.describe_key(KeyId="alias/payments/cards-us")["KeyMetadata"]
    assert (found["Arn"], found["Description"]) == (arn, "")
    tags = {t["TagKey"]: t["TagValue"] for t in kms.list_resource_tags(KeyId=arn)["Tags"]}
    assert tags == {
        "team": "payments-us",
        "mrk:request-id": "CHG0031337",
        "mrk:stack": "mrk-provisioner",
    }
    assert "CardServiceUs" in kms.get_key_policy(KeyId=arn)["Policy"]
    assert not kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]
    logged(log)


def test_a_replica_is_asked_for_in_the_primarys_region(context: Any, log: io.StringIO) -> None:
    answer(
        send_once_kms(HOME),
        "ReplicateKey",
        {"ReplicaKeyMetadata": metadata("us-west-2", "Creating")["KeyMetadata"]},
    )
    calls = calls_of(send_once_kms(HOME))

    made = create_replica_key.handler(sample_event("create-replica-key"), context)

    arn = key_arn("us-west-2")
    key = {"region": "us-west-2", "arn": arn, "alias": None, "keyState": "Creating"}
    assert made == {"key": key, "fresh": True}
    ((_, parameters),) = calls
    assert (parameters["KeyId"], parameters["ReplicaRegion"]) == (key_arn(), "us-west-2")
    assert parameters["Description"] == ""
    assert "CardServiceUs" in parameters["Policy"]
    logged(log)


def counted(name: str, text: str) -> float:
    """Add up a metric in what the functions print."""
    found = metrics_in(text.splitlines())
    return sum(sum(values) for metric, values in found.items() if metric.name == name)


def test_a_primary_key_is_counted_when_it_is_made_and_not_when_it_is_found(
    context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    event = sample_event("create-primary-key")
    claim(event, context)

    assert create_primary_key.handler(event, context)["fresh"] is True
    assert counted("NewKeys", capsys.readouterr().out) == 1
    assert create_primary_key.handler(event, context)["fresh"] is False
    assert counted("NewKeys", capsys.readouterr().out) == 0


def test_a_throttled_replica_is_asked_for_once_by_a_call_of_the_step(context: Any) -> None:
    sent = answer_on_the_wire(send_once_kms(HOME), 400, {"__type": "ThrottlingException"})

    with pytest.raises(KmsThrottled):
        create_replica_key.handler(sample_event("create-replica-key"), context)

    assert len(sent) == 1


def test_a_replica_is_counted_when_it_is_made_and_not_when_it_is_found(
    context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    primary, event = send_once_kms(HOME), sample_event("create-replica-key")
    made = {"ReplicaKeyMetadata": metadata("us-west-2", "Creating")["KeyMetadata"]}
    answer(primary, "ReplicateKey", made)
    create_replica_key.handler(event, context)
    assert counted("NewKeys", capsys.readouterr().out) == 1
    forget_answers()

    answer(primary, "ReplicateKey", refusal("AlreadyExistsException"))
    answer(client("kms", "us-west-2"), "DescribeKey", metadata("us-west-2"))
    assert create_replica_key.handler(event, context)["fresh"] is False
    assert counted("NewKeys", capsys.readouterr().out) == 0


def new_replica(state: str) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    """Let KMS show a replica key in a state; return the event of its settings, and the calls."""
    sample, replica = sample_event("apply-key-settings"), client("kms", "us-west-2")
    answer(replica, "DescribeKey", metadata("us-west-2", state))
    answer(replica, "CreateAlias", {})
    event = {**sample, "key": {**sample["key"], "keyState": "Creating"}, "fresh": True}
    return event, calls_of(replica)


@pytest.mark.parametrize("state", ["Enabled", "PendingImport"])
def test_a_replica_that_is_made_gets_its_alias_after_one_look(
    state: str, context: Any, log: io.StringIO
) -> None:
    event, calls = new_replica(state)

    answered = apply_key_settings.handler(event, context)

    key = {**event["key"], "alias": "alias/payments/cards-us", "keyState": state}
    assert answered == {"key": key, "fresh": True}
    assert [name for name, _ in calls] == ["DescribeKey", "CreateAlias"]
    logged(log)


@pytest.mark.parametrize("state", ["Creating", "Disabled"])
def test_a_replica_that_is_not_made_yet_is_called_for_again(
    state: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    event, calls = new_replica(state)

    with pytest.raises(ReplicaKeyNotEnabled, match=f"in us-west-2 is still {state}"):
        apply_key_settings.handler(event, context)

    assert [name for name, _ in calls] == ["DescribeKey"]
    # Lambda counts an error, and this takes it off again.
    assert counted("ExpectedErrors", capsys.readouterr().out) == -1


def test_a_fresh_primary_gets_its_settings_and_is_not_read(context: Any) -> None:
    sample, kms = sample_event("apply-key-settings"), client("kms", HOME)
    key = {"region": HOME, "arn": key_arn(), "alias": None, "keyState": "Enabled"}
    answer(kms, "CreateAlias", {})
    answer(kms, "EnableKeyRotation", {})
    calls = calls_of(kms)

    fresh: Any = {**sample, "key": key, "fresh": True}
    answered = apply_key_settings.handler(fresh, context)

    assert answered == {"key": {**key, "alias": "alias/payments/cards"}, "fresh": True}
    assert [name for name, _ in calls] == ["EnableKeyRotation", "CreateAlias"]


def test_a_key_set_is_confirmed_with_its_metadata(context: Any, log: io.StringIO) -> None:
    answer(client("kms", HOME), "DescribeKey", metadata(HOME))

    answered = confirm_key_set.handler(sample_event("confirm-key-set"), context)

    assert answered == metadata(HOME)["KeyMetadata"]
    logged(log)


def test_a_key_set_that_was_finished_before_is_read_whatever_its_state(context: Any) -> None:
    answer(client("kms", HOME), "DescribeKey", metadata(HOME, "Disabled"))
    event: Any = {**sample_event("confirm-key-set"), "everCreated": True}

    answered = confirm_key_set.handler(event, context)

    assert answered == metadata(HOME, "Disabled")["KeyMetadata"]


def test_a_key_set_is_rolled_back(context: Any, log: io.StringIO) -> None:
    regions = [HOME, "eu-west-1", "us-west-2"]
    calls = {region: calls_of(client("kms", region)) for region in regions}
    for region in regions:
        kms = client("kms", region)
        answer(kms, "DescribeKey", metadata(region))
        named = ("alias/payments/cards", "alias/payments/cards-us")
        answer(kms, "ListAliases", {"Aliases": [{"AliasName": name} for name in named]})
        answer(kms, "DeleteAlias", {})
        answer(kms, "ScheduleKeyDeletion", {})

    keys = roll_back_key_set.handler(sample_event("roll-back-key-set"), context)

    assert keys["primary"]["arn"] == key_arn()
    assert [key["region"] for key in keys["replicas"]] == regions[1:]
    window = SETTINGS.deletion_window_days
    for region in regions:
        parameters = {"KeyId": key_arn(region), "PendingWindowInDays": window}
        assert ("ScheduleKeyDeletion", parameters) in calls[region]
    assert ("DeleteAlias", {"AliasName": "alias/payments/cards-us"}) in calls["us-west-2"]
    logged(log)


@pytest.mark.parametrize("code", [None, "IncorrectKeyMaterialException"])
def test_key_material_is_imported_in_the_keys_region_or_asked_for_again(
    code: str | None, context: Any, log: io.StringIO
) -> None:
    kms, region = client("kms", "us-west-2"), "us-west-2"
    answer(kms, "DescribeKey", metadata(region, "PendingImport"), metadata(region))
    answer(kms, "ImportKeyMaterial", refusal(code) if code else {})
    parameters = {
        "PublicKey": b"public",
        "ImportToken": b"token",
        "ParametersValidTo": datetime(2026, 11, 25, 20, 0, tzinfo=UTC),
    }
    answer(kms, "GetParametersForImport", parameters)
    calls = calls_of(kms)

    state = import_key_material.handler(IMPORTED, context)

    refused = ["INCORRECT_KEY_MATERIAL"] if code else []
    key_state = "PendingImport" if code else "Enabled"
    assert state["key"] == {**IMPORTED["key"], "keyState": key_state, "validTo": None}
    assert [material["region"] for material in state["materials"]] == [region] * bool(code)
    assert [problem["code"] for problem in state["problems"]] == refused
    assert ("ImportKeyMaterial", calls[1][1]) in calls
    assert calls[1][1]["ImportToken"] == b"import token of us-west-2"
    (line,) = logged(log, "CHG0031338")
    assert (line["region"], line["keyState"]) == (region, key_state)
    assert (line["needed"], line["refused"]) == (bool(code), refused)


def test_a_region_that_nobody_answered_for_is_asked_for(context: Any) -> None:
    kms = client("kms", "us-west-2")
    answer(kms, "DescribeKey", metadata("us-west-2", "PendingImport"))
    answer(kms, "GetParametersForImport", refusal("ThrottlingException"))
    unanswered: Any = {**IMPORTED, "answer": None}

    with pytest.raises(Exception, match="GetParametersForImport") as caught:
        import_key_material.handler(unanswered, context)

    assert type(caught.value).__name__ == "KmsThrottled"


def ask(context: Any) -> Records:
    """Let the request of the samples wait for key material."""
    execution = QUESTION["question"]["executionArn"]
    claim({"request": IMPORTED["request"], "executionArn": execution}, context)
    ask_for_key_material.handler(QUESTION, context)
    return Records(client("dynamodb"), "requests")


def imported_record(records: Records) -> Record:
    record = records.get("CHG0031338")
    assert record
    return record


def test_key_material_is_asked_for(context: Any, log: io.StringIO) -> None:
    events = published_on(client("events"))

    records = ask(context)

    ((_, detail_type, detail),) = events
    id_ = QUESTION["primary"]["arn"].rsplit("/", 1)[1]
    exists = {"keyId": id_, "primary": QUESTION["primary"], "replicas": QUESTION["replicas"]}
    key = {**QUESTION["kind"], **exists, "keyMetadata": None}
    assert detail_type == "Multi-Region Key Material Required"
    assert detail == {**QUESTION["question"], "key": key}
    record = imported_record(records)
    assert (record.status, record.task_token) == (
        Status.WAITING_FOR_MATERIAL,
        QUESTION["taskToken"],
    )
    assert logged(log, "CHG0031338")[-1]["regions"] == ["us-west-2"]


def test_an_answer_over_the_bus_is_handed_to_the_execution(context: Any, log: io.StringIO) -> None:
    records = ask(context)
    events = published_on(client("events"))
    answer(client("stepfunctions"), "SendTaskSuccess", {})
    calls = calls_of(client("stepfunctions"))

    receive_key_material.handler(sample_event("receive-key-material"), context)

    ((_, parameters),) = calls
    assert parameters["taskToken"] == QUESTION["taskToken"]
    assert json.loads(parameters["output"]) == {"materials": [IMPORTED["answer"]]}
    assert imported_record(records).status == Status.IN_PROGRESS
    assert events == []
    assert logged(log, "CHG0031338")[-1]["message"] == "key material was received"


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"materials": []}, "materials", "TOO_SHORT"),
        ({"requestId": "CHG7"}, "requestId", "REQUEST_NOT_FOUND"),
        ({"requestId": "CHG0031337"}, "requestId", "KEY_MATERIAL_NOT_AWAITED"),
    ],
)
def test_an_answer_over_the_bus_is_refused_on_the_bus(
    changes: dict[str, Any], path: str, code: str, context: Any, log: io.StringIO
) -> None:
    ask(context)
    claim(sample_event("claim-request"), context)
    events = published_on(client("events"))
    log.seek(0)
    log.truncate()

    receive_key_material.handler({**sample_event("receive-key-material"), **changes}, context)

    ((_, detail_type, detail),) = events
    request_id = changes.get("requestId", "CHG0031338")
    assert detail_type == "Multi-Region Key Material Refused"
    assert detail["requestId"] == request_id
    assert [(error["path"], error["code"]) for error in detail["errors"]] == [(path, code)]
    (line,) = logged(log, request_id)
    assert line["errors"] == [code]


@pytest.mark.parametrize("event", [None, [], "text", {}, {"requestId": 7}, {"requestId": "CHG 7"}])
def test_what_is_no_answer_is_refused_on_the_bus(
    event: object, context: Any, log: io.StringIO
) -> None:
    events = published_on(client("events"))

    receive_key_material.handler(event, context)

    ((_, _, detail),) = events
    assert detail["requestId"] is None
    assert detail["errors"]
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert "request_id" not in line


def test_an_answer_over_the_bus_that_is_not_taken_comes_again(context: Any) -> None:
    ask(context)
    answer(client("stepfunctions"), "SendTaskSuccess", refusal("ThrottlingException"))

    with pytest.raises(DependencyUnavailable, match="SendTaskSuccess"):
        receive_key_material.handler(sample_event("receive-key-material"), context)


def test_a_refusal_that_is_not_told_comes_again(context: Any) -> None:
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    with pytest.raises(EventNotPublished):
        receive_key_material.handler(sample_event("receive-key-material"), context)


def test_a_claim_tells_that_the_key_set_was_finished_once(context: Any) -> None:
    event = sample_event("claim-request")
    claim(event, context)
    request_id, holder = event["request"]["requestId"], event["executionArn"]
    records = Records(client("dynamodb"), "requests")
    records.announce_attempt(request_id, holder, 1, "token")
    records.close_attempt(request_id, 1, key_arn())
    records.finish(
        event["request"],
        execution_arn=event["executionArn"],
        status=Status.CREATED,
        key=None,
        errors=[],
    )

    answered = claim_request.handler(event, context)

    assert (answered["decision"], answered["everCreated"]) == ("PUBLISH", True)
    regions = [key["region"] for key in answered["replicas"]]
    assert regions == [replica["region"] for replica in event["request"]["replicas"]]


def attempt(context: Any) -> Records:
    event = sample_event("create-primary-key")
    claim(event, context)
    records = Records(client("dynamodb"), "requests")
    records.announce_attempt("CHG0031337", event["executionArn"], 1, "token")
    return records


def test_a_key_is_looked_for_again_until_the_attempt_is_settled(
    context: Any, clock: Clock, log: io.StringIO
) -> None:
    attempt(context)
    event = sample_event("reconcile-primary-key")

    early = reconcile_primary_key.handler(event, context)
    clock.move(seconds=SETTINGS.quiet_period_seconds)
    again: Any = {**event, **early}
    late = reconcile_primary_key.handler(again, context)

    assert early == {"settled": False, "polls": 1}
    assert late == {"settled": True, "polls": 2}
    assert [line["settled"] for line in logged(log) if "settled" in line] == [False, True]


def test_a_key_that_is_found_settles_the_attempt(context: Any, log: io.StringIO) -> None:
    records = attempt(context)
    key = make_key(request_id="CHG0031337", attempt=1)

    answered = reconcile_primary_key.handler(sample_event("reconcile-primary-key"), context)

    record = records.get("CHG0031337")
    assert answered == {"settled": True, "polls": 1}
    assert record
    assert record.key_arn == key["Arn"]
    logged(log)


def test_a_sweep_looks_in_every_enabled_region(
    context: Any, clock: Clock, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = [{"RegionName": region} for region in ("us-west-2", HOME)]
    answer(client("ec2"), "DescribeRegions", {"Regions": regions})
    attempt(context)
    stray = [make_key(region, "CHG0031404") for region in (HOME, "us-west-2", "eu-west-1")]
    clock.move(seconds=SETTINGS.quiet_period_seconds)
    events = published_on(client("events"))
    work = workers_started()

    counts = sweep.handler(sample_event("sweep"), context)
    positions = [sweep_region.handler(asked, context) for asked in work]

    assert counts == {"requests": 1, "regions": 2, "failed": 0}
    assert [asked["region"] for asked in work] == [HOME, "us-west-2"]
    assert [position["keys"] for position in positions if position] == [1, 1]
    told = {(detail["kind"], detail["keyArn"], detail["action"]) for _, _, detail in events}
    assert told == {
        ("REQUEST_STUCK", None, "RESUMED"),
        ("SURPLUS_KEY", stray[0]["Arn"], "REPORTED"),
        ("SURPLUS_KEY", stray[1]["Arn"], "REPORTED"),
    }
    text = log.getvalue()
    swept = [line for line in map(json.loads, text.splitlines()) if "counts" in line]
    assert [line["counts"] for line in swept] == [counts]
    assert json.loads(text.splitlines()[-1])["position"] == positions[-1]
    assert not [secret for secret in NEVER_LOGGED if secret in text]
    assert capsys.readouterr().out.count('"ChecksFailed":[0.0]') == 3


def test_a_worker_leaves_over_what_it_has_no_time_for_and_the_next_goes_on(
    context: Any, clock: Clock, log: io.StringIO
) -> None:
    answer(client("ec2"), "DescribeRegions", {"Regions": [{"RegionName": HOME}]})
    make_key(HOME, "CHG0031404")
    clock.move(seconds=SETTINGS.quiet_period_seconds)
    work = workers_started()
    hurried = replace(context, milliseconds=60_000)

    sweep.handler({}, context)
    first = sweep_region.handler(work[0], hurried)
    left_over = sweep.handler({"leftOver": True}, context)
    second = sweep_region.handler(work[1], context)
    nothing_left = sweep.handler({"leftOver": True}, context)

    assert first
    assert second
    assert (first["is_under_way"], second["is_under_way"]) == (True, False)
    assert [asked["begin"] for asked in work] == [True, False]
    assert (left_over["regions"], nothing_left["regions"]) == (1, 0)
    assert second["keys"] == 1
    assert not [secret for secret in NEVER_LOGGED if secret in log.getvalue()]


def test_an_error_leaves_the_step_under_its_own_name(context: Any) -> None:
    answer(client("kms", "us-west-2"), "DescribeKey", refusal("NotFoundException", "Not there."))

    with pytest.raises(Exception, match="Not there") as caught:
        apply_key_settings.handler(sample_event("apply-key-settings"), context)

    assert type(caught.value).__name__ == "KmsKeyNotFound"


def test_one_invocations_request_id_is_not_on_the_lines_of_the_next(
    context: Any, log: io.StringIO
) -> None:
    validate_request.handler(sample_event("validate-request"), context)
    validate_request.handler({}, context)

    first, second = (json.loads(line) for line in log.getvalue().splitlines())
    assert first["request_id"] == "CHG0031337"
    assert "request_id" not in second
