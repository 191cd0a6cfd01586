"""Errors that end a change: each is provoked, and what its message says to do ends well."""

from collections.abc import Callable
from typing import Any

from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.changes import ROTATING, ChangeScenario, Document, revised
from tests.support.faults.next_steps import Refusing, ended_with
from tests.support.walks import walks

EUROPE, WEST = ROTATING["replicas"]
TAG = revised(ROTATING, replicas=[EUROPE, {**WEST, "tags": {"team": "cards"}}])
PROMOTE = revised(
    ROTATING,
    "PROMOTE:eu-west-1",
    primaryRegion="eu-west-1",
    replicas=[{"region": "us-east-1"}, WEST],
)


class SlowPromotion(Network):
    """A KMS that changes the roles of keys for hours."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        answer = effect()
        if call.operation == "UpdatePrimaryRegion":
            for key in self._aws.kms.keys.values():
                if key.updating_until:
                    key.updating_until = self._aws.time + 2 * 3_600
        return answer


class Meanwhile(Network):
    """Lets somebody do something by hand right before a call of KMS's, counted from zero."""

    def __init__(self, aws: Aws, number: int, act: Callable[[], object]) -> None:
        self._aws, self._left, self._act = aws, number, act
        self.has_acted = False

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.service == "kms" and not self.has_acted:
            if self._left == 0:
                self.has_acted = True
                self._act()
            self._left -= 1
        return effect()


def ends_well(scenario: ChangeScenario, document: Document) -> None:
    """Send a document, as a message says, and see the set as that declares it."""
    scenario.document, scenario.words = document, document["confirm"]
    scenario.aws.network = scenario.network
    scenario.deliver()
    assert scenario.problems() == []


def test_a_failed_outcome_shows_no_state_that_a_key_may_have_lost_meanwhile() -> None:
    document = revised(
        ROTATING,
        *("DISABLE:us-west-2", "REMOVE:eu-west-1"),
        replicas=[{**WEST, "enabled": False}],
    )
    scenario = ChangeScenario(before=(ROTATING,), document=document)
    scenario.aws.network = Refusing("ScheduleKeyDeletion", "AccessDeniedException")
    scenario.deliver()

    key = ended_with(scenario, "KmsAccessDenied", "UPDATE_FAILED")["key"]

    assert [(one["region"], one["keyState"]) for one in key["replicas"]] == [("us-west-2", None)]
    ends_well(scenario, document)


def test_a_failed_outcome_shows_the_states_that_it_was_not_to_change() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=TAG)
    scenario.aws.network = Refusing("TagResource", "AccessDeniedException")
    scenario.deliver()

    key = ended_with(scenario, "KmsAccessDenied", "UPDATE_FAILED")["key"]

    assert {one["keyState"] for one in (key["primary"], *key["replicas"])} == {"Enabled"}


@walks("ChangeRefused")
def test_a_revision_that_kms_does_not_allow_any_more_is_followed_by_one_with_the_word() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=TAG)
    scenario.aws.network = Refusing("TagResource", "AccessDeniedException")
    scenario.deliver()
    ended_with(scenario, "KmsAccessDenied", "UPDATE_FAILED")
    scenario.aws.network = scenario.network
    (europe,) = (key for key in scenario.aws.kms.keys.values() if key.region == "eu-west-1")
    europe.leaving, europe.leaving_since, europe.window_days = True, scenario.aws.time, 7

    scenario.deliver()

    outcome = ended_with(scenario, "ChangeRefused", "UPDATE_FAILED")
    assert "RESTORE:eu-west-1" in outcome["errors"][0]["message"]
    ends_well(scenario, revised(TAG, "RESTORE:eu-west-1"))


@walks("PromotionUnderWay")
def test_a_promotion_that_takes_long_is_looked_for_when_the_revision_is_sent_again() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=PROMOTE)
    scenario.aws.network = SlowPromotion(scenario.aws)
    scenario.deliver()
    ended_with(scenario, "PromotionUnderWay", "UPDATE_FAILED")

    scenario.aws.time += 2 * 3_600

    ends_well(scenario, PROMOTE)


@walks("PromotionNotDone")
def test_a_promotion_that_kms_never_did_is_sent_again_by_the_next_revision() -> None:
    scenario = ChangeScenario(before=(ROTATING,), document=PROMOTE)
    scenario.aws.network = Refusing("UpdatePrimaryRegion", "KMSInternalException", 500)
    for _ in range(2):
        scenario.deliver()
        ended_with(scenario, "PromotionNotDone", "UPDATE_FAILED")
    assert scenario.aws.done == []

    ends_well(scenario, revised(PROMOTE, *PROMOTE["confirm"]))
