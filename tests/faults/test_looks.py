"""What the looks at a key set publish, whatever the stack, people, events and faults do.

The set is created, adopted, changed, repaired, rotated and released meanwhile. Looks, sweeps and
executions run side by side, in any order of their calls. FAULTS_EXAMPLES sets how many histories
are tried; CI tries few.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.faults import wiring, workflow
from tests.support.faults.api import adopt, operate
from tests.support.faults.aws import Execution
from tests.support.faults.changes import ROTATING
from tests.support.faults.faults import Fault
from tests.support.faults.histories import histories
from tests.support.faults.looked import (
    DRIFT,
    LookedAtAws,
    Subject,
    differences,
    forget_owners,
    put_right,
)
from tests.support.faults.revisions import finished, next_document
from tests.support.faults.scenario import REQUEST_ID, policy_of
from tests.support.faults.stepping import Stepper

_ANY = st.integers(min_value=0, max_value=11)
_FAULTS = sorted(set(Fault) - {Fault.REDELIVERED, Fault.STOPPED})
_REVISIONS = ("tags", "alias", "policy", "rotation", "add", "disable", "other")
_BY_HAND = ("description", "team", "mrk:request-id", "policy", "alias", "disable", "schedule")
_REPAIRED_BY_HAND = ("enable", "cancel")
_MOST_AT_ONCE = 3
_MOST_CALLS = 26
_FINDING = "Multi-Region Key Finding"
_ANA = "arn:aws:iam::111122223333:user/Ana"
_FOUND_FOR = {
    "ALIAS_ELSEWHERE": "alias",
    "KEY_MISSING": "keyState",
    "KEY_NOT_ENABLED": "keyState",
    "TAGS_MISSING": "tags.mrk:request-id",
}
"""What the sweep says of a key, and the property that somebody has changed then."""


class LookedAtKeySet(RuleBasedStateMachine):
    """A key set, what makes, changes and releases it, and the looks at it."""

    drift_mode = "REPORT"

    def __init__(self) -> None:
        super().__init__()
        os.environ["DRIFT_MODE"] = self.drift_mode
        self.aws = LookedAtAws()
        wiring.use(self.aws)
        forget_owners()
        self.steppers: list[Stepper] = []
        self.touched: Counter[Subject] = Counter()
        """How often somebody changed a property by hand; by the last rest, `touched_before`."""
        self.touched_before: set[Subject] = set()
        self.open: dict[Subject, Any] = {}
        self.chances = 0
        """How often a difference may be published again: for a revision, or after a fault."""
        self.operations = 0
        self.released_since: Any = None
        """Since when the set was released, at the last rest."""

    # What the stack is asked for

    @initialize(begin=st.sampled_from(["finished", "finished", "nothing", "of others"]))
    def begin(self, begin: str) -> None:
        """Begin with a finished set, or with one that is just being created or adopted."""
        if begin == "nothing":
            self.aws.begin_without_keys()
            self.create()
        elif begin == "of others":
            self.aws.begin_with_keys_of_others()
            self.adopt(right=False)

    @rule()
    @precondition(lambda self: self.has_room() and self.aws.is_to_be_created)
    def create(self) -> None:
        self._run(self.aws.new_execution(ROTATING))

    @rule(right=st.booleans())
    @precondition(lambda self: self.has_room() and self.aws.key_id and not self.aws.is_managed)
    def adopt(self, right: bool) -> None:
        """Adopt the set as it was declared; what somebody has changed is put right before."""
        if right:
            put_right(self.aws, self.aws.newest)
        document = {**self.aws.newest, "keyArn": self.aws.primary().arn}
        self._ask(partial(adopt, self.aws, document, caller=_ANA))

    @rule(kind=st.sampled_from(_REVISIONS), which=_ANY)
    @precondition(lambda self: self.has_room() and self.aws.is_created)
    def revise(self, kind: str, which: int) -> None:
        other = kind == "other"
        document = (
            finished(self.aws, self.aws.newest) if other else next_document(self.aws, kind, which)
        )
        self.aws.sent[document["description"]] = document
        self.chances += 1
        self._run(self.aws.new_execution(document))

    @rule(operation=st.sampled_from(["REPAIR", "ROTATE", "REPAIR", "ROTATE", "RELEASE"]))
    @precondition(lambda self: self.has_room() and self.aws.is_created)
    def operate(self, operation: str) -> None:
        self.operations += 1
        body = {"operationId": f"op-{self.operations}", "operation": operation}
        self._ask(partial(operate, self.aws, REQUEST_ID, body, caller=_ANA))

    # What people do

    @rule(which=_ANY, what=st.sampled_from(_BY_HAND + _REPAIRED_BY_HAND), value=_ANY)
    @precondition(lambda self: self.aws.keys())
    def change_by_hand(self, which: int, what: str, value: int) -> None:
        keys = [key for _, key in sorted(self.aws.keys().items())]
        key = keys[which % len(keys)]
        alias = next((p[1] for p, arn in self.aws.kms.aliases.items() if arn == key.arn), "")
        text = f"by hand {value}"
        tags = {"Tags": [{"TagKey": what, "TagValue": text}]}
        acts: dict[str, tuple[str, str, dict[str, Any]]] = {
            "description": ("description", "update_key_description", {"Description": text}),
            "team": ("tags.team", "tag_resource", tags),
            "mrk:request-id": ("tags.mrk:request-id", "tag_resource", tags),
            "policy": ("policy", "put_key_policy", {"Policy": json.dumps(policy_of(f"P{value}"))}),
            "alias": ("alias", "delete_alias", {"AliasName": alias}),
            "disable": ("keyState", "disable_key", {}),
            "enable": ("keyState", "enable_key", {}),
            "schedule": ("keyState", "schedule_key_deletion", {"PendingWindowInDays": 30}),
            "cancel": ("keyState", "cancel_key_deletion", {}),
        }
        name, operation, arguments = acts[what]
        try:
            self.aws.by_hand(key, operation, **arguments)
        except ClientError:
            return
        self.touched[key.region, name] += 1

    # Events, looks, sweeps and time

    @rule(which=_ANY, size=st.integers(min_value=1, max_value=6), again=st.booleans())
    @precondition(lambda self: self.has_room() and (self.aws.key_events or self.aws.looks))
    def look(self, which: int, size: int, again: bool) -> None:
        """Deliver some messages, in any order; they may come once more."""
        events = self.aws.key_events
        start = which % max(1, len(events))
        some = [*reversed(events[start : start + size])]
        if not again:
            del events[start : start + size]
        self._add("look", partial(self._look_with_due, some))

    @rule(which=_ANY)
    @precondition(lambda self: self.aws.key_events)
    def lose_event(self, which: int) -> None:
        del self.aws.key_events[which % len(self.aws.key_events)]

    @rule()
    @precondition(lambda self: self.has_room())
    def sweep(self) -> None:
        self._add("sweep", self._sweep)

    @rule(lags=st.booleans())
    def let_kms_lag(self, lags: bool) -> None:
        self.aws.lags = lags

    @rule(seconds=st.sampled_from([1, 10, 30, 120, 400, 1_000]))
    def let_time_pass(self, seconds: int) -> None:
        self.aws.time += seconds

    @rule(which=_ANY, calls=st.integers(min_value=1, max_value=40))
    @precondition(lambda self: self.awake())
    def go_on(self, which: int, calls: int) -> None:
        stepper = self._choose(which)
        for _ in range(calls):
            if stepper in self.awake():
                stepper.step()
        self._run_started()

    @rule(which=_ANY, calls=st.integers(min_value=0, max_value=25), fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.awake())
    def go_wrong(self, which: int, calls: int, fault: Fault) -> None:
        """Let one look, sweep or execution get some calls further, and then meet a fault."""
        stepper = self._choose(which)
        for left in reversed(range(calls + 1)):
            if stepper in self.awake():
                stepper.step(None if left else fault)
        self.chances += 1
        self._run_started()

    @rule()
    def rest(self) -> None:
        """Let all that runs and waits come to its end, and compare what was published."""
        self._come_to_rest()
        self._check()

    def teardown(self) -> None:
        try:
            self.rest()
            self.chances = 0
            self.touched.clear()
            self.rest()  # Nothing new is published of what has not changed.
        finally:
            os.environ["DRIFT_MODE"] = "REPORT"
            for stepper in self.steppers:
                stepper.abandon()

    def has_room(self) -> bool:
        return len(self.awake()) < _MOST_AT_ONCE

    def awake(self) -> list[Stepper]:
        """List those that can go on now."""
        return [
            one for one in self.steppers if not one.is_done and (one.wakes_at or 0) <= self.aws.time
        ]

    # How it is done

    def _check(self) -> None:
        true = differences(self.aws) if self.aws.is_managed else {}
        published = [e.detail for e in self.aws.events if e.detail_type == DRIFT]
        found = [e.detail for e in self.aws.events if e.detail_type == _FINDING]
        self.aws.events.clear()
        counts = Counter((one["region"], one["property"]) for one in published)
        hands = {*self.touched, *self.touched_before}
        assert counts.keys() <= hands, f"published, though nobody did it: {counts.keys() - hands}"
        self._check_released(published, found)
        self._check_found(found, hands)
        for subject, count in counts.items():
            most = self.touched[subject] + self.chances
            assert count <= most, f"{subject} was published {count} times, not {most}"
        for subject, value in true.items():
            is_known = self.open.get(subject, "nothing") == value
            assert is_known or counts[subject], f"{subject} was never published"
        assert self.aws.open_differences == true.keys(), "what is open is not what is true"
        if self.drift_mode == "REPAIR":
            self._check_repaired({*true})
        self.open, self.chances = true, 0
        self.touched_before |= self.touched.keys()
        self.touched.clear()

    def _check_released(self, *published: list[dict[str, Any]]) -> None:
        """Check that nothing is said of a set that was released all the time."""
        since = self.aws.record.get("releasedAt")
        if since and since == self.released_since:
            said = [one for some in published for one in some if one.get("action") != "RESUMED"]
            assert said == [], "something was said of a released set"
        self.released_since = since

    def _check_found(self, found: list[dict[str, Any]], hands: set[Subject]) -> None:
        """Check that the sweep says nothing of what the stack itself did."""
        for one in found:
            if what := _FOUND_FOR.get(one["kind"]):
                assert (one["region"], what) in hands, f"{one['kind']}, though nobody did it"
            elif one["kind"] == "SURPLUS_KEY":
                assert self.aws.key_id not in one["keyArn"], "the key of the set is surplus"
            else:
                assert one["kind"] in ("REQUEST_STUCK", "UNFINISHED_KEY_SET")

    def _check_repaired(self, left: set[Subject]) -> None:
        """Check that what is left is left to a person to decide on, whatever has failed before."""
        is_finished = self.aws.is_managed and self._status() in ("CREATED", "UPDATED")
        is_decided = all(name != "keyState" for _, name in left)
        if is_finished and is_decided:
            assert left == set(), "it was not repaired"

    def _status(self) -> str:
        return str(self.aws.record["status"]["S"])

    def _come_to_rest(self) -> None:
        self.aws.lags = False
        if not self._is_swept:
            self.finish()
            self.aws.time += 86_400  # So that a set may be repaired again.
        for _ in range(12):
            self.finish()
            self.aws.time += 1_000
            if not (self.aws.key_events or self.aws.looks):
                break
            events, self.aws.key_events = self.aws.key_events, []
            self._add("look", partial(self._look_with_due, events))
        else:
            raise AssertionError("looks are asked for without end")
        if not self._is_swept:
            self._is_swept = True
            self._add("sweep", self._sweep)
            self._come_to_rest()
            self._is_swept = False

    _is_swept = False

    def go_far(self, calls: int) -> None:
        """Let what runs get so many calls further, through all its waits."""
        for _ in range(calls):
            if not self.awake():
                self.let_time_pass(seconds=60)
            if self.awake():
                self.go_on(which=0, calls=1)

    def look_at_all(self) -> None:
        """Let whoever asks for it look at the key set, and that look come to its end."""
        self._add("look", lambda: self._look([{"look": {"requestId": REQUEST_ID, "events": []}}]))
        while not self.steppers[-1].is_done:
            self.steppers[-1].step()

    def finish(self) -> None:
        """Let all that runs come to its end."""
        self._run_started()
        while any(not one.is_done for one in self.steppers):
            for stepper in self.awake():
                stepper.step()
            self._run_started()
            waiting = [one.wakes_at for one in self.steppers if not one.is_done and one.wakes_at]
            if waiting and not self.awake():
                self.aws.time = min(waiting)
        self.steppers.clear()

    def _due(self) -> list[dict[str, Any]]:
        due = [body for at, body in self.aws.looks if at <= self.aws.time]
        self.aws.looks[:] = [one for one in self.aws.looks if one[0] > self.aws.time]
        return due

    def _look_with_due(self, events: list[dict[str, Any]]) -> None:
        self._look(events + self._due())

    def _look(self, bodies: list[dict[str, Any]]) -> None:
        try:
            failed = self.aws.look(bodies)
        except workflow.StateFailed:
            failed = bodies
        self.aws.key_events += [one for one in failed if "look" not in one]
        self.aws.looks += [(self.aws.time, one) for one in failed if "look" in one]

    def _sweep(self) -> None:
        try:
            workflow.sweep(self.aws)
        except workflow.StateFailed:
            return  # The next one is due in an hour.

    def _choose(self, which: int) -> Stepper:
        awake = self.awake()
        return awake[which % len(awake)]

    def _run_started(self) -> None:
        while self.aws.to_run:
            self._run(self.aws.to_run.pop())

    def _ask(self, call: Callable[[], Any]) -> None:
        """Call the API, whose own calls halt as well; who gets no answer leaves it at that."""

        def ask() -> None:
            with suppress(workflow.StateFailed):
                call()

        self._add("api", ask)

    def _run(self, execution: Execution) -> None:
        self._add(execution.arn, lambda: workflow.run(self.aws, execution))

    def _add(self, name: str, work: Callable[[], None]) -> None:
        self.steppers.append(Stepper(name, work))


class RepairedKeySet(LookedAtKeySet):
    """The same, where the stack repairs by itself what no person has to decide."""

    drift_mode = "REPAIR"


_SETTINGS = histories(25, steps=40)
TestLookedAtKeySet = LookedAtKeySet.TestCase
TestLookedAtKeySet.settings = _SETTINGS
TestRepairedKeySet = RepairedKeySet.TestCase
TestRepairedKeySet.settings = _SETTINGS


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.BROKEN_AFTER, Fault.KILLED_AFTER])
def test_after_one_fault_at_any_call_of_a_look_the_set_is_repaired(fault: Fault) -> None:
    for calls in range(_MOST_CALLS):
        state = RepairedKeySet()
        state.change_by_hand(which=0, what="description", value=1)
        state.let_time_pass(seconds=1_000)
        state.look(which=0, size=1, again=False)
        state.go_wrong(which=0, calls=calls, fault=fault)
        state.teardown()
        assert state.open == {}


@pytest.mark.parametrize("kind", ["creation", "adoption", "revision", "release"])
def test_a_look_in_the_middle_of_a_run_publishes_nothing(kind: str) -> None:
    for calls in range(0, 120, 20):
        state = LookedAtKeySet()
        match kind:
            case "creation":
                state.begin("nothing")
            case "adoption":
                state.begin("of others")
            case "revision":
                state.revise(kind="other", which=0)
            case "release":
                state.operate("RELEASE")
        state.go_far(30 + calls)  # The first ones start the execution that does the work.
        state.sweep()
        state.look_at_all()
        state.teardown()
        assert not state.touched_before


@pytest.mark.parametrize("when", ["during", "after"])
@pytest.mark.parametrize("is_heard", [True, False])
def test_what_is_changed_by_hand_in_an_adoption_is_published_once(
    when: str, is_heard: bool
) -> None:
    for calls in range(0, 60, 20):
        state = LookedAtKeySet()
        state.begin("of others")
        state.go_far(30 + calls)
        if when == "after":
            state.finish()
        state.change_by_hand(which=1, what="description", value=1)
        if not is_heard:
            state.lose_event(which=len(state.aws.key_events) - 1)
        state.teardown()
        is_found = state.open.keys() == {("us-east-1", "description")}
        assert is_found if state.aws.is_managed else state.open == {}


def test_a_read_that_is_refused_once_is_no_difference() -> None:
    for calls in range(_MOST_CALLS):
        state = LookedAtKeySet()
        state.change_by_hand(which=0, what="description", value=1)
        state.look(which=0, size=1, again=False)
        state.go_wrong(which=0, calls=calls, fault=Fault.REFUSED)
        state.teardown()
        assert state.open.keys() == {("eu-west-1", "description")}


def test_nothing_is_published_of_a_released_set() -> None:
    state = LookedAtKeySet()
    state.change_by_hand(which=0, what="description", value=1)
    state.rest()
    assert state.open != {}
    state.operate("RELEASE")
    state.rest()
    assert state.open == {}
    state.change_by_hand(which=1, what="alias", value=1)
    state.teardown()
    assert state.open == {}


@pytest.mark.parametrize("seconds", [0, 10, 120, 190])
def test_what_kms_still_shows_of_before_a_run_is_not_published(seconds: int) -> None:
    state = LookedAtKeySet()
    state.revise(kind="alias", which=1)
    state.finish()
    state.let_kms_lag(lags=True)
    state.let_time_pass(seconds=seconds)
    state.look_at_all()
    state.teardown()
