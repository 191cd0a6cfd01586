"""Each step's handler, called with the file of events/ that belongs to it."""

import io
import json
from typing import Any

import pytest

from apply_key_settings import app as apply_key_settings
from await_replica_key import app as await_replica_key
from claim_request import app as claim_request
from confirm_key_set import app as confirm_key_set
from create_primary_key import app as create_primary_key
from create_replica_key import app as create_replica_key
from provisioner.clients import client
from provisioner.records import Records
from reconcile_primary_key import app as reconcile_primary_key
from roll_back_key_set import app as roll_back_key_set
from sweep import app as sweep
from tests.unit.answering import answer, calls_of, kms_in, refusal
from tests.unit.clock import Clock
from tests.unit.published import published_on
from tests.unit.samples import SETTINGS, key_arn, sample_event
from tests.unit.tagged_keys import make_key
from validate_request import app as validate_request

pytestmark = pytest.mark.usefixtures("aws")

HOME = "us-east-1"
NEVER_LOGGED = ["servicenow", "CardService", "KeyAdmin", "Statement", "kms:*", "Card data"]


def metadata(region: str, state: str = "Enabled", **fields: Any) -> dict[str, Any]:
    listed = [{"Region": r, "Arn": key_arn(r)} for r in ("eu-west-1", "us-west-2")]
    return {
        "KeyMetadata": {
            "KeyId": key_arn(region).rsplit("/", 1)[1],
            "Arn": key_arn(region),
            "KeyState": state,
            "MultiRegionConfiguration": {"ReplicaKeys": listed},
            **fields,
        }
    }


def logged(log: io.StringIO, request_id: str = "CHG0031337") -> list[Any]:
    """Give the log's lines, which all carry the request's ID and none of its secrets."""
    text = log.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines
    assert all(line["request_id"] == request_id for line in lines)
    assert all(line["service"] == "mrk-provisioner" for line in lines)
    assert not [secret for secret in NEVER_LOGGED if secret in text]
    return lines


def claim(event: dict[str, Any], context: Any) -> None:
    claim_request.handler(
        {"request": event["request"], "executionArn": event["executionArn"]}, context
    )


def test_a_sound_request_is_normalised(context: Any, log: io.StringIO) -> None:
    answered = validate_request.handler(sample_event("validate-request"), context)

    assert answered == {"request": sample_event("claim-request")["request"], "problems": []}
    (line,) = logged(log)
    assert (line["message"], line["replicas"]) == ("request is valid", 2)


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


def test_a_new_request_is_claimed(context: Any, log: io.StringIO) -> None:
    answered = claim_request.handler(sample_event("claim-request"), context)

    assert answered == {"decision": "PROCEED", "primary": None}
    logged(log)


def test_a_claim_tells_of_the_key_that_is_there(context: Any) -> None:
    event = sample_event("claim-request")
    claim(event, context)
    records = Records(client("dynamodb"), "requests")
    records.announce_attempt("CHG0031337", event["executionArn"], 1, "token")
    records.close_attempt("CHG0031337", 1, key_arn())

    answered = claim_request.handler(event, context)

    key = {"region": HOME, "arn": key_arn(), "alias": None, "keyState": None}
    assert answered == {"decision": "PROCEED", "primary": key}


def test_a_primary_key_is_created_with_everything_but_its_alias(
    context: Any, log: io.StringIO
) -> None:
    event = sample_event("create-primary-key")
    claim(event, context)

    key = create_primary_key.handler(event, context)

    assert (key["region"], key["keyState"], key["fresh"]) == (HOME, "Enabled", True)
    found = client("kms", HOME).describe_key(KeyId=key["arn"])["KeyMetadata"]
    assert found["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"
    assert found["Description"] == "Card data"
    policy = json.loads(kms_in(HOME).get_key_policy(KeyId=key["arn"])["Policy"])
    assert len(policy["Statement"]) == 4
    assert logged(log)[-1]["arn"] == key["arn"]


def test_the_settings_of_an_older_replica_are_brought_to_its_own(
    context: Any, log: io.StringIO
) -> None:
    event = sample_event("apply-key-settings")
    kms = kms_in("us-west-2")
    arn = kms.create_key(MultiRegion=True, Description="Card data")["KeyMetadata"]["Arn"]

    answered = apply_key_settings.handler({**event, "key": {**event["key"], "arn": arn}}, context)

    assert answered == {**event["key"], "arn": arn, "alias": "alias/payments/cards-us"}
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
        client("kms", HOME),
        "ReplicateKey",
        {"ReplicaKeyMetadata": metadata("us-west-2", "Creating")["KeyMetadata"]},
    )
    calls = calls_of(client("kms", HOME))

    key = create_replica_key.handler(sample_event("create-replica-key"), context)

    assert key == {
        "region": "us-west-2",
        "arn": key_arn("us-west-2"),
        "keyState": "Creating",
        "fresh": True,
    }
    ((_, parameters),) = calls
    assert (parameters["KeyId"], parameters["ReplicaRegion"]) == (key_arn(), "us-west-2")
    assert parameters["Description"] == ""
    assert "CardServiceUs" in parameters["Policy"]
    logged(log)


