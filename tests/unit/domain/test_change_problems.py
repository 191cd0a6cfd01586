import json
import re
from typing import Any, NamedTuple

import pytest

from provisioner.domain.change import ObservedSet, plan_change
from provisioner.domain.change_problems import (
    change_problems,
    change_warnings,
    lasting_warnings,
    lost_principal_problems,
    rotated_material_problems,
    word_problems,
)
from provisioner.domain.plan import KeySetRequest
from provisioner.errors import Problem
from tests.support.changing import LEAVING, OTHER_KEY, key_of, observed_of
from tests.support.samples import ADMIN, SETTINGS, USER, key_arn, request_of

US, EU, WEST, ASIA = "us-east-1", "eu-west-1", "us-west-2", "ap-south-1"
REQUIRED, UNUSED = "CONFIRMATION_REQUIRED", "CONFIRMATION_UNUSED"
UNSUPPORTED = "CHANGE_NOT_SUPPORTED"
CARDS = key_arn(EU, OTHER_KEY)


def applied_of(**fields: Any) -> KeySetRequest:
    return request_of(**{"revision": 2, "replicas": [{"region": EU}, {"region": WEST}], **fields})


def declared_of(**fields: Any) -> KeySetRequest:
    return applied_of(**{"revision": 3, **fields})


def problems_of(
    applied: KeySetRequest,
    declared: KeySetRequest,
    observed: ObservedSet | None = None,
    *,
    resumed: bool = False,
) -> list[Problem]:
    observed = observed or observed_of(applied)
    changes = plan_change(applied, declared, observed, SETTINGS)
    return [
        *change_problems(applied, declared, changes, observed),
        *word_problems(applied, declared, changes, observed, SETTINGS, resumed=resumed),
    ]


def pairs_of(*args: Any, **options: Any) -> set[tuple[str, str]]:
    return {(problem["path"], problem["code"]) for problem in problems_of(*args, **options)}


def moved_by_hand(applied: KeySetRequest) -> ObservedSet:
    return {**observed_of(applied), "primaryRegion": EU}


def with_key(applied: KeySetRequest, region: str, **fields: Any) -> ObservedSet:
    observed = observed_of(applied)
    observed["keys"][region].update(fields)  # type: ignore[typeddict-item]
    return observed


class Need(NamedTuple):
    """What is declared, what KMS has, the word that it needs, and the path that asks for it."""

    name: str
    fields: dict[str, Any]
    observed: ObservedSet | None
    word: str
    path: str


WORDS = [
    Need(
        "promote",
        {"primaryRegion": EU, "replicas": [{"region": US}, {"region": WEST}]},
        None,
        f"PROMOTE:{EU}",
        "primaryRegion",
    ),
    Need("promote-back", {}, moved_by_hand(applied_of()), f"PROMOTE:{US}", "primaryRegion"),
    Need("remove", {"replicas": [{"region": EU}]}, None, f"REMOVE:{WEST}", "replicas"),
    Need("disable-primary", {"enabled": False}, None, f"DISABLE:{US}", "enabled"),
    Need(
        "disable-replica",
        {"replicas": [{"region": EU}, {"region": WEST, "enabled": False}]},
        None,
        f"DISABLE:{WEST}",
        "replicas[1].enabled",
    ),
    Need(
        "restore-replica",
        {},
        with_key(applied_of(), EU, keyState="PendingDeletion"),
        f"RESTORE:{EU}",
        "replicas[0].region",
    ),
    Need(
        "restore-primary",
        {},
        with_key(applied_of(), US, keyState="PendingReplicaDeletion"),
        f"RESTORE:{US}",
        "primaryRegion",
    ),
    Need(
        "move-inherited-alias",
        {},
        with_key(applied_of(), EU, aliases={"alias/cards": CARDS}),
        f"MOVE_ALIAS:{EU}",
        "alias",
    ),
    Need(
        "move-own-alias",
        {"replicas": [{"region": EU, "alias": "alias/own"}, {"region": WEST}]},
        with_key(applied_of(), EU, aliases={"alias/own": CARDS}),
        f"MOVE_ALIAS:{EU}",
        "replicas[0].alias",
    ),
    Need("decommission", {"desiredState": "DECOMMISSIONED"}, None, "DECOMMISSION", "desiredState"),
    Need(
        "decommission-and-remove",
        {"desiredState": "DECOMMISSIONED", "replicas": []},
        None,
        "DECOMMISSION",
        "desiredState",
    ),
]
EACH_NEED = pytest.mark.parametrize("need", WORDS, ids=lambda need: need.name)


