import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.domain.plan import (
    confirmed_words,
    content_hash,
    deletion_window,
    fingerprint,
    is_decommissioned,
    is_enabled,
    is_request_id,
    material_terms,
    names_by_region,
    plan_key,
    regions,
)
from provisioner.intake.request import parse_request
from tests.support.samples import (
    ADMIN,
    ROOT,
    SETTINGS,
    USER,
    imported_request_of,
    in_days,
    plan_of,
    request_of,
    sample_event,
)

OWN_TAGS = {"mrk:request-id": "CHG1", "mrk:stack": "mrk-provisioner"}
REPLICA = "eu-west-1"
SOON, LATER = in_days(100), in_days(200)
NEVER = {"expires": False, "validTo": None}
AT_SOON, AT_LATER = ({"expires": True, "validTo": instant} for instant in (SOON, LATER))
# What a request says of the primary and of its replica, and when they expire then.
EXPIRIES: list[tuple[dict[str, Any], dict[str, Any], tuple[Any, Any]]] = [
    ({}, {}, (NEVER, NEVER)),
    ({"validTo": SOON}, {}, (AT_SOON, AT_SOON)),
    ({"validTo": SOON}, {"keyMaterial": {"validTo": LATER}}, (AT_SOON, AT_LATER)),
    ({"validTo": SOON}, {"keyMaterial": {"expires": False}}, (AT_SOON, NEVER)),
    ({"validTo": SOON}, {"keyMaterial": None}, (AT_SOON, NEVER)),
    ({}, {"keyMaterial": {"validTo": LATER}}, (NEVER, AT_LATER)),
]


def planned(replica: dict[str, Any]) -> dict[str, Any]:
    plan = plan_of(
        REPLICA,
        description="shared",
        tags={"team": "payments"},
        policy={"administrators": [ADMIN], "users": [USER]},
        rotation={"periodInDays": 180},
        replicas=[{"region": "us-west-2"}, {"region": REPLICA, **replica}],
    )
    return vars(plan)


def sids(policy: dict[str, Any]) -> list[str]:
    return [statement["Sid"] for statement in policy["Statement"]]


def test_a_primary_has_the_requests_settings() -> None:
    plan = plan_of(description="d", tags={"a": "b"}, rotation={"periodInDays": 180})

    assert (plan.region, plan.alias, plan.description) == ("us-east-1", "alias/cards", "d")
    assert plan.tags == {"a": "b", **OWN_TAGS}
    assert plan.rotation == {"periodInDays": 180}
    assert sids(plan.policy) == ["Enable IAM User Permissions"]


def test_a_replica_has_the_primarys_settings_where_it_has_none() -> None:
    plan = planned({})

    assert (plan["region"], plan["alias"], plan["description"]) == (
        REPLICA,
        "alias/cards",
        "shared",
    )
    assert plan["tags"] == {"team": "payments", **OWN_TAGS}
    assert len(plan["policy"]["Statement"]) == 4


def test_a_replica_has_its_own_settings_where_they_are_given() -> None:
    own = {"alias": "alias/own", "description": "own", "tags": {}, "policy": {"users": [USER]}}

    plan = planned(own)

    assert (plan["alias"], plan["description"]) == ("alias/own", "own")
    assert plan["tags"] == OWN_TAGS
    assert sids(plan["policy"])[1:] == [
        "Allow use of the key",
        "Allow attachment of persistent resources",
    ]


def test_null_is_none_for_a_replica() -> None:
    plan = planned({"alias": None, "description": None, "tags": None, "policy": None})

    assert (plan["alias"], plan["description"]) == (None, "")
    assert plan["tags"] == OWN_TAGS
    assert sids(plan["policy"]) == ["Enable IAM User Permissions"]


def test_rotation_is_the_primarys_alone() -> None:
    assert planned({})["rotation"] is None


@pytest.mark.parametrize(("primary", "replica", "expected"), EXPIRIES)
def test_the_expiry_of_a_replica_is_its_own_where_it_is_given(
    primary: dict[str, Any], replica: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    request = imported_request_of(
        keyMaterial=primary, replicas=[{"region": REPLICA, **replica}, {"region": "us-west-2"}]
    )

    of_primary, of_replica = expected
    planned = [plan_key(request, region, SETTINGS).expiry for region in regions(request)]
    assert planned == [of_primary, of_replica, of_primary]
    assert material_terms(request) == planned


def test_the_material_of_a_key_of_kms_has_no_expiry() -> None:
    request = request_of(replicas=[{"region": REPLICA, "keyMaterial": None}])

    assert [plan_key(request, region, SETTINGS).expiry for region in regions(request)] == [None] * 2
    assert material_terms(request) == [None, None]


def test_a_request_from_before_there_were_terms_has_material_that_does_not_expire() -> None:
    request = imported_request_of()
    del request["keyMaterial"]

    assert plan_key(request, "us-east-1", SETTINGS).expiry == NEVER
    assert material_terms(request) == [NEVER]


def test_a_given_document_is_used_as_it_is() -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "*", "Resource": "*"}
    document = {"Statement": statement}

    assert plan_of(policy={"document": document}).policy == document


