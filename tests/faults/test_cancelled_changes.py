"""A change is cancelled before each call of its run, and then finished."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults.aws import Aws, Call
from tests.support.faults.change_kinds import KINDS, TAG
from tests.support.faults.changes import ROTATING, ChangeScenario, is_changed
from tests.support.faults.interrupted import Interrupted, cancel, played_cancelled
from tests.support.faults.next_steps import Refusing, last
from tests.support.faults.workflow import INVOCATION

HURTS = ("DisableKey", "ScheduleKeyDeletion", "UpdatePrimaryRegion")
CANCELLED = {
    "path": "requestId",
    "code": "CANCELLED",
    "message": "Request CHG0031337 was cancelled. Send the request again to take it up where it "
    "stopped.",
}


def is_write(call: Call) -> bool:
    return call.service == "kms" and not call.is_read


@pytest.mark.parametrize(
    "kind",
    [
        "every setting",
        "a Region more",
        "a Region more, with imported material",
        "a promotion, and the earlier primary's Region removed",
        "a key disabled",
        "all decommissioned",
        "all restored",
    ],
)
def test_a_change_that_is_cancelled_does_nothing_more_and_is_finished_when_sent_again(
    kind: str,
) -> None:
    before, document = KINDS[kind]
    calls = played_cancelled(ChangeScenario(before=before, document=document), None).calls
    answers = set()
    for place, call in enumerate(calls):
        scenario = ChangeScenario(before=before, document=document)
        network = played_cancelled(scenario, place)
        answers.add(network.answer)
        where = f"{place} {call}"

        if network.answer == 202:
            ended = scenario.aws.events[-1]
            assert ended.detail_type == "Multi-Region Key Update Failed", where
            assert ended.detail["errors"] == [CANCELLED], where
            assert sent_after(network, place) == [], where
            scenario.aws.network = scenario.network
            scenario.deliver()
        assert is_changed(scenario.aws, document), where
        assert scenario.problems() == [], where
    assert answers == {202, 409}
    print(f"{kind}: {len(calls)} places")


def sent_after(network: Interrupted, place: int) -> list[str]:
    """List the writes that were not under way when the change was cancelled.

    A step that has checked already makes the calls of one Region's settings; what cannot be undone
    is one call.
    """
    running = network.invocations[place]
    later = list(zip(network.calls, network.invocations, strict=True))[place + 1 :]
    return [
        str(call)
        for call, invocation in later
        if is_write(call) and (invocation is not running or call.operation in HURTS)
    ]


class RefusedThenCancelled(Refusing):
    """Refuses to tag a key, and cancels the change when its failure is about to be recorded."""

    def __init__(self, aws: Aws) -> None:
        super().__init__("TagResource", "AccessDeniedException")
        self._aws = aws
        self.answer: int | None = None

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        publishes = INVOCATION.get().function_name == "PublishOutcomeFunction"
        if publishes and self.answer is None:
            self._aws.network = self._aws
            self.answer = cancel(self._aws)
            self._aws.network = self
        return super().carry(call, effect)


def test_a_change_that_fails_for_another_reason_as_well_says_both() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=TAG)
    scenario.aws.network = network = RefusedThenCancelled(scenario.aws)

    scenario.deliver()

    assert network.answer == 202
    codes = [error["code"] for error in last(scenario.aws)["errors"]]
    assert codes == ["KMS_ACCESS_DENIED", "CANCELLED"]