@EACH_NEED
def test_a_word_that_is_missing_is_required(need: Need) -> None:
    (problem,) = problems_of(applied_of(), declared_of(**need.fields), need.observed)

    assert (problem["path"], problem["code"]) == (need.path, REQUIRED)
    assert f" Add {need.word} to confirm" in problem["message"]


@EACH_NEED
def test_a_word_that_is_needed_is_taken(need: Need) -> None:
    declared = declared_of(**need.fields, confirm=[need.word])

    assert problems_of(applied_of(), declared, need.observed) == []


@EACH_NEED
def test_a_word_for_another_region_is_no_word_for_this_one(need: Need) -> None:
    kind, colon, _ = need.word.partition(":")
    other = f"{kind}{colon}{ASIA}" if colon else f"REMOVE:{US}"

    found = pairs_of(applied_of(), declared_of(**need.fields, confirm=[other]), need.observed)

    assert found == {(need.path, REQUIRED), ("confirm[0]", UNUSED)}


@EACH_NEED
def test_a_word_that_nothing_needs_is_refused(need: Need) -> None:
    declared = declared_of(description="new", confirm=[need.word])

    (problem,) = problems_of(applied_of(), declared)

    assert (problem["path"], problem["code"]) == ("confirm[0]", UNUSED)
    assert need.word in problem["message"]


@EACH_NEED
def test_a_word_may_be_for_what_is_done_already_when_a_revision_is_resumed(need: Need) -> None:
    declared = declared_of(**need.fields, confirm=[need.word])

    assert problems_of(applied_of(), declared, observed_of(declared), resumed=True) == []


@pytest.mark.parametrize(
    "need", [need for need in WORDS if need.observed is None], ids=lambda need: need.name
)
def test_a_word_is_used_where_the_last_declaration_makes_it_necessary(need: Need) -> None:
    declared = declared_of(**need.fields, confirm=[need.word])

    assert problems_of(applied_of(), declared, observed_of(declared)) == []


def test_every_problem_is_reported_at_once() -> None:
    declared = declared_of(
        primaryRegion=EU,
        enabled=False,
        replicas=[{"region": ASIA, "enabled": False}],
        confirm=[f"PROMOTE:{EU}", f"RESTORE:{EU}", "DECOMMISSION"],
    )

    assert pairs_of(applied_of(), declared) == {
        ("enabled", REQUIRED),
        ("replicas[0].enabled", REQUIRED),
        ("replicas", REQUIRED),
        ("confirm[1]", UNUSED),
        ("confirm[2]", UNUSED),
    }


def test_an_unused_word_is_answered_with_those_that_are_needed() -> None:
    declared = declared_of(replicas=[{"region": EU}], confirm=[f"REMOVE:{EU}"])

    messages = [one["message"] for one in problems_of(applied_of(), declared)]

    assert messages[1].endswith(f"The steps need REMOVE:{WEST}.")


def test_a_set_that_was_promoted_by_hand_can_be_declared_as_it_is() -> None:
    (problem,) = problems_of(applied_of(), declared_of(), moved_by_hand(applied_of()))

    assert problem["message"].endswith(f"declare primaryRegion {EU} and {US} as a replica.")


def test_a_key_that_somebody_scheduled_for_deletion_can_be_left_out() -> None:
    observed = with_key(applied_of(), EU, keyState="PendingDeletion")

    (problem,) = problems_of(applied_of(), declared_of(), observed)

    assert problem["message"].endswith(f"leave {EU} out of the request.")
    assert problems_of(applied_of(), declared_of(replicas=[{"region": WEST}]), observed) == []