def test_the_stacks_own_tags_name_its_stack() -> None:
    elsewhere = replace(SETTINGS, stack_name="other")

    assert plan_key(request_of(), "us-east-1", elsewhere).tags["mrk:stack"] == "other"


def test_a_region_without_a_key_has_no_plan() -> None:
    with pytest.raises(KeyError):
        plan_of("ap-south-1")


def test_the_primarys_region_comes_first() -> None:
    request = request_of(
        primaryRegion="eu-west-1", replicas=[{"region": "us-west-2"}, {"region": "ap-south-1"}]
    )

    assert regions(request) == ["eu-west-1", "us-west-2", "ap-south-1"]


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("CHG0031337", True),
        ("a" * 80, True),
        ("_-", True),
        ("a" * 81, False),
        ("", False),
        ("CHG1\n", False),
        ("CHG 1", False),
        ("CHG\uff11", False),
        (None, False),
        (7, False),
        (["CHG1"], False),
    ],
)
def test_a_request_id_is_1_to_80_plain_characters(text: object, *, sound: bool) -> None:
    assert is_request_id(text) is sound


@given(tags=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), data=st.data())
def test_the_content_hash_does_not_depend_on_the_order_of_keys(
    tags: dict[str, str], data: st.DataObject
) -> None:
    request: Any = request_of(tags=tags)

    shuffled = dict(data.draw(st.permutations(list(request.items()))))
    shuffled["tags"] = dict(data.draw(st.permutations(list(tags.items()))))

    assert content_hash(shuffled) == content_hash(request)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"alias": "alias/other"},
        {"description": "other"},
        {"tags": {"a": "b"}},
        {"policy": {"users": [USER]}},
        {"rotation": {}},
        {"replicas": [{"region": REPLICA}]},
        {"origin": "EXTERNAL"},
        {"revision": 2, "enabled": False},
        {"revision": 2, "desiredState": "DECOMMISSIONED"},
    ],
)
def test_the_content_hash_tells_requests_apart(change: dict[str, Any]) -> None:
    assert content_hash(request_of(**change)) != content_hash(request_of())


@pytest.mark.parametrize(
    "change",
    [
        {"onFailure": "ROLL_BACK"},
        {"revision": 2},
        {"ticket": {"id": "CHG0031338"}},
        {"revision": 2, "confirm": ["PROMOTE:eu-west-1"], "deletionWindowInDays": 7},
        {"enabled": True, "desiredState": "ACTIVE"},
        {
            "replicas": [
                {"region": "ap-south-1", "alias": None, "enabled": True},
                {"region": "eu-west-1", "enabled": True},
            ]
        },
        {"replicas": [{"region": "eu-west-1"}, {"region": "ap-south-1", "alias": None}]},
    ],
)
def test_what_says_nothing_of_the_keys_is_no_content(change: dict[str, Any]) -> None:
    replicas = [{"region": "ap-south-1", "alias": None}, {"region": "eu-west-1"}]

    changed = request_of(**{"replicas": replicas, **change})

    assert content_hash(changed) == content_hash(request_of(replicas=replicas))


# As they stand in records of key sets that exist.
RECORDED_HASHES: list[tuple[str, str]] = [
    ("", "90ff6a62cc554c8f12ee76a9e643268446d29958663379a7f268eeda44d343a2"),
    ("-minimal", "5df175117f8f587d2b16c7682494a46518c26ade9eafd19a7f7bc064ed67ab83"),
    ("-signing", "6a3fd0b33d4ab90daea23eb44f5b27df06149fea159375602307278a238afd6c"),
    ("-external", "72aa476cd021605dac699ba6f18029c8a24995d99b500076d1722ae5ea36c188"),
]
USUAL = {"enabled": True, "desiredState": "ACTIVE"}


@pytest.mark.parametrize(("name", "recorded"), RECORDED_HASHES)
def test_the_content_hash_is_the_one_that_records_hold(name: str, recorded: str) -> None:
    request = parse_request(sample_event(f"key-requested{name}")["detail"], SETTINGS)

    assert content_hash(request) == recorded
    assert content_hash({**request, **USUAL}) == recorded  # type: ignore[typeddict-item]


