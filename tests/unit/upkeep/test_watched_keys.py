"""What the sweep says of keys that a record names, whatever their tags and its status say."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from provisioner.aws.client_types import KeyTag
from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.aws.sweep_table import Position
from provisioner.clock import instant_text
from provisioner.domain.operation import Adoption
from provisioner.domain.plan import KeySetRequest, own_tags
from provisioner.domain.provenance import UNKNOWN
from provisioner.upkeep import key_checks
from tests.support.answering import answer, calls_of, kms_for, refusal
from tests.support.clock import Clock
from tests.support.published import published_on
from tests.support.samples import EXECUTION, OTHER_EXECUTION, SETTINGS, key_arn, request_of
from tests.support.sweeping import HOME, region_sweeper, sweep_table
from tests.support.tagged_keys import make_key, multi_region, show

FAR = "eu-west-1"
TAGGING: Final = "resourcegroupstaggingapi"
QUIET = SETTINGS.quiet_period_seconds
MAY_DELETE = replace(SETTINGS, sweeper_may_delete=True)
Findings = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def published(aws: None) -> Findings:  # noqa: ARG001
    return published_on(client("events"))


def kinds(published: Findings) -> list[str]:
    return [detail["kind"] for _, _, detail in published]


def look(records: Records, region: str = HOME, **options: Any) -> Position:
    position = region_sweeper(records, region, **options).sweep("worker", begin=True)
    assert position
    assert not position.is_under_way
    return position


def end(records: Records, request: KeySetRequest, status: Status, holder: str = EXECUTION) -> None:
    records.finish(request, execution_arn=holder, status=status, key=None, errors=[])
    records.mark_published(request["requestId"], holder)


def create_many(records: Records, count: int) -> None:
    """Record that many requests as created: the first by its steps, the others as its copies."""
    first, key_id = "CHG-0", f"mrk-{0:032x}"
    request = request_of(requestId=first)
    records.claim(request, EXECUTION)
    records.announce_attempt(first, EXECUTION, 1, "token")
    records.close_attempt(first, 1, key_arn(key_id=key_id))
    end(records, request, Status.CREATED)
    dynamodb = client("dynamodb")
    item = dynamodb.get_item(TableName="requests", Key={"requestId": {"S": first}})["Item"]
    text = json.dumps(item)
    for number in range(1, count):
        copied = text.replace(first, f"CHG-{number}").replace(key_id, f"mrk-{number:032x}")
        dynamodb.put_item(TableName="requests", Item=json.loads(copied))


def recorded(
    records: Records, clock: Clock, status: Status = Status.CREATED, **fields: Any
) -> tuple[KeySetRequest, dict[str, Any]]:
    """Record a request that ended so, and its primary key, which has its alias."""
    request, key = request_of(**fields), make_key()
    records.claim(request, EXECUTION)
    records.announce_attempt("CHG1", EXECUTION, 1, "token")
    records.close_attempt("CHG1", 1, key["Arn"])
    end(records, request, status)
    kms_for(HOME).create_alias(AliasName="alias/cards", TargetKeyId=key["KeyId"])
    clock.move(seconds=QUIET)
    return request, key


def imported(records: Records, clock: Clock) -> tuple[KeySetRequest, dict[str, Any]]:
    return recorded(
        records,
        clock,
        origin="EXTERNAL",
        keyMaterial={"validTo": instant_text(clock.time + timedelta(days=90))},
    )


def renewal(records: Records, clock: Clock, request: KeySetRequest, status: Status) -> None:
    """Let a renewal of the material come so far."""
    later: Any = {
        **request,
        "keyMaterial": {
            **(request.get("keyMaterial") or {}),
            "validTo": instant_text(clock.time + timedelta(days=400)),
        },
    }
    claimed, _ = records.claim(later, OTHER_EXECUTION, renewing=True)
    assert claimed
    if status == Status.WAITING_FOR_MATERIAL:
        materials: list[Any] = [{}]
        assert records.await_material(
            "CHG1", OTHER_EXECUTION, "task", key=None, materials=materials, errors=[]
        )
    if status == Status.FAILED:
        end(records, later, Status.FAILED, OTHER_EXECUTION)


RENEWALS = [Status.IN_PROGRESS, Status.WAITING_FOR_MATERIAL, Status.FAILED]


@pytest.mark.parametrize("status", RENEWALS)
def test_material_that_expires_is_reported_while_its_renewal_is_not_done(
    status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    request, key = imported(records, clock)
    renewal(records, clock, request, status)
    show(key, ValidTo=clock.time + timedelta(days=3))

    look(records)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["keyArn"]) == ("MATERIAL_EXPIRES", key["Arn"])
    words = {
        Status.IN_PROGRESS: "Request CHG1 is in progress.",
        Status.WAITING_FOR_MATERIAL: "Request CHG1 waits for key material: provide it.",
        Status.FAILED: "The last run of the request failed. Send request CHG1 again",
    }
    assert words[status] in detail["message"]


@pytest.mark.parametrize("status", [Status.CREATED, *RENEWALS])
@pytest.mark.parametrize("shows_when", [True, False])
def test_material_that_has_expired_is_reported_with_the_key_that_it_leaves(
    shows_when: bool, status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    request, key = imported(records, clock)
    if status != Status.CREATED:
        renewal(records, clock, request, status)
    show(key, KeyState="PendingImport", **({"ValidTo": clock.time} if shows_when else {}))

    look(records)

    assert kinds(published) == ["KEY_NOT_ENABLED", "MATERIAL_EXPIRES"]
    assert "Its key material has expired or was deleted." in published[0][2]["message"]
    assert (f"expired at {instant_text(clock.time)}" in published[1][2]["message"]) == shows_when


def test_material_that_never_expires_and_is_gone_is_no_expiry(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, origin="EXTERNAL", keyMaterial={})
    show(key, KeyState="PendingImport")

    look(records)

    assert kinds(published) == ["KEY_NOT_ENABLED"]


@pytest.mark.parametrize("status", RENEWALS)
def test_an_alias_of_a_created_key_is_watched_while_its_material_is_renewed(
    status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    request, _ = imported(records, clock)
    renewal(records, clock, request, status)
    kms_for(HOME).delete_alias(AliasName="alias/cards")

    look(records)

    assert kinds(published) == ["ALIAS_ELSEWHERE"]


def test_another_key_with_the_tags_of_a_renewal_is_left_until_it_has_ended(
    records: Records, published: Findings, clock: Clock
) -> None:
    request, _ = imported(records, clock)
    renewal(records, clock, request, Status.IN_PROGRESS)
    make_key()
    clock.move(seconds=QUIET)

    look(records, settings=MAY_DELETE)

    assert published == []


def test_the_date_of_a_deletion_that_waits_for_replicas_is_not_known(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock)
    show(key, KeyState="PendingReplicaDeletion")

    for _ in range(3):
        look(records)

    ((_, _, detail),) = published
    assert detail["kind"] == "KEY_NOT_ENABLED"
    assert "KMS deletes it after its replicas." in detail["message"]


def test_a_key_of_a_failed_request_is_reported_once_after_time_to_correct_it(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, Status.FAILED)
    left = key_checks.CORRECTION_TIME.total_seconds() - QUIET
    clock.move(seconds=left - 1)
    look(records)
    before = list(published)
    clock.move(seconds=1)

    for _ in range(3):
        look(records, settings=MAY_DELETE)

    assert before == []
    ((_, _, detail),) = published
    assert (detail["kind"], detail["action"]) == ("UNFINISHED_KEY_SET", "REPORTED")
    assert (detail["requestId"], detail["keyArn"]) == ("CHG1", key["Arn"])
    assert f"{key['Arn']} is Enabled" in detail["message"]


@pytest.mark.parametrize("state", ["PendingDeletion", "PendingReplicaDeletion"])
def test_a_key_of_a_failed_request_that_was_rolled_back_is_no_finding(
    state: str, records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, Status.FAILED)
    show(key, KeyState=state)
    clock.move(seconds=key_checks.CORRECTION_TIME.total_seconds())

    look(records)

    assert published == []


def test_a_replica_that_a_failed_request_does_not_name_any_more_is_reported_too(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, Status.FAILED)
    arn = key["Arn"].replace(HOME, FAR)
    list_in_far(arn)
    show_in_far(key, arn)
    clock.move(seconds=key_checks.CORRECTION_TIME.total_seconds())

    position = look(records, FAR)

    assert position.failed == 0
    assert [(d["kind"], d["region"]) for _, _, d in published] == [("UNFINISHED_KEY_SET", FAR)]


def own(request_id: str) -> list[dict[str, str]]:
    """Return our own tags as the tagging API does."""
    tags = own_tags(request_id, SETTINGS)
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def list_in_far(*arns: str) -> None:
    """Let the tagging API list these keys in the far Region, and know no other."""
    found = [{"ResourceARN": arn, "Tags": own("CHG1")} for arn in arns]
    nothing: dict[str, Any] = {"ResourceTagMappingList": []}
    answer(client(TAGGING, FAR), "GetResources", {"ResourceTagMappingList": found}, nothing)


def show_in_far(key: dict[str, Any], arn: str, **fields: Any) -> None:
    shown = {**key, "Arn": arn, "KeyState": "Enabled", **multi_region("REPLICA"), **fields}
    answer(kms_for(FAR), "DescribeKey", {"KeyMetadata": shown})


def test_a_created_key_that_is_gone_is_reported_once_and_stays_open(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, replicas=[{"region": FAR, "alias": None}])
    arn = key["Arn"].replace(HOME, FAR)
    answer(kms_for(FAR), "DescribeKey", refusal("NotFoundException"))

    for _ in range(3):
        look(records, FAR)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["requestId"], detail["region"]) == ("KEY_MISSING", "CHG1", FAR)
    assert detail["keyArn"] == arn
    assert [*sweep_table().open_findings(FAR)] == [f"{arn}#KEY_MISSING"]


@pytest.mark.parametrize("status", [Status.CREATED, *RENEWALS])
def test_a_primary_key_without_replicas_that_is_gone_is_reported_whatever_its_request_does(
    status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    request, key = imported(records, clock)
    if status != Status.CREATED:
        renewal(records, clock, request, status)
    answer(client(TAGGING, HOME), "GetResources", {"ResourceTagMappingList": []})
    answer(client("kms", HOME), "DescribeKey", refusal("NotFoundException"))

    look(records)

    assert [(d["kind"], d["keyArn"]) for _, _, d in published] == [("KEY_MISSING", key["Arn"])]


@pytest.mark.parametrize(("status", "region"), [(Status.FAILED, HOME), (Status.CREATED, FAR)])
def test_a_key_that_was_never_created_or_asked_for_and_is_gone_is_no_finding(
    status: Status, region: str, records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, status)
    tags = own_tags("CHG1", SETTINGS)
    listed = {
        "ResourceARN": key["Arn"].replace(HOME, region),
        "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
    }
    for _ in range(2):
        answer(client(TAGGING, region), "GetResources", {"ResourceTagMappingList": [listed]})
    answer(client("kms", region), "DescribeKey", refusal("NotFoundException"))

    look(records, region)

    assert published == []


def test_a_key_that_waits_for_its_deletion_is_not_asked_to_be_tagged(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock)
    kms_for(HOME).untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:request-id"])
    show(key, KeyState="PendingDeletion")

    look(records)

    assert kinds(published) == ["KEY_NOT_ENABLED"]


def test_a_key_that_cannot_be_described_is_not_called_gone(
    records: Records, published: Findings, clock: Clock
) -> None:
    recorded(records, clock)
    answer(client(TAGGING, HOME), "GetResources", {"ResourceTagMappingList": []})
    answer(client("kms", HOME), "DescribeKey", refusal("AccessDeniedException"))

    position = look(records)

    assert (position.failed, published) == (1, [])


def test_a_replica_made_by_hand_without_tags_is_reported_with_how_to_put_them_back(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, replicas=[{"region": FAR, "alias": None}])
    arn = key["Arn"].replace(HOME, FAR)
    list_in_far()
    show_in_far(key, arn)

    for _ in range(3):
        look(records, FAR)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["requestId"]) == ("TAGS_MISSING", "CHG1")
    assert detail["keyArn"] == arn
    assert (
        f"aws kms tag-resource --region {FAR} --key-id {arn} --tags "
        "TagKey=mrk:request-id,TagValue=CHG1 TagKey=mrk:stack,TagValue=mrk-provisioner"
    ) in detail["message"]


@pytest.mark.parametrize("says", [None, "CHG7", "CHG2"])
@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_a_recorded_key_is_never_surplus_whatever_its_tag_says(
    status: Status, says: str | None, records: Records, published: Findings, clock: Clock
) -> None:
    """CHG7 is nobody, CHG2 is a request that failed without a key."""
    other = request_of(requestId="CHG2")
    records.claim(other, EXECUTION)
    end(records, other, Status.FAILED)
    _, key = recorded(records, clock, status)
    kms = client("kms", HOME)
    kms.delete_alias(AliasName="alias/cards")
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:request-id"])
    if says:
        tag: KeyTag = {"TagKey": "mrk:request-id", "TagValue": says}
        kms.tag_resource(KeyId=key["KeyId"], Tags=[tag])

    for _ in range(3):
        look(records, settings=MAY_DELETE)

    expected = ["TAGS_MISSING"] + ["ALIAS_ELSEWHERE"] * (status == Status.CREATED)
    assert kinds(published) == expected
    assert published[0][2]["requestId"] == "CHG1"
    assert "TagKey=mrk:request-id,TagValue=CHG1" in published[0][2]["message"]
    state = client("kms", HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"]
    assert state == "Enabled"


def test_tags_that_are_back_close_the_finding(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock)
    client("kms", HOME).untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:stack"])
    look(records)
    tag: KeyTag = {"TagKey": "mrk:stack", "TagValue": SETTINGS.stack_name}
    client("kms", HOME).tag_resource(KeyId=key["KeyId"], Tags=[tag])
    look(records)

    assert kinds(published) == ["TAGS_MISSING"]
    assert sweep_table().open_findings(HOME) == {}


@pytest.mark.parametrize("status", [Status.CREATED, Status.FAILED])
def test_a_primary_key_that_was_made_a_replica_by_hand_is_reported_once(
    status: Status, records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, status, replicas=[{"region": FAR}])
    promoted = key["Arn"].replace(HOME, FAR)
    described = {
        "MultiRegionKeyType": "REPLICA",
        "PrimaryKey": {"Arn": promoted, "Region": FAR},
        "ReplicaKeys": [{"Arn": key["Arn"], "Region": HOME}],
    }
    show(key, MultiRegionConfiguration=described)

    for _ in range(3):
        look(records, settings=MAY_DELETE)

    ((_, _, detail),) = published
    assert (detail["kind"], detail["keyArn"]) == ("PRIMARY_ELSEWHERE", key["Arn"])
    assert f"somebody made {promoted} the primary key" in detail["message"]


def test_a_replica_of_a_promoted_set_is_looked_at_as_before(
    records: Records, published: Findings, clock: Clock
) -> None:
    _, key = recorded(records, clock, replicas=[{"region": FAR, "alias": None}])
    arn = key["Arn"].replace(HOME, FAR)
    list_in_far(arn)
    described = {"MultiRegionKeyType": "PRIMARY", "PrimaryKey": {"Arn": arn, "Region": FAR}}
    show_in_far(key, arn, MultiRegionConfiguration=described)

    look(records, FAR, settings=MAY_DELETE)

    assert published == []


def adoption_of(arn: str) -> Adoption:
    return {"operationId": "adopt-1", "keyArn": arn, "unmanaged": [], "takeOver": False}


def released(records: Records, **fields: Any) -> tuple[Records, dict[str, Any]]:
    """Record a set that somebody else made and that is not managed; it has our tags already."""
    key = make_key()
    written, _ = records.adopt(
        request_of(**fields),
        EXECUTION,
        key_arn=key["Arn"],
        adoption=adoption_of(key["Arn"]),
        seen=None,
        provenance=UNKNOWN,
    )
    assert written
    return records, key


@pytest.mark.parametrize("tags", ["both", "one", "none"])
def test_keys_on_the_way_to_or_from_the_stack_are_no_finding_whatever_tags_they_have(
    tags: str, records: Records, clock: Clock, published: Findings
) -> None:
    _, key = released(records)
    clock.move(seconds=QUIET)
    gone = {"both": [], "one": ["mrk:request-id"], "none": ["mrk:request-id", "mrk:stack"]}[tags]
    if gone:
        kms_for(HOME).untag_resource(KeyId=key["KeyId"], TagKeys=gone)

    look(records, settings=MAY_DELETE)

    assert kinds(published) == []
    assert kms_for(HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"] == "Enabled"


def test_what_was_found_of_a_set_is_settled_once_it_is_released(
    records: Records, clock: Clock, published: Findings
) -> None:
    _, key = recorded(records, clock)
    kms_for(HOME).delete_alias(AliasName="alias/cards")
    look(records)
    assert kinds(published) == ["ALIAS_ELSEWHERE"]

    kms_for(HOME).untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:request-id", "mrk:stack"])
    _release(records)
    look(records)
    assert sweep_table().open_findings(HOME) == {}


def _release(records: Records) -> None:
    client("dynamodb").update_item(
        TableName="requests",
        Key={"requestId": {"S": "CHG1"}},
        UpdateExpression="SET releasedAt = :now",
        ExpressionAttributeValues={":now": {"S": "2026-01-01T00:00:00+00:00"}},
    )
    found = records.get("CHG1")
    assert found
    assert found.released_at


def test_a_released_set_that_another_request_has_adopted_is_watched_for_that_one(
    records: Records, clock: Clock, published: Findings
) -> None:
    _, key = recorded(records, clock)
    released_record = request_of(requestId="OLD")
    assert records.adopt(
        released_record,
        OTHER_EXECUTION,
        key_arn=key["Arn"],
        adoption=adoption_of(key["Arn"]),
        seen=None,
        provenance=UNKNOWN,
    )[0]
    kms_for(HOME).untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:request-id", "mrk:stack"])

    look(records)

    assert kinds(published) == ["TAGS_MISSING"]
    assert published[0][2]["requestId"] == "CHG1"


def test_tags_that_are_new_may_not_be_shown_yet(
    records: Records, clock: Clock, published: Findings
) -> None:
    _, key = recorded(records, clock)
    kms_for(HOME).untag_resource(KeyId=key["KeyId"], TagKeys=["mrk:request-id", "mrk:stack"])
    client("dynamodb").update_item(
        TableName="requests",
        Key={"requestId": {"S": "CHG1"}},
        UpdateExpression="SET adoptedAt = :now",
        ExpressionAttributeValues={":now": {"S": clock.time.isoformat()}},
    )

    look(records)
    assert kinds(published) == []

    clock.move(seconds=QUIET)
    look(records)
    assert kinds(published) == ["TAGS_MISSING"]


def test_healthy_keys_cost_two_calls_each(
    records: Records, published: Findings, clock: Clock
) -> None:
    recorded(records, clock)
    described, asked = calls_of(client("kms", HOME)), calls_of(client(TAGGING, HOME))
    dynamodb = calls_of(client("dynamodb"))

    look(records)

    assert published == []
    assert [name for name, _ in described] == ["DescribeKey", "ListAliases", "GetKeyPolicy"]
    assert [name for name, _ in asked] == ["GetResources"]
    assert [name for name, _ in dynamodb].count("Scan") == 1


def test_what_an_earlier_worker_saw_is_asked_of_the_tags_a_hundred_at_once(
    records: Records, published: Findings, clock: Clock
) -> None:
    """A worker that comes after the last page knows of no key whether it was listed."""
    _, key = recorded(records, clock)
    create_many(records, 150)
    asked = calls_of(client(TAGGING, HOME))
    listed = [
        {"ResourceARN": key_arn(key_id=f"mrk-{number:032x}"), "Tags": own("x")}
        for number in range(150)
    ]
    page = [{"ResourceARN": key["Arn"], "Tags": own("CHG1")}]
    pages = ({"ResourceTagMappingList": found} for found in (page, [*page, *listed]))
    answer(client(TAGGING, HOME), "GetResources", *pages)
    described = calls_of(client("kms", HOME))

    first = region_sweeper(records).sweep(
        "first", begin=True, has_time=iter([True, False]).__next__
    )
    second = region_sweeper(records).sweep("second", begin=False)

    assert first
    assert second
    assert (first.is_under_way, first.is_listed) == (True, True)
    assert (second.is_under_way, second.failed) == (False, 0)
    assert [len(p.get("ResourceARNList", [])) for _, p in asked] == [0, 100, 51]
    assert [name for name, _ in described].count("DescribeKey") == 1
    assert published == []


def test_a_replica_that_is_not_asked_for_may_go(
    records: Records, clock: Clock, published: Findings
) -> None:
    """The outcome names it and says how to schedule its deletion."""
    _, key = recorded(records, clock)
    arn = key["Arn"].replace(HOME, FAR)
    list_in_far(arn)
    show_in_far(key, arn, KeyState="PendingDeletion")

    position = look(records, FAR)

    assert position.failed == 0

    assert published == []