def test_a_set_that_was_decommissioned_needs_a_word_for_each_key() -> None:
    applied = applied_of(desiredState="DECOMMISSIONED")
    words = [f"RESTORE:{region}" for region in (US, EU, WEST)]

    problems = problems_of(applied, declared_of(confirm=words[:1]))

    assert [problem["path"] for problem in problems] == ["replicas[0].region", "replicas[1].region"]
    assert problems_of(applied, declared_of(confirm=words)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("keySpec", "HMAC_256"), ("keyUsage", "SIGN_VERIFY"), ("origin", "EXTERNAL")],
)
def test_what_a_key_is_never_changes(field: str, value: str) -> None:
    applied = applied_of(keySpec="RSA_2048", keyUsage="ENCRYPT_DECRYPT")
    observed = observed_of(applied)
    declared: Any = {**applied, "revision": 3, field: value}

    assert (field, "IMMUTABLE") in pairs_of(applied, declared, observed)
    assert len(pairs_of(applied, declared, observed)) == 1


def test_a_set_that_is_gone_for_good_cannot_be_changed() -> None:
    applied = applied_of(desiredState="DECOMMISSIONED")
    observed: ObservedSet = {"primaryRegion": US, "keys": {}}

    assert ("requestId", UNSUPPORTED) in pairs_of(applied, declared_of(), observed)
    again = declared_of(desiredState="DECOMMISSIONED")
    assert problems_of(applied, again, observed) == []


def with_one_region_more() -> tuple[KeySetRequest, KeySetRequest]:
    return (
        applied_of(origin="EXTERNAL", replicas=[{"region": EU}]),
        declared_of(origin="EXTERNAL", replicas=[{"region": EU}, {"region": WEST}]),
    )


def test_imported_key_material_is_asked_for_in_a_further_region() -> None:
    applied, declared = with_one_region_more()
    observed = observed_of(applied)

    assert problems_of(applied, declared) == []
    changes = plan_change(applied, declared, observed, SETTINGS)
    (warning,) = change_warnings(applied, declared, changes, observed)
    assert (warning["path"], warning["code"]) == ("replicas[1].region", "KEY_MATERIAL_REQUIRED")
    assert f"key set in {WEST}" in warning["message"]
    assert "after 7 days" in warning["message"]


def test_a_replica_key_without_its_material_is_not_made_where_the_set_had_one() -> None:
    applied, declared = with_one_region_more()
    observed = observed_of(applied)
    del observed["keys"][EU]

    (problem,) = problems_of(applied, declared, observed)

    assert (problem["path"], problem["code"]) == ("replicas[0].region", UNSUPPORTED)
    assert f"The key in {EU} is deleted for good" in problem["message"]
    assert "add it in the next one" in problem["message"]


@pytest.mark.parametrize(("materials", "refused"), [(1, []), (2, [WEST]), (3, [WEST])])
def test_a_set_with_several_key_materials_gets_no_further_region(
    materials: int, refused: list[str]
) -> None:
    applied, declared = with_one_region_more()
    changes = plan_change(applied, declared, observed_of(applied), SETTINGS)

    problems = [*rotated_material_problems(declared, changes, key_arn(US), materials)]

    assert [(one["path"], one["code"]) for one in problems] == [
        ("replicas[1].region", UNSUPPORTED) for _ in refused
    ]
    for problem, region in zip(problems, refused, strict=True):
        assert f"{key_arn(US)} has {materials} key materials" in problem["message"]
        assert f"A key in {region} needs all of them" in problem["message"]


def test_a_set_that_is_restored_gets_its_further_region_after_that() -> None:
    applied, declared = with_one_region_more()
    changes = plan_change(applied, declared, observed_of(applied), SETTINGS)

    (problem,) = rotated_material_problems(declared, changes, key_arn(US), None)

    assert (problem["path"], problem["code"]) == ("replicas[1].region", UNSUPPORTED)
    assert "Restore the key set in this revision" in problem["message"]


