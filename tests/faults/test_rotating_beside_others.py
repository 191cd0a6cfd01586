"""Rotations of others, calls that arrive late and cancellations, beside an operation's rotation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from provisioner.aws.records import Records
from provisioner.operation import rotation
from tests.support.faults import key_material
from tests.support.faults.aws import Aws, Call, Network
from tests.support.faults.changes import ROTATING
from tests.support.faults.faults import Fault, go_wrong
from tests.support.faults.interrupted import Interrupted, cancel
from tests.support.faults.rotations import RotationScenario, sent

_SENT_FOR = 300
"""Seconds for which AWS takes a call after it was signed."""


def rotating() -> RotationScenario:
    return RotationScenario(before=(ROTATING,), kind="ROTATE")


@dataclass
class Before(Network):
    """Does something before the first call of an operation, and lets that call meet a fault."""

    act: Callable[[], None]
    operation: str = "RotateKeyOnDemand"
    fault: Fault | None = None
    is_done: bool = False

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if call.operation != self.operation or self.is_done:
            return effect()
        self.is_done = True
        self.act()
        return go_wrong(call, effect, self.fault) if self.fault else effect()


@dataclass
class Late(Network):
    """Lets the first rotation begin minutes after its answer was given up."""

    aws: Aws
    seconds: float = _SENT_FOR
    after: Callable[[], None] = lambda: None
    _waiting: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    sent: int = 0

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        if self._waiting and self.aws.time >= self._waiting[0][0]:
            self._waiting.pop()[1]()
        if call.operation != "RotateKeyOnDemand":
            return effect()
        self.sent += 1
        if self.sent > 1:
            return effect()
        self._waiting.append((self.aws.time + self.seconds, effect))
        self.after()
        return go_wrong(call, effect, Fault.SILENT)


def later(scenario: RotationScenario, seconds: float, act: Callable[[], None]) -> None:
    """Do something once that much time has passed in the scenario."""
    aws = scenario.aws
    sleep = aws.sleep
    due = [aws.time + seconds]

    def sleep_and_act(for_seconds: float) -> None:
        sleep(for_seconds)
        if due and aws.time >= due[0]:
            due.clear()
            act()

    vars(aws)["sleep"] = sleep_and_act


def test_a_rotation_that_runs_already_is_waited_for_and_not_taken_for_the_own_one() -> None:
    scenario = rotating()
    scenario.materials.begin(scenario.aws.time)

    scenario.deliver()

    assert len(scenario.materials.begun) == 2
    assert scenario.is_ended("FINISHED")
    assert [one.state for one in scenario.materials.all] == [*["NON_CURRENT"] * 2, "CURRENT"]


def test_a_rotation_that_another_begins_first_is_the_one_that_was_asked_for() -> None:
    scenario = rotating()
    begin = scenario.materials.begin
    scenario.aws.network = Before(lambda: begin(scenario.aws.time))

    scenario.deliver()

    assert (scenario.materials.asked, len(scenario.materials.begun)) == (2, 1)
    assert scenario.is_ended("FINISHED")


def test_a_call_that_was_lost_is_not_sent_again_once_another_has_rotated() -> None:
    scenario = rotating()
    scenario.aws.network = Before(lambda: None, fault=Fault.SILENT)
    later(scenario, 120, lambda: scenario.materials.begin(scenario.aws.time))

    scenario.deliver()

    assert sent(scenario.aws) == 0
    assert len(scenario.materials.begun) == 1
    assert scenario.is_ended("FINISHED")


def test_an_automatic_rotation_is_none_on_demand() -> None:
    scenario = rotating()
    scenario.aws.network = Before(lambda: None, fault=Fault.SILENT)
    later(scenario, 120, lambda: scenario.materials.rotate(scenario.aws.time, "AUTOMATIC"))

    scenario.deliver()

    [outcome] = scenario.outcomes()
    [error] = outcome["errors"]
    assert error["code"] == "ROTATION_NOT_DONE"
    assert "KMS has rotated it by itself at 20" in error["message"]


def test_an_automatic_rotation_before_the_own_one_is_passed_over() -> None:
    scenario = rotating()
    scenario.materials.rotate(scenario.aws.time - 60, "AUTOMATIC")

    assert scenario.play().problems == []


def rotations_of_a_late_call(*, is_cancelled: bool = False) -> int:
    """Count the rotations where the first call arrives late, until an operation has finished.

    Where it is cancelled, and its execution ended, another operation is asked for at once.
    """
    scenario = rotating()

    def end() -> None:
        if is_cancelled:
            [execution] = [e for e in scenario.aws.executions.values() if e.status == "RUNNING"]
            assert cancel(scenario.aws) == 202
            execution.status = "ABORTED"

    scenario.aws.network = Late(scenario.aws, after=end)
    scenario.deliver()
    if is_cancelled:
        cancel(scenario.aws)
        scenario.run_started()
    if not scenario.is_ended("FINISHED"):
        [outcome] = scenario.outcomes()
        assert outcome["errors"][0]["code"] in ("CANCELLED", "ROTATION_NOT_DONE")
        scenario.count += 1
        scenario.deliver()
    assert scenario.is_ended("FINISHED")
    scenario.aws.time += 3_600
    scenario.sweep()
    scenario.aws.time += 3_600
    return len(scenario.materials.begun)


def test_a_rotation_that_is_not_waited_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_material, "ROTATING_SECONDS", 100)
    with_the_safeguard = rotations_of_a_late_call()
    monkeypatch.setattr(rotation, "IS_SHOWN_AFTER", timedelta(0))

    assert (with_the_safeguard, rotations_of_a_late_call()) == (1, 2)


def test_a_rotation_that_is_not_announced_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_the_safeguard = rotations_of_a_late_call()
    monkeypatch.setattr(Records, "announce_rotation", lambda *_arguments, **_more: True)

    with pytest.raises(AssertionError):
        # The next look sends it again, for ever.
        assert rotations_of_a_late_call() == 1
    assert with_the_safeguard == 1


def test_the_late_call_of_an_operation_that_was_cancelled_is_waited_for() -> None:
    # One for each operation, although the first did not end well.
    assert rotations_of_a_late_call(is_cancelled=True) == 2


def test_a_rotation_is_cancelled_before_it_is_sent_and_takes_place_at_most_once() -> None:
    calls = played(None)[1]
    for place in range(len(calls)):
        scenario, _ = played(place)
        scenario.run_started()
        ends = {(d["status"], d["outcomeId"]) for d in scenario.outcomes()}
        assert len(ends) == 1, place
        assert len(scenario.materials.begun) <= 1, place
        [status] = {detail["status"] for detail in scenario.outcomes()}
        is_sent = bool(scenario.materials.begun)
        assert is_sent or status == "FAILED", place
        assert "operation" not in scenario.record
        assert scenario.record["status"] == scenario.status_before


def played(place: int | None) -> tuple[RotationScenario, list[Call]]:
    """Rotate, and cancel that before the call of that number."""
    scenario = rotating()
    network = Interrupted(scenario.aws, place, cancel)
    scenario.aws.network = network
    scenario.deliver()
    scenario.aws.network = scenario.aws
    return scenario, network.calls
