import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from provisioner.aws import executions
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.drift_table import DriftTable
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records, Status
from provisioner.change.observe import read_key_set
from provisioner.clock import instant_text
from provisioner.domain.change import ObservedSet
from provisioner.domain.drift import SHUT_OUT
from provisioner.domain.operation import Ended, Operation
from provisioner.domain.policy_evaluation import Role
from provisioner.errors import (
    DependencyUnavailable,
    KmsThrottled,
    PromotionUnderWay,
    new_problem,
)
from provisioner.upkeep import looking
from provisioner.upkeep.key_events import KeyEvent, read_event
from provisioner.upkeep.looking import Looker, by_request, is_own
from tests.support.answering import answer, on
from tests.support.changing import observed_of
from tests.support.clock import Clock
from tests.support.finished_sets import CREATED, claim, create, end
from tests.support.key_events import ALICE, call_event
from tests.support.key_sets import REQUEST, KeySet
from tests.support.samples import ACCOUNT, SETTINGS, request_of
from tests.support.sweeping import Looks

NAME = CREATED["requestId"]
EU, US = "eu-west-1", "us-east-1"
ROLE = Role(f"arn:aws:iam::{ACCOUNT}:role/look", "AROA00000000000000000")
DRIFT = "Multi-Region Key Drift Detected"