def test_a_disabled_replica_is_other_content() -> None:
    first, later = ([{"region": REPLICA, "enabled": enabled}] for enabled in (True, False))

    assert content_hash(request_of(replicas=first)) != content_hash(
        request_of(revision=2, replicas=later)
    )


def test_each_key_is_enabled_unless_the_request_says_otherwise_of_that_key() -> None:
    request = request_of(
        revision=2,
        enabled=False,
        replicas=[{"region": REPLICA}, {"region": "us-west-2", "enabled": False}],
    )

    assert [is_enabled(request, region) for region in regions(request)] == [False, True, False]
    with pytest.raises(KeyError):
        is_enabled(request, "ap-south-1")


def test_what_a_request_does_not_say_of_changes_is_the_default() -> None:
    request = request_of()

    assert is_enabled(request, "us-east-1")
    assert not is_decommissioned(request)
    assert (deletion_window(request), confirmed_words(request)) == (30, [])


def test_a_request_says_what_becomes_of_its_keys() -> None:
    request = request_of(
        revision=2,
        desiredState="DECOMMISSIONED",
        deletionWindowInDays=7,
        confirm=["DECOMMISSION"],
    )

    assert is_decommissioned(request)
    assert (deletion_window(request), confirmed_words(request)) == (7, ["DECOMMISSION"])


def test_the_terms_of_key_material_do_not_depend_on_the_order_of_replicas() -> None:
    replicas = [
        {"region": "ap-south-1", "keyMaterial": {"validTo": in_days(20)}},
        {"region": "eu-west-1"},
    ]

    one, other = (imported_request_of(replicas=order) for order in (replicas, replicas[::-1]))

    assert material_terms(one) == material_terms(other)


def test_a_request_names_its_aliases_and_tags_in_each_region() -> None:
    request = request_of(
        tags={"team": "cards"},
        replicas=[
            {"region": "eu-west-1"},
            {"region": "eu-west-2", "alias": None, "tags": None},
            {"region": "eu-west-3", "alias": "alias/own", "tags": {"own": ""}},
        ],
    )

    assert names_by_region(request) == {
        "us-east-1": {"aliases": ["alias/cards"], "tags": ["team"], "settings": []},
        "eu-west-1": {"aliases": ["alias/cards"], "tags": ["team"], "settings": []},
        "eu-west-2": {"aliases": [], "tags": [], "settings": []},
        "eu-west-3": {"aliases": ["alias/own"], "tags": ["own"], "settings": []},
    }


@pytest.mark.parametrize(("primary", "replica", "_"), EXPIRIES)
def test_the_content_hash_does_not_depend_on_the_key_material(
    primary: dict[str, Any], replica: dict[str, Any], _: object
) -> None:
    asked = imported_request_of(
        keyMaterial={"deadlineInDays": 1, **primary}, replicas=[{"region": REPLICA, **replica}]
    )
    unasked = imported_request_of(replicas=[{"region": REPLICA}])
    del unasked["keyMaterial"]

    assert content_hash(asked) == content_hash(unasked)


def test_a_default_that_is_written_out_is_the_same_content() -> None:
    written_out = request_of(
        primaryRegion="us-east-1",
        keySpec="SYMMETRIC_DEFAULT",
        keyUsage="ENCRYPT_DECRYPT",
        origin="AWS_KMS",
        description=None,
        tags=None,
        policy=None,
        replicas=[],
        onFailure="RETAIN",
    )

    assert content_hash(written_out) == content_hash(request_of())


@pytest.mark.parametrize(
    ("sent", "handed_on", "same"),
    [
        (1.0, 1, True),
        (1e3, 1000, True),
        (2**53 + 1, 2**53, True),
        ([{"n": 5.0}], [{"n": 5}], True),
        (1.5, 1.5, True),
        (10**400, 10**400, True),
        (10**400, 10**400 + 1, False),
        (1.5, 1, False),
        (True, 1, False),
        ("1.0", "1", False),
    ],
)
def test_a_number_that_step_functions_writes_anew_is_the_same_content(
    sent: Any, handed_on: Any, same: bool
) -> None:
    before, after = request_of(), request_of()
    before["policy"] = {"document": {"number": sent}}
    after["policy"] = {"document": {"number": handed_on}}

    assert (content_hash(before) == content_hash(after)) is same


def test_what_is_nested_too_deeply_has_the_fingerprint_of_nothing() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    assert fingerprint(nested) == hashlib.sha256(b"").hexdigest()
