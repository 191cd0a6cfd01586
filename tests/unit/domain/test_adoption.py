"""What adopting a key set comes to: its declaration, every difference, and who else manages it."""

import json
from copy import deepcopy
from typing import Any

import pytest

from provisioner.domain.adoption import (
    FoundSet,
    declaration_of,
    difference_problem,
    differences,
    manager_problems,
    managers,
    tag_problems,
)
from provisioner.domain.plan import KeySetRequest
from tests.support.changing import observed_of, shown_otherwise
from tests.support.samples import ADMIN, SETTINGS, USER, document_of, key_arn, request_of

WEST = "us-west-2"
EUROPE = "eu-west-1"
OTHER_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "All",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
FULL: dict[str, Any] = document_of(
    description="Card data",
    tags={"team": "payments"},
    policy={"administrators": [ADMIN], "users": [USER]},
    rotation={"periodInDays": 180},
    replicas=[
        {"region": EUROPE},
        {
            "region": WEST,
            "alias": "alias/cards-us",
            "description": None,
            "tags": {"team": "us"},
            "policy": {"document": OTHER_POLICY},
        },
    ],
)


def request(**fields: Any) -> KeySetRequest:
    return request_of(**{k: v for k, v in {**FULL, **fields}.items() if k != "requestId"})


def found_of(declared: KeySetRequest, **more: Any) -> FoundSet:
    """Return the set that a declaration would have made, as somebody else made it."""
    observed = observed_of(declared)
    for key in observed["keys"].values():
        key["tags"] = {n: v for n, v in key["tags"].items() if not n.startswith("mrk:")}
    return FoundSet(
        key_spec=declared["keySpec"],
        key_usage=declared["keyUsage"],
        origin=declared["origin"],
        observed=observed,
        valid_to=more.get("valid_to", {}),
    )


def pairs(found: FoundSet, declared: KeySetRequest, *unmanaged: str) -> list[tuple[str, Any, Any]]:
    return [
        (one["path"], one["kms"], one["declared"])
        for one in differences(found, declared, [*unmanaged], SETTINGS)
    ]


def test_a_set_that_is_as_declared_differs_in_nothing_but_the_tags_it_is_to_get() -> None:
    assert pairs(found_of(request()), request()) == []


def test_what_kms_only_writes_otherwise_is_no_difference() -> None:
    found = found_of(request())
    for key in found.observed["keys"].values():
        key["policy"] = shown_otherwise(key["policy"])

    assert pairs(found, request()) == []


def test_tags_and_aliases_that_are_not_declared_stay_and_are_no_difference() -> None:
    found = found_of(request())
    key = found.observed["keys"][WEST]
    key["tags"] |= {"owner": "finance", "aws:cloudformation:stack-name": "cards"}
    key["aliases"]["alias/finance"] = key["arn"]

    assert pairs(found, request()) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"description": "Other"}, [("description", "Card data", "Other"),
                                    ("replicas[0].description", "Card data", "Other")]),
        ({"alias": "alias/new"}, [("alias", None, "alias/new"),
                                  ("replicas[0].alias", None, "alias/new")]),
        ({"tags": {"team": "x"}}, [("tags.team", "payments", "x"),
                                   ("replicas[0].tags.team", "payments", "x")]),
        ({"tags": {"team": "payments", "a": "b"}}, [("tags.a", None, "b"),
                                                    ("replicas[0].tags.a", None, "b")]),
        ({"rotation": {"periodInDays": 365}},
         [("rotation", {"periodInDays": 180}, {"periodInDays": 365})]),
        ({"rotation": None}, [("rotation", {"periodInDays": 180}, None)]),
        ({"enabled": False}, [("enabled", "Enabled", "Disabled")]),
    ],
)  # fmt: skip
def test_each_setting_that_differs_is_named_with_what_kms_has(
    changed: dict[str, Any], expected: list[tuple[str, Any, Any]]
) -> None:
    declared: Any = {**request(), **changed}

    assert pairs(found_of(request()), declared) == expected


def test_another_policy_differs_where_it_is_another_one() -> None:
    declared = request(policy={"administrators": [ADMIN]})

    found = differences(found_of(request()), declared, [], SETTINGS)

    assert [(one["path"], one["region"]) for one in found] == [
        ("policy", "us-east-1"),
        ("replicas[0].policy", EUROPE),
    ]


def test_a_principal_that_is_gone_is_not_taken_for_the_one_that_is_declared() -> None:
    found = found_of(request())
    policy = found.observed["keys"][EUROPE]["policy"]
    text = json.dumps(policy).replace(USER, "AROACKCEVSQ6C2EXAMPLE")
    found.observed["keys"][EUROPE]["policy"] = json.loads(text)

    assert [path for path, *_ in pairs(found, request())] == ["replicas[0].policy"]