@pytest.mark.parametrize("state", ["Creating", "Enabled"])
def test_a_replica_is_looked_at_once(state: str, context: Any, log: io.StringIO) -> None:
    event = sample_event("await-replica-key")
    replica = client("kms", "us-west-2")
    answer(replica, "DescribeKey", metadata("us-west-2", state))
    calls = calls_of(replica)

    answered = await_replica_key.handler(event, context)

    assert answered == {"key": {**event["key"], "keyState": state}, "looks": 1}
    assert len(calls) == 1
    logged(log)


def test_a_key_set_is_confirmed_with_its_metadata(context: Any, log: io.StringIO) -> None:
    answer(client("kms", HOME), "DescribeKey", metadata(HOME))

    answered = confirm_key_set.handler(sample_event("confirm-key-set"), context)

    assert answered == metadata(HOME)["KeyMetadata"]
    logged(log)


def test_a_key_set_is_rolled_back(context: Any, log: io.StringIO) -> None:
    regions = [HOME, "eu-west-1", "us-west-2"]
    calls = {region: calls_of(client("kms", region)) for region in regions}
    for region in regions:
        kms = client("kms", region)
        answer(kms, "DescribeKey", metadata(region))
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
    late = reconcile_primary_key.handler({**event, **early}, context)

    assert early == {"settled": False, "looks": 1}
    assert late == {"settled": True, "looks": 2}
    assert [line["settled"] for line in logged(log) if "settled" in line] == [False, True]


def test_a_key_that_is_found_settles_the_attempt(context: Any, log: io.StringIO) -> None:
    records = attempt(context)
    key = make_key(request_id="CHG0031337")

    answered = reconcile_primary_key.handler(sample_event("reconcile-primary-key"), context)

    record = records.get("CHG0031337")
    assert answered == {"settled": True, "looks": 1}
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

    counts = sweep.handler(sample_event("sweep"), context)

    assert counts == {"requests": 1, "keys": 2, "failed": 0}
    told = {(detail["kind"], detail["keyArn"], detail["action"]) for _, _, detail in events}
    assert told == {
        ("REQUEST_STUCK", None, "RESUMED"),
        ("SURPLUS_KEY", stray[0]["Arn"], "REPORTED"),
        ("SURPLUS_KEY", stray[1]["Arn"], "REPORTED"),
    }
    text = log.getvalue()
    assert json.loads(text.splitlines()[-1])["counts"] == counts
    assert not [secret for secret in NEVER_LOGGED if secret in text]
    assert '"LooksFailed":[0.0]' in capsys.readouterr().out


def test_an_error_leaves_the_step_under_its_own_name(context: Any) -> None:
    answer(client("kms", "us-west-2"), "DescribeKey", refusal("NotFoundException", "Not there."))

    with pytest.raises(Exception, match="Not there") as caught:
        await_replica_key.handler(sample_event("await-replica-key"), context)

    assert type(caught.value).__name__ == "KmsKeyNotFound"


def test_one_invocations_request_id_is_not_on_the_lines_of_the_next(
    context: Any, log: io.StringIO
) -> None:
    validate_request.handler(sample_event("validate-request"), context)
    validate_request.handler({}, context)

    first, second = (json.loads(line) for line in log.getvalue().splitlines())
    assert first["request_id"] == "CHG0031337"
    assert "request_id" not in second
