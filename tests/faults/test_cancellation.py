"""A request is cancelled before each call of its run, whoever is working on it then."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.faults.aws import Aws, Call, WaitingTask, nobody
from tests.support.faults.holder import answer_promptly
from tests.support.faults.interrupted import Interrupted, cancel, played_cancelled
from tests.support.faults.scenario import (
    IMPORTED,
    REQUEST,
    Scenario,
    imported,
    is_created,
    recorded_key,
    renewed,
)
from tests.support.faults.wiring import QUIET_SECONDS
from tests.support.faults.workflow import sweep

MAKERS: dict[str, tuple[Callable[[str], Scenario], bool]] = {
    "created": (lambda f: Scenario(document={**REQUEST, "onFailure": f}), False),
    "imported": (lambda f: imported(document={**IMPORTED, "onFailure": f}), False),
    "renewed": (lambda f: renewed(on_failure=f), True),
}


@pytest.mark.parametrize("on_failure", ["RETAIN", "ROLL_BACK"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_request_ends_cancelled_exactly_where_that_was_accepted(
    kind: str, on_failure: str
) -> None:
    make, is_renewal = MAKERS[kind]
    calls = played_cancelled(make(on_failure), None).calls
    answers = set()
    for place, call in enumerate(calls):
        scenario = make(on_failure)
        aws = scenario.aws
        network = played_cancelled(scenario, place)
        answers.add(network.answer)
        where = f"{place} {call}"

        assert aws.violations == [], where
        assert is_created(aws) == (network.answer != 202), where
        if network.answer == 202:
            _check_cancelled(aws, where)
            is_gone = on_failure == "ROLL_BACK" and not is_renewal
            assert all(key.leaving == is_gone for key in aws.kms.keys.values()), where
            assert is_gone <= (not aws.kms.aliases), where
    print(f"{len(calls)} schedules")
    assert 202 in answers


def _check_cancelled(aws: Aws, where: str) -> None:
    ends = [event.detail for event in aws.events if event.detail_type.endswith("Creation Failed")]
    [outcome] = ends
    assert "CANCELLED" in [error["code"] for error in outcome["errors"]], where
    recorded = recorded_key(aws)
    assert (outcome["key"]["primary"]["arn"] if outcome["key"] else None) == recorded, where
    assert {key.arn for key in aws.kms.primaries()} == ({recorded} - {None}), where
    assert cancel(aws) == 202, where


def test_a_request_whose_execution_was_stopped_is_ended_by_the_cancellation() -> None:
    def stop(_aws: Aws, task: WaitingTask) -> None:
        task.execution.status = "ABORTED"

    scenario = imported(holder=stop)
    aws = scenario.aws
    scenario.deliver()

    assert (cancel(aws), cancel(aws)) == (202, 202)
    [ending] = aws.to_run
    scenario.run(aws.to_run.pop())

    _check_cancelled(aws, ending.arn)


def test_an_execution_that_waits_for_key_material_is_woken_by_the_cancellation() -> None:
    def cancel_it(aws: Aws, _task: WaitingTask) -> None:
        assert cancel(aws) == 202

    scenario = imported(holder=cancel_it)
    began = scenario.aws.time
    scenario.deliver()

    _check_cancelled(scenario.aws, "waiting")
    assert scenario.aws.time - began < 60


def test_a_request_that_was_cancelled_can_be_sent_again() -> None:
    scenario = imported(holder=lambda aws, _task: [cancel(aws)][1:] and None)
    scenario.deliver()
    scenario.aws.events.clear()
    scenario.aws.holder = answer_promptly

    assert scenario.play().problems == []


VALID_FOR = 30 * 86_400


def stopped(*, is_valid: bool) -> Scenario:
    """Let a request's execution die while it waits for key material, a while ago."""

    def stop(_aws: Aws, task: WaitingTask) -> None:
        task.execution.status = "ABORTED"

    until = datetime.fromtimestamp(Aws().time + VALID_FOR, UTC).isoformat()
    material = {**IMPORTED["keyMaterial"], "validTo": until}
    scenario = imported(document={**IMPORTED, "keyMaterial": material}, holder=stop)
    scenario.deliver()
    scenario.aws.time += QUIET_SECONDS + 1 if is_valid else VALID_FOR
    scenario.aws.holder = nobody
    return scenario


def meet(
    first: Callable[[Aws], Any], second: Callable[[Aws], Any], place: int | None, *, is_valid: bool
) -> tuple[Scenario, list[Call], set[int | None]]:
    """Do the first, and the second before its call of that number; return the answers of both."""
    scenario = stopped(is_valid=is_valid)
    network = Interrupted(scenario.aws, place, second)
    scenario.aws.network = network
    answer = first(scenario.aws)
    scenario.aws.network = scenario.aws
    return scenario, network.calls, {answer, network.answer}


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("is_valid", [True, False])
@pytest.mark.parametrize(("first", "second"), [(sweep, cancel), (cancel, sweep)])
def test_a_cancellation_and_a_sweep_that_meet_end_the_request_as_it_was_answered(
    first: Callable[[Aws], Any],
    second: Callable[[Aws], Any],
    is_valid: bool,
    newest_first: bool,
) -> None:
    """Both start an execution for the one that died; either may be the first to claim."""
    calls = meet(first, second, None, is_valid=is_valid)[1]
    for place, call in enumerate(calls):
        scenario, _, answers = meet(first, second, place, is_valid=is_valid)
        while scenario.aws.to_run:
            scenario.run(scenario.aws.to_run.pop(-1 if newest_first else 0))
        scenario.sweep()
        where = f"{place} {call}"

        if 202 in answers:
            _check_cancelled(scenario.aws, where)
        else:
            # The sweep has ended it before, as what is not valid any more.
            assert not is_valid, where
            assert 409 in answers, where
