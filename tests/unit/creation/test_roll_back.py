from datetime import UTC, datetime
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.creation.roll_back import RolledBack, roll_back
from provisioner.domain.plan import KeySetRequest, RegionNames
from provisioner.errors import KeyStateConflict, KeyTagsNotInEffect, KmsAccessDenied
from tests.support.answering import answer, calls_of, kms_for, on, refusal
from tests.support.samples import SETTINGS, key_arn, request_of

REPLICAS = ["eu-west-1", "us-west-2"]
REQUEST = request_of(
    replicas=[{"region": "eu-west-1"}, {"region": "us-west-2", "alias": "alias/own"}]
)


@pytest.fixture
def journal() -> list[tuple[str, str]]:
    """Every call, as (Region, operation), in the order of all Regions together."""
    return []


def stand_in(region: str, journal: list[tuple[str, str]], **answers: Any) -> Any:
    kms = client("kms", region)
    named = {"Aliases": [{"AliasName": name} for name in ("alias/cards", "alias/own")]}
    usual = {"ScheduleKeyDeletion": [{}], "DeleteAlias": [{}], "ListAliases": [named]}
    for operation, coming in {**usual, **answers}.items():
        answer(kms, operation, *coming)

    def note(model: Any, **_: Any) -> None:
        journal.append((region, model.name))

    on(kms, "provide-client-params", note)
    return kms


def metadata(region: str, state: str = "Enabled") -> dict[str, Any]:
    listed = [{"Region": replica, "Arn": key_arn(replica)} for replica in REPLICAS]
    home = {"Region": "us-east-1", "Arn": key_arn()}
    configuration = {"PrimaryKey": home, "ReplicaKeys": listed}
    return {
        "KeyMetadata": {
            "Arn": key_arn(region),
            "KeyState": state,
            "MultiRegionConfiguration": configuration,
        }
    }


def undo(superseded: RegionNames | None = None, **changes: Any) -> RolledBack:
    request: Any = {**REQUEST, **changes}
    return roll_back_of(request, key_arn(), superseded)


def roll_back_of(
    request: KeySetRequest, arn: str, superseded: RegionNames | None = None
) -> RolledBack:
    return roll_back(
        request,
        arn,
        superseded=superseded or {},
        client_for=lambda region: client("kms", region),
        deletion_window_days=SETTINGS.deletion_window_days,
    )


def test_replicas_go_first_and_every_alias_goes_with_its_key(
    journal: list[tuple[str, str]],
) -> None:
    for region in REPLICAS:
        states = [metadata(region), metadata(region, "PendingDeletion")]
        stand_in(region, journal, DescribeKey=states)
    home = "us-east-1"
    states = [metadata(home)] * 2 + [metadata(home, "PendingReplicaDeletion")]
    calls = calls_of(stand_in(home, journal, DescribeKey=states))

    keys = undo()

    assert keys == {
        "primary": {
            "region": home,
            "arn": key_arn(home),
            "keyState": "PendingReplicaDeletion",
            "alias": None,
        },
        "replicas": [
            {"region": region, "arn": key_arn(region), "keyState": "PendingDeletion", "alias": None}
            for region in REPLICAS
        ],
    }
    writes = [call for call in journal if call[1] not in ("DescribeKey", "ListAliases")]
    assert writes == [
        (region, operation)
        for region in [*REPLICAS, home]
        for operation in ("DeleteAlias", "ScheduleKeyDeletion")
    ]
    assert ("ScheduleKeyDeletion", {"KeyId": key_arn(home), "PendingWindowInDays": 7}) in calls


def test_an_alias_that_points_elsewhere_stays(journal: list[tuple[str, str]]) -> None:
    home = "us-east-1"
    states = [metadata(home), metadata(home), metadata(home, "PendingDeletion")]
    stand_in(home, journal, DescribeKey=states, ListAliases=[{"Aliases": []}])

    undo(replicas=[])

    assert (home, "DeleteAlias") not in journal


def test_a_replica_that_the_request_does_not_name_stays(journal: list[tuple[str, str]]) -> None:
    stand_in("us-east-1", journal, DescribeKey=[metadata("us-east-1")])
    stand_in("eu-west-1", journal, DescribeKey=[metadata("eu-west-1")])

    keys = undo(replicas=[{"region": "eu-west-1"}])

    assert [key["region"] for key in keys["replicas"]] == ["eu-west-1"]


def test_what_an_earlier_content_created_goes_as_well(journal: list[tuple[str, str]]) -> None:
    old = {"Aliases": [{"AliasName": name} for name in ("alias/old", "alias/of-others")]}
    calls = {
        region: calls_of(
            stand_in(region, journal, DescribeKey=[metadata(region)], ListAliases=[old])
        )
        for region in ("us-east-1", "eu-west-1")
    }
    names = {"aliases": ["alias/old"], "tags": [], "settings": []}

    keys = undo({"us-east-1": names, "eu-west-1": names}, replicas=[])

    assert [key["region"] for key in keys["replicas"]] == ["eu-west-1"]
    for region, of_region in calls.items():
        deleted = [found for name, found in of_region if name == "DeleteAlias"]
        assert deleted == [{"AliasName": "alias/old"}]
        assert (region, "ScheduleKeyDeletion") in journal


