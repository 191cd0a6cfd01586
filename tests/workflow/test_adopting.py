"""A key set that others made is adopted by the deployed stack, released, and adopted again."""

from typing import Any

import pytest

from local.stack.stack import Stack
from tests.support.stack.adopting import (
    ALL,
    Document,
    adopted,
    asked,
    made_by_hand,
    released,
    writes_since,
)
from tests.support.stack.changes import EUROPE, HOME, WEST, Changed, revised
from tests.support.stack.reading import read_key
from tests.support.stack.sweeping import sweep_to_its_end


def facts_of(stack: Stack, arn: str) -> dict[str, Any]:
    """Read every key of a set, without the stack's own tags."""
    found = {}
    for region in ALL:
        key = read_key(stack, region, arn.replace(HOME, region))
        del key["ownTags"]
        found[region] = key
    return found


def own_tags(stack: Stack, region: str, arn: str) -> dict[str, str]:
    tags: dict[str, str] = read_key(stack, region, arn.replace(HOME, region))["ownTags"]
    return tags


def test_a_set_made_by_hand_is_adopted_changed_released_and_adopted_again(stack: Stack) -> None:
    document, arn = made_by_hand(stack, "by-hand", EUROPE, WEST)
    name, before = document["requestId"], facts_of(stack, arn)
    document["keyArn"] = arn.replace(HOME, WEST)

    unsaid = {"requestId": name, "keyArn": document["keyArn"]}
    planned = asked(stack, unsaid, plan=True)
    assert planned.status_code == 200, planned.text
    found = planned.json()
    assert (found["differences"], found["errors"]) == ([], [])
    assert found["declaration"]["replicas"] == [{"region": EUROPE}, {"region": WEST}]
    assert stack.api("GET", f"/keys/{name}").status_code == 404

    calls = len(stack.kms_calls())
    declared = {**found["declaration"], "keyArn": arn}
    detail = adopted(stack, declared)

    assert writes_since(stack, calls) == sorted(("TagResource", region) for region in ALL)
    assert facts_of(stack, arn) == before
    stack_name = stack.name
    for region in ALL:
        expected = {"mrk:request-id": name, "mrk:stack": stack_name}
        assert own_tags(stack, region, arn) == expected
    assert detail["key"]["primary"]["arn"] == arn
    status = stack.api("GET", f"/keys/{name}").json()
    assert (status["status"], "releasedAt" in status) == ("CREATED", False)

    # It is a key set like any other.
    changed = Changed(stack, revised(found["declaration"], description="Cards"))
    assert set(changed.writes) == {("UpdateKeyDescription", region) for region in ALL}

    calls, before = len(stack.kms_calls()), facts_of(stack, arn)
    released(stack, name)
    assert writes_since(stack, calls) == sorted(("UntagResource", region) for region in ALL)
    assert facts_of(stack, arn) == before
    for region in ALL:
        assert own_tags(stack, region, arn) == {}
    refused = stack.api("POST", "/keys", json=revised(changed_document(found), description="No"))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "RELEASED")

    again = {**changed_document(found), "keyArn": arn}
    assert adopted(stack, again)["revision"] == 2
    for region in ALL:
        assert own_tags(stack, region, arn)["mrk:request-id"] == name
    # Released, adopted, swept: there is nothing to find.
    sweep_to_its_end(stack)
    findings = [e for e in stack.events(name) if e["detail-type"] == "Multi-Region Key Finding"]
    assert findings == []


def changed_document(found: dict[str, Any]) -> Document:
    """Return the second revision of what was adopted."""
    return revised(found["declaration"], description="Cards")


def everywhere(field: str) -> set[str]:
    """Return the paths of a field of the primary key and of two replicas."""
    return {field, f"replicas[0].{field}", f"replicas[1].{field}"}


@pytest.fixture(scope="module")
def by_hand(stack: Stack) -> tuple[Document, str]:
    """Return a set that no test adopts."""
    document, arn = made_by_hand(stack, "refused", EUROPE, WEST)
    return {**document, "keyArn": arn}, arn


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({"description": "Other"}, everywhere("description")),
        ({"tags": {"team": "other"}}, everywhere("tags.team")),
        ({"alias": "alias/other"}, everywhere("alias")),
        ({"rotation": {"periodInDays": 365}}, {"rotation"}),
        ({"enabled": False}, {"enabled"}),
        ({"policy": {"users": ["arn:aws:iam::111122223333:role/CardService"]}},
         everywhere("policy")),
        ({"replicas": [{"region": EUROPE}]}, {"replicas"}),
        ({"replicas": [{"region": EUROPE}, {"region": WEST}, {"region": "ap-south-1"}]},
         {"replicas[2].region"}),
        ({"primaryRegion": EUROPE, "replicas": [{"region": HOME}, {"region": WEST}]},
         {"primaryRegion"}),
        ({"unmanaged": ["sa-east-1"]}, {"unmanaged[0]"}),
        ({"keySpec": "HMAC_256", "keyUsage": "GENERATE_VERIFY_MAC"}, {"keySpec", "keyUsage"}),
    ],
)  # fmt: skip
def test_each_difference_is_refused_with_its_path_and_nothing_is_written(
    stack: Stack, by_hand: tuple[Document, str], changed: Document, paths: set[str]
) -> None:
    document, _ = by_hand
    calls = len(stack.kms_calls())

    refused = asked(stack, {**document, **changed})

    assert refused.status_code == 409, refused.text
    problems = refused.json()["errors"]
    assert {one["path"] for one in problems} == paths
    assert {one["code"] for one in problems} == {"ADOPTION_DIFFERS"}
    planned = asked(stack, {**document, **changed}, plan=True).json()
    assert {one["path"] for one in planned["differences"]} == paths
    assert writes_since(stack, calls) == []
    assert stack.api("GET", f"/keys/{document['requestId']}").status_code == 404


def test_a_replica_that_is_named_unmanaged_stays_as_it_is(stack: Stack) -> None:
    document, arn = made_by_hand(stack, "unmanaged", EUROPE, WEST)
    there = {**document, "keyArn": arn, "replicas": [{"region": EUROPE}], "unmanaged": [WEST]}

    detail = adopted(stack, there)

    assert own_tags(stack, WEST, arn) == {}
    assert [one["region"] for one in detail["key"]["replicas"]] == [EUROPE]
    assert detail["warnings"] == []


def test_a_set_that_somebody_else_manages_is_taken_over_by_word_alone(stack: Stack) -> None:
    document, arn = made_by_hand(stack, "managed", EUROPE, WEST)
    document["keyArn"] = arn
    there = arn.replace(HOME, EUROPE)
    manager = [{"TagKey": "ManagedBy", "TagValue": "terraform"}]
    stack.client("kms", EUROPE).tag_resource(KeyId=there, Tags=manager)

    refused = asked(stack, document)

    assert refused.status_code == 409
    (problem,) = refused.json()["errors"]
    assert (problem["path"], problem["code"]) == ("takeOver", "OTHER_MANAGER")
    assert problem["message"].startswith(f"Terraform manages the key in {EUROPE}")
    adopted(stack, {**document, "takeOver": True})
    assert read_key(stack, EUROPE, there)["tags"] == {"team": "payments", "ManagedBy": "terraform"}