def test_what_needs_an_enabled_key_comes_after_the_import_of_its_material() -> None:
    applied, _ = with_one_region_more()
    observed = observed_of(applied)
    observed["keys"][WEST] = {**key_of(applied, EU), "region": WEST, "keyState": "PendingImport"}
    moved = declared_of(
        origin="EXTERNAL",
        primaryRegion=WEST,
        replicas=[{"region": EU}, {"region": US}],
        confirm=[f"PROMOTE:{WEST}"],
    )
    disabled = declared_of(
        origin="EXTERNAL",
        replicas=[{"region": EU}, {"region": WEST, "enabled": False}],
        confirm=[f"DISABLE:{WEST}"],
    )

    assert problems_of(applied, moved, observed) == []
    assert problems_of(applied, disabled, observed) == []


ADDED = {"replicas": [{"region": EU}, {"region": WEST}, {"region": ASIA}]}
MOVED = {
    "primaryRegion": EU,
    "replicas": [{"region": US}, {"region": WEST}],
    "confirm": [f"PROMOTE:{EU}"],
}


@pytest.mark.parametrize("state", ["Disabled", "PendingImport", "PendingReplicaDeletion"])
@pytest.mark.parametrize(
    ("declared", "region", "path"),
    [
        (ADDED, US, "replicas[2].region"),
        (MOVED, US, "primaryRegion"),
        (MOVED, EU, "primaryRegion"),
        ({"rotation": {}}, US, "rotation"),
    ],
)
def test_a_key_that_stays_disabled_is_in_the_way(
    declared: dict[str, Any], region: str, path: str, state: str
) -> None:
    disabled = {
        "enabled": region != declared.get("primaryRegion", US),
        "replicas": [
            {**one, "enabled": one["region"] != region}
            for one in declared.get("replicas", [{"region": EU}, {"region": WEST}])
        ],
    }
    applied = applied_of()
    observed = with_key(applied, region, keyState=state)
    declared = {**declared, **disabled, "confirm": [*declared.get("confirm", [])]}

    problems = problems_of(applied, declared_of(**declared), observed)

    (problem,) = [one for one in problems if (one["path"], one["code"]) == (path, UNSUPPORTED)]
    assert f"The key in {region} is " in problem["message"]


@pytest.mark.parametrize("state", ["Enabled", "Creating", "Updating", "Disabled"])
@pytest.mark.parametrize("declared", [ADDED, MOVED, {"rotation": {}}])
def test_a_key_that_is_or_will_be_enabled_is_not(declared: dict[str, Any], state: str) -> None:
    observed = with_key(applied_of(), US, keyState=state)
    observed["keys"][EU]["keyState"] = state

    assert problems_of(applied_of(), declared_of(**declared), observed) == []


def test_a_primary_key_that_is_left_out_is_promoted_away_from_while_it_is_enabled_only() -> None:
    declared = declared_of(
        primaryRegion=EU, replicas=[], confirm=[f"PROMOTE:{EU}", f"REMOVE:{US}", f"REMOVE:{WEST}"]
    )

    assert problems_of(applied_of(), declared) == []
    for state in ("Disabled", *LEAVING):
        observed = with_key(applied_of(), US, keyState=state)
        (problem,) = problems_of(applied_of(), declared, observed)
        assert (problem["path"], problem["code"]) == ("primaryRegion", UNSUPPORTED)


def test_a_key_without_key_material_is_not_disabled() -> None:
    applied = applied_of(origin="EXTERNAL")
    observed = with_key(applied, EU, keyState="PendingImport")
    replicas = [{"region": EU, "enabled": False}, {"region": WEST}]
    declared = declared_of(origin="EXTERNAL", replicas=replicas, confirm=[f"DISABLE:{EU}"])

    assert pairs_of(applied, declared, observed) == {("replicas[0].enabled", UNSUPPORTED)}


WITHOUT_MATERIAL: dict[str, Any] = {"keyState": "PendingDeletion", "lacksMaterial": True}


