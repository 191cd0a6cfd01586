"""What becomes of a key set over the years: revisions, old documents, crashes, hands and sweeps.

The set is finished and others use it. Executions run side by side, in any order of their calls,
with any faults. FAULTS_EXAMPLES sets how many histories are tried; CI tries few.
"""

import contextlib
from collections.abc import Callable

from botocore.exceptions import ClientError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.faults import wiring, workflow
from tests.support.faults.changes import (
    BY_HAND,
    FOREIGN_ALIAS,
    Declared,
    Document,
    ended_without_promotion,
)
from tests.support.faults.changing import ChangingAws, regions_of
from tests.support.faults.faults import Fault
from tests.support.faults.histories import histories
from tests.support.faults.interrupted import cancel
from tests.support.faults.kms import Key, KmsInRegion
from tests.support.faults.revisions import KINDS, next_document, recovery
from tests.support.faults.stepping import Stepper

_MOST_AT_ONCE = 3
_FAULTS = sorted(set(Fault) - {Fault.REDELIVERED, Fault.STOPPED})
_NEAR = 40
_WRITES = (
    "UpdateItem",
    "PutEvents",
    "UpdatePrimaryRegion",
    "ScheduleKeyDeletion",
    "DisableKey",
    "CancelKeyDeletion",
    "ReplicateKey",
    "TagResource",
)
_ANY = st.integers(min_value=0, max_value=11)
_ALSO_BY_HAND = "eu-north-1"