@pytest.mark.parametrize(
    ("field", "value", "has"),
    [
        ("keySpec", "HMAC_256", "SYMMETRIC_DEFAULT"),
        ("keyUsage", "GENERATE_VERIFY_MAC", "ENCRYPT_DECRYPT"),
        ("origin", "EXTERNAL", "AWS_KMS"),
    ],
)
def test_what_a_key_keeps_for_ever_has_to_be_declared_as_it_is(
    field: str, value: str, has: str
) -> None:
    declared: Any = {**request(), field: value}

    assert (field, has, value) in pairs(found_of(request()), declared)


def test_a_replica_that_is_neither_declared_nor_unmanaged_differs() -> None:
    declared = request(replicas=FULL["replicas"][:1])
    found = found_of(request())

    assert pairs(found, declared) == [("replicas", WEST, None)]
    assert pairs(found, declared, WEST) == []


def test_a_region_is_unmanaged_only_where_it_has_a_replica() -> None:
    found = found_of(request())

    assert pairs(found, request(), "ap-south-1") == [("unmanaged[0]", None, "ap-south-1")]


def test_a_declared_region_without_a_key_differs_once() -> None:
    declared = request(replicas=[*FULL["replicas"], {"region": "ap-south-1"}])

    assert pairs(found_of(request()), declared) == [("replicas[2].region", None, "ap-south-1")]


def test_another_primary_region_differs() -> None:
    found = found_of(request())
    found.observed["primaryRegion"] = EUROPE

    assert ("primaryRegion", EUROPE, "us-east-1") in pairs(found, request())


@pytest.mark.parametrize("state", ["Creating", "Updating", "PendingImport", "PendingDeletion"])
def test_a_key_on_its_way_elsewhere_is_not_as_declared(state: str) -> None:
    found = found_of(request())
    found.observed["keys"][EUROPE]["keyState"] = state

    assert pairs(found, request()) == [("replicas[0].region", state, "Enabled")]


def test_a_disabled_key_is_as_declared_where_it_is_declared_disabled() -> None:
    declared: Any = request()
    declared["replicas"][0]["enabled"] = False
    found = found_of(request())
    found.observed["keys"][EUROPE]["keyState"] = "Disabled"

    assert pairs(found, declared) == []


def test_the_end_of_imported_key_material_has_to_be_declared_as_it_is() -> None:
    kind = {"origin": "EXTERNAL", "rotation": None}
    declared = request(**kind, replicas=[{"region": EUROPE}])
    ends = "2027-01-31T00:00:00Z"
    found = found_of(declared, valid_to={"us-east-1": None, EUROPE: ends})

    assert pairs(found, declared) == [("replicas[0].keyMaterial.validTo", ends, None)]

    found.observed["keys"][EUROPE]["lacksMaterial"] = True
    found.observed["keys"][EUROPE]["keyState"] = "PendingImport"
    assert pairs(found, declared) == [("replicas[0].region", "PendingImport", "Enabled")]


def test_every_difference_says_what_kms_has_and_what_is_declared() -> None:
    declared: Any = {**request(description="", policy=None), "rotation": None}
    declared["replicas"] = [{"region": "ap-south-1"}]
    found = found_of(request())
    found.observed["keys"]["us-east-1"]["keyState"] = "Updating"

    problems = [
        difference_problem(one) for one in differences(found, declared, ["sa-east-1"], SETTINGS)
    ]

    assert {one["code"] for one in problems} == {"ADOPTION_DIFFERS"}
    texts = {one["path"]: one["message"] for one in problems}
    assert "Declare it in replicas, or name the Region in unmanaged." in texts["replicas"]
    assert texts["replicas[0].region"].startswith("The set has no key in ap-south-1.")
    assert texts["unmanaged[0]"].startswith("The set has no replica key in sa-east-1")
    assert texts["primaryRegion"].startswith("The key in us-east-1 is Updating.")
    assert "KMS has Card data, declared is an empty one." in texts["description"]
    assert "KMS has 180 days, declared is none." in texts["rotation"]
    assert texts["policy"].startswith("The key in us-east-1 has another key policy. Declare what")


def test_the_whole_declaration_is_what_would_have_made_the_set() -> None:
    found = found_of(request())

    declared = declaration_of(found, FULL, [], SETTINGS)

    again = request_of(**{n: v for n, v in declared.items() if n != "requestId"})
    assert pairs(found, again) == []
    assert declared["policy"] == FULL["policy"]
    assert declared["replicas"] == [
        {"region": EUROPE},
        {
            "region": WEST,
            "alias": "alias/cards-us",
            "description": "",
            "tags": {"team": "us"},
            "policy": {"document": OTHER_POLICY},
        },
    ]