class Bench:
    """A looker over a key set that the test changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, records: Records, clock: Clock) -> None:
        self.kms_has: ObservedSet | None = observed_of(CREATED)
        self.shut_out: set[str] = set()
        self.reads = 0
        self.during: Callable[[], None] = lambda: None
        self.records, self.clock, self.looks = records, clock, Looks()
        self.table = DriftTable(client("dynamodb"), "sweep")
        self.looker = Looker(
            records=records,
            operations=Operations(client("dynamodb"), "requests"),
            approvals=Approvals(client("dynamodb"), "requests"),
            table=self.table,
            queue=self.looks,
            kms_for=lambda region: region,  # type: ignore[arg-type,return-value]
            events=client("events"),
            step_functions=client("stepfunctions"),
            role=ROLE,
            repairs=False,
            settings=SETTINGS,
        )
        monkeypatch.setattr(looking, "read_key_set", self._read)

    def _read(self, *_: Any, shut_out: set[str], **__: Any) -> Any:
        self.reads += 1
        self.during()
        shut_out |= self.shut_out
        return (self.kms_has, {}) if self.kms_has else None

    def look(self, *events: KeyEvent) -> None:
        self.looker.look(NAME, events)

    def event(self, name: str, region: str = EU) -> KeyEvent:
        found = read_event(call_event(name, region, at=instant_text(self.clock.time)))
        assert found
        return found

    def disable(self) -> None:
        assert self.kms_has
        self.kms_has["keys"][EU]["keyState"] = "Disabled"

    def later(self, seconds: float = 60) -> None:
        self.clock.move(seconds=seconds)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, records: Records, clock: Clock) -> Bench:
    create(records)
    clock.move(seconds=3_600)
    return Bench(monkeypatch, records, clock)


@pytest.fixture
def drifts() -> list[Any]:
    found: list[Any] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        for entry in params["Entries"]:
            assert entry["DetailType"] == DRIFT
            found.append(json.loads(entry["Detail"]))

    on(client("events"), "provide-client-params.events.PutEvents", note)
    return found


def test_a_key_set_as_declared_is_silent(bench: Bench, drifts: list[Any]) -> None:
    bench.look(bench.event("DisableKey"))
    assert not drifts
    assert not bench.looks.asked


def test_a_difference_is_published_once_with_who_and_when(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()
    event = bench.event("DisableKey")
    bench.later()
    bench.look(event)
    [detail] = drifts
    assert (detail["requestId"], detail["region"], detail["property"]) == (NAME, EU, "keyState")
    assert (detail["from"], detail["to"]) == ("Enabled", "Disabled")
    assert detail["by"] == {
        "arn": ALICE,
        "eventName": "DisableKey",
        "at": event["at"],
        "eventId": event["eventId"],
    }
    assert detail["repair"]["calls"] == ["EnableKey"]
    bench.later()
    bench.look()
    assert len(drifts) == 1


def test_it_is_published_again_when_it_has_changed_or_come_back(
    bench: Bench, drifts: list[Any]
) -> None:
    bench.disable()
    bench.look()
    assert bench.kms_has
    bench.kms_has["keys"][EU]["keyState"] = "PendingDeletion"
    bench.later()
    bench.look()
    assert [one["to"] for one in drifts] == ["Disabled", "PendingDeletion"]
    assert bench.table.open_sets() == [NAME]
    bench.kms_has["keys"][EU]["keyState"] = "Enabled"
    bench.later()
    bench.look()
    assert bench.table.open_sets() == []
    bench.disable()
    bench.later()
    bench.look()
    assert len(drifts) == 3


def test_an_event_that_comes_while_a_look_is_on_its_way_names_the_cause(
    bench: Bench, drifts: list[Any]
) -> None:
    claim(bench.records)
    bench.look()  # A run works on the set, so the next look is on its way.
    end(bench.records)
    bench.later(2)
    bench.disable()
    bench.look(bench.event("DisableKey"))
    assert bench.kms_has
    for key in bench.kms_has["keys"].values():
        key["description"] = "second"
    bench.later(600)
    bench.look()
    assert [one["by"]["eventName"] for one in drifts] == ["DisableKey"]


def test_an_event_of_before_the_last_look_names_no_cause(bench: Bench, drifts: list[Any]) -> None:
    claim(bench.records)
    bench.look()
    end(bench.records)
    assert bench.kms_has
    for key in bench.kms_has["keys"].values():
        key["description"] = "second"
    bench.look(bench.event("DisableKey"))  # Somebody has enabled the key again since.
    bench.later(600)
    bench.look()
    bench.disable()
    bench.later()
    bench.look()
    assert [one["by"] for one in drifts] == [None]


def test_of_many_events_the_last_ones_are_left_to_the_look_on_its_way(bench: Bench) -> None:
    bench.table.look_again(NAME, bench.clock.time + timedelta(seconds=30))
    first = bench.event("DisableKey")
    for number in range(30):
        assert bench.table.leave_to_next_look(NAME, [{**first, "eventId": str(number)}])
    watched = bench.table.take(NAME, "worker", 120)
    assert watched
    assert [one["eventId"] for one in watched.waiting] == [str(n) for n in range(10, 30)]


def repair(bench: Bench) -> None:
    """Let a run end after the last look; what it did is not seen by any."""
    bench.later()
    claim(bench.records)
    end(bench.records)
    assert bench.kms_has
    for key in bench.kms_has["keys"].values():
        key["description"] = "second"
    bench.later(600)


def test_what_was_repaired_and_made_again_before_a_look_is_published_again(
    bench: Bench, drifts: list[Any]
) -> None:
    bench.disable()
    bench.look(bench.event("DisableKey"))
    repair(bench)
    bench.look(bench.event("DisableKey"))
    assert len(drifts) == 2
    bench.look(bench.event("DisableKey"))
    assert len(drifts) == 2


def test_what_a_run_has_left_as_it_was_is_not_published_again(
    bench: Bench, drifts: list[Any]
) -> None:
    bench.disable()
    event = bench.event("DisableKey")
    bench.look(event)
    repair(bench)
    bench.look(event)
    bench.look(bench.event("EnableKeyRotation"))
    assert len(drifts) == 1


def test_events_of_before_the_last_look_need_none(bench: Bench) -> None:
    event = bench.event("DisableKey")
    bench.later()
    bench.look(event)
    bench.look(event)
    assert bench.reads == 1
    bench.look(bench.event("EnableKey"))
    assert bench.reads == 2


def test_a_key_set_that_a_run_works_on_is_looked_at_later(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()
    claim(bench.records)
    bench.look()
    bench.look()
    assert (bench.reads, bench.looks.asked, drifts) == (0, [NAME], [])


def test_a_key_set_that_was_just_changed_is_looked_at_later(
    bench: Bench, drifts: list[Any]
) -> None:
    claim(bench.records)
    end(bench.records)
    assert bench.kms_has
    bench.kms_has["keys"][EU]["keyState"] = "Disabled"
    for key in bench.kms_has["keys"].values():
        key["description"] = "second"
    bench.look()
    assert (bench.looks.asked, bench.looks.delays, drifts) == ([NAME], [30], [])
    bench.later(288)
    bench.look()
    assert (bench.looks.delays, drifts) == ([30, 12], [])
    bench.later(12)
    bench.look()
    assert len(drifts) == 1


def test_what_a_run_has_changed_meanwhile_is_not_published(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()

    def changing() -> None:
        claim(bench.records)

    bench.during = changing
    bench.look()
    assert (bench.looks.asked, drifts) == ([NAME], [])


@pytest.mark.parametrize("state", ["Creating", "Updating"])
def test_a_key_that_changes_by_itself_is_looked_at_later(
    bench: Bench, drifts: list[Any], state: str
) -> None:
    assert bench.kms_has
    bench.kms_has["keys"][EU]["keyState"] = state
    bench.look()
    assert (bench.looks.asked, drifts) == ([NAME], [])


def test_a_promotion_that_is_under_way_is_looked_at_later(bench: Bench) -> None:
    def promoting() -> None:
        raise PromotionUnderWay("under way")

    bench.during = promoting
    bench.look()
    assert bench.looks.asked == [NAME]


def test_a_look_that_fails_leaves_the_key_set_to_the_next_one(
    bench: Bench, drifts: list[Any]
) -> None:
    def throttled() -> None:
        raise KmsThrottled("slow down")

    bench.disable()
    bench.during = throttled
    with pytest.raises(KmsThrottled):
        bench.look()
    bench.during = lambda: None
    bench.look()
    assert len(drifts) == 1


def test_while_another_worker_looks_this_one_does_later(bench: Bench) -> None:
    assert bench.table.take(NAME, "another", 120)
    bench.look()
    assert (bench.reads, bench.looks.asked) == (0, [NAME])


def test_a_key_policy_that_shuts_the_stack_out_is_published(
    bench: Bench, drifts: list[Any]
) -> None:
    assert bench.kms_has
    del bench.kms_has["keys"][EU]
    bench.shut_out = {EU}
    bench.look()
    assert (bench.looks.asked, drifts) == ([NAME], [])
    for _ in range(2):
        bench.later()
        bench.look()
    assert [(one["property"], one["to"]) for one in drifts] == [("policy", SHUT_OUT)]
    assert bench.looks.asked == [NAME]


def test_a_refusal_that_passes_is_no_difference(bench: Bench, drifts: list[Any]) -> None:
    bench.shut_out = {EU}
    bench.look()
    bench.shut_out = set()
    bench.later()
    bench.look()
    bench.shut_out = {EU}
    bench.later()
    bench.look()
    assert drifts == []
    assert bench.looks.asked == [NAME, NAME]


def test_a_key_set_that_is_gone_is_published(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()
    bench.look()
    bench.kms_has = None
    bench.later()
    bench.look()
    assert [one["property"] for one in drifts] == ["keyState", "region", "region"]
    assert {one["to"] for one in drifts[1:]} == {None}


def test_a_request_that_is_not_known_or_never_finished_is_passed_over(bench: Bench) -> None:
    bench.looker.look("unknown", [])
    assert bench.reads == 0


def test_after_a_change_that_failed_it_is_to_be_finished_first(
    bench: Bench, drifts: list[Any]
) -> None:
    claim(bench.records)
    end(bench.records, Status.UPDATE_FAILED)
    bench.later(3_600)
    bench.disable()
    bench.look()
    [detail] = drifts
    assert detail["repair"]["operation"] is None
    assert "Finish it first" in detail["whatToDo"]


def described(bench: Bench, text: str) -> None:
    assert bench.kms_has
    bench.kms_has["keys"][EU]["description"] = text


def test_what_may_be_a_decision_is_not_repaired(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()
    described(bench, "by hand")
    replace(bench.looker, repairs=True).look(NAME, [])
    assert len(drifts) == 2
    assert not bench.looks.asked


def test_a_repair_that_could_not_be_started_is_started_by_the_next_look(
    bench: Bench, drifts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    described(bench, "by hand")
    looker, event = replace(bench.looker, repairs=True), bench.event("UpdateKeyDescription")
    bench.later()
    with monkeypatch.context() as patch:
        patch.setattr(executions, "start", _unavailable)
        with pytest.raises(DependencyUnavailable):
            looker.look(NAME, [event])
    answer(client("stepfunctions"), "StartExecution", {"executionArn": "arn"})
    looker.look(NAME, [event])
    assert len(bench.looks.asked) == 1
    assert len(drifts) == 1


def test_once_a_person_has_decided_the_rest_is_repaired(bench: Bench, drifts: list[Any]) -> None:
    answer(client("stepfunctions"), "StartExecution", {"executionArn": "arn"})
    looker = replace(bench.looker, repairs=True)
    bench.disable()
    described(bench, "by hand")
    looker.look(NAME, [])
    assert not bench.looks.asked
    assert bench.kms_has
    bench.kms_has["keys"][EU]["keyState"] = "Enabled"
    bench.later()
    looker.look(NAME, [])
    assert len(bench.looks.asked) == 1
    assert len(drifts) == 2


@pytest.fixture
def started() -> list[dict[str, Any]]:
    """Let Step Functions take every call; return a list that grows with what is started."""
    found: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        found.append({"name": params["name"], **json.loads(params["input"])["operation"]})

    on(client("stepfunctions"), "provide-client-params.states.StartExecution", note)
    answer(client("stepfunctions"), "StartExecution", {"executionArn": "arn"})
    return found


def end_repair(bench: Bench, operation: dict[str, Any], code: str | None = None) -> None:
    """Let a repair end; with a code, it has failed."""
    asked: Operation = {
        "operationId": operation["operationId"],
        "operation": operation["operation"],
        "confirm": operation["confirm"],
    }
    problems = [new_problem("region", code, "It did not work.")] if code else []
    ended = Ended.FAILED if code else Ended.FINISHED
    bench.looker.operations.end(NAME, asked, ended, problems)


def test_what_nobody_has_to_decide_is_repaired_thrice_a_day(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]]
) -> None:
    looker = replace(bench.looker, repairs=True)
    for number in range(4):
        described(bench, f"by hand {number}")
        bench.later()
        looker.look(NAME, [])
        end_repair(bench, started[-1])
    assert len(drifts) == 4
    assert len(started) == 3
    bench.later(timedelta(days=1).total_seconds())
    described(bench, "by hand again")
    looker.look(NAME, [])
    assert len(started) == 4


def test_a_repair_that_failed_is_tried_again_in_the_next_hours_of_the_day(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]]
) -> None:
    looker = replace(bench.looker, repairs=True)
    described(bench, "by hand")
    counts = []
    for _ in range(26):
        for _ in range(2):
            looker.look(NAME, [])
            if started:
                end_repair(bench, started[-1], "KMS_ACCESS_DENIED")
            bench.later(1_800)
        counts.append(len(started))
    assert counts == [1, 2, *[3] * 22, 4, 5]
    assert len({one["operationId"] for one in started}) == 5
    assert len(drifts) == 1


@pytest.mark.parametrize("code", ["APPROVAL_REFUSED", "APPROVAL_EXPIRED", "CANCELLED"])
def test_a_repair_that_a_person_has_stopped_is_not_tried_again(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]], code: str
) -> None:
    looker = replace(bench.looker, repairs=True)
    described(bench, "by hand")
    looker.look(NAME, [])
    end_repair(bench, started[0], code)
    bench.later(86_400)
    looker.look(NAME, [])
    assert len(started) == 1
    described(bench, "by hand again")
    bench.later()
    looker.look(NAME, [])
    assert len(started) == 2
    assert len(drifts) == 2


def test_a_repair_that_waits_for_approval_is_not_asked_for_twice(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = replace(bench.looker, repairs=True)
    described(bench, "by hand")
    looker.look(NAME, [])
    with monkeypatch.context() as patch:
        patch.setattr(looker.approvals, "get", lambda _: "waits")
        bench.later(86_400)
        looker.look(NAME, [])
        described(bench, "by hand again")
        bench.later(86_400)
        looker.look(NAME, [])
        assert len(started) == 1
    looker.look(NAME, [])
    assert len(started) == 2
    assert len(drifts) == 2


def test_a_repair_that_was_looked_at_while_it_waited_is_not_tried_again_once_it_is_refused(
    bench: Bench, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = replace(bench.looker, repairs=True)
    described(bench, "by hand")
    looker.look(NAME, [])
    with monkeypatch.context() as patch:
        patch.setattr(looker.approvals, "get", lambda _: "waits")
        bench.later(86_400)
        looker.look(NAME, [])
    end_repair(bench, started[0], "APPROVAL_REFUSED")
    bench.later(86_400)
    looker.look(NAME, [])
    assert len(started) == 1


def test_a_repair_that_never_began_is_followed_by_another(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]]
) -> None:
    looker = replace(bench.looker, repairs=True)
    described(bench, "by hand")
    looker.look(NAME, [])
    bench.later(60)
    looker.look(NAME, [])
    assert len(started) == 1
    bench.later(3_600)
    looker.look(NAME, [])
    assert len({one["operationId"] for one in started}) == 2
    assert len(drifts) == 1


def test_what_was_found_before_the_stack_repairs_by_itself_is_repaired(
    bench: Bench, drifts: list[Any], started: list[dict[str, Any]]
) -> None:
    described(bench, "by hand")
    bench.look()
    bench.later(3_600)
    replace(bench.looker, repairs=True).look(NAME, [])
    assert len(started) == 1
    assert len(drifts) == 1


def _unavailable(*_: Any) -> None:
    raise DependencyUnavailable("StartExecution: no answer.")


def test_a_look_that_is_asked_for_slowly_is_not_passed_over(
    bench: Bench, drifts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.disable()
    claim(bench.records)
    asked = bench.clock.time
    monkeypatch.setattr(bench.looks, "ask", lambda *_: bench.later(20))
    bench.look()
    end(bench.records)
    bench.later((asked - bench.clock.time).total_seconds() + 30)
    assert not bench.table.leave_to_next_look(NAME, [])
    assert not drifts


def storm(bench: Bench, look: Callable[[str, list[KeyEvent]], None], name: str) -> None:
    """Look because of 10,000 events about one key set, in ten batches."""
    first = bench.event("EnableKey")
    events: list[KeyEvent] = [{**first, "eventId": str(number)} for number in range(10_000)]
    bench.later()
    for start in range(0, len(events), 1_000):
        for of, some in by_request([(name, events[start : start + 1_000])]).items():
            look(of, some)


def test_a_storm_of_events_for_one_key_is_one_look(bench: Bench, drifts: list[Any]) -> None:
    bench.disable()
    storm(bench, bench.looker.look, NAME)
    assert (bench.reads, len(drifts)) == (1, 1)


@pytest.mark.parametrize("rotation", [None, {"periodInDays": 365}])
def test_a_storm_costs_three_calls_of_kms_a_key_and_one_for_rotation(
    monkeypatch: pytest.MonkeyPatch,
    bench: Bench,
    drifts: list[Any],
    rotation: Any,
) -> None:
    """Here KMS is read, in three Regions."""
    monkeypatch.setattr(looking, "read_key_set", read_key_set)
    key_set = KeySet()
    key_set.key(US).rotation_days = 365
    request = request_of(**{**REQUEST, "requestId": "storm", "rotation": rotation})
    create(bench.records, request, arn=key_set.arn)
    bench.later(3_600)
    key_set.in_region(EU).disable_key(KeyId=key_set.key(EU).arn)
    looker = replace(bench.looker, kms_for=key_set.kms_for)
    storm(bench, looker.look, "storm")
    calls = Counter(f"{call.operation} {call.region}" for call in key_set.calls)
    a_key = ("DescribeKey", "GetKeyPolicy", "ListResourceTags")
    expected = Counter(f"{call} {region}" for call in a_key for region in (US, EU, "us-west-2"))
    assert calls == expected + Counter({f"GetKeyRotationStatus {US}": 1} if rotation else {})
    assert [one["to"] for one in drifts if one["property"] == "keyState"] == ["Disabled"]


def test_calls_of_the_workflows_own_roles_need_no_look(bench: Bench) -> None:
    own = read_event(call_event("PutKeyPolicy", role=SETTINGS.key_role_names[0]))
    assert own
    assert is_own(own, SETTINGS)
    assert not is_own(bench.event("PutKeyPolicy"), SETTINGS)
