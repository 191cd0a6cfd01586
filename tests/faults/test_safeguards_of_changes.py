"""Each safeguard of a change is turned off in turn, and the harm that it prevents is seen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.aws import clients, kms
from provisioner.aws.records import Record, Records, Status
from provisioner.change import key_states, planning, promotion
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.change_kinds import ADD, DISABLE, EUROPE, KINDS, PROMOTE, REMOVE, WEST
from tests.support.faults.changes import (
    ROTATING,
    ChangeScenario,
    Document,
    ended_without_promotion,
    revised,
)
from tests.support.faults.faults import Fault, go_wrong
from tests.support.faults.interrupted import played_cancelled
from tests.support.faults.workflow import INVOCATION

RESTORE = revised(REMOVE, "RESTORE:us-west-2", replicas=[EUROPE, WEST])
_SENT_FOR = 300
"""Seconds for which AWS takes a call after it was signed."""


@dataclass
class Between(Network):
    """Does something before the first call that a function makes, once."""

    function: str
    act: Callable[[], None]
    operation: str | None = None

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        is_it = INVOCATION.get().function_name == self.function
        if is_it and self.operation in (None, call.operation):
            self.function = "none any more"
            self.act()
        return effect()


@dataclass
class Failing(Network):
    """Lets every call of one operation meet a fault."""

    operation: str
    fault: Fault
    sent: int = 0

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation != self.operation:
            return effect()
        self.sent += 1
        return go_wrong(call, effect, self.fault)


@dataclass
class Late(Network):
    """Lets the first promotion take effect minutes after its answer was given up."""

    aws: Aws
    sent: int = 0
    _waiting: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if self._waiting and self.aws.time >= self._waiting[0][0]:
            self._waiting.pop()[1]()
        if call.operation != "UpdatePrimaryRegion":
            return effect()
        self.sent += 1
        if self.sent > 1:
            return effect()
        self._waiting.append((self.aws.time + _SENT_FOR, effect))
        return go_wrong(call, effect, Fault.SILENT)


def changing(document: Document) -> ChangeScenario:
    return ChangeScenario(before=(ROTATING,), document=document)


def calls_that_may_be_sent_again() -> set[str]:
    """List what each kind of change makes of calls that the SDK may send again."""
    found = set()
    for before, document in KINDS.values():
        scenario = ChangeScenario(before=before, document=document)
        scenario.deliver()
        found |= {call.operation for call in scenario.aws.done if not call.is_sent_once}
    return found


def test_retries_of_the_sdk_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    destructive = {"DisableKey", "ScheduleKeyDeletion", "UpdatePrimaryRegion"}
    with_the_safeguard = calls_that_may_be_sent_again()
    monkeypatch.setattr(clients, "_SEND_ONCE", clients._PATIENT)
    clients.send_once_kms.cache_clear()

    without = calls_that_may_be_sent_again()

    clients.send_once_kms.cache_clear()
    assert destructive.isdisjoint(with_the_safeguard)
    assert destructive <= without


def state_after_a_removal_that_comes_late() -> str:
    """Stop a removal in its last step, finish and revoke it, and let the step go on."""
    scenario = changing(REMOVE)

    def overtake() -> None:
        [execution] = [e for e in scenario.aws.executions.values() if e.status == "RUNNING"]
        execution.status = "ABORTED"
        scenario.deliver()
        scenario.document = RESTORE
        scenario.deliver()

    scenario.aws.network = Between("RetireKeyFunction", overtake)
    scenario.deliver()
    [key] = [k for k in scenario.aws.kms.keys.values() if k.region == "us-west-2"]
    return scenario.aws.kms.state_of(key)


def test_a_removal_that_does_not_check_its_claim_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_the_safeguard = state_after_a_removal_that_comes_late()
    monkeypatch.setattr("retire_key.app.check_wanted", lambda *_arguments: None)

    assert with_the_safeguard == "Enabled"
    assert state_after_a_removal_that_comes_late() == "PendingDeletion"


STEPS = {
    "a Region more": ("create_replica_key", "ReplicateKey"),
    "a tag in one Region": ("apply_change", "TagResource"),
    "all restored": ("restore_key", "CancelKeyDeletion"),
    "a key disabled": ("retire_key", "DisableKey"),
}
"""By a kind of change: the step that writes in it, and what that sends first."""


def writes_of_a_cancelled_change(kind: str) -> list[str]:
    """Cancel a change when it is claimed and nothing was written yet; return what is written."""
    before, document = KINDS[kind]
    scenario = ChangeScenario(before=before, document=document)
    calls = played_cancelled(scenario, None).calls
    first = next(n for n, call in enumerate(calls) if call.service == "kms" and not call.is_read)
    claim = max(n for n, call in enumerate(calls[:first]) if call.operation == "UpdateItem")
    scenario = ChangeScenario(before=before, document=document)
    assert played_cancelled(scenario, claim + 1).answer == 202
    return [call.operation for call in scenario.aws.done]


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_that_does_not_check_whether_it_is_wanted_is_caught(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, operation = STEPS[kind]
    with_the_safeguard = writes_of_a_cancelled_change(kind)
    monkeypatch.setattr(f"{step}.app.check_wanted", lambda *_arguments: None)

    assert with_the_safeguard == []
    assert operation in writes_of_a_cancelled_change(kind)


def promotions_sent() -> int:
    """Count the promotions of a change whose first one takes effect late, and of the next one."""
    scenario = changing(PROMOTE)
    scenario.aws.network = network = Late(scenario.aws)
    scenario.deliver()
    if ended_without_promotion(scenario.aws):
        scenario.document = revised(PROMOTE, *PROMOTE["confirm"])
        scenario.deliver()
    return network.sent


def test_a_promotion_that_is_not_waited_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_the_safeguard = promotions_sent()
    monkeypatch.setattr(promotion, "MAY_TAKE_EFFECT_FOR", timedelta(0))

    assert (with_the_safeguard, promotions_sent()) == (1, 2)


def test_a_promotion_that_is_not_announced_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_the_safeguard = promotions_sent()
    monkeypatch.setattr(Records, "announce_promotion", lambda *_arguments, **_more: True)

    assert (with_the_safeguard, promotions_sent()) == (1, 2)


def done_without_a_word() -> list[str]:
    scenario = changing({**DISABLE, "confirm": []})
    scenario.deliver()
    return [call.operation for call in scenario.aws.done]


def test_a_plan_that_asks_for_no_words_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_the_safeguard = done_without_a_word()
    monkeypatch.setattr(planning, "word_problems", lambda *_arguments, **_more: [])

    assert (with_the_safeguard, done_without_a_word()) == ([], ["DisableKey"])


def outcome_of_an_outdated_plan() -> str:
    """Let a revision be planned while the one before has failed, and claimed when that is done."""
    scenario = changing(ADD)
    scenario.aws.network = Failing("ReplicateKey", Fault.REFUSED)
    scenario.deliver()
    assert scenario.aws.events[-1].detail_type == "Multi-Region Key Update Failed"
    leaves_it_out = revised(ADD, replicas=[EUROPE, {**WEST, "tags": {"team": "cards"}}])

    def resume() -> None:
        scenario.document = ADD
        scenario.deliver()

    scenario.aws.network = Between("ClaimChangeFunction", resume)
    scenario.document = leaves_it_out
    scenario.deliver()
    return scenario.aws.events[-1].detail_type


def test_a_claim_on_another_record_than_was_planned_for_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_the_safeguard = outcome_of_an_outdated_plan()
    monkeypatch.setattr(Record, "version", property(lambda _record: "the same"))

    # The key in the Region that the plan did not know of is removed with its word, or not at all.
    assert with_the_safeguard == "Multi-Region Key Request Rejected"
    assert outcome_of_an_outdated_plan() == "Multi-Region Key Updated"


def aliases_after_a_failed_rename() -> set[str]:
    """Fail to rename the keys, then rename them otherwise."""
    failing = revised(ROTATING, alias="alias/payments/failed")
    scenario = changing(failing)
    scenario.aws.network = Failing("CreateAlias", Fault.REFUSED)
    scenario.deliver()
    assert scenario.aws.events[-1].detail_type == "Multi-Region Key Update Failed"
    scenario.aws.network = scenario.aws
    scenario.document = revised(failing, alias="alias/payments/new")
    scenario.deliver()
    assert scenario.aws.events[-1].detail_type == "Multi-Region Key Updated"
    return {name for region, name in scenario.aws.kms.aliases if region == "us-east-1"}


def test_an_applied_declaration_that_a_failure_replaces_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_the_safeguard = aliases_after_a_failed_rename()
    update_item = Records._update

    def write(self: Records, request_id: str, condition: str, update: str, values: Any) -> Record:
        if values.get(":status") == Status.UPDATE_FAILED:
            update = update.replace("SET ", "SET applied = :request, ", 1)
        return update_item(self, request_id, condition, update, values)

    monkeypatch.setattr(Records, "_update", write)

    assert aliases_after_a_failed_rename() - with_the_safeguard == {"alias/payments/cards"}


def removals_sent() -> int:
    """Count the calls of a removal whose answers are all lost."""
    scenario = changing(REMOVE)
    scenario.aws.network = network = Failing("ScheduleKeyDeletion", Fault.BROKEN_AFTER)
    scenario.deliver()
    return network.sent


def test_a_removal_that_does_not_read_the_state_first_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_the_safeguard = removals_sent()
    blind = SimpleNamespace(write=kms.write, describe_key=lambda *_: _ENABLED)
    monkeypatch.setattr(key_states, "kms", blind)

    assert with_the_safeguard == 1
    assert removals_sent() > 1


_ENABLED = {"KeyState": "Enabled"}
