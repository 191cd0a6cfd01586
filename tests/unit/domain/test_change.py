from copy import deepcopy
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.domain.change import Change, ObservedSet, Wave, plan_change, plan_id, wave_of
from provisioner.domain.change_problems import (
    change_problems,
    word_problems,
)
from provisioner.domain.plan import KeySetRequest, RegionNames, names_by_region, plan_key, regions
from tests.support.changing import (
    LEAVING,
    OTHER_KEY,
    carried_out,
    changes_of,
    key_of,
    observed_of,
    shown_otherwise,
)
from tests.support.samples import ADMIN, SETTINGS, USER, key_arn
from tests.support.samples import request_of as first_request_of

US, EU, WEST, ASIA = "us-east-1", "eu-west-1", "us-west-2", "ap-south-1"
WAVES = list(Wave)
REPLICAS: list[dict[str, Any]] = [{"region": EU}, {"region": WEST}]
CARDS = key_arn(EU, OTHER_KEY)


def applied_of(**fields: Any) -> KeySetRequest:
    return first_request_of(**{"replicas": REPLICAS, **fields})


def declared_of(**fields: Any) -> KeySetRequest:
    return applied_of(revision=2, **fields)


def planned(
    applied: KeySetRequest,
    declared: KeySetRequest,
    observed: ObservedSet | None = None,
    superseded: RegionNames | None = None,
) -> list[Change]:
    observed = observed_of(applied) if observed is None else observed
    return plan_change(applied, declared, observed, SETTINGS, superseded)


def waves(changes: list[Change]) -> list[Wave]:
    return [wave_of(change, partition="aws") for change in changes]


# What a request says of the key in EU before and after, and what that changes.
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]] = [
    (
        "description-changed",
        {"description": "old"},
        {"description": "new"},
        [("description", "old", "new", "UpdateKeyDescription", None)],
    ),
    (
        "description-none",
        {"description": "old"},
        {"description": None},
        [("description", "old", "", "UpdateKeyDescription", None)],
    ),
    (
        "tag-changed",
        {"tags": {"a": "1", "b": "1"}},
        {"tags": {"a": "2", "b": "1"}},
        [("tags.a", "1", "2", "TagResource", None)],
    ),
    (
        "tag-added",
        {"tags": {"b": "1"}},
        {"tags": {"a": "", "b": "1"}},
        [("tags.a", None, "", "TagResource", None)],
    ),
    (
        "tags-none",
        {"tags": {"a": "1", "b": ""}},
        {"tags": None},
        [
            ("tags.a", "1", None, "UntagResource", None),
            ("tags.b", "", None, "UntagResource", None),
        ],
    ),
    (
        "tags-swapped",
        {"tags": {"b": "1"}},
        {"tags": {"a": "1"}},
        [
            ("tags.b", "1", None, "UntagResource", None),
            ("tags.a", None, "1", "TagResource", None),
        ],
    ),
    (
        "alias-changed",
        {"alias": "alias/old"},
        {"alias": "alias/new"},
        [
            ("alias", None, "alias/new", "CreateAlias", None),
            ("alias", "alias/old", None, "DeleteAlias", None),
        ],
    ),
    (
        "alias-none",
        {"alias": "alias/old"},
        {"alias": None},
        [("alias", "alias/old", None, "DeleteAlias", None)],
    ),
    (
        "alias-added",
        {"alias": None},
        {"alias": "alias/new"},
        [("alias", None, "alias/new", "CreateAlias", None)],
    ),
    (
        "disabled",
        {},
        {"enabled": False},
        [("keyState", "Enabled", "Disabled", "DisableKey", f"DISABLE:{EU}")],
    ),
    (
        "enabled",
        {"enabled": False},
        {"enabled": True},
        [("keyState", "Disabled", "Enabled", "EnableKey", None)],
    ),
    ("enabled-not-said", {"enabled": True}, {}, []),
]


