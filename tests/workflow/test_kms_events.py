"""The events about keys on the default bus of each Region of the emulator, as AWS sends them."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint
from tests.support.stack.bus_events import Queue, heard, rule
from tests.support.stack.kms_arrangement import Arrangement
from tests.support.stack.kms_calls import HOME, OTHER, ROOT, alias_name, key_arn, key_policy

DAY = 86400
CALLS = {"source": ["aws.kms"], "detail-type": ["AWS API Call via CloudTrail"]}
OF_KMS = {"source": ["aws.kms"], "detail-type": [{"prefix": "KMS "}]}


@pytest.fixture(autouse=True)
def _events(emulator: Endpoint) -> Iterator[None]:
    with emulator.changed_kms_settings(creating_seconds=0, updating_seconds=0, event_copies=1):
        yield


@pytest.fixture
def home(emulator: Endpoint) -> Iterator[Queue]:
    with heard(emulator, HOME, CALLS) as queue:
        yield queue


@pytest.fixture
def other(emulator: Endpoint) -> Iterator[Queue]:
    with heard(emulator, OTHER, CALLS) as queue:
        yield queue


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["detail"]["eventName"] for event in events]


def arns(event: dict[str, Any]) -> list[str]:
    return [resource["ARN"] for resource in event["detail"]["resources"]]


TAG = {"TagKey": "team", "TagValue": "payments"}
CHANGES: dict[str, dict[str, Any]] = {
    "PutKeyPolicy": {"Policy": key_policy(ROOT)},
    "TagResource": {"Tags": [TAG]},
    "UntagResource": {"TagKeys": ["team"]},
    "UpdateKeyDescription": {"Description": "of cards"},
    "EnableKeyRotation": {"RotationPeriodInDays": 90},
    "DisableKeyRotation": {},
    "RotateKeyOnDemand": {},
    "DisableKey": {},
    "EnableKey": {},
    "ScheduleKeyDeletion": {"PendingWindowInDays": 7},
    "CancelKeyDeletion": {},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "PutKeyPolicy": {
        "policy": key_policy(ROOT),
        "policyName": "default",
        "bypassPolicyLockoutSafetyCheck": False,
    },
    "TagResource": {"tags": [{"tagKey": "team", "tagValue": "payments"}]},
    "UntagResource": {"tagKeys": ["team"]},
    "UpdateKeyDescription": {"description": "of cards"},
    "EnableKeyRotation": {"rotationPeriodInDays": 90},
    "ScheduleKeyDeletion": {"pendingWindowInDays": 7},
}
WITHOUT_RESPONSE = {"PutKeyPolicy", "TagResource", "UntagResource", "UpdateKeyDescription"}


def call(kms: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)
    answer: dict[str, Any] = getattr(kms, method.removeprefix("_"))(**parameters)
    return answer


def test_each_change_of_a_key_is_reported_in_its_region(
    kms: Any, home: Queue, other: Queue
) -> None:
    key_id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    for operation, parameters in CHANGES.items():
        call(kms, operation, KeyId=key_id, **parameters)

    created, *changed = home.wait_for_events(1 + len(CHANGES))
    assert names([created]) == ["CreateKey"]
    assert created["detail"]["responseElements"]["keyMetadata"]["keyId"] == key_id
    assert created["detail"]["requestParameters"]["multiRegion"] is True
    assert names(changed) == list(CHANGES)
    for event in (created, *changed):
        detail = event["detail"]
        assert (event["source"], event["region"], event["account"]) == ("aws.kms", HOME, ACCOUNT_ID)
        assert (detail["eventSource"], detail["awsRegion"]) == ("kms.amazonaws.com", HOME)
        assert (detail["readOnly"], detail["recipientAccountId"]) == (False, ACCOUNT_ID)
        assert detail["resources"] == [
            {"ARN": key_arn(HOME, key_id), "type": "AWS::KMS::Key", "accountId": ACCOUNT_ID}
        ]
    for event in changed:
        name, detail = event["detail"]["eventName"], event["detail"]
        assert detail["requestParameters"] == {"keyId": key_id, **REQUESTS.get(name, {})}
        if name in WITHOUT_RESPONSE:
            assert detail["responseElements"] is None
        else:
            assert detail["responseElements"]["keyId"] == key_arn(HOME, key_id)
    assert len({event["detail"]["eventID"] for event in home.events()}) == 1 + len(CHANGES)
    assert other.events() == []


def test_a_change_of_an_alias_names_the_key_that_it_is_of(
    kms: Any, primary: str, home: Queue
) -> None:
    alias, second = alias_name(), kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=primary)
    kms.update_alias(AliasName=alias, TargetKeyId=second)
    kms.delete_alias(AliasName=alias)

    *_, created, updated, deleted = home.wait_for_events(4)
    alias_arn = f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:{alias}"
    assert arns(created) == [key_arn(HOME, primary), alias_arn]
    assert arns(updated) == [alias_arn, key_arn(HOME, second)]
    assert arns(deleted) == [alias_arn, key_arn(HOME, second)]
    assert updated["detail"]["requestParameters"] == {"aliasName": alias, "targetKeyId": second}
    assert deleted["detail"]["requestParameters"] == {"aliasName": alias}


def test_reads_and_calls_that_fail_are_not_reported(kms: Any, primary: str, home: Queue) -> None:
    kms.describe_key(KeyId=primary)
    kms.encrypt(KeyId=primary, Plaintext=b"secret")
    with pytest.raises(ClientError, match="not pending deletion"):
        kms.cancel_key_deletion(KeyId=primary)
    kms.disable_key(KeyId=primary)

    home.wait_for_events(1)
    assert names(home.events()) == ["DisableKey"]


def test_a_replica_and_a_promotion_are_reported_in_both_regions(
    kms: Any, primary: str, home: Queue, other: Queue
) -> None:
    kms.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
    kms.update_primary_region(KeyId=primary, PrimaryRegion=OTHER)

    replicated, demoted = home.wait_for_events(2)
    created, promoted = other.wait_for_events(2)
    assert names([replicated, created]) == ["ReplicateKey", "CreateKey"]
    assert names([demoted, promoted]) == ["UpdatePrimaryRegion"] * 2
    assert arns(demoted) == [key_arn(HOME, primary)]
    assert arns(created) == arns(promoted) == [key_arn(OTHER, primary)]
    assert demoted["detail"]["requestParameters"] == {"keyId": primary, "primaryRegion": OTHER}
    assert promoted["detail"]["requestParameters"]["keyId"] == key_arn(OTHER, primary)
    assert promoted["detail"]["userIdentity"]["invokedBy"] == "AWS Internal"


def test_it_says_who_called(emulator: Endpoint, primary: str, home: Queue) -> None:
    statement = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    name = f"caller-{uuid.uuid4()}"
    role = emulator.create_role(name, policy={"Version": "2012-10-17", "Statement": statement})
    credentials = emulator.credentials_of(name, "somebody")
    emulator.client("kms").disable_key(KeyId=primary)
    emulator.client("kms", credentials=credentials).enable_key(KeyId=primary)

    root, session = (event["detail"]["userIdentity"] for event in home.wait_for_events(2))
    assert (root["type"], root["arn"], root["principalId"]) == ("Root", ROOT, ACCOUNT_ID)
    assert session["type"] == "AssumedRole"
    assert session["arn"] == f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/somebody"
    issuer = session["sessionContext"]["sessionIssuer"]
    assert (issuer["arn"], issuer["userName"], issuer["type"]) == (role, name, "Role")
    assert session["principalId"] == f"{issuer['principalId']}:somebody"


def test_what_is_imported_stays_secret(emulator: Endpoint, home: Queue) -> None:
    arrangement = Arrangement(emulator)
    for step in ("external primary", "import material for 2 days", "remove material"):
        arrangement.take(step)

    _, imported, removed = home.wait_for_events(3)
    parameters = imported["detail"]["requestParameters"]
    assert names([imported, removed]) == ["ImportKeyMaterial", "DeleteImportedKeyMaterial"]
    assert parameters.keys() == {"keyId", "validTo"}
    assert parameters["validTo"].endswith("M")
    assert imported["detail"]["responseElements"]["keyMaterialId"] == arrangement.values["A"]


class TestDelivery:
    def test_nothing_comes_unless_it_is_asked_for(
        self, emulator: Endpoint, kms: Any, primary: str, home: Queue
    ) -> None:
        with emulator.changed_kms_settings(event_copies=0):
            kms.disable_key(KeyId=primary)
        kms.enable_key(KeyId=primary)

        assert names(home.wait_for_events(1)) == ["EnableKey"]

    def test_an_event_can_come_twice(
        self, emulator: Endpoint, kms: Any, primary: str, home: Queue
    ) -> None:
        with emulator.changed_kms_settings(event_copies=2):
            kms.disable_key(KeyId=primary)

        first, second = home.wait_for_events(2)
        assert first == second

    def test_events_can_come_late_and_in_another_order(
        self, emulator: Endpoint, kms: Any, primary: str, home: Queue
    ) -> None:
        with emulator.changed_kms_settings(event_seconds=1, events_reordered=True):
            for _ in range(2):
                kms.disable_key(KeyId=primary)
                kms.enable_key(KeyId=primary)
            assert home.events() == []

        disabled, enabled = ["DisableKey"] * 2, ["EnableKey"] * 2
        assert names(home.wait_for_events(4)) in (enabled + disabled, disabled + enabled)


class TestByTheClock:
    """https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html."""

    @pytest.fixture
    def of_kms(self, emulator: Endpoint) -> Iterator[Queue]:
        with heard(emulator, HOME, OF_KMS) as queue:
            yield queue

    def test_a_rotation_is_reported_once_it_is_done(
        self, emulator: Endpoint, kms: Any, primary: str, of_kms: Queue
    ) -> None:
        before = kms.describe_key(KeyId=primary)["KeyMetadata"]["CurrentKeyMaterialId"]
        with emulator.changed_kms_settings(rotating_seconds=600):
            kms.rotate_key_on_demand(KeyId=primary)
            assert of_kms.events() == []
            emulator.change_kms_settings(clock_shift_seconds=601)

            (event,) = of_kms.wait_for_events(1)
            after = kms.describe_key(KeyId=primary)["KeyMetadata"]["CurrentKeyMaterialId"]
        assert event["detail-type"] == "KMS CMK Rotation"
        assert event["resources"] == [key_arn(HOME, primary)]
        assert event["detail"] == {
            "key-id": primary,
            "key-origin": "AWS_KMS",
            "rotation-type": "ON_DEMAND",
            "previous-key-material-id": before,
            "current-key-material-id": after,
        }

    def test_nobody_has_to_call_kms_for_a_rotation_to_end(
        self, emulator: Endpoint, kms: Any, primary: str, of_kms: Queue
    ) -> None:
        with emulator.changed_kms_settings(rotating_seconds=1):
            kms.rotate_key_on_demand(KeyId=primary)
            (event,) = of_kms.wait_for_events(1)

        assert event["detail-type"] == "KMS CMK Rotation"

    def test_material_that_expires_is_reported_once(
        self, emulator: Endpoint, of_kms: Queue
    ) -> None:
        arrangement = Arrangement(emulator)
        arrangement.take("external primary")
        arrangement.take("import material for 2 days")
        arrangement.take("3 days later")

        of_kms.wait_for_events_of(arrangement.arn())
        arrangement.kms().describe_key(KeyId=arrangement.key_id)
        # The clock has moved for the keys of other tests as well.
        (event,) = of_kms.wait_for_events_of(arrangement.arn())
        assert event["detail-type"] == "KMS Imported Key Material Expiration"
        assert event["resources"] == [arrangement.arn()]

    def test_the_end_of_a_key_is_reported(
        self, emulator: Endpoint, kms: Any, primary: str, of_kms: Queue
    ) -> None:
        kms.schedule_key_deletion(KeyId=primary, PendingWindowInDays=7)
        emulator.change_kms_settings(clock_shift_seconds=10 * DAY)

        (event,) = of_kms.wait_for_events_of(key_arn(HOME, primary))
        assert event["detail-type"] == "KMS CMK Deletion"
        assert event["detail"] == {"key-id": primary}


def test_a_rule_brings_them_to_a_bus_of_another_region(
    emulator: Endpoint, primary: str, other: Queue
) -> None:
    name = f"bus-{uuid.uuid4()}"
    bus = emulator.client("events").create_event_bus(Name=name)["EventBusArn"]
    statement = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}
    policy = {"Version": "2012-10-17", "Statement": statement}
    target = {"Arn": bus, "RoleArn": emulator.create_role(name, policy=policy)}
    emulator.client("kms").replicate_key(KeyId=primary, ReplicaRegion=OTHER)

    with heard(emulator, HOME, CALLS, name) as arrived, rule(emulator, OTHER, CALLS, target):
        emulator.client("kms", OTHER).disable_key(KeyId=primary)
        (event,) = arrived.wait_for_events(1)

    assert event == other.events()[-1]
    assert (event["region"], event["detail"]["awsRegion"]) == (OTHER, OTHER)