def test_a_key_that_lost_its_material_is_restored_and_not_enabled() -> None:
    applied = applied_of(origin="EXTERNAL")
    observed = with_key(applied, EU, **WITHOUT_MATERIAL)
    declared = declared_of(origin="EXTERNAL", confirm=[f"RESTORE:{EU}"])

    changes = plan_change(applied, declared, observed, SETTINGS)

    (change,) = changes
    assert (change["call"], change["to"]) == ("CancelKeyDeletion", "PendingImport")
    assert problems_of(applied, declared, observed) == []
    (warning,) = change_warnings(applied, declared, changes, observed)
    assert (warning["path"], warning["code"]) == ("replicas[0].region", "KEY_MATERIAL_MISSING")


def test_a_key_that_is_restored_without_its_material_takes_part_in_nothing_else() -> None:
    applied = applied_of(origin="EXTERNAL")
    observed = with_key(applied, EU, **WITHOUT_MATERIAL)
    replicas = [{"region": EU, "enabled": False}, {"region": WEST}]
    words = [f"RESTORE:{EU}", f"DISABLE:{EU}"]
    declared = declared_of(origin="EXTERNAL", replicas=replicas, confirm=words)

    (problem,) = problems_of(applied, declared, observed)

    assert (problem["path"], problem["code"]) == ("replicas[0].enabled", UNSUPPORTED)
    assert f"Restore the key in {EU} first" in problem["message"]


def warnings_of(declared: KeySetRequest, observed: ObservedSet) -> list[Problem]:
    changes = plan_change(applied_of(), declared, observed, SETTINGS)
    return change_warnings(applied_of(), declared, changes, observed)


def with_undeclared(**fields: Any) -> ObservedSet:
    observed = observed_of(applied_of())
    key: Any = {**key_of(applied_of(replicas=[{"region": ASIA}]), ASIA), **fields}
    observed["keys"][ASIA] = key
    return observed


def test_a_key_that_no_declaration_names_is_a_warning() -> None:
    (warning,) = warnings_of(declared_of(), with_undeclared())

    assert (warning["path"], warning["code"]) == ("replicas", "KEY_NOT_DECLARED")
    assert ASIA in warning["message"]
    assert warnings_of(declared_of(**ADDED), with_undeclared()) == []
    assert warnings_of(declared_of(), with_undeclared(keyState="PendingDeletion")) == []


def test_a_key_without_the_tag_of_the_stack_is_a_warning_that_names_the_command() -> None:
    observed = observed_of(applied_of())
    key = observed["keys"][WEST]
    key["tags"] = {}

    (warning,) = warnings_of(declared_of(), observed)

    assert (warning["path"], warning["code"]) == ("replicas[1].region", "KEY_TAG_MISSING")
    assert (
        f"aws kms tag-resource --key-id {key['arn']} --region {WEST} "
        f"--tags TagKey=mrk:stack,TagValue={SETTINGS.stack_name}. "
    ) in warning["message"]
    assert warnings_of(declared_of(**ADDED), observed_of(applied_of())) == []


def test_a_key_that_no_declaration_names_keeps_the_primary_key() -> None:
    declared = declared_of(desiredState="DECOMMISSIONED")

    (warning,) = warnings_of(declared, with_undeclared())

    assert "primary key is not deleted" in warning["message"]


