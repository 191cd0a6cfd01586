"""Errors that end an operation: each is provoked, and what its message says to do ends well."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.faults.adopting import AdoptionScenario, ReleaseScenario
from tests.support.faults.api import ask
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.change_kinds import DISABLE
from tests.support.faults.changes import ROTATING
from tests.support.faults.errors import refusal
from tests.support.faults.holder import answer_new
from tests.support.faults.kms import Key
from tests.support.faults.next_steps import LateAlias, Refusing, ended_with, run_what_is_named
from tests.support.faults.operations import OperationScenario, drifted, remaking
from tests.support.faults.rotations import RotationScenario
from tests.support.faults.scenario import IMPORTED, REQUEST_ID
from tests.support.walks import walks


def repair(act: Callable[[Aws, str], None] | None = drifted, **more: Any) -> OperationScenario:
    given = {"before": (ROTATING,), **more}
    return OperationScenario(operation="REPAIR", act=act, **given)


def enabled_by_hand(aws: Aws, _key_id: str) -> None:
    key_in(aws, "us-west-2").disabled = False


def key_in(aws: Aws, region: str) -> Key:
    key_id = aws.kms.primaries()[0].key_id
    return next(k for k in aws.kms.keys.values() if (k.key_id, k.region) == (key_id, region))


def ends_well_anew(scenario: OperationScenario, *words: str) -> None:
    """Ask for the operation again, as every message says, and see the set as it is declared."""
    scenario.aws.network = scenario.network
    scenario.words = [*words]
    scenario.operation = {**scenario.operation, "operationId": "op-2", "confirm": [*words]}
    scenario.deliver()
    assert scenario.outcome() == "FINISHED"
    assert scenario.problems() == []


class Meanwhile(Network):
    """Lets something happen right before the first call of an operation in a Region."""

    def __init__(self, operation: str, region: str, happen: Callable[[], object]) -> None:
        self._place, self._happen, self._is_over = (operation, region), happen, False

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if (call.operation, call.region) == self._place and not self._is_over:
            self._is_over = True
            self._happen()
        return effect()


@pytest.mark.parametrize(
    ("error", "operation", "code", "status"),
    [
        ("KmsThrottled", "PutKeyPolicy", "ThrottlingException", 400),
        ("KmsUnavailable", "PutKeyPolicy", "KMSInternalException", 500),
        ("KmsAccessDenied", "UpdateKeyDescription", "AccessDeniedException", 400),
        ("RegionNotEnabled", "UpdateKeyDescription", "UnrecognizedClientException", 400),
        ("KmsKeyNotFound", "UpdateKeyDescription", "NotFoundException", 400),
        ("KmsLimitExceeded", "CreateAlias", "LimitExceededException", 400),
        ("KmsRequestRefused", "TagResource", "TagException", 400),
        ("KeyPolicyRefused", "PutKeyPolicy", "MalformedPolicyDocumentException", 400),
        ("DependencyUnavailable", "GetResources", "InternalServiceException", 500),
    ],
)
@walks(
    "KmsThrottled",
    "KmsUnavailable",
    "KmsAccessDenied",
    "RegionNotEnabled",
    "KmsKeyNotFound",
    "KmsLimitExceeded",
    "KmsRequestRefused",
    "KeyPolicyRefused",
    "DependencyUnavailable",
)
def test_a_set_is_repaired_once_the_cause_of_the_failure_is_gone(
    error: str, operation: str, code: str, status: int
) -> None:
    scenario = repair()
    scenario.aws.network = Refusing(operation, code, status)
    scenario.deliver()
    ended_with(scenario, error)

    ends_well_anew(scenario)


@pytest.mark.parametrize("way", ["delete it", "move it"])
@walks("AliasInUse")
def test_an_alias_that_was_taken_meanwhile_is_deleted_or_moved_by_word(way: str) -> None:
    scenario = repair()
    place, word = ("us-east-1", ROTATING["alias"]), "MOVE_ALIAS:us-east-1"
    take = Meanwhile("CreateAlias", place[0], lambda: scenario.aws.kms.take_alias(*place))
    scenario.aws.network = take
    scenario.deliver()
    ended_with(scenario, "AliasInUse")

    if way == "delete it":
        del scenario.aws.kms.aliases[place]
    ends_well_anew(scenario, *([word] if way == "move it" else []))


@walks("KeyTagMissing")
def test_a_key_that_lost_its_tag_meanwhile_gets_it_back_as_named() -> None:
    scenario = repair()
    key = key_in(scenario.aws, "eu-west-1")

    class LosesItsTag(Network):
        def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
            if (call.operation, call.region) == ("PutKeyPolicy", key.region):
                key.tags.pop("mrk:stack", None)
                raise refusal("AccessDeniedException", call.operation)
            return effect()

    scenario.aws.network = LosesItsTag()
    scenario.deliver()
    ended_with(scenario, "KeyTagMissing")

    assert run_what_is_named(scenario) == ["tag-resource"]
    scenario.aws.time += 300
    ends_well_anew(scenario)


@walks("KeyStateConflict")
def test_a_key_that_was_disabled_meanwhile_is_rotated_once_it_is_enabled() -> None:
    scenario = RotationScenario(before=(ROTATING,), kind="ROTATE")
    key = scenario.aws.kms.primaries()[0]
    disable = Meanwhile("GetKeyRotationStatus", key.region, lambda: setattr(key, "disabled", True))
    scenario.aws.network = disable
    scenario.deliver()
    ended_with(scenario, "KeyStateConflict")

    key.disabled = False
    scenario.count += 1
    scenario.deliver()
    assert scenario.is_ended("FINISHED")


@walks("KeySetIncomplete")
def test_a_key_that_was_disabled_meanwhile_is_enabled_by_the_next_repair() -> None:
    scenario = repair()

    def disable() -> None:
        key_in(scenario.aws, "us-west-2").disabled = True

    class DisablesAgain(Network):
        def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
            answer = effect()
            if (call.operation, call.region) == ("EnableKey", "us-west-2"):
                disable()
            return answer

    scenario.aws.network = DisablesAgain()
    scenario.deliver()
    ended_with(scenario, "KeySetIncomplete")

    ends_well_anew(scenario)


@walks("ChangeRefused")
def test_a_key_that_was_removed_meanwhile_comes_back_by_its_word() -> None:
    scenario = repair()
    key = key_in(scenario.aws, "us-west-2")

    def remove() -> None:
        key.leaving, key.leaving_since = True, scenario.aws.time

    scenario.aws.network = Meanwhile("PutKeyPolicy", "eu-west-1", remove)
    scenario.deliver()
    outcome = ended_with(scenario, "ChangeRefused")
    assert "RESTORE:us-west-2" in outcome["errors"][0]["message"]

    ends_well_anew(scenario, "RESTORE:us-west-2")


@walks("ReplicaKeyNotEnabled")
def test_a_key_that_changes_its_role_meanwhile_is_disabled_once_it_has() -> None:
    word = "DISABLE:us-west-2"
    scenario = repair(enabled_by_hand, before=(ROTATING, DISABLE), words=(word,))
    key = key_in(scenario.aws, "us-west-2")
    update = Meanwhile("GetKeyPolicy", key.region, lambda: setattr(key, "updating_until", 10**10))
    scenario.aws.network = update
    scenario.deliver()
    ended_with(scenario, "ReplicaKeyNotEnabled")

    key.updating_until = 0
    ends_well_anew(scenario, word)


@walks("KeySetIncomplete")
def test_a_replica_key_that_is_made_again_may_take_its_time() -> None:
    scenario = remaking()
    scenario.aws.kms.creating_seconds = 10**6
    scenario.deliver()
    ended_with(scenario, "KeySetIncomplete")

    scenario.aws.time += 10**6
    ends_well_anew(scenario)


@walks("PrimaryKeyMoved")
def test_a_primary_key_that_was_moved_meanwhile_is_moved_back_as_named() -> None:
    scenario = remaking()
    kms, key_id = scenario.aws.kms, scenario.key_id
    move = Meanwhile("ReplicateKey", "us-east-1", lambda: kms.promote(key_id, "eu-west-1"))
    scenario.aws.network = move
    scenario.deliver()
    ended_with(scenario, "PrimaryKeyMoved")

    assert run_what_is_named(scenario) == ["update-primary-region"]
    ends_well_anew(scenario)


@walks("PromotionUnderWay")
def test_a_set_whose_keys_disagree_on_their_primary_is_repaired_once_they_agree() -> None:
    class Disagreeing(Network):
        def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
            answer = effect()
            if (call.operation, call.region) == ("DescribeKey", "eu-west-1"):
                roles = answer["KeyMetadata"]["MultiRegionConfiguration"]
                roles["PrimaryKey"] = {**roles["PrimaryKey"], "Region": "eu-west-1"}
            return answer

    scenario = repair()
    key_in(scenario.aws, "eu-west-1").disabled = True
    disagree = Meanwhile(
        "EnableKey", "us-west-2", lambda: setattr(scenario.aws, "network", Disagreeing())
    )
    scenario.aws.network = disagree
    scenario.deliver()
    ended_with(scenario, "PromotionUnderWay")

    ends_well_anew(scenario)


@walks("AliasNotVisible")
def test_an_alias_that_kms_shows_late_is_found_by_the_next_repair() -> None:
    scenario = repair()
    scenario.aws.network = LateAlias(scenario.aws)
    scenario.deliver()
    ended_with(scenario, "AliasNotVisible")

    ends_well_anew(scenario)


@walks("Cancelled")
def test_an_operation_that_was_cancelled_is_asked_for_again() -> None:
    scenario = repair()
    cancel = Meanwhile("PutKeyPolicy", "us-east-1", lambda: ask(scenario.aws, "DELETE", REQUEST_ID))
    scenario.aws.network = cancel
    scenario.deliver()
    ended_with(scenario, "Cancelled")

    ends_well_anew(scenario)


@walks("KeyMaterialNotProvided")
def test_a_rotation_whose_key_material_came_too_late_asks_for_it_again() -> None:
    scenario = RotationScenario(before=(IMPORTED,), kind="ROTATE_MATERIAL", is_used=False)
    scenario.deliver()
    ended_with(scenario, "KeyMaterialNotProvided")

    scenario.aws.holder = answer_new()
    scenario.count += 1
    scenario.deliver()
    assert scenario.is_ended("FINISHED")


@walks("KmsThrottled")
def test_a_release_that_failed_is_asked_for_again() -> None:
    scenario = ReleaseScenario()
    scenario.aws.network = Refusing("UntagResource", "ThrottlingException")
    scenario.deliver()
    ended_with(scenario, "KmsThrottled")

    scenario.aws.network = scenario.network
    scenario.deliver()
    assert scenario.problems() == []


@walks("KmsAccessDenied")
def test_an_adoption_that_failed_is_sent_again() -> None:
    scenario = AdoptionScenario()
    scenario.aws.network = Refusing("TagResource", "AccessDeniedException")
    scenario.deliver()
    outcome = ended_with(scenario, "KmsAccessDenied")
    assert "new operationId" not in outcome["errors"][0]["message"]

    scenario.aws.network = scenario.network
    scenario.deliver()
    assert scenario.problems() == []