class OneKeySet(RuleBasedStateMachine):
    """What can happen to one finished key set."""

    def __init__(self) -> None:
        super().__init__()
        self.aws = ChangingAws()
        wiring.use(self.aws)
        self.steppers: list[Stepper] = []
        self.is_as_declared = True
        """Whether nobody has changed by hand what a declaration names."""
        self.kept_by_hand: set[str] = set()
        """Regions whose keys stay where no declaration names them any more."""

    @rule(kind=st.sampled_from(KINDS), which=_ANY, at_once=st.booleans())
    @precondition(lambda self: self.has_room())
    def revise(self, kind: str, which: int, at_once: bool) -> None:
        """Send the next revision, and perhaps let it come to its end."""
        self._send(next_document(self.aws, kind, which))
        if at_once:
            self._come_to_rest()

    @rule(kind=st.sampled_from(KINDS), which=_ANY)
    @precondition(lambda self: self.has_room())
    def revise_without_words(self, kind: str, which: int) -> None:
        self._send({**next_document(self.aws, kind, which), "confirm": []})

    @rule(which=_ANY)
    @precondition(lambda self: self.has_room())
    def deliver_again(self, which: int) -> None:
        """Deliver any document that was ever sent."""
        documents = [*self.aws.sent.values()]
        self._start(documents[-1 - which % len(documents)])

    @rule(which=_ANY, calls=st.integers(min_value=1, max_value=30))
    @precondition(lambda self: self.awake())
    def go_on(self, which: int, calls: int) -> None:
        """Let one execution get some calls further."""
        stepper = self._choose(which)
        for _ in range(calls):
            if stepper in self.awake():
                stepper.step()

    @rule(which=_ANY, fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.awake())
    def go_wrong(self, which: int, fault: Fault) -> None:
        """Let the next call of one execution meet a fault."""
        self._choose(which).step(fault)

    @rule(which=_ANY, operation=st.sampled_from(_WRITES), fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.awake())
    def go_wrong_at(self, which: int, operation: str, fault: Fault) -> None:
        """Let one execution come to a write, if one is near, and let that meet a fault."""
        stepper = self._choose(which)
        for _ in range(_NEAR):
            if stepper not in self.awake():
                return
            if stepper.call and stepper.call.operation == operation:
                stepper.step(fault)
                return
            stepper.step()

    @rule(which=_ANY)
    @precondition(lambda self: self.awake())
    def stop(self, which: int) -> None:
        """Stop an execution; its function that runs goes on to its own end."""
        name = self._choose(which).name
        if name in self.aws.executions and self.aws.executions[name].status == "RUNNING":
            self.aws.executions[name].status = "ABORTED"

    @rule(seconds=st.sampled_from([1, 30, 400, 1000, 86_400]))
    def let_time_pass(self, seconds: int) -> None:
        self.aws.time += seconds

    @rule()
    @precondition(lambda self: self.has_room())
    def sweep(self) -> None:
        """Start a sweep, as the schedule does."""
        self._add("sweep", self._sweep)

    @rule()
    @precondition(lambda self: self.has_room())
    def cancel(self) -> None:
        """Send DELETE for the request, whether anything is under way or not."""
        self._add("cancel", self._cancel)

    @rule(which=_ANY)
    def tag_and_name_by_hand(self, which: int) -> None:
        key = self._key(which)
        key.tags[f"owner-{which % 3}"] = f"finance-{which}"
        place = key.region, f"{FOREIGN_ALIAS}-{which % 3}"
        self.aws.kms.aliases[place], self.aws.kms.named_at[place] = key.arn, self.aws.time

    @rule(which=_ANY, operation=st.sampled_from(["enable_key", "disable_key"]))
    def enable_or_disable_by_hand(self, which: int, operation: str) -> None:
        self._by_hand(self._key(which), operation)

    @rule(which=_ANY)
    def promote_by_hand(self, which: int) -> None:
        home, target = self.aws.primary(), self._key(which)
        self._by_hand(home, "update_primary_region", PrimaryRegion=target.region)

    @rule(which=_ANY)
    def cancel_a_deletion_by_hand(self, which: int) -> None:
        key = self._key(which)
        if self._by_hand(key, "cancel_key_deletion"):
            self.kept_by_hand.add(key.region)

    @rule()
    def replicate_by_hand(self) -> None:
        with contextlib.suppress(ClientError):
            self.aws.kms.replicate(self.aws.primary(), _ALSO_BY_HAND)

    @invariant()
    def nothing_is_wrong_yet(self) -> None:
        for execution in self.aws.to_run:
            self._run(execution.arn)
        self.aws.to_run.clear()
        assert self.aws.violations == []
        assert sum(k.facts["type"] == "PRIMARY" for k in self.aws.keys().values()) == 1

    def teardown(self) -> None:
        """Let faults stop and all that runs end; deliver once more, sweep, and set it right."""
        try:
            self._settle()
            self._deliver_the_newest()
            assert [*self.aws.problems_of_the_outcomes()] == []
            status = self.aws.record["status"]["S"]
            assert status in ("CREATED", "UPDATED", "UPDATE_FAILED", "DECOMMISSIONED")
            assert "publishedAt" in self.aws.record
            if (
                self.is_as_declared
                and not self.aws.touched
                and not ended_without_promotion(self.aws)
            ):
                assert status != "UPDATE_FAILED", self.aws.events[-1]
                assert self._differences() == []
            self._set_right()
        finally:
            for stepper in self.steppers:
                stepper.abandon()

    def has_room(self) -> bool:
        return len(self.awake()) < _MOST_AT_ONCE

    def awake(self) -> list[Stepper]:
        """List those that can go on now."""
        return [
            stepper
            for stepper in self.steppers
            if not stepper.is_done and (stepper.wakes_at or 0) <= self.aws.time
        ]

    def _set_right(self) -> None:
        """Send a revision after all that was done by hand: the set is as it declares."""
        self.aws.touched.clear()
        document = recovery(self.aws)
        self._send(document)
        self._settle()
        assert self.aws.newest == document, self.aws.events[-1]
        assert self.aws.record["status"]["S"] == "UPDATED", self.aws.events[-1]
        assert self._differences() == []
        assert [*self.aws.problems_of_the_outcomes()] == []

    def _differences(self) -> list[str]:
        declared = Declared(self.aws, self.aws.newest, self.aws.key_id)
        kept = {_ALSO_BY_HAND, *self.kept_by_hand} - {*regions_of(self.aws.newest)}
        return [text for text in declared.problems() if not any(region in text for region in kept)]

    def _deliver_the_newest(self) -> None:
        self._start(self.aws.newest)
        self._settle()

    def _settle(self) -> None:
        self._come_to_rest()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self._add("sweep", self._sweep)
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self.nothing_is_wrong_yet()
        while any(not stepper.is_done for stepper in self.steppers):
            for stepper in self.awake():
                stepper.step()
            self.nothing_is_wrong_yet()
            waiting = [s.wakes_at for s in self.steppers if not s.is_done and s.wakes_at]
            if waiting and not self.awake():
                self.aws.time = min(waiting)

    def _by_hand(self, key: Key, operation: str, **arguments: str) -> bool:
        """Call KMS as somebody who may do everything; False where KMS refuses."""
        try:
            getattr(KmsInRegion(self.aws.kms, key.region), operation)(KeyId=key.arn, **arguments)
        except ClientError:
            return False
        self.is_as_declared = False
        return True

    def _key(self, which: int) -> Key:
        others = (BY_HAND, _ALSO_BY_HAND)
        keys = [key for region, key in sorted(self.aws.keys().items()) if region not in others]
        return keys[which % len(keys)]

    def _choose(self, which: int) -> Stepper:
        awake = self.awake()
        return awake[which % len(awake)]

    def _send(self, document: Document) -> None:
        self.aws.sent[document["description"]] = document
        self._start(document)

    def _start(self, document: Document) -> None:
        self._run(self.aws.new_execution(document).arn)

    def _run(self, arn: str) -> None:
        execution = self.aws.executions[arn]
        self._add(arn, lambda: workflow.run(self.aws, execution))

    def _cancel(self) -> None:
        with contextlib.suppress(workflow.StateFailed):  # whoever sent it may send it again
            cancel(self.aws)

    def _sweep(self) -> None:
        try:
            workflow.sweep(self.aws)
        except workflow.StateFailed:
            return  # the next one is due in an hour

    def _add(self, name: str, work: Callable[[], None]) -> None:
        self.steppers.append(Stepper(name, work))


TestOneKeySet = OneKeySet.TestCase
TestOneKeySet.settings = histories(120, steps=40)
