"""A key set that exists is changed by its next declarations, read back from KMS in every Region."""

from collections import Counter

import pytest

from local.stack.stack import Stack
from tests.support.stack.changes import (
    EUROPE,
    HOME,
    WEST,
    WRITES_OF_CHANGES,
    Changed,
    Document,
    created,
    keys_of,
    revised,
    state_in,
)
from tests.support.stack.reading import ADMIN, USER, operations_since, read_key, sids


def test_one_tag_in_one_region_is_one_write_and_nothing_different_is_none(stack: Stack) -> None:
    document = created(stack, "tag", EUROPE, WEST, tags={"team": "payments"})
    one_tag = revised(
        document, replicas=[{"region": EUROPE}, {"region": WEST, "tags": {"team": "cards"}}]
    )

    changed = Changed(stack, one_tag)
    same = Changed(stack, revised(one_tag))

    assert changed.writes == changed.planned == Counter([("TagResource", WEST)])
    assert same.changes == []
    assert same.writes == Counter()
    # Planned by the API and again by the workflow: two calls a key and one a set each time.
    assert len(same.calls) <= 2 * (2 * 3 + 1)
    arns = keys_of(changed.outcome)
    assert read_key(stack, WEST, arns[WEST])["tags"] == {"team": "cards"}
    assert read_key(stack, EUROPE, arns[EUROPE])["tags"] == {"team": "payments"}


def test_each_setting_is_changed_and_taken_away_and_what_others_set_stays(stack: Stack) -> None:
    document = created(
        stack,
        "settings",
        EUROPE,
        description="Old",
        tags={"team": "payments", "stage": "test"},
        policy={"administrators": [ADMIN]},
        rotation={"periodInDays": 365},
    )
    status = stack.api("GET", f"/keys/{document['requestId']}").json()
    arns, foreign = keys_of(status), f"alias/foreign-{document['requestId']}"
    for region, arn in arns.items():
        kms = stack.client("kms", region)
        kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "owner", "TagValue": "finance"}])
        kms.create_alias(AliasName=foreign, TargetKeyId=arn)
    alias = f"{document['alias']}-new"

    new = revised(
        document,
        alias=alias,
        description="New",
        tags={"team": "cards"},
        policy={"administrators": [ADMIN], "users": [USER]},
        rotation={"periodInDays": 180},
    )
    changed = Changed(stack, new)

    assert changed.writes == changed.planned
    for region, arn in arns.items():
        found = read_key(stack, region, arn)
        assert found["tags"] == {"team": "cards", "owner": "finance"}
        assert {*found["aliases"]} == {alias, foreign}
        assert found["description"] == "New"
        assert "Allow use of the key" in sids(found["policy"])
    rotation = stack.client("kms", HOME).get_key_rotation_status(KeyId=arns[HOME])
    assert rotation["RotationPeriodInDays"] == 180

    none = revised(new, description=None, tags={}, policy=None, rotation=None)
    emptied = Changed(stack, none)

    assert emptied.writes == emptied.planned
    for region, arn in arns.items():
        found = read_key(stack, region, arn)
        assert (found["tags"], found["description"]) == ({"owner": "finance"}, "")
        assert sids(found["policy"]) == {"Enable IAM User Permissions"}
    rotation = stack.client("kms", HOME).get_key_rotation_status(KeyId=arns[HOME])
    assert not rotation["KeyRotationEnabled"]


def test_a_region_is_added_removed_and_taken_back_before_its_date(stack: Stack) -> None:
    document = created(stack, "regions", EUROPE)
    more = revised(document, replicas=[{"region": EUROPE}, {"region": WEST}])
    added = Changed(stack, more)
    arns = keys_of(added.outcome)
    assert added.writes == added.planned
    assert state_in(stack, WEST, arns[WEST]) == ("REPLICA", "Enabled")
    assert document["alias"] in read_key(stack, WEST, arns[WEST])["aliases"]

    fewer = revised(more, f"REMOVE:{WEST}", replicas=[{"region": EUROPE}], deletionWindowInDays=7)
    removed = Changed(stack, fewer)
    assert removed.writes == removed.planned == Counter([("ScheduleKeyDeletion", WEST)])
    assert state_in(stack, WEST, arns[WEST]) == ("REPLICA", "PendingDeletion")
    assert [one["region"] for one in removed.outcome["removed"]] == [WEST]
    assert removed.outcome["removed"][0]["notBefore"]

    back = revised(fewer, f"RESTORE:{WEST}", replicas=more["replicas"])
    restored = Changed(stack, back)
    assert restored.writes == restored.planned
    assert state_in(stack, WEST, arns[WEST]) == ("REPLICA", "Enabled")
    assert restored.outcome["removed"] == []