def test_a_declaration_is_found_where_nothing_is_said_of_the_set() -> None:
    found = found_of(request(policy=None, rotation=None))
    found.observed["keys"][EUROPE]["keyState"] = "Disabled"
    found.observed["keys"]["us-east-1"]["aliases"]["alias/a"] = key_arn()

    declared = declaration_of(found, {"requestId": "CHG1"}, [WEST], SETTINGS)

    assert declared == {
        "requestId": "CHG1",
        "primaryRegion": "us-east-1",
        "keySpec": "SYMMETRIC_DEFAULT",
        "keyUsage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "alias": "alias/a",
        "description": "Card data",
        "tags": {"team": "payments"},
        "policy": None,
        "replicas": [{"region": EUROPE, "alias": "alias/cards", "enabled": False}],
    }


def test_a_declaration_says_when_imported_material_expires_and_what_has_no_alias() -> None:
    asked = request(origin="EXTERNAL", rotation=None, replicas=[{"region": EUROPE}])
    ends = "2027-01-31T00:00:00Z"
    found = found_of(asked, valid_to={"us-east-1": ends, EUROPE: None})
    found.observed["keys"]["us-east-1"]["aliases"] = {}
    found.observed["keys"][EUROPE]["policy"] = None

    declared = declaration_of(found, {"requestId": "CHG1"}, [], SETTINGS)

    assert declared["alias"] is None
    assert declared["keyMaterial"] == {"expires": True, "validTo": ends}
    assert declared["replicas"] == [
        {"region": EUROPE, "alias": "alias/cards", "keyMaterial": None, "policy": None}
    ]


@pytest.mark.parametrize(
    ("tags", "who"),
    [
        ({}, []),
        ({"team": "terraform"}, []),
        ({"mrk:stack": "mrk-provisioner", "mrk:request-id": "another"}, []),
        ({"mrk:stack": "other"}, ["The provisioner's stack other"]),
        ({"aws:cloudformation:stack-name": "cards", "aws:cloudformation:stack-id": "x"},
         ["The CloudFormation stack cards"]),
        ({"aws:cloudformation:stack-id": "x"}, ["CloudFormation"]),
        ({"aws:servicecatalog:productArn": "x"}, ["AWS Service Catalog"]),
        ({"services.k8s.aws/namespace": "default"}, ["AWS Controllers for Kubernetes"]),
        ({"crossplane-kind": "key.kms.aws", "crossplane-name": "k"}, ["Crossplane"]),
        ({"pulumi:project": "x"}, ["Pulumi"]),
        ({"ManagedBy": "Terraform"}, ["Terraform"]),
        ({"managed-by": "terraform/modules"}, ["Terraform"]),
        ({"app.kubernetes.io/managed-by": "kro"}, ["kro"]),
        ({"Created_By": "OpenTofu 1.9"}, ["OpenTofu"]),
        ({"ManagedBy": "the platform team"}, []),
        ({"Terraform": "true"}, ["Terraform"]),
        ({"terraform": "false"}, []),
        ({"IaC": "aws-cdk"}, ["AWS CDK"]),
    ],
)  # fmt: skip
def test_who_manages_a_key_is_known_by_the_tags_that_tools_and_people_set(
    tags: dict[str, str], who: list[str]
) -> None:
    assert managers(tags, SETTINGS) == who


def test_another_manager_is_named_with_the_regions_and_not_asked_for_where_it_is_unmanaged() -> (
    None
):
    found = found_of(request())
    for region in (EUROPE, WEST):
        found.observed["keys"][region]["tags"]["ManagedBy"] = "terraform"

    (problem,) = manager_problems(found, "CHG1", [], SETTINGS)

    assert (problem["path"], problem["code"]) == ("takeOver", "OTHER_MANAGER")
    assert problem["message"].startswith(f"Terraform manages the key in {EUROPE}, {WEST},")
    assert manager_problems(found, "CHG1", [EUROPE, WEST], SETTINGS) == []


def test_a_key_without_room_for_two_tags_more_is_refused() -> None:
    found = found_of(request())
    many = {f"tag-{number}": "x" for number in range(48)}
    key = found.observed["keys"][EUROPE]

    key["tags"] = {**many, "aws:cloudformation:stack-name": "cards"}
    assert tag_problems(found, "CHG1", [], SETTINGS) == []

    key["tags"] = {**many, "one": "more"}
    (problem,) = tag_problems(found, "CHG1", [], SETTINGS)
    assert problem["code"] == "TOO_MANY_TAGS"
    assert "has 49 tags" in problem["message"]

    again = deepcopy(found)
    again.observed["keys"][EUROPE]["tags"] = {**many, "mrk:stack": "x", "mrk:request-id": "CHG1"}
    assert tag_problems(again, "CHG1", [], SETTINGS) == []