def test_the_key_that_is_the_primary_now_goes_last(journal: list[tuple[str, str]]) -> None:
    roles = {
        "PrimaryKey": {"Region": "eu-west-1", "Arn": key_arn("eu-west-1")},
        "ReplicaKeys": [
            {"Region": region, "Arn": key_arn(region)} for region in ("us-east-1", "us-west-2")
        ],
    }
    for region in ("us-east-1", *REPLICAS):
        moved = metadata(region)
        moved["KeyMetadata"]["MultiRegionConfiguration"] = roles
        stand_in(region, journal, DescribeKey=[moved])

    keys = undo()

    order = [region for region, operation in journal if operation == "ScheduleKeyDeletion"]
    assert order == ["us-east-1", "us-west-2", "eu-west-1"]
    assert [region for region, operation in journal if operation == "DeleteAlias"] == order
    assert keys["primary"]["arn"] == key_arn()
    assert [key["region"] for key in keys["replicas"]] == ["us-west-2", "eu-west-1"]


def test_a_region_without_an_alias_is_not_asked_for_one(journal: list[tuple[str, str]]) -> None:
    stand_in("us-east-1", journal, DescribeKey=[metadata("us-east-1")])
    replica = stand_in("eu-west-1", journal, DescribeKey=[metadata("eu-west-1")])
    calls = calls_of(replica)

    undo(replicas=[{"region": "eu-west-1", "alias": None}])

    assert "ListAliases" not in [name for name, _ in calls]


@pytest.mark.parametrize("state", ["PendingDeletion", "PendingReplicaDeletion"])
def test_what_was_rolled_back_before_is_left_as_it_is(
    state: str, journal: list[tuple[str, str]]
) -> None:
    home = "us-east-1"
    stand_in(home, journal, DescribeKey=[metadata(home, state)], ListAliases=[{"Aliases": []}])

    keys = undo(replicas=[])

    assert keys["primary"]["keyState"] == state
    assert {operation for _, operation in journal} == {"DescribeKey", "ListAliases"}


def test_a_deletion_that_was_scheduled_although_its_answer_was_lost_is_scheduled(
    journal: list[tuple[str, str]],
) -> None:
    home = "us-east-1"
    states = [metadata(home), metadata(home), metadata(home, "PendingDeletion")]
    again = refusal("KMSInvalidStateException", f"{key_arn()} is pending deletion.")
    stand_in(home, journal, DescribeKey=states, ScheduleKeyDeletion=[again])

    assert undo(replicas=[])["primary"]["keyState"] == "PendingDeletion"


def test_a_key_whose_state_forbids_its_deletion_is_not_called_deleted(
    journal: list[tuple[str, str]],
) -> None:
    refused = refusal("KMSInvalidStateException", f"{key_arn()} is updating.")
    stand_in(
        "us-east-1", journal, DescribeKey=[metadata("us-east-1")], ScheduleKeyDeletion=[refused]
    )

    with pytest.raises(KeyStateConflict, match="is updating"):
        undo(replicas=[])


def test_a_key_whose_tags_do_not_count_yet_is_waited_for(
    journal: list[tuple[str, str]],
) -> None:
    denied = refusal("AccessDeniedException", "no identity-based policy allows the action")
    made = metadata("us-east-1")
    made["KeyMetadata"]["CreationDate"] = datetime.now(UTC)
    stand_in("us-east-1", journal, DescribeKey=[made], DeleteAlias=[denied])

    with pytest.raises(KeyTagsNotInEffect, match="refused DeleteAlias alias/cards"):
        undo(replicas=[])


def test_a_refusal_stops_it_and_says_where(journal: list[tuple[str, str]]) -> None:
    stand_in("us-east-1", journal, DescribeKey=[metadata("us-east-1")])
    denied = refusal("AccessDeniedException", "not authorized, with an explicit deny")
    stand_in(
        "eu-west-1", journal, DescribeKey=[metadata("eu-west-1")], ScheduleKeyDeletion=[denied]
    )

    with pytest.raises(KmsAccessDenied, match="eu-west-1 refused ScheduleKeyDeletion"):
        undo()

    assert ("us-east-1", "ScheduleKeyDeletion") not in journal


@pytest.mark.usefixtures("aws")
def test_a_primary_alone_is_scheduled_for_deletion_and_loses_its_alias() -> None:
    kms = kms_for("us-east-1")
    arn = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/cards", TargetKeyId=arn)

    keys = roll_back_of(request_of(), arn)

    assert keys["primary"]["keyState"] == "PendingDeletion"
    assert kms.list_aliases(KeyId=arn)["Aliases"] == []