def test_a_replica_is_promoted_and_the_regions_follow_the_new_primary(stack: Stack) -> None:
    document = created(stack, "promote", EUROPE)
    moved = revised(
        document, f"PROMOTE:{EUROPE}", primaryRegion=EUROPE, replicas=[{"region": HOME}]
    )
    promoted = Changed(stack, moved)
    arns = keys_of(promoted.outcome)
    assert promoted.writes == promoted.planned == Counter([("UpdatePrimaryRegion", HOME)])
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("PRIMARY", "Enabled")
    assert state_in(stack, HOME, arns[HOME]) == ("REPLICA", "Enabled")
    assert promoted.outcome["key"]["primary"]["region"] == EUROPE

    more = revised(moved, replicas=[{"region": HOME}, {"region": WEST}])
    added = Changed(stack, more)
    assert added.writes == added.planned
    assert ("ReplicateKey", EUROPE) in added.writes
    assert state_in(stack, WEST, keys_of(added.outcome)[WEST]) == ("REPLICA", "Enabled")

    left = revised(
        more,
        f"PROMOTE:{WEST}",
        f"REMOVE:{EUROPE}",
        primaryRegion=WEST,
        replicas=[{"region": HOME}],
    )
    Changed(stack, left)
    assert state_in(stack, WEST, arns[HOME].replace(HOME, WEST)) == ("PRIMARY", "Enabled")
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("REPLICA", "PendingDeletion")


def test_a_set_is_disabled_decommissioned_and_restored(stack: Stack) -> None:
    document = created(stack, "end", EUROPE)
    off = revised(document, f"DISABLE:{EUROPE}", replicas=[{"region": EUROPE, "enabled": False}])
    disabled = Changed(stack, off)
    arns = keys_of(disabled.outcome)
    assert disabled.writes == disabled.planned == Counter([("DisableKey", EUROPE)])
    on = revised(off, replicas=[{"region": EUROPE}])
    assert Changed(stack, on).writes == Counter([("EnableKey", EUROPE)])

    end = revised(on, "DECOMMISSION", desiredState="DECOMMISSIONED")
    ended = Changed(stack, end, "DECOMMISSIONED")
    assert ended.writes == ended.planned
    assert state_in(stack, HOME, arns[HOME]) == ("PRIMARY", "PendingReplicaDeletion")
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("REPLICA", "PendingDeletion")
    not_before = {one["region"]: one["notBefore"] for one in ended.outcome["removed"]}
    assert not_before[HOME] is None
    assert not_before[EUROPE]

    words = [f"RESTORE:{HOME}", f"RESTORE:{EUROPE}"]
    Changed(stack, revised(end, *words, desiredState="ACTIVE"))
    assert state_in(stack, HOME, arns[HOME]) == ("PRIMARY", "Enabled")
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("REPLICA", "Enabled")


@pytest.fixture(scope="module")
def refused_set(stack: Stack) -> Document:
    """Return the second revision of a set that nobody changes further."""
    document = revised(created(stack, "refused", EUROPE), description="Second")
    Changed(stack, document)
    return document


@pytest.mark.parametrize(
    ("changed", "status", "expected"),
    [
        ({"replicas": []}, 400, ("replicas", "CONFIRMATION_REQUIRED")),
        ({"desiredState": "DECOMMISSIONED"}, 400, ("desiredState", "CONFIRMATION_REQUIRED")),
        ({"enabled": False}, 400, ("enabled", "CONFIRMATION_REQUIRED")),
        ({"confirm": [f"REMOVE:{EUROPE}"]}, 400, ("confirm[0]", "CONFIRMATION_UNUSED")),
        ({"keySpec": "HMAC_256", "keyUsage": "GENERATE_VERIFY_MAC"}, 400, ("keySpec", "IMMUTABLE")),
        ({"revision": 1}, 409, ("requestId", "REQUEST_CONFLICT")),
        ({"revision": 2}, 409, ("requestId", "REQUEST_CONFLICT")),
        ({"revision": 4}, 409, ("revision", "REVISION_SKIPPED")),
    ],
)
def test_what_is_not_confirmed_or_out_of_turn_is_refused_and_changes_nothing(
    stack: Stack, refused_set: Document, changed: Document, status: int, expected: tuple[str, str]
) -> None:
    document = {**revised(refused_set, description="Third"), **changed}
    before = len(stack.kms_calls())

    answer = stack.api("POST", "/keys", json=document)

    assert answer.status_code == status, answer.text
    assert expected in [(one["path"], one["code"]) for one in answer.json()["errors"]]
    assert WRITES_OF_CHANGES.isdisjoint(call for call, _ in operations_since(stack, before))
    assert stack.api("GET", f"/keys/{document['requestId']}").json()["revision"] == 2


def test_of_fifty_deliveries_of_a_revision_one_is_carried_out(stack: Stack) -> None:
    document = created(stack, "fifty", EUROPE)
    name, before = document["requestId"], len(stack.kms_calls())

    for _ in range(50):
        stack.send(revised(document, description="Second"))
    outcomes = stack.wait_for_outcomes(name, 2, timeout=120)

    assert {one["detail"]["status"] for one in outcomes} == {"CREATED", "UPDATED"}
    calls = Counter(operations_since(stack, before))
    written = {call: times for call, times in calls.items() if call[0] in WRITES_OF_CHANGES}
    assert written == {("UpdateKeyDescription", HOME): 1, ("UpdateKeyDescription", EUROPE): 1}
