from dataclasses import replace

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws.clients import client
from provisioner.aws.regions import enabled_regions
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, calls_of, lose_on_the_wire, refusal
from tests.support.samples import SETTINGS


def test_the_stacks_own_list_of_regions_is_taken_and_nobody_asked() -> None:
    ec2 = client("ec2")
    calls = calls_of(ec2)

    regions = enabled_regions(ec2, replace(SETTINGS, allowed_regions=("us-west-2", "eu-west-1")))

    assert regions == ["us-west-2", "eu-west-1"]
    assert calls == []


@pytest.mark.parametrize("allowed", [("*",), ("eu-west-1", "*")])
def test_where_every_region_is_allowed_those_count_that_the_account_has_enabled(
    allowed: tuple[str, ...],
) -> None:
    ec2 = client("ec2")
    answer(ec2, "DescribeRegions", {"Regions": [{"RegionName": r} for r in ("us-east-1", "a-1")]})
    calls = calls_of(ec2)

    regions = enabled_regions(ec2, replace(SETTINGS, allowed_regions=allowed))

    assert regions == ["a-1", "us-east-1"]
    assert calls == [("DescribeRegions", {})]


def test_a_refusal_makes_ec2_unavailable() -> None:
    ec2 = client("ec2")
    answer(ec2, "DescribeRegions", refusal("UnauthorizedOperation", "You may not."))

    with pytest.raises(DependencyUnavailable, match=r"did not list the Regions.*You may not"):
        enabled_regions(ec2, SETTINGS)


def test_no_answer_makes_ec2_unavailable() -> None:
    ec2 = client("ec2")
    lose_on_the_wire(ec2, ReadTimeoutError(endpoint_url="https://ec2.invalid"))

    with pytest.raises(DependencyUnavailable, match="did not list the Regions"):
        enabled_regions(ec2, SETTINGS)
