"""What is read of a key set before it is changed, and with how many calls."""

from collections import Counter
from typing import Any

import pytest

from provisioner.change.observe import observe, read_key_set
from provisioner.domain.change import ObservedSet
from provisioner.errors import KmsKeyNotFound, PromotionUnderWay
from tests.support.faults.errors import refusal
from tests.support.key_sets import ALIAS, POLICY, REQUEST, TAGS, KeySet


@pytest.fixture
def key_set() -> KeySet:
    return KeySet()


def read(key_set: KeySet, declared: dict[str, Any], **more: Any) -> ObservedSet:
    applied: Any = REQUEST
    given: Any = declared
    return observe(
        applied,
        given,
        key_set.arn,
        superseded=more.get("superseded", {}),
        kms_for=key_set.kms_for,
        tagging_for=key_set.tagging_for,
    )


def test_a_key_is_read_with_two_calls_and_the_set_with_one_more(key_set: KeySet) -> None:
    key_set.key("us-east-1").rotation_days = 180

    found = read(key_set, {**REQUEST, "rotation": {"periodInDays": 365}})

    assert Counter(key_set.kms_calls()) == {
        **{f"DescribeKey {region}": 1 for region in ("us-east-1", "eu-west-1", "us-west-2")},
        **{f"GetKeyPolicy {region}": 1 for region in ("us-east-1", "eu-west-1", "us-west-2")},
        "GetKeyRotationStatus us-east-1": 1,
    }
    assert found["primaryRegion"] == "us-east-1"
    assert found["keys"]["us-east-1"] == {
        "region": "us-east-1",
        "arn": key_set.arn,
        "keyState": "Enabled",
        "description": "Card data",
        "policy": POLICY,
        "tags": TAGS,
        "aliases": {ALIAS: key_set.arn},
        "rotationPeriodInDays": 180,
        "deletionDate": None,
    }
    assert found["keys"]["eu-west-1"]["arn"] == key_set.key("eu-west-1").arn
    assert sorted(found["keys"]) == ["eu-west-1", "us-east-1", "us-west-2"]


def test_rotation_that_nobody_declared_is_not_read(key_set: KeySet) -> None:
    read(key_set, REQUEST)

    assert "GetKeyRotationStatus us-east-1" not in key_set.kms_calls()


def test_every_name_that_matters_is_looked_up(key_set: KeySet) -> None:
    other = key_set.aws.kms.take_alias("us-west-2", "alias/new")

    found = read(
        key_set,
        {**REQUEST, "alias": "alias/new"},
        superseded={"us-east-1": {"aliases": ["alias/wrong"], "tags": [], "settings": []}},
    )

    assert found["keys"]["us-east-1"]["aliases"] == {
        "alias/new": None,
        ALIAS: key_set.arn,
        "alias/wrong": None,
    }
    assert found["keys"]["us-west-2"]["aliases"]["alias/new"] == other.arn


def test_a_key_without_its_alias_is_found_by_its_arn(key_set: KeySet) -> None:
    del key_set.aws.kms.aliases["eu-west-1", ALIAS]

    found = read(key_set, REQUEST)

    assert found["keys"]["eu-west-1"]["keyState"] == "Enabled"
    assert found["keys"]["eu-west-1"]["aliases"] == {ALIAS: None}


def test_an_alias_of_a_key_that_keeps_the_caller_out_is_found_in_the_list(key_set: KeySet) -> None:
    other = key_set.aws.kms.take_alias("us-west-2", "alias/new")
    key_set.denied = other

    found = read(key_set, {**REQUEST, "alias": "alias/new"})

    assert found["keys"]["us-west-2"]["aliases"] == {
        "alias/new": other.arn,
        ALIAS: key_set.key("us-west-2").arn,
    }


def test_a_region_without_a_key_says_where_its_name_points(key_set: KeySet) -> None:
    taken = key_set.aws.kms.take_alias("ap-south-1", ALIAS)

    found = read(
        key_set, {**REQUEST, "replicas": [{"region": "ap-south-1"}, {"region": "sa-east-1"}]}
    )

    assert "ap-south-1" not in found["keys"]
    assert found["aliases"] == {"ap-south-1": {ALIAS: taken.arn}, "sa-east-1": {ALIAS: None}}


