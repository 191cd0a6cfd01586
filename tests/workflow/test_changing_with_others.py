"""Changes of key sets that others have worked on, and key sets over their years, read from KMS."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from local.emulator.faults import Fault
from local.polling import wait_for
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
from tests.support.stack.denials import denied
from tests.support.stack.reading import ADMIN, USER, new_request, operations_since, read_key, sids

NINE = [
    *(EUROPE, WEST, "us-east-2", "us-west-1", "ca-central-1"),
    *("eu-central-1", "eu-north-1", "ap-northeast-1", "ap-southeast-2"),
]
BY_HAND = "sa-east-1"
DAY = 86400
AFTER_THE_REPLICA = 10 * DAY
"""The shortest window, and two days until the key is gone, as KMS was seen to take."""
AFTER_THE_PRIMARY = 20 * DAY
"""Twice that: a primary key's window begins when its last replica key is gone."""


def problems(stack: Stack, document: Document, query: str = "") -> tuple[int, set[tuple[str, str]]]:
    """Send a declaration that is refused; nothing may be written for it."""
    before = len(stack.kms_calls())
    answer = stack.api("POST", f"/keys{query}", json=document)
    assert WRITES_OF_CHANGES.isdisjoint(call for call, _ in operations_since(stack, before))
    return answer.status_code, {(one["path"], one["code"]) for one in answer.json()["errors"]}