@pytest.mark.parametrize(
    ("before", "after", "expected"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_what_differs_in_one_region_is_changed_there(
    before: dict[str, Any], after: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    applied = declared_of(replicas=[{"region": EU, **before}, {"region": WEST}])
    declared = declared_of(replicas=[{"region": EU, **after}, {"region": WEST}])

    changes = planned(applied, declared)

    assert changes_of(changes) == [(EU, *change) for change in expected]
    assert {change["reversible"] for change in changes} <= {"by the next revision"}


@pytest.mark.parametrize("fields", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_the_same_is_not_changed(fields: dict[str, Any]) -> None:
    request = declared_of(
        rotation={"periodInDays": 90}, replicas=[{"region": EU, **fields}, {"region": WEST}]
    )

    assert planned(request, request) == []


def test_one_tag_in_one_of_ten_regions_is_one_change() -> None:
    others = [
        WEST,
        ASIA,
        "eu-west-2",
        "eu-west-3",
        "eu-north-1",
        "sa-east-1",
        "us-east-2",
        "us-west-1",
    ]
    replicas = [{"region": region} for region in others]
    applied = applied_of(replicas=[*replicas, {"region": EU}])
    declared = declared_of(replicas=[*replicas, {"region": EU, "tags": {"team": "cards"}}])

    assert changes_of(planned(applied, declared)) == [
        (EU, "tags.team", None, "cards", "TagResource", None)
    ]


def test_a_setting_of_the_primary_key_is_changed_wherever_a_replica_has_it_too() -> None:
    changes = planned(applied_of(), declared_of(description="new"))

    assert [(change["region"], change["to"]) for change in changes] == [
        (US, "new"),
        (EU, "new"),
        (WEST, "new"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, 90, [(None, {"periodInDays": 90}, "EnableKeyRotation")]),
        (365, 90, [({"periodInDays": 365}, {"periodInDays": 90}, "EnableKeyRotation")]),
        (365, None, [({"periodInDays": 365}, None, "DisableKeyRotation")]),
        (365, 365, []),
        (None, None, []),
    ],
)
@pytest.mark.parametrize("primary", [US, EU])
def test_rotation_is_changed_on_the_primary_key_that_there_is_by_then(
    primary: str, before: int | None, after: int | None, expected: list[tuple[Any, ...]]
) -> None:
    applied = applied_of(rotation=before and {"periodInDays": before})
    others = [{"region": one} for one in (US, EU, WEST) if one != primary]
    declared = declared_of(
        primaryRegion=primary, replicas=others, rotation=after and {"periodInDays": after}
    )

    changes = [one for one in planned(applied, declared) if one["property"] == "rotation"]

    assert changes_of(changes) == [(primary, "rotation", *change, None) for change in expected]


def test_rotation_that_somebody_else_switched_on_stays() -> None:
    observed = observed_of(applied_of())
    observed["keys"][US]["rotationPeriodInDays"] = 180

    assert planned(applied_of(), declared_of(), observed) == []
    superseded: RegionNames = {US: {"aliases": [], "tags": [], "settings": ["rotation"]}}
    (change,) = planned(applied_of(), declared_of(), observed, superseded)
    assert change["call"] == "DisableKeyRotation"


POLICIES: list[tuple[Any, Any, Wave]] = [
    (None, {"users": [USER]}, Wave.WIDEN),
    ({"users": [USER]}, None, Wave.NARROW),
    ({"users": [USER]}, {"users": [ADMIN]}, Wave.NARROW),
    ({"users": [USER]}, {"users": [USER], "administrators": [ADMIN]}, Wave.WIDEN),
]


@pytest.mark.parametrize(("before", "after", "wave"), POLICIES)
def test_a_policy_that_only_allows_more_is_put_earlier(before: Any, after: Any, wave: Wave) -> None:
    applied = applied_of(replicas=[{"region": EU, "policy": before}])
    declared = declared_of(replicas=[{"region": EU, "policy": after}])

    (change,) = planned(applied, declared)

    assert (change["region"], change["property"], change["call"]) == (EU, "policy", "PutKeyPolicy")
    assert change["from"] == plan_key(applied, EU, SETTINGS).policy
    assert change["to"] == plan_key(declared, EU, SETTINGS).policy
    assert waves([change]) == [wave]


ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
DENY = {**ALLOW, "Effect": "Deny", "Action": "kms:Decrypt"}
V2012 = {"Version": "2012-10-17"}


@pytest.mark.parametrize(
    ("before", "after", "wave"),
    [
        ({**V2012, "Statement": [ALLOW]}, {**V2012, "Statement": [ALLOW, DENY]}, Wave.NARROW),
        ({**V2012, "Statement": [ALLOW, DENY]}, {**V2012, "Statement": [ALLOW]}, Wave.NARROW),
        ({**V2012, "Statement": DENY}, {**V2012, "Statement": [ALLOW, DENY]}, Wave.WIDEN),
        ({"Statement": [DENY]}, {**V2012, "Statement": [ALLOW, DENY]}, Wave.NARROW),
        (None, {**V2012, "Statement": [ALLOW]}, Wave.NARROW),
    ],
)
def test_a_policy_that_denies_more_or_is_read_otherwise_is_put_later(
    before: Any, after: Any, wave: Wave
) -> None:
    assert wave_of({"call": "PutKeyPolicy", "from": before, "to": after}, partition="aws") == wave


def test_an_account_in_a_policy_is_its_root_in_the_partition_of_the_stack() -> None:
    written = {**ALLOW, "Principal": {"AWS": "111122223333"}}
    shown = {**ALLOW, "Principal": {"AWS": "arn:aws-cn:iam::111122223333:root"}}
    change = {"call": "PutKeyPolicy", "from": {"Statement": shown}, "to": {"Statement": [written]}}

    assert wave_of(change, partition="aws-cn") == Wave.WIDEN
    assert wave_of(change, partition="aws") == Wave.NARROW


def test_a_policy_that_cannot_be_read_is_put_again() -> None:
    observed = observed_of(applied_of())
    observed["keys"][EU]["policy"] = None

    (change,) = planned(applied_of(), declared_of(), observed)

    assert (change["from"], change["call"]) == (None, "PutKeyPolicy")


def test_a_policy_that_kms_writes_otherwise_is_not_put() -> None:
    applied = applied_of(policy={"administrators": [ADMIN], "users": [USER]})
    observed = observed_of(applied)
    for key in observed["keys"].values():
        key["policy"] = shown_otherwise(key["policy"])

    assert planned(applied, declared_of(policy=applied["policy"]), observed) == []


def test_what_others_added_stays() -> None:
    observed = observed_of(applied_of())
    for key in observed["keys"].values():
        key["tags"] |= {"mrk:attempt": "1", "aws:owner": "x", "cost": "7"}
        key["aliases"] |= {"alias/theirs": key["arn"]}
    observed["keys"][ASIA] = key_of(applied_of(replicas=[{"region": ASIA}]), ASIA)

    assert planned(applied_of(), declared_of(), observed) == []


@pytest.mark.parametrize("kind", ["aliases", "tags"])
def test_a_name_of_a_revision_that_failed_is_taken_away(kind: str) -> None:
    observed = observed_of(applied_of())
    key = observed["keys"][EU]
    key["aliases"]["alias/half"], key["tags"]["half"] = key["arn"], "done"
    superseded: RegionNames = {
        EU: {"aliases": ["alias/half"], "tags": ["half"], "settings": []},
        WEST: {"aliases": ["alias/half"], "tags": ["half"], "settings": []},
    }

    changes = planned(applied_of(), declared_of(), observed, superseded)

    expected = {
        "aliases": (EU, "alias", "alias/half", None, "DeleteAlias", None),
        "tags": (EU, "tags.half", "done", None, "UntagResource", None),
    }
    assert expected[kind] in changes_of(changes)
    assert len(changes) == 2


def test_an_old_alias_that_points_to_another_key_by_now_stays() -> None:
    observed = observed_of(applied_of(alias="alias/old"))
    observed["keys"][EU]["aliases"]["alias/old"] = CARDS

    changes = planned(applied_of(alias="alias/old"), declared_of(alias="alias/new"), observed)

    assert [one["region"] for one in changes if one["call"] == "DeleteAlias"] == [US, WEST]


def test_an_alias_of_another_key_is_taken_from_it_with_a_word() -> None:
    observed = observed_of(applied_of())
    observed["keys"][EU]["aliases"]["alias/cards"] = CARDS

    (change,) = planned(applied_of(), declared_of(), observed)

    word = f"MOVE_ALIAS:{EU}"
    assert changes_of([change]) == [(EU, "alias", CARDS, "alias/cards", "UpdateAlias", word)]
    assert change["reversible"] == "by hand, with UpdateAlias"


def test_an_alias_of_another_key_is_taken_from_it_also_in_a_new_region() -> None:
    observed = observed_of(applied_of(replicas=[]))
    observed["aliases"] = {EU: {"alias/cards": CARDS}}

    changes = planned(applied_of(replicas=[]), declared_of(replicas=[{"region": EU}]), observed)

    assert [change["call"] for change in changes] == ["ReplicateKey", "UpdateAlias"]


def test_a_new_region_gets_a_key_and_its_alias() -> None:
    declared = declared_of(
        replicas=[*REPLICAS, {"region": ASIA, "tags": {"own": "1"}, "alias": "alias/own"}]
    )

    assert changes_of(planned(applied_of(), declared)) == [
        (ASIA, "region", None, ASIA, "ReplicateKey", None),
        (ASIA, "alias", None, "alias/own", "CreateAlias", None),
    ]


def test_a_key_in_a_new_region_can_be_disabled_from_the_beginning() -> None:
    declared = declared_of(replicas=[*REPLICAS, {"region": ASIA, "enabled": False, "alias": None}])

    assert [change["call"] for change in planned(applied_of(), declared)] == [
        "ReplicateKey",
        "DisableKey",
    ]


def test_a_region_that_is_left_out_is_removed_as_it_is() -> None:
    observed = observed_of(applied_of())
    observed["keys"][WEST]["tags"]["drifted"] = "1"
    declared = declared_of(replicas=[{"region": EU}], deletionWindowInDays=7, alias="alias/new")

    changes = [one for one in planned(applied_of(), declared, observed) if one["region"] == WEST]

    word = f"REMOVE:{WEST}"
    assert changes_of(changes) == [
        (WEST, "keyState", "Enabled", "PendingDeletion", "ScheduleKeyDeletion", word)
    ]
    assert changes[0]["reversible"] == "for 7 days from then on"


def test_a_region_of_a_revision_that_failed_is_removed_too() -> None:
    observed = observed_of(applied_of(replicas=[*REPLICAS, {"region": ASIA}]))
    superseded: RegionNames = {ASIA: {"aliases": [], "tags": [], "settings": []}}

    (change,) = planned(applied_of(), declared_of(), observed, superseded)

    assert (change["region"], change["confirm"]) == (ASIA, f"REMOVE:{ASIA}")


@pytest.mark.parametrize("state", LEAVING)
def test_a_region_that_waits_for_its_deletion_is_not_removed_again(state: str) -> None:
    observed = observed_of(applied_of())
    observed["keys"][WEST]["keyState"] = state

    assert planned(applied_of(), declared_of(replicas=[{"region": EU}]), observed) == []


def imported(**fields: Any) -> dict[str, Any]:
    return {"origin": "EXTERNAL", **fields}


IMPORT = (ASIA, "keyState", "PendingImport", "Enabled", "ImportKeyMaterial", None)


@pytest.mark.parametrize(
    ("state", "first"),
    [
        (None, [(ASIA, "region", None, ASIA, "ReplicateKey", None)]),
        ("Creating", []),
        ("PendingImport", []),
    ],
)
def test_a_new_key_of_a_set_with_imported_material_gets_it_before_its_name(
    state: str | None, first: list[tuple[Any, ...]]
) -> None:
    applied = applied_of(**imported())
    declared = declared_of(**imported(replicas=[*REPLICAS, {"region": ASIA}]))
    observed = observed_of(applied)
    if state:
        observed["keys"][ASIA] = {**key_of(declared, ASIA), "keyState": state}

    changes = planned(applied, declared, observed)

    name = (ASIA, "alias", None, declared["alias"], "CreateAlias", None)
    assert changes_of(changes) == [*first, IMPORT, name]
    assert waves(changes) == [*[Wave.ADD] * len(first), Wave.MATERIAL, Wave.SETTINGS]


@pytest.mark.parametrize("state", ["Enabled", "Disabled"])
def test_a_new_key_that_has_its_material_is_asked_for_none(state: str) -> None:
    applied = applied_of(**imported())
    declared = declared_of(**imported(replicas=[*REPLICAS, {"region": ASIA}]))
    observed = observed_of(applied)
    observed["keys"][ASIA] = {**key_of(declared, ASIA), "keyState": state}

    calls = [change["call"] for change in planned(applied, declared, observed)]

    assert calls == [*["EnableKey"] * (state == "Disabled"), "CreateAlias"]


@pytest.mark.parametrize("state", [None, "PendingImport"])
def test_a_new_key_that_is_declared_disabled_is_disabled_once_it_has_its_material(
    state: str | None,
) -> None:
    applied = applied_of(**imported())
    added = {"region": ASIA, "enabled": False}
    declared = declared_of(**imported(replicas=[*REPLICAS, added]))
    observed = observed_of(applied)
    if state:
        observed["keys"][ASIA] = {**key_of(declared, ASIA), "keyState": state}

    changes = planned(applied, declared, observed)

    word = f"DISABLE:{ASIA}"
    assert changes_of([one for one in changes if one["property"] == "keyState"]) == [
        IMPORT,
        (ASIA, "keyState", "Enabled", "Disabled", "DisableKey", word),
    ]


def test_material_that_is_missing_where_the_set_was_before_is_no_part_of_a_change() -> None:
    applied = applied_of(**imported())
    observed = observed_of(applied)
    observed["keys"][EU] |= {"keyState": "PendingImport", "lacksMaterial": True}

    assert planned(applied, declared_of(**imported()), observed) == []


def test_a_key_that_is_restored_without_its_material_is_asked_for_none() -> None:
    before = declared_of(**imported())
    applied = declared_of(**imported(replicas=[{"region": EU}]))
    observed = observed_of(before)
    observed["keys"][WEST] |= {"keyState": "PendingDeletion", "lacksMaterial": True}

    changes = planned(applied, before, observed)

    word = f"RESTORE:{WEST}"
    assert changes_of(changes) == [
        (WEST, "keyState", "PendingDeletion", "PendingImport", "CancelKeyDeletion", word),
        (WEST, "alias", None, before["alias"], "CreateAlias", None),
    ]


def test_a_region_that_is_gone_is_not_removed_again() -> None:
    observed = observed_of(applied_of())
    del observed["keys"][WEST]

    assert planned(applied_of(), declared_of(replicas=[{"region": EU}]), observed) == []


@pytest.mark.parametrize("state", LEAVING)
def test_a_key_that_waits_for_deletion_is_restored_before_it_is_changed(state: str) -> None:
    observed = observed_of(applied_of(description="old"))
    observed["keys"][EU]["keyState"] = state
    declared = declared_of(description="new")

    changes = planned(applied_of(description="old"), declared, observed)

    assert changes_of([one for one in changes if one["region"] == EU]) == [
        (EU, "keyState", state, "Disabled", "CancelKeyDeletion", f"RESTORE:{EU}"),
        (EU, "keyState", "Disabled", "Enabled", "EnableKey", None),
        (EU, "description", "old", "new", "UpdateKeyDescription", None),
    ]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_key_that_is_restored_is_disabled_with_a_word_if_it_was_declared_enabled(
    *, enabled: bool
) -> None:
    declared = declared_of(replicas=[{"region": EU, "enabled": False}])
    observed = observed_of(declared)
    observed["keys"][EU]["keyState"] = "PendingDeletion"

    changes = planned(
        declared_of(replicas=[{"region": EU, "enabled": enabled}]), declared, observed
    )

    words = [f"RESTORE:{EU}", f"DISABLE:{EU}"] if enabled else [f"RESTORE:{EU}"]
    assert [change["confirm"] for change in changes] == words


def test_the_primary_key_moves_to_a_replicas_region() -> None:
    declared = declared_of(primaryRegion=EU, replicas=[{"region": US}, {"region": WEST}])

    assert changes_of(planned(applied_of(), declared)) == [
        (EU, "primaryRegion", US, EU, "UpdatePrimaryRegion", f"PROMOTE:{EU}")
    ]


def test_the_primary_keys_region_is_removed_after_another_key_was_promoted() -> None:
    declared = declared_of(primaryRegion=ASIA, replicas=[{"region": EU}])

    changes = planned(applied_of(), declared)

    assert [(change["call"], change["region"]) for change in changes] == [
        ("ReplicateKey", ASIA),
        ("UpdatePrimaryRegion", ASIA),
        ("CreateAlias", ASIA),
        ("ScheduleKeyDeletion", WEST),
        ("ScheduleKeyDeletion", US),
    ]
    assert changes[-1]["reversible"] == "for 30 days from then on"


def test_a_set_that_was_promoted_by_hand_is_promoted_back_with_a_word() -> None:
    observed = observed_of(applied_of())
    observed["primaryRegion"] = EU

    (change,) = planned(applied_of(), declared_of(), observed)

    assert (change["from"], change["to"], change["confirm"]) == (EU, US, f"PROMOTE:{US}")


def test_a_set_that_was_promoted_by_hand_can_stay_so() -> None:
    observed = observed_of(applied_of())
    observed["primaryRegion"] = EU
    declared = declared_of(primaryRegion=EU, replicas=[{"region": US}, {"region": WEST}])

    assert planned(applied_of(), declared, observed) == []


def test_a_set_is_decommissioned_with_one_word() -> None:
    changes = planned(applied_of(), declared_of(desiredState="DECOMMISSIONED"))

    assert [(one["region"], one["to"], one["confirm"], one["reversible"]) for one in changes] == [
        (WEST, "PendingDeletion", "DECOMMISSION", "for 30 days from then on"),
        (EU, "PendingDeletion", "DECOMMISSION", "for 30 days from then on"),
        (US, "PendingReplicaDeletion", "DECOMMISSION", "for at least 30 days from then on"),
    ]


def test_a_primary_key_without_replicas_does_not_wait_for_any() -> None:
    applied = applied_of(replicas=[])

    (change,) = planned(applied, declared_of(replicas=[], desiredState="DECOMMISSIONED"))

    assert (change["to"], change["reversible"]) == ("PendingDeletion", "for 30 days from then on")


def test_a_set_that_is_decommissioned_is_tagged_first_and_otherwise_left_as_it_is() -> None:
    observed = observed_of(applied_of(rotation={}))
    observed["keys"][EU]["keyState"] = "PendingDeletion"
    observed["keys"][WEST]["aliases"]["alias/cards"] = CARDS
    observed["primaryRegion"] = WEST
    declared = declared_of(
        desiredState="DECOMMISSIONED",
        enabled=False,
        tags={"why": "retired"},
        replicas=[{"region": EU}, {"region": ASIA}],
    )

    changes = planned(applied_of(rotation={}), declared, observed)

    assert [(one["region"], one["call"]) for one in changes] == [
        (US, "TagResource"),
        (US, "ScheduleKeyDeletion"),
        (WEST, "ScheduleKeyDeletion"),
    ]


def test_a_set_that_was_decommissioned_is_restored_key_by_key() -> None:
    applied = declared_of(desiredState="DECOMMISSIONED")

    changes = planned(applied, declared_of())

    assert [(one["region"], one["call"], one["confirm"]) for one in changes] == [
        (region, call, word)
        for region in (US, EU, WEST)
        for call, word in [("CancelKeyDeletion", f"RESTORE:{region}"), ("EnableKey", None)]
    ]


def test_a_setting_is_written_where_a_read_may_be_of_before_the_last_revision() -> None:
    before = {
        "description": "old",
        "tags": {"a": "1", "b": "1"},
        "rotation": {"periodInDays": 90},
        "alias": "alias/old",
        "policy": {"users": [USER]},
    }
    after: dict[str, Any] = {
        "description": "new",
        "tags": {"a": "2"},
        "rotation": {"periodInDays": 365},
        "alias": "alias/new",
        "policy": {"users": [ADMIN]},
    }
    applied = applied_of(**before, replicas=[])
    declared = declared_of(**after, replicas=[])

    changes = planned(applied, declared, observed_of(declared))

    unread = [change for change in planned(applied, declared) if change["call"] != "DeleteAlias"]
    assert changes_of(changes) == changes_of(unread)
    assert len(changes) == 6


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_a_key_is_disabled_or_enabled_where_a_read_may_be_of_before_the_last_revision(
    *, before: bool, after: bool
) -> None:
    applied, declared = (
        declared_of(replicas=[{"region": EU, "enabled": enabled}]) for enabled in (before, after)
    )

    assert planned(applied, declared, observed_of(declared)) == planned(applied, declared)


@pytest.mark.parametrize("state", ["PendingImport", "Updating", "Creating"])
def test_a_key_in_another_state_is_not_enabled(state: str) -> None:
    applied = declared_of(replicas=[{"region": EU, "enabled": False}])
    observed = observed_of(applied)
    observed["keys"][EU]["keyState"] = state

    assert planned(applied, declared_of(replicas=[{"region": EU}]), observed) == []


def test_rotation_that_a_disabled_key_has_already_is_not_written_to_it() -> None:
    declared = declared_of(replicas=[], enabled=False, rotation={"periodInDays": 90})

    changes = planned(declared_of(replicas=[], enabled=False), declared, observed_of(declared))

    assert changes == []


def test_a_key_always_has_a_name_and_at_most_so_many_tags_also_after_a_read_of_before() -> None:
    applied = applied_of(alias="alias/old", tags={"a": "1"}, replicas=[])
    declared = declared_of(alias="alias/new", tags={"b": "1"}, replicas=[])
    observed = observed_of(applied)
    key = observed["keys"][US]
    key["tags"]["b"], key["aliases"]["alias/new"] = "1", key["arn"]

    changes = planned(applied, declared, observed)

    calls = ["UntagResource", "CreateAlias", "TagResource", "DeleteAlias"]
    assert [change["call"] for change in changes] == calls


def test_nothing_is_written_to_a_key_that_waits_for_deletion() -> None:
    applied = applied_of(description="old")
    declared = declared_of(desiredState="DECOMMISSIONED", description="new")

    assert planned(applied, declared, observed_of(declared)) == []


@pytest.mark.parametrize(
    ("revision", "fields", "same"),
    [
        (1, {}, True),
        (1, {"confirm": [f"REMOVE:{WEST}"], "onFailure": "ROLL_BACK"}, True),
        (2, {}, False),
        (1, {"revision": 3}, False),
        (1, {"description": "other"}, False),
        (1, {"deletionWindowInDays": 7}, False),
    ],
)
def test_a_plan_has_the_same_id_in_the_same_world_only(
    revision: int, fields: dict[str, Any], *, same: bool
) -> None:
    declared = first_request_of(revision=2, replicas=[{"region": EU}])
    changed = first_request_of(**{"revision": 2, "replicas": [{"region": EU}], **fields})

    before = plan_id(1, declared, planned(applied_of(), declared))

    assert (plan_id(revision, changed, planned(applied_of(), changed)) == before) is same


def test_a_plan_has_another_id_once_somebody_else_changed_the_set() -> None:
    applied = applied_of(policy={"users": [USER]})
    declared = declared_of(policy={"users": [ADMIN]})
    same, other = observed_of(applied), observed_of(applied)
    shown: Any = deepcopy(same["keys"][EU]["policy"])
    same["keys"][EU]["policy"] = shown_otherwise(shown)
    shown["Statement"][1]["Sid"] = "Renamed"
    other["keys"][EU]["policy"] = shown

    first, second, third = (
        plan_id(1, declared, planned(applied, declared, one))
        for one in (observed_of(applied), same, other)
    )

    assert first == second != third


# Few values, so that what differs in one draw is the same in the next one.
NAMES = st.sampled_from(["alias/a", "alias/b"])
TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))
KEYS: dict[str, Any] = {
    "description": st.sampled_from(["", "old"]),
    "tags": TAGS,
    "policy": st.sampled_from(
        [None, {"users": [USER]}, {"users": [USER], "administrators": [ADMIN]}]
    ),
    "enabled": st.booleans(),
}
FOREIGN_TAGS = {"cost": "7", "mrk:attempt": "x"}


@st.composite
def declarations(draw: st.DrawFn) -> KeySetRequest:
    primary, *others = draw(st.permutations([US, EU, WEST]))
    optional: Any = {**KEYS, "alias": NAMES | st.none()}
    replicas = [
        {"region": region, **draw(st.fixed_dictionaries({}, optional=optional))}
        for region in others[: draw(st.integers(0, 2))]
    ]
    more: Any = {**KEYS, "rotation": st.sampled_from([None, {"periodInDays": 90}, {}])}
    own = draw(st.fixed_dictionaries({"alias": NAMES}, optional=more))
    state = draw(st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DECOMMISSIONED"]))
    return first_request_of(
        primaryRegion=primary, replicas=replicas, revision=2, desiredState=state, **own
    )


@st.composite
def drifted(draw: st.DrawFn, applied: KeySetRequest) -> ObservedSet:
    """Draw what KMS has of a set after others worked on it by hand."""
    observed = observed_of(applied)
    observed["aliases"] = {
        region: dict.fromkeys(["alias/a", "alias/b"]) for region in (US, EU, WEST)
    }
    if draw(st.booleans()):
        observed["keys"][ASIA] = key_of(first_request_of(replicas=[{"region": ASIA}]), ASIA)
    for region in draw(st.sets(st.sampled_from(sorted(observed["keys"])))):
        _drift(draw, observed["keys"][region])
    for key in observed["keys"].values():
        key["tags"] |= FOREIGN_TAGS
        key["aliases"] = {
            "alias/a": None,
            "alias/b": None,
            "alias/theirs": key["arn"],
            **key["aliases"],
        }
    if draw(st.booleans()):
        _promote_by_hand(observed, draw(st.sampled_from(sorted(observed["keys"]))))
    gone = draw(st.sampled_from([None, US, EU, WEST]))
    if gone != observed["primaryRegion"]:
        observed["keys"].pop(gone or "", None)
    return observed


def _drift(draw: st.DrawFn, key: Any) -> None:
    states = ["Enabled", "Disabled", "PendingDeletion"]
    drift: Any = {**KEYS, "keyState": st.sampled_from(states), "owner": NAMES}
    del drift["enabled"]
    drawn = draw(st.fixed_dictionaries({}, optional=drift))
    if owned := drawn.pop("owner", None):
        key["aliases"][owned] = key_arn(key["region"], OTHER_KEY)
    drawn["policy"] = key["policy"] if "policy" not in drawn else {**V2012, "Statement": [ALLOW]}
    key["tags"] |= drawn.pop("tags", {})
    key.update(drawn)


def _promote_by_hand(observed: ObservedSet, region: str) -> None:
    source, target = observed["keys"][observed["primaryRegion"]], observed["keys"][region]
    period, source["rotationPeriodInDays"] = source["rotationPeriodInDays"], None
    observed["primaryRegion"], target["rotationPeriodInDays"] = region, period


@st.composite
def worlds(draw: st.DrawFn) -> tuple[KeySetRequest, KeySetRequest, ObservedSet]:
    """Draw an applied declaration, the next one with its words, and what KMS has."""
    applied, declared = draw(declarations()), draw(declarations())
    observed = draw(drifted(applied))
    changes = planned(applied, declared, observed)
    declared["confirm"] = sorted({change["confirm"] for change in changes if change["confirm"]})
    return applied, declared, observed


def possible(
    applied: KeySetRequest, declared: KeySetRequest, observed: ObservedSet
) -> list[Change]:
    """Return the plan of a world in which it can be carried out."""
    changes = planned(applied, declared, observed)
    hypothesis.assume(not change_problems(applied, declared, changes, observed))
    return changes


@given(world=worlds())
def test_after_its_changes_a_set_is_as_declared(
    world: tuple[KeySetRequest, KeySetRequest, ObservedSet],
) -> None:
    applied, declared, observed = world
    changes = possible(*world)

    after = carried_out(observed, changes, declared)

    assert planned(declared, declared, after) == []
    rest = planned(applied, declared, after)
    assert {one["call"] for one in rest} & ONCE == set()
    assert carried_out(after, rest, declared) == after


ONCE = {
    *("ReplicateKey", "UpdatePrimaryRegion", "UpdateAlias", "DeleteAlias"),
    *("CancelKeyDeletion", "ScheduleKeyDeletion"),
}
"""Calls that a read shows done, and that are not repeated then."""


@given(world=worlds())
def test_what_nobody_declared_is_in_no_change(
    world: tuple[KeySetRequest, KeySetRequest, ObservedSet],
) -> None:
    applied, declared, observed = world
    changes = planned(*world)

    assert not {change["property"] for change in changes} & {f"tags.{key}" for key in FOREIGN_TAGS}
    assert "alias/theirs" not in {
        change["from"] for change in changes if change["call"] == "DeleteAlias"
    }
    assert {change["region"] for change in changes} <= {*regions(applied), *regions(declared)}
    named = names_by_region(applied)
    for change in changes:
        if change["call"] == "DeleteAlias":
            key = observed["keys"][change["region"]]
            assert change["from"] in named[change["region"]]["aliases"]
            assert key["aliases"][change["from"]] == key["arn"]
        if change["call"] == "UntagResource":
            assert change["property"].removeprefix("tags.") in named[change["region"]]["tags"]


WORD_OF = {
    "DisableKey": "DISABLE",
    "UpdatePrimaryRegion": "PROMOTE",
    "UpdateAlias": "MOVE_ALIAS",
    "CancelKeyDeletion": "RESTORE",
    "ScheduleKeyDeletion": "REMOVE",
}


@given(world=worlds(), data=st.data())
def test_what_can_hurt_has_its_word_and_no_other_word_is_taken(
    world: tuple[KeySetRequest, KeySetRequest, ObservedSet], data: st.DataObject
) -> None:
    applied, declared, observed = world
    changes = planned(*world)
    for change in changes:
        word = f"{WORD_OF.get(change['call'])}:{change['region']}"
        if change["call"] == "ScheduleKeyDeletion" and "desiredState" in declared:
            word = "DECOMMISSION"
        assert change["confirm"] == (word if change["call"] in WORD_OF else None)
    words = declared["confirm"]
    assert word_problems(applied, declared, changes, observed, SETTINGS) == []
    if words:
        left_out = data.draw(st.sampled_from(words))
        declared["confirm"] = [word for word in words if word != left_out]
        (problem,) = word_problems(applied, declared, changes, observed, SETTINGS)
        assert problem["code"] == "CONFIRMATION_REQUIRED"
        assert f"Add {left_out} to confirm" in problem["message"]


@given(world=worlds())
def test_waves_follow_each_other(
    world: tuple[KeySetRequest, KeySetRequest, ObservedSet],
) -> None:
    _, declared, observed = world
    changes = planned(*world)

    places = [WAVES.index(wave) for wave in waves(changes)]
    assert places == sorted(places)
    calls = [change["call"] for change in changes]
    order = ["CancelKeyDeletion", "ReplicateKey", "UpdatePrimaryRegion", "ScheduleKeyDeletion"]
    found = [call for call in calls if call in order]
    assert found == sorted(found, key=order.index)
    removed = {one["region"] for one in changes if one["call"] == "ScheduleKeyDeletion"}
    if observed["primaryRegion"] in removed and "desiredState" not in declared:
        assert "UpdatePrimaryRegion" in calls


@given(world=worlds(), data=st.data())
def test_an_interrupted_change_is_resumed_with_the_same_words(
    world: tuple[KeySetRequest, KeySetRequest, ObservedSet], data: st.DataObject
) -> None:
    applied, declared, observed = world
    changes = possible(*world)
    done = data.draw(st.integers(0, len(changes)))

    half = carried_out(observed, changes[:done], declared)
    rest = planned(applied, declared, half)

    assert word_problems(applied, declared, rest, half, SETTINGS, resumed=True) == []
    assert change_problems(applied, declared, rest, half) == []
    left = [_without_state(one) for one in changes[done:]]
    assert all(_without_state(one) in left for one in rest if one["call"] in ONCE)
    after = carried_out(half, rest, declared)
    assert after == carried_out(observed, changes, declared)
    assert planned(declared, declared, after) == []


def _without_state(change: Change) -> Any:
    return {**change, "from": None, "to": None} if change["property"] == "keyState" else change


@given(applied=declarations(), data=st.data())
def test_one_tag_is_one_change_and_nothing_is_none(
    applied: KeySetRequest, data: st.DataObject
) -> None:
    assert planned(applied, applied) == []
    declared = deepcopy(applied)
    region = data.draw(st.sampled_from(regions(applied)))
    member: Any = next((one for one in declared["replicas"] if one["region"] == region), None)
    if member is None:
        return
    member["tags"] = {**(member.get("tags", applied["tags"]) or {}), "new": "1"}

    changes = planned(applied, declared)

    leaving = "desiredState" in applied
    expected = [] if leaving else [(region, "tags.new", None, "1", "TagResource", None)]
    assert changes_of(changes) == expected