def test_a_key_that_is_left_out_is_read_for_its_state_alone(key_set: KeySet) -> None:
    found = read(key_set, {**REQUEST, "replicas": [{"region": "eu-west-1"}]})

    assert found["keys"]["us-west-2"]["keyState"] == "Enabled"
    assert "GetKeyPolicy us-west-2" not in key_set.kms_calls()


def test_a_replica_made_by_hand_is_there_too(key_set: KeySet) -> None:
    key_set.aws.kms.replicate(key_set.key("us-east-1"), "sa-east-1")

    found = read(key_set, REQUEST)

    assert found["keys"]["sa-east-1"]["keyState"] == "Creating"


def test_the_primary_is_where_kms_has_it(key_set: KeySet) -> None:
    key_set.in_region("us-east-1").update_primary_region(
        KeyId=key_set.arn, PrimaryRegion="eu-west-1"
    )

    found = read(key_set, {**REQUEST, "rotation": {"periodInDays": 365}})

    assert found["primaryRegion"] == "eu-west-1"
    assert "GetKeyRotationStatus eu-west-1" in key_set.kms_calls()


def test_an_imported_key_whose_material_is_gone_says_so(key_set: KeySet) -> None:
    for region, material in (("us-east-1", b"kept"), ("eu-west-1", None)):
        key = key_set.key(region)
        key.facts["origin"], key.material, key.leaving = "EXTERNAL", material, True

    found = read(key_set, REQUEST)["keys"]

    assert {region: key.get("lacksMaterial", False) for region, key in found.items()} == {
        "us-east-1": False,
        "eu-west-1": True,
        "us-west-2": False,
    }


def test_a_deletion_has_its_date(key_set: KeySet) -> None:
    key_set.in_region("eu-west-1").schedule_key_deletion(
        KeyId=key_set.key("eu-west-1").arn, PendingWindowInDays=7
    )

    key = read(key_set, REQUEST)["keys"]["eu-west-1"]

    assert (key["keyState"], key["deletionDate"]) == ("PendingDeletion", "2027-01-22T09:00:00Z")


def test_keys_that_name_different_primaries_are_not_worked_on(key_set: KeySet) -> None:
    key_set.key("eu-west-1").facts = {**key_set.key("eu-west-1").facts, "type": "PRIMARY"}
    # As the list that each key has begins with itself for a while.
    describe = key_set.kms_for

    class Lagging:
        def __init__(self, region: str) -> None:
            self.client, self.region = describe(region), region

        def __getattr__(self, name: str) -> Any:
            return getattr(self.client, name)

        def describe_key(self, **key: str) -> Any:
            answer = self.client.describe_key(**key)
            roles = answer["KeyMetadata"]["MultiRegionConfiguration"]
            roles["PrimaryKey"] = {"Arn": "arn", "Region": self.region}
            return answer

    key_set.kms_for = Lagging  # type: ignore[method-assign]

    with pytest.raises(PromotionUnderWay, match="eu-west-1 and in us-east-1"):
        read(key_set, REQUEST)


def test_a_set_whose_keys_are_all_gone_is_said_to_be_gone(key_set: KeySet) -> None:
    key_set.aws.kms.keys.clear()
    key_set.aws.kms.aliases.clear()

    with pytest.raises(KmsKeyNotFound, match=key_set.arn):
        read(key_set, REQUEST)


def test_without_the_tagging_api_tags_are_read_from_kms(key_set: KeySet) -> None:
    key_set.refused["eu-west-1", "ListResourceTags"] = refusal(
        "AccessDeniedException", "ListResourceTags"
    )
    key_set.key("us-west-2").tags["team"] = "a moment ago"
    applied: Any = REQUEST
    shut_out: set[str] = set()

    found = read_key_set(
        applied,
        applied,
        key_set.arn,
        superseded={},
        kms_for=key_set.kms_for,
        tagging_for=None,
        shut_out=shut_out,
    )

    assert found
    tags = {region: key["tags"] for region, key in found[0]["keys"].items()}
    assert tags == {
        "us-east-1": TAGS,
        "eu-west-1": {},
        "us-west-2": TAGS | {"team": "a moment ago"},
    }
    assert shut_out == {"eu-west-1"}
    assert "GetResources" not in {call.operation for call in key_set.calls}
