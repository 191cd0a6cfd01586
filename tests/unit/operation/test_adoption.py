"""Reading a set that somebody else made, and tagging its keys, on the stand-in for KMS."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws.records import Record
from provisioner.change.work import Work
from provisioner.domain.operation import Adoption
from provisioner.errors import (
    KeyNotAdoptable,
    KmsAccessDenied,
    KmsKeyNotFound,
    OtherManager,
    PromotionUnderWay,
    RequestTakenOver,
)
from provisioner.operation.adoption import (
    ReadSet,
    adopt_key,
    adoption_of,
    adoption_problems,
    adoption_work,
    read_set,
)
from tests.support.faults.errors import refusal
from tests.support.key_sets import ALIAS, POLICY, REQUEST, KeySet
from tests.support.samples import SETTINGS

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
STACK = replace(SETTINGS, stack_name="mrk")
OURS = {"mrk:request-id": "CHG0031337", "mrk:stack": "mrk"}
ADOPTION: Adoption = {
    "operationId": "adopt-1",
    "keyArn": "",
    "unmanaged": [],
    "takeOver": False,
}
DECLARED: Any = REQUEST


@pytest.fixture
def key_set() -> KeySet:
    """Return a set that somebody made by hand."""
    made = KeySet()
    for region in REGIONS:
        made.key(region).tags = {"team": "payments"}
    return made


def read(key_set: KeySet, region: str = "us-east-1") -> ReadSet:
    return read_set(key_set.key(region).arn, kms_for=key_set.kms_for)


def work_in(key_set: KeySet, region: str) -> Work:
    return {"region": region, "arn": key_set.key(region).arn, "calls": {}}


def adopt(key_set: KeySet, region: str = "eu-west-1", *, take_over: bool = False) -> None:
    adopt_key(
        key_set.kms_for(region),
        work_in(key_set, region),
        "CHG0031337",
        wanted=lambda: {**ADOPTION, "takeOver": take_over},
        settings=STACK,
    )


@pytest.mark.parametrize("region", REGIONS)
def test_a_set_is_read_whole_from_any_of_its_keys(key_set: KeySet, region: str) -> None:
    key_set.key("us-east-1").rotation_days = 180
    key_set.point("us-west-2", "alias/finance", key_set.key("us-west-2"))

    found = read(key_set, region).found

    assert (found.key_spec, found.key_usage, found.origin) == (
        "SYMMETRIC_DEFAULT",
        "ENCRYPT_DECRYPT",
        "AWS_KMS",
    )
    assert found.observed["primaryRegion"] == "us-east-1"
    assert found.observed["keys"].keys() == {*REGIONS}
    west = found.observed["keys"]["us-west-2"]
    assert west["aliases"].keys() == {ALIAS, "alias/finance"}
    assert west["policy"] == POLICY
    assert west["tags"] == {"team": "payments"}
    assert found.observed["keys"]["us-east-1"]["rotationPeriodInDays"] == 180


def test_four_calls_read_a_key_and_two_more_the_set_and_none_writes(key_set: KeySet) -> None:
    read(key_set)

    each = ("DescribeKey", "ListAliases", "GetKeyPolicy", "ListResourceTags")
    expected = Counter(f"{call} {region}" for call in each for region in REGIONS)
    expected["DescribeKey us-east-1"] += 1
    expected["GetKeyRotationStatus us-east-1"] += 1
    assert Counter(key_set.kms_calls()) == expected
    assert key_set.writes() == []


def test_whose_a_declared_alias_is_that_the_key_has_not_is_read_too(key_set: KeySet) -> None:
    other = key_set.aws.kms.take_alias("us-west-2", "alias/taken")
    wanted = [("us-west-2", "alias/taken"), ("us-west-2", ALIAS), ("eu-west-1", "alias/none")]

    found = read_set(key_set.arn, aliases=wanted, kms_for=key_set.kms_for).found

    assert found.observed["keys"]["us-west-2"]["aliases"]["alias/taken"] == other.arn
    assert found.observed["keys"]["eu-west-1"]["aliases"]["alias/none"] is None


def test_a_key_that_is_not_there_or_stays_in_one_region_is_not_adopted(key_set: KeySet) -> None:
    gone = key_set.arn.replace("mrk-", "mrk-f")
    with pytest.raises(KeyNotAdoptable, match=f"KMS does not know {gone}"):
        read_set(gone, kms_for=key_set.kms_for)

    class OneRegion:
        class meta:  # noqa: N801 - botocore's name
            region_name = "us-east-1"

        def describe_key(self, **_: Any) -> Any:
            return {"KeyMetadata": {"Arn": key_set.arn}}

    with pytest.raises(KeyNotAdoptable, match="single-Region key"):
        read_set(key_set.arn, kms_for=lambda _: OneRegion())  # type: ignore[arg-type,return-value]


def test_a_replica_that_kms_lists_and_has_deleted_is_no_key_of_the_set(key_set: KeySet) -> None:
    key_set.refused["us-west-2", "DescribeKey"] = refusal("NotFoundException", "DescribeKey")

    assert read(key_set).found.observed["keys"].keys() == {"us-east-1", "eu-west-1"}


def test_a_primary_key_that_is_not_shown_is_not_passed_over(key_set: KeySet) -> None:
    key_set.refused["us-east-1", "DescribeKey"] = refusal("NotFoundException", "DescribeKey")

    with pytest.raises(KmsKeyNotFound, match="does not show the primary key"):
        read(key_set, "eu-west-1")


def test_keys_that_name_different_primary_keys_are_read_later(key_set: KeySet) -> None:
    original = key_set.kms_for

    def kms_for(region: str) -> Any:
        client = original(region)
        if region != "us-west-2":
            return client

        class Old:
            meta = client.meta

            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def describe_key(self, **arguments: Any) -> Any:
                answer = client.describe_key(**arguments)
                roles = answer["KeyMetadata"]["MultiRegionConfiguration"]
                roles["PrimaryKey"] = {"Region": "eu-west-1", "Arn": "x"}
                return answer

        return Old()

    with pytest.raises(PromotionUnderWay):
        read_set(key_set.arn, kms_for=kms_for)


def test_a_set_that_is_as_declared_is_adopted_key_by_key(key_set: KeySet) -> None:
    found = read(key_set)

    assert adoption_problems(found, DECLARED, ADOPTION, STACK) == []
    work = adoption_work(found, DECLARED, STACK)
    assert [one["region"] for one in work] == [*REGIONS]
    assert work[0]["calls"] == {"TagResource": ["mrk:request-id", "mrk:stack"]}
    for one in work:
        adopt(key_set, one["region"])
    assert key_set.writes() == [f"TagResource {region}" for region in REGIONS]
    for region in REGIONS:
        assert key_set.key(region).tags == {"team": "payments", **OURS}


def test_another_manager_and_each_difference_are_named_together(key_set: KeySet) -> None:
    key_set.key("eu-west-1").tags["ManagedBy"] = "terraform"
    key_set.key("us-west-2").description = "By hand"
    found = read(key_set)

    problems = adoption_problems(found, DECLARED, ADOPTION, STACK)
    assert [(p["path"], p["code"]) for p in problems] == [
        ("takeOver", "OTHER_MANAGER"),
        ("replicas[1].description", "ADOPTION_DIFFERS"),
    ]

    (left,) = adoption_problems(found, DECLARED, {**ADOPTION, "takeOver": True}, STACK)
    assert left["code"] == "ADOPTION_DIFFERS"


def test_tags_are_written_once_however_often_the_step_runs(key_set: KeySet) -> None:
    adopt(key_set)
    adopt(key_set)

    assert key_set.writes() == ["TagResource eu-west-1"]


def test_a_manager_that_came_meanwhile_is_respected_unless_it_is_to_be_taken_over(
    key_set: KeySet,
) -> None:
    key_set.key("eu-west-1").tags["mrk:stack"] = "another"

    with pytest.raises(OtherManager, match="The provisioner's stack another manages arn:"):
        adopt(key_set)
    assert key_set.writes() == []

    adopt(key_set, take_over=True)
    assert key_set.key("eu-west-1").tags["mrk:stack"] == "mrk"


def test_nothing_is_tagged_for_an_execution_that_does_not_hold_the_set(key_set: KeySet) -> None:
    def wanted() -> Adoption:
        raise RequestTakenOver("It does not hold it.")

    with pytest.raises(RequestTakenOver):
        adopt_key(
            key_set.kms_for("eu-west-1"),
            work_in(key_set, "eu-west-1"),
            "CHG0031337",
            wanted=wanted,
            settings=STACK,
        )
    assert key_set.writes() == []


def test_a_denial_is_passed_on(key_set: KeySet) -> None:
    key_set.refused["eu-west-1", "TagResource"] = refusal("AccessDeniedException", "TagResource")

    with pytest.raises(KmsAccessDenied):
        adopt(key_set)


def test_a_record_without_an_adoption_is_a_fault() -> None:
    record: Any = type("Some", (), {"adoption": None, "request_id": "CHG1"})
    known: Record = record

    with pytest.raises(RuntimeError, match="CHG1 says nothing of an adoption"):
        adoption_of(known)