def status_of(stack: Stack, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = stack.api("GET", f"/keys/{document['requestId']}").json()
    return found


def sweep(stack: Stack, region: str) -> None:
    """Look through every key of a Region; another worker of it may have to end first."""
    work = {"region": region, "tableMadeAt": datetime(2020, 1, 1, tzinfo=UTC).isoformat()}
    wait_for(
        lambda: stack.invoke("SweepRegionFunction", {**work, "begin": True}),
        f"a sweep of {region}",
        timeout=30,
        interval=0.2,
    )


def wait_for_deleted_keys(stack: Stack, document: Document, *arns: str) -> None:
    """Wait until the sweep has reported that KMS has deleted these keys, and no others."""

    def reported() -> list[str] | None:
        found = deleted_keys(stack, document)
        return found if len(found) >= len(arns) else None

    found = wait_for(reported, f"KEY_DELETED of {document['requestId']}", timeout=10)
    assert found == [*arns]


def deleted_keys(stack: Stack, document: Document) -> list[str]:
    """List the keys of which the sweep has reported that KMS has deleted them."""
    found = [event["detail"] for event in stack.events(document["requestId"])]
    return [detail["keyArn"] for detail in found if detail.get("kind") == "KEY_DELETED"]


def test_each_region_has_settings_of_its_own_or_none(stack: Stack) -> None:
    document = created(
        stack,
        "own",
        EUROPE,
        WEST,
        description="All",
        tags={"team": "payments"},
        policy={"administrators": [ADMIN]},
    )
    none = dict.fromkeys(("alias", "description", "tags", "policy"))
    alias = f"{document['alias']}-west"
    own = {
        "alias": alias,
        "description": "West",
        "tags": {"team": "west"},
        "policy": {"administrators": [ADMIN], "users": [USER]},
    }

    different = revised(
        document, replicas=[{"region": EUROPE, **none}, {"region": WEST, **own}], description="Home"
    )
    changed = Changed(stack, different)

    arns = keys_of(changed.outcome)
    assert changed.writes == changed.planned
    home, europe, west = (read_key(stack, one, arns[one]) for one in (HOME, EUROPE, WEST))
    assert (home["description"], home["tags"]) == ("Home", {"team": "payments"})
    assert home["aliases"] == [document["alias"]]
    assert (europe["aliases"], europe["description"], europe["tags"]) == ([], "", {})
    assert sids(europe["policy"]) == {"Enable IAM User Permissions"}
    assert (west["aliases"], west["description"], west["tags"]) == ([alias], "West", own["tags"])
    assert "Allow use of the key" in sids(west["policy"])

    same = Changed(stack, revised(different, replicas=document["replicas"], description="All"))

    assert same.writes == same.planned
    for region, arn in arns.items():
        found = read_key(stack, region, arn)
        assert found["aliases"] == [document["alias"]]
        assert (found["description"], found["tags"]) == ("All", {"team": "payments"})
        assert "Allow use of the key" not in sids(found["policy"])


def test_one_tag_in_one_of_ten_regions_is_one_write_beside_a_replica_made_by_hand(
    stack: Stack,
) -> None:
    policy = {"administrators": [ADMIN], "users": [USER]}
    document = created(stack, "ten", *NINE, tags={"team": "payments"}, policy=policy)
    arn = status_of(stack, document)["key"]["primary"]["arn"]
    made = stack.client("kms", HOME).replicate_key(KeyId=arn, ReplicaRegion=BY_HAND)
    by_hand = made["ReplicaKeyMetadata"]["Arn"]
    regions = [{"region": one} for one in NINE]
    one_tag = revised(document, replicas=[{**regions[0], "tags": {"team": "cards"}}, *regions[1:]])

    changed = Changed(stack, one_tag)
    same = Changed(stack, revised(one_tag))

    assert changed.writes == changed.planned == Counter([("TagResource", EUROPE)])
    # KMS shows each policy in another form at each reading.
    assert (same.changes, same.writes) == ([], Counter())
    # Planned by the API and by the workflow, each time with two reads a key and one a set.
    assert len(same.calls) <= 2 * (2 * (len(NINE) + 2) + 1)
    found = read_key(stack, BY_HAND, by_hand)
    assert (found["type"], found["state"]) == ("REPLICA", "Enabled")
    assert (found["aliases"], found["tags"]) == ([], {})
    planned = stack.api("POST", "/keys?plan=true", json=revised(revised(one_tag)))
    warned = [(one["code"], BY_HAND in one["message"]) for one in planned.json()["warnings"]]
    assert ("KEY_NOT_DECLARED", True) in warned


def test_a_promotion_by_hand_is_understood(stack: Stack) -> None:
    document = created(stack, "moved", EUROPE, rotation={"periodInDays": 365})
    arns = keys_of(status_of(stack, document))
    kms = stack.client("kms", HOME)
    kms.update_primary_region(KeyId=arns[HOME], PrimaryRegion=EUROPE)

    back = revised(document, rotation={"periodInDays": 180})
    assert problems(stack, back) == (400, {("primaryRegion", "CONFIRMATION_REQUIRED")})
    as_it_is = revised(
        document,
        primaryRegion=EUROPE,
        replicas=[{"region": HOME}, {"region": WEST}],
        rotation={"periodInDays": 180},
    )
    changed = Changed(stack, as_it_is)

    expected = [("EnableKeyRotation", EUROPE), ("ReplicateKey", EUROPE), ("CreateAlias", WEST)]
    assert changed.writes == Counter(expected)
    assert changed.outcome["key"]["primary"]["region"] == EUROPE
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("PRIMARY", "Enabled")
    status = stack.client("kms", EUROPE).get_key_rotation_status(KeyId=arns[EUROPE])
    assert status["RotationPeriodInDays"] == 180

    confirmed = revised(
        as_it_is,
        f"PROMOTE:{HOME}",
        primaryRegion=HOME,
        replicas=[{"region": EUROPE}, {"region": WEST}],
    )
    promoted = Changed(stack, confirmed)

    assert promoted.writes == Counter([("UpdatePrimaryRegion", EUROPE)])
    assert state_in(stack, HOME, arns[HOME]) == ("PRIMARY", "Enabled")


def test_an_alias_of_another_key_is_moved_with_its_word_alone(stack: Stack) -> None:
    document = created(stack, "alias", EUROPE)
    arns = keys_of(status_of(stack, document))
    kms = stack.client("kms", EUROPE)
    other = kms.create_key()["KeyMetadata"]["Arn"]
    taken = f"{document['alias']}-taken"
    kms.create_alias(AliasName=taken, TargetKeyId=other)
    replicas = [{"region": EUROPE, "alias": taken}]

    without = revised(document, replicas=replicas)
    assert problems(stack, without) == (400, {("replicas[0].alias", "CONFIRMATION_REQUIRED")})
    elsewhere = revised(document, f"MOVE_ALIAS:{HOME}", replicas=replicas)
    assert ("confirm[0]", "CONFIRMATION_UNUSED") in problems(stack, elsewhere)[1]
    changed = Changed(stack, revised(document, f"MOVE_ALIAS:{EUROPE}", replicas=replicas))

    assert changed.writes == changed.planned
    assert read_key(stack, EUROPE, arns[EUROPE])["aliases"] == [taken]
    assert kms.list_aliases(KeyId=other)["Aliases"] == []
    assert read_key(stack, HOME, arns[HOME])["aliases"] == [document["alias"]]


def test_a_principal_that_is_gone_is_named_and_no_new_one_of_its_name_is_let_in(
    stack: Stack,
) -> None:
    user = stack.create_role("gone-user")
    policy = {"administrators": [ADMIN], "users": [user]}
    document = created(stack, "principal", EUROPE, tags={"team": "payments"}, policy=policy)
    iam = stack.client("iam", HOME)
    name = user.rsplit("/", 1)[1]
    iam.delete_role(RoleName=name)

    tagged = revised(document, tags={"team": "cards"})
    changed = Changed(stack, tagged)

    assert changed.writes == Counter([("TagResource", HOME), ("TagResource", EUROPE)])
    warned = [one for one in changed.outcome["warnings"] if one["code"] == "POLICY_PRINCIPAL_GONE"]
    assert [region in one["message"] for one, region in zip(warned, (HOME, EUROPE), strict=True)]
    assert all("AROA" in one["message"] for one in warned)

    assert stack.create_role("gone-user") == user
    assert Changed(stack, revised(tagged)).writes == Counter()
    more = revised(revised(tagged), policy={**policy, "administrators": [ADMIN, USER]})
    assert problems(stack, more) == (400, {("policy", "POLICY_PRINCIPAL_GONE")})

    without = Changed(stack, {**more, "policy": {"administrators": [ADMIN, USER]}})
    assert without.writes == Counter([("PutKeyPolicy", HOME), ("PutKeyPolicy", EUROPE)])
    assert without.outcome["warnings"] == []
    again = Changed(stack, revised(more))
    assert again.writes == Counter([("PutKeyPolicy", HOME), ("PutKeyPolicy", EUROPE)])
    assert again.outcome["warnings"] == []


def test_a_plan_is_outdated_once_somebody_changes_a_key(stack: Stack) -> None:
    document = revised(created(stack, "plan", EUROPE), tags={"team": "cards"})
    arn = status_of(stack, document)["key"]["primary"]["arn"]
    planned = stack.api("POST", "/keys?plan=true", json=document).json()
    tag = {"TagKey": "team", "TagValue": "somebody"}
    stack.client("kms", HOME).tag_resource(KeyId=arn, Tags=[tag])

    status, found = problems(stack, document, f"?planId={planned['planId']}")

    assert (status, {code for _, code in found}) == (409, {"PLAN_OUTDATED"})
    assert status_of(stack, document)["revision"] == 1
    assert Changed(stack, document).writes == Counter(
        [("TagResource", HOME), ("TagResource", EUROPE)]
    )


def test_a_change_that_fails_keeps_what_it_reached_and_is_finished_when_sent_again(
    stack: Stack,
) -> None:
    document = revised(created(stack, "fails", EUROPE, onFailure="ROLL_BACK"), description="Second")
    name, arns = document["requestId"], keys_of(status_of(stack, document))

    with denied(stack, "ApplyChangeFunction", "kms:UpdateKeyDescription", EUROPE):
        stack.start_execution(document)
        failed = stack.wait_for_outcomes(name, 2, timeout=90)[-1]

    assert failed["detail-type"] == "Multi-Region Key Update Failed"
    assert failed["detail"]["revision"] == 2
    assert [one["code"] for one in failed["detail"]["errors"]] == ["KMS_ACCESS_DENIED"]
    assert state_in(stack, HOME, arns[HOME]) == ("PRIMARY", "Enabled")
    assert state_in(stack, EUROPE, arns[EUROPE]) == ("REPLICA", "Enabled")

    stack.start_execution(document)
    finished = stack.wait_for_outcomes(name, 3)[-1]["detail"]

    assert (finished["status"], finished["revision"]) == ("UPDATED", 2)
    for region, arn in arns.items():
        assert read_key(stack, region, arn)["description"] == "Second"


def test_a_replica_key_that_is_there_already_is_planned_for_anew(stack: Stack) -> None:
    document = revised(created(stack, "there"), replicas=[{"region": EUROPE}])
    stack.put_faults(Fault("ReplicateKey", "lose-after"))

    stack.start_execution(document)
    outcome = stack.wait_for_outcomes(document["requestId"], 2, timeout=90)[-1]["detail"]

    assert (outcome["status"], outcome["errors"]) == ("UPDATED", [])
    history = stack.history(outcome["executionArn"])
    entered = Counter(
        event["stateEnteredEventDetails"]["name"]
        for event in history
        if "stateEnteredEventDetails" in event
    )
    assert (entered["PlanChange"], entered["LookAgain"]) == (2, 1)
    key = read_key(stack, EUROPE, keys_of(outcome)[EUROPE])
    assert (key["type"], key["state"]) == ("REPLICA", "Enabled")
    assert key["aliases"] == [document["alias"]]


def test_a_removed_key_is_reported_once_it_is_deleted_and_its_region_can_be_added_again(
    stack: Stack,
) -> None:
    document = created(stack, "gone", EUROPE, WEST)
    only = [{"region": EUROPE}]
    fewer = revised(document, f"REMOVE:{WEST}", replicas=only, deletionWindowInDays=7)
    arn = Changed(stack, fewer).outcome["removed"][0]["arn"]

    with stack.changed_kms_settings(clock_shift_seconds=AFTER_THE_REPLICA):
        sweep(stack, WEST)
        wait_for_deleted_keys(stack, fewer, arn)
        sweep(stack, WEST)
        same = Changed(stack, revised(fewer))

        assert (same.changes, same.writes) == ([], Counter())
        assert deleted_keys(stack, fewer) == [arn]
        assert status_of(stack, fewer).get("removed", []) == []

        again = Changed(stack, revised(revised(fewer), replicas=document["replicas"]))

        assert again.writes == again.planned
        assert again.writes[("ReplicateKey", HOME)] == 1
        assert state_in(stack, WEST, arn) == ("REPLICA", "Enabled")


def test_a_decommissioned_set_is_reported_once_each_of_its_keys_is_deleted(stack: Stack) -> None:
    document = created(stack, "ended", EUROPE)
    end = revised(document, "DECOMMISSION", desiredState="DECOMMISSIONED", deletionWindowInDays=7)
    removed = Changed(stack, end, "DECOMMISSIONED").outcome["removed"]
    arns = {one["region"]: one["arn"] for one in removed}

    with stack.changed_kms_settings(clock_shift_seconds=AFTER_THE_REPLICA):
        for region in (HOME, EUROPE):
            sweep(stack, region)
        wait_for_deleted_keys(stack, end, arns[EUROPE])
        assert state_in(stack, HOME, arns[HOME]) == ("PRIMARY", "PendingDeletion")
        stack.change_kms_settings(clock_shift_seconds=AFTER_THE_PRIMARY)
        for region in (HOME, EUROPE):
            sweep(stack, region)
        wait_for_deleted_keys(stack, end, arns[EUROPE], arns[HOME])

        words = [f"RESTORE:{region}" for region in arns]
        back = revised(end, *words, desiredState="ACTIVE")
        refused = (400, {("requestId", "CHANGE_NOT_SUPPORTED")})
        assert problems(stack, back) == refused
        assert problems(stack, back, "?plan=true") == refused
        assert status_of(stack, end)["status"] == "DECOMMISSIONED"


@pytest.fixture(scope="module")
def leaving_set(stack: Stack) -> Document:
    """Return the second revision of a set, in which one replica key waits for deletion."""
    document = created(stack, "words", EUROPE, WEST)
    second = revised(document, f"REMOVE:{WEST}", replicas=[{"region": EUROPE}])
    Changed(stack, second)
    return {**second, "replicas": [{"region": EUROPE}]}


PROMOTED = {"primaryRegion": EUROPE, "replicas": [{"region": HOME}]}
DISABLED = {"replicas": [{"region": EUROPE, "enabled": False}]}
RESTORED = {"replicas": [{"region": EUROPE}, {"region": WEST}]}
ENDED = {"desiredState": "DECOMMISSIONED"}
MISSING, UNUSED = "CONFIRMATION_REQUIRED", "CONFIRMATION_UNUSED"


@pytest.mark.parametrize(
    ("changed", "word", "expected"),
    [
        (PROMOTED, None, {("primaryRegion", MISSING)}),
        (PROMOTED, f"PROMOTE:{HOME}", {("primaryRegion", MISSING), ("confirm[0]", UNUSED)}),
        ({"replicas": []}, f"REMOVE:{WEST}", {("replicas", MISSING), ("confirm[0]", UNUSED)}),
        (DISABLED, None, {("replicas[0].enabled", MISSING)}),
        (DISABLED, f"DISABLE:{HOME}", {("replicas[0].enabled", MISSING), ("confirm[0]", UNUSED)}),
        (RESTORED, None, {("replicas[1].region", MISSING)}),
        (RESTORED, f"RESTORE:{EUROPE}", {("replicas[1].region", MISSING), ("confirm[0]", UNUSED)}),
        (ENDED, f"REMOVE:{EUROPE}", {("desiredState", MISSING), ("confirm[0]", UNUSED)}),
        ({}, f"PROMOTE:{EUROPE}", {("confirm[0]", UNUSED)}),
        ({}, f"DISABLE:{EUROPE}", {("confirm[0]", UNUSED)}),
        ({}, f"RESTORE:{WEST}", {("confirm[0]", UNUSED)}),
        ({}, f"MOVE_ALIAS:{EUROPE}", {("confirm[0]", UNUSED)}),
        ({}, "DECOMMISSION", {("confirm[0]", UNUSED)}),
        ({"origin": "EXTERNAL"}, None, {("origin", "IMMUTABLE")}),
    ],
)
def test_a_word_is_needed_exactly_where_it_is_named(
    stack: Stack,
    leaving_set: Document,
    changed: Document,
    word: str | None,
    expected: set[tuple[str, str]],
) -> None:
    document = {**revised(leaving_set, *([word] if word else [])), **changed}

    assert problems(stack, document) == (400, expected)
    assert status_of(stack, document)["revision"] == 2


def test_a_first_revision_needs_no_word(stack: Stack) -> None:
    document = new_request("first", confirm=[f"REMOVE:{EUROPE}"])
    status, found = problems(stack, document)
    assert (status, {path.partition("[")[0] for path, _ in found}) == (400, {"confirm"})
    assert status_of(stack, document)["status"] == "REJECTED"