def test_a_policy_that_would_let_in_who_has_the_name_of_a_principal_that_is_gone() -> None:
    gone = {"AWS": ["AROAEXAMPLEEXAMPLE123", "arn:aws:iam::111122223333:root"]}
    statement = {"Effect": "Allow", "Principal": gone, "Action": "kms:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}

    (warning,) = warnings_of(declared_of(), with_key(applied_of(), EU, policy=policy))

    assert (warning["path"], warning["code"]) == ("policy", "POLICY_PRINCIPAL_GONE")
    assert "AROAEXAMPLEEXAMPLE123" in warning["message"]
    assert warnings_of(declared_of(), with_key(applied_of(), EU, policy=None)) == []


GONE = "AROAEXAMPLEEXAMPLE123"
POLICY: dict[str, Any] = {"administrators": [ADMIN], "users": [USER]}


def with_gone_user(**fields: Any) -> tuple[KeySetRequest, ObservedSet]:
    """Return what was applied, and KMS once the role of its users is deleted."""
    applied = applied_of(policy=POLICY, **fields)
    observed = observed_of(applied)
    for key in observed["keys"].values():
        key["policy"] = json.loads(json.dumps(key["policy"]).replace(USER, GONE))
    return applied, observed


def test_a_policy_whose_principal_is_gone_is_left_alone_and_named() -> None:
    applied, observed = with_gone_user()
    declared = declared_of(policy=POLICY, tags={"team": "cards"})

    changes = plan_change(applied, declared, observed, SETTINGS)
    warnings = lasting_warnings(declared, changes, observed)

    assert {change["call"] for change in changes} == {"TagResource"}
    assert [*lost_principal_problems(applied, declared, changes, SETTINGS)] == []
    assert {(one["path"], one["code"]) for one in warnings} == {("policy", "POLICY_PRINCIPAL_GONE")}
    assert [one["message"].split()[4] for one in warnings] == [US, EU, WEST]
    assert all(GONE in one["message"] for one in warnings)


def test_a_policy_that_would_let_in_who_has_the_name_of_one_that_is_gone_is_refused() -> None:
    applied, observed = with_gone_user()
    other = USER.replace("CardService", "CardServiceUs")
    declared = declared_of(
        policy={**POLICY, "users": [USER, other]},
        replicas=[{"region": EU}, {"region": WEST, "policy": {**POLICY, "users": [other]}}],
    )

    changes = plan_change(applied, declared, observed, SETTINGS)
    problems = [*lost_principal_problems(applied, declared, changes, SETTINGS)]

    assert [(one["path"], one["code"]) for one in problems] == [
        ("policy", "POLICY_PRINCIPAL_GONE")
    ] * 2
    for problem, region in zip(problems, (US, EU), strict=True):
        assert all(text in problem["message"] for text in (region, GONE, USER))
    assert lasting_warnings(declared, changes, observed) == []


def test_a_principal_is_let_in_again_by_two_revisions() -> None:
    applied, observed = with_gone_user()
    without = declared_of(policy={"administrators": [ADMIN], "users": [ADMIN]})

    first = plan_change(applied, without, observed, SETTINGS)
    again = applied_of(policy=POLICY, revision=4)
    second = plan_change(without, again, observed_of(without), SETTINGS)

    assert {change["call"] for change in (*first, *second)} == {"PutKeyPolicy"}
    for before, declared, changes in ((applied, without, first), (without, again, second)):
        assert [*lost_principal_problems(before, declared, changes, SETTINGS)] == []


def test_a_policy_of_a_new_region_has_lost_nobody() -> None:
    applied, observed = with_gone_user(replicas=[{"region": EU}])
    key: Any = {**key_of(applied_of(), WEST), "policy": None}
    observed["keys"][WEST] = key
    declared = declared_of(policy=POLICY)

    changes = plan_change(applied, declared, observed, SETTINGS)

    assert [change["region"] for change in changes if change["call"] == "PutKeyPolicy"] == [WEST]
    assert [*lost_principal_problems(applied, declared, changes, SETTINGS)] == []


def test_a_policy_from_which_many_are_gone_names_the_first() -> None:
    users = [f"{USER}{number}" for number in range(5)]
    applied = applied_of(policy={"administrators": [ADMIN], "users": users})
    observed = observed_of(applied)
    for number, user in enumerate(users):
        text = json.dumps(observed["keys"][US]["policy"]).replace(user, f"{GONE[:-1]}{number}")
        observed["keys"][US]["policy"] = json.loads(text)

    warning, *_ = lasting_warnings(applied, [], observed)

    assert "and 2 more" in warning["message"]


def test_every_message_is_a_sentence_and_short() -> None:
    found = [
        *(
            problem
            for need in WORDS
            for problem in problems_of(
                applied_of(), declared_of(**need.fields, confirm=[f"RESTORE:{ASIA}"]), need.observed
            )
        ),
        *warnings_of(declared_of(), with_undeclared()),
        *problems_of(applied_of(), declared_of(), {"primaryRegion": US, "keys": {}}),
    ]

    assert all(re.fullmatch(r"\S[^\n]*[.]", one["message"]) for one in found)
    assert max(len(one["message"]) for one in found) < 300
