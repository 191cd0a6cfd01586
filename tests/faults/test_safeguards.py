"""The suite can fail: each safeguard is turned off in turn, and a schedule shows that it is gone.

A single fault is enough for each of them, and a question that nobody answers for the last one.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from provisioner.aws import clients, kms
from provisioner.aws.records import Record, Records
from provisioner.creation import correction, reconcile
from tests.support.faults.aws import nobody
from tests.support.faults.corrections import with_an_open_attempt
from tests.support.faults.enumeration import singles
from tests.support.faults.faults import Fault
from tests.support.faults.scenario import Report, Scenario, renewed
from tests.support.faults.workflow import load_definition


def harmful(definition: dict[str, Any] | None = None) -> Iterator[Report]:
    """Return the single faults after which more than one key was created."""
    for single in singles():
        report = Scenario((single,), definition=definition).play()
        if len(report.aws.kms.primaries()) > 1:
            assert report.problems
            yield report


def fault_and_call(report: Report) -> tuple[Fault, str]:
    [(place, fault)] = report.schedule
    return fault, report.calls[place].operation


def test_with_every_safeguard_no_single_fault_makes_a_second_key() -> None:
    assert list(harmful()) == []


def test_retries_of_the_sdk_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_SEND_ONCE", clients._PATIENT)
    clients.send_once_kms.cache_clear()

    caught = set(map(fault_and_call, harmful()))

    clients.send_once_kms.cache_clear()
    lost = {Fault.BROKEN_AFTER, Fault.SILENT_AFTER, Fault.RESET_AFTER}
    assert caught == {(fault, "CreateKey") for fault in lost}


def test_an_intent_that_is_written_after_the_key_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    create, announce = kms.create_primary_key, Records.announce_attempt
    waiting: list[Callable[[], bool]] = []

    def announce_later(*arguments: Any, **more: Any) -> bool:
        waiting[:] = [lambda: announce(*arguments, **more)]
        return True

    def create_first(*arguments: Any) -> Any:
        metadata = create(*arguments)
        waiting.pop()()
        return metadata

    monkeypatch.setattr(Records, "announce_attempt", announce_later)
    monkeypatch.setattr(kms, "create_primary_key", create_first)

    assert (Fault.KILLED_AFTER, "CreateKey") in map(fault_and_call, harmful())


def test_a_missing_quiet_period_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_is_too_early", lambda *_arguments: False)

    assert (Fault.KILLED_AFTER, "CreateKey") in map(fault_and_call, harmful())


def test_a_reconciliation_that_adopts_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_keys_of_attempt", lambda *_arguments: {})

    assert (Fault.SILENT_AFTER, "CreateKey") in map(fault_and_call, harmful())


def test_unconditional_writes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    update_item = Records._update

    def write(self: Records, request_id: str, condition: str, update: str, values: Any) -> Record:
        is_claim_or_announcement = update.startswith(("SET #status = :running", "SET attempt"))
        if is_claim_or_announcement:
            condition += " OR attribute_exists(requestId) OR attribute_not_exists(requestId)"
        return update_item(self, request_id, condition, update, values)

    monkeypatch.setattr(Records, "_update", write)

    assert (Fault.STOPPED, "UpdateItem") in map(fault_and_call, harmful())


class ForgetfulRecords(Records):
    """Records in which no attempt is ever open."""

    def get(self, request_id: str) -> Record | None:
        record = super().get(request_id)
        return record and replace(record, open_attempt=None)

    def _update(
        self, request_id: str, condition: str, update: str, values: dict[str, Any]
    ) -> Record:
        condition = condition.replace("AND attribute_not_exists(attemptOpen) ", "")
        return super()._update(request_id, condition, update, values)


def blind(definition: dict[str, Any]) -> dict[str, Any]:
    """Retry the step that creates the key whatever ended it."""
    mutated = copy.deepcopy(definition)
    task = mutated["States"]["CreatePrimaryKey"]
    task["Retry"] = [{**task["Retry"][0], "ErrorEquals": ["States.ALL"]}]
    return mutated


def test_a_blind_retry_alone_does_no_harm_since_the_record_forbids_it() -> None:
    assert list(harmful(blind(load_definition()))) == []


def test_a_blind_retry_is_caught_where_the_record_does_not_forbid_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("create_primary_key.app.Records", ForgetfulRecords)
    lost = (Fault.SILENT_AFTER, "CreateKey")

    assert lost not in map(fault_and_call, harmful())
    assert lost in map(fault_and_call, harmful(blind(load_definition())))


def test_a_roll_back_of_what_was_finished_once_is_caught() -> None:
    mutated = copy.deepcopy(load_definition())
    [choice] = mutated["States"]["DoesRequestWantRollBack"]["Choices"]
    choice["Condition"] = choice["Condition"].replace(" and $not($everCreated)", "")

    deleted = []
    for definition in (None, mutated):
        scenario = renewed(on_failure="ROLL_BACK", holder=nobody, definition=definition)
        scenario.deliver()
        deleted.append("ScheduleKeyDeletion" in {c.operation for c in scenario.network.calls})

    assert deleted == [False, True]


def keys_after_another_kind_is_asked_for() -> int:
    """Count the keys of a request whose CreateKey was not answered, then asked for another kind."""
    scenario = with_an_open_attempt()
    scenario.document = {**scenario.document, "keySpec": "HMAC_256"}
    scenario.deliver()
    return len(scenario.aws.kms.primaries())


def test_a_correction_of_what_a_key_never_changes_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_the_safeguard = keys_after_another_kind_is_asked_for()
    monkeypatch.setattr(correction, "_NEVER_CHANGES", ())

    assert (with_the_safeguard, keys_after_another_kind_is_asked_for()) == (1, 2)
