"""What is left where an assumption breaks, and where a failed request takes its keys back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults import wiring
from tests.support.faults.aws import Aws
from tests.support.faults.enumeration import singles
from tests.support.faults.faults import Fault
from tests.support.faults.kms import KmsInRegion
from tests.support.faults.scenario import (
    IMPORTED,
    REQUEST,
    REQUEST_ID,
    Report,
    Scenario,
    imported,
    is_created,
    problems_of_the_rest,
    recorded_key,
    surplus_problems,
)

_LATE = wiring.QUIET_SECONDS + 600


def test_a_key_that_shows_itself_after_the_quiet_period_is_found_and_never_had_an_alias() -> None:
    with_two_keys = []
    for single in singles():
        scenario = Scenario((single,), aws=Aws(visible_after=_LATE))
        report = scenario.play()
        scenario.aws.time += _LATE
        scenario.sweep()

        assert scenario.aws.violations == [], str(report)
        assert problems_of_the_rest(scenario.aws) == [], str(report)
        assert surplus_problems(scenario.aws) == [], str(report)
        if len(scenario.aws.kms.primaries()) > 1:
            with_two_keys.append(report.calls[single[0]].operation)

    # The assumption matters: without it, attempts whose answer got lost leave a key behind.
    assert "CreateKey" in with_two_keys


@pytest.mark.parametrize("effect", [Fault.BROKEN, Fault.BROKEN_AFTER])
@pytest.mark.parametrize(("attempt", "seconds_before"), [("1", 60), ("2", 0), (None, 0)])
def test_a_foreign_key_with_forged_tags_is_neither_adopted_nor_deleted(
    effect: Fault, attempt: str | None, seconds_before: float
) -> None:
    # The tagging API shows them when the request has looked for keys of an earlier deployment.
    aws = Aws(visible_after=90)
    foreign = create_foreign_key(aws, attempt)
    aws.time += seconds_before
    calls = Scenario().play().calls
    lost = next(place for place, call in enumerate(calls) if call.operation == "CreateKey")

    scenario = Scenario(((lost, effect),), aws=aws)
    report = scenario.play()

    assert len(aws.kms.primaries()) == 2, str(report)
    assert recorded_key(aws) != foreign
    assert not aws.kms.keys[foreign].leaving
    assert problems_of_the_rest(aws) == [], str(report)
    assert surplus_problems(aws) == [], str(report)


def test_a_request_whose_tags_a_key_has_already_makes_no_key_and_leaves_that_one_alone() -> None:
    aws = Aws(visible_after=0)
    foreign = create_foreign_key(aws, "1")

    Scenario(aws=aws).play()

    assert [key.arn for key in aws.kms.primaries()] == [foreign]
    assert recorded_key(aws) is None
    assert not aws.kms.keys[foreign].leaving


def create_foreign_key(aws: Aws, attempt: str | None) -> str:
    """Create a key as somebody else, with the tags of the request; give its ARN."""
    tags = {"mrk:request-id": REQUEST_ID, "mrk:stack": "mrk", "mrk:attempt": attempt}
    foreign: str = KmsInRegion(aws.kms, "us-east-1").create_key(
        MultiRegion=True,
        KeySpec="SYMMETRIC_DEFAULT",
        KeyUsage="ENCRYPT_DECRYPT",
        Origin="AWS_KMS",
        Description="Somebody else's",
        Policy=json.dumps(REQUEST["policy"]["document"]),
        Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items() if value],
    )["KeyMetadata"]["Arn"]
    return foreign


def test_a_key_set_that_was_rolled_back_is_never_told_to_be_created() -> None:
    document: dict[str, Any] = {**REQUEST, "onFailure": "ROLL_BACK"}
    calls = Scenario(document=document).play().calls
    publishing = next(place for place, call in enumerate(calls) if call.operation == "PutItem")
    # The execution that takes over fails; then the function that still runs tells its outcome.
    first = (publishing, Fault.STOPPED)
    for place in range(publishing + 1, len(Scenario((first,), document=document).play().calls)):
        report = Scenario((first, (place, Fault.REFUSED)), document=document).play()

        assert report.problems == [], str(report)


@pytest.mark.parametrize(("make", "asked"), [(Scenario, REQUEST), (imported, IMPORTED)])
def test_a_request_that_wants_roll_back_comes_back_whole_after_every_fault(
    make: Callable[..., Scenario], asked: dict[str, Any]
) -> None:
    document: dict[str, Any] = {**asked, "onFailure": "ROLL_BACK"}
    rolled_back = 0
    for single in singles(make):
        report: Report = make((single,), document=document).play()

        assert report.problems == [], str(report)
        assert is_created(report.aws)
        rolled_back += any(c.operation == "ScheduleKeyDeletion" for c in report.calls)

    assert rolled_back > 0
