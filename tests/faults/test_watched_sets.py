"""What becomes of key sets that were created once, whatever people, requests, time and faults do.

FAULTS_EXAMPLES sets how many histories are tried; CI tries few.
"""

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from provisioner.settings import settings
from tests.support.faults import wiring, workflow
from tests.support.faults.api import ask
from tests.support.faults.aws import Call, Event, Execution, Network
from tests.support.faults.faults import Fault, go_wrong
from tests.support.faults.histories import histories
from tests.support.faults.holder import answer, asked_for, give
from tests.support.faults.kms import Key
from tests.support.faults.scenario import policy_of
from tests.support.faults.stepping import Stepper
from tests.support.faults.watched import (
    DAY,
    LEAVING,
    STACK,
    KeySet,
    Watched,
    WatchedAws,
    expected,
    hands_in,
    problems_of_a_creation,
    regions_of,
)

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
_MOST_SETS = 3
_ANY = st.integers(min_value=0, max_value=11)
_REFUSABLE = ("CreateAlias", "ReplicateKey", "ImportKeyMaterial", "GetParametersForImport")
_FAULTS = (Fault.REFUSED, Fault.BROKEN_AFTER, Fault.SILENT_AFTER, Fault.KILLED, Fault.KILLED_AFTER)
_TIMES = (60, 3_600, 5 * 3_600, DAY, 3 * DAY, 9 * DAY, 31 * DAY, 80 * DAY)
_EXPIRIES = (None, None, 20, 45, 300)
_DEFAULT_POLICY = json.dumps({**policy_of("Somebody"), "Id": "by hand"})


class Refusing(Network):
    """Refuses every call of one operation in one Region."""

    def __init__(self, operation: str, region: str) -> None:
        self._place = (operation, region)

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        is_refused = (call.operation, call.region) == self._place
        return go_wrong(call, effect, Fault.REFUSED) if is_refused else effect()


class Failing(Network):
    """Lets one call go wrong, by its number."""

    def __init__(self, place: int, fault: Fault) -> None:
        self._left, self._fault = place, fault

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        self._left -= 1
        return go_wrong(call, effect, self._fault) if self._left == -1 else effect()


class WatchedSets(RuleBasedStateMachine):
    """A few key sets, and what can happen to them in years."""

    may_delete = False

    def __init__(self) -> None:
        super().__init__()
        self.aws = WatchedAws()
        wiring.use(self.aws)
        self._allow_deletion(allowed=self.may_delete)
        self.watched = Watched(self.aws)
        self.sets: dict[str, KeySet] = {}
        self.steppers: list[tuple[Stepper, Execution]] = []
        self.heard = 0
        self.forged: set[str] = set()
        self.is_interrupted = False
        self.others = {region: self._key_of_others(region) for region in REGIONS}

    # What is asked for

    @initialize(order=st.permutations(REGIONS), imported=st.booleans(), days=_ANY)
    def first(self, order: list[str], imported: bool, days: int) -> None:
        """Most of what can happen needs a key set that is there."""
        self._send(self._document(order[:2], imported, "RETAIN", days))
        self._answer_all()

    @rule(
        order=st.permutations(REGIONS),
        size=st.integers(min_value=1, max_value=3),
        imported=st.booleans(),
        on_failure=st.sampled_from(["RETAIN", "ROLL_BACK"]),
        days=_ANY,
        trouble=_ANY,
    )
    @precondition(lambda self: len(self.sets) < _MOST_SETS)
    def create(  # noqa: PLR0917
        self,
        order: list[str],
        size: int,
        imported: bool,
        on_failure: str,
        days: int,
        trouble: int,
    ) -> None:
        """Ask for a key set; often something is in the way of it."""
        with_trouble = trouble < len(_REFUSABLE)
        network = Refusing(_REFUSABLE[trouble], order[size - 1]) if with_trouble else self.aws
        self._send(self._document(order[:size], imported, on_failure, days), network)

    @rule(which=_ANY, place=st.integers(min_value=0, max_value=60), fault=st.sampled_from(_FAULTS))
    def send_again(self, which: int, place: int, fault: Fault) -> None:
        """Send a request again as it was, over a network on which a call may go wrong."""
        if one := self._choose_set(which):
            self._send(one.document, Failing(place, fault))

    @rule(which=_ANY, days=_ANY)
    def renew(self, which: int, days: int) -> None:
        """Ask for other terms for the key material, or the same where that is gone."""
        one = self._choose_set(which)
        if one and one.document["origin"] == "EXTERNAL" and self._is_settled(one):
            is_needed = self._lacks_material(one)
            self._send({**one.document, "keyMaterial": self._material(days)})
            asked = asked_for(self.aws, one.document["requestId"])
            assert asked or not is_needed, "material is missing, and nobody is asked for it"

    @rule(which=_ANY, days=_ANY, own=st.booleans())
    def correct(self, which: int, days: int, own: bool) -> None:
        """Send a request that failed with other content."""
        one = self._choose_set(which)
        if one is None or one.created or not self._is_settled(one):
            return
        document = {**one.document, "description": "as corrected", "tags": {"team": "other"}}
        if document["origin"] == "EXTERNAL":
            document["keyMaterial"] = self._material(days)
        if own and document["replicas"]:
            document["replicas"] = [
                {"region": one["region"], "alias": f"{document['alias']}-own", "description": None}
                for one in document["replicas"]
            ]
        self._send(document)

    @rule(place=st.integers(min_value=0, max_value=40), fault=st.sampled_from(_FAULTS))
    @precondition(lambda self: self.steppers)
    def answer_badly(self, place: int, fault: Fault) -> None:
        """Answer what is asked, and let one call go wrong on the way."""
        self.aws.network = Failing(place, fault)
        self._answer_all()

    @rule()
    @precondition(lambda self: self.steppers)
    def answer(self) -> None:
        """Answer every question until there is none."""
        self._answer_all()

    @rule(which=_ANY)
    @precondition(lambda self: self.steppers)
    def cancel(self, which: int) -> None:
        request_id = self.steppers[which % len(self.steppers)][1].document["requestId"]
        ask(self.aws, "DELETE", request_id)
        self._go_on()

    @rule(which=_ANY)
    @precondition(lambda self: self.steppers)
    def stop(self, which: int) -> None:
        """Stop an execution that waits, in the console."""
        stepper, execution = self.steppers[which % len(self.steppers)]
        execution.status = "ABORTED"
        stepper.wakes_at = self.aws.time
        self._go_on()

    # What people do by hand

    @rule(which=_ANY, ours=st.booleans(), value=st.sampled_from([None, "something else", "CHG0"]))
    def change_tag(self, which: int, ours: bool, value: str | None) -> None:
        if key := self._choose_key(which):
            name = ("mrk:request-id", "mrk:stack")[which % 2] if ours else "team"
            hands = hands_in(self.aws, key.region)
            if value is None:
                self._do(lambda: hands.untag_resource(KeyId=key.arn, TagKeys=[name]))
            else:
                tags = [{"TagKey": name, "TagValue": value}]
                self._do(lambda: hands.tag_resource(KeyId=key.arn, Tags=tags))

    @rule(which=_ANY)
    def put_tags_back(self, which: int) -> None:
        if key := self._choose_key(which):
            request_id = self.watched.requests.get(key.key_id) or self._request_of(key)
            given = {"mrk:stack": STACK, "mrk:request-id": request_id}
            tags = [{"TagKey": name, "TagValue": value} for name, value in given.items()]
            hands = hands_in(self.aws, key.region)
            self._do(lambda: hands.tag_resource(KeyId=key.arn, Tags=tags))

    @rule(which=_ANY, how=st.sampled_from(["delete", "move", "restore", "restore", "add"]))
    def change_alias(self, which: int, how: str) -> None:
        key = self._choose_key(which)
        if key is None:
            return
        request_id = self._request_of(key)
        alias, hands = f"alias/{request_id}", hands_in(self.aws, key.region)
        other = self.others[key.region].arn
        acts: dict[str, Callable[[], Any]] = {
            "delete": lambda: hands.delete_alias(AliasName=alias),
            "move": lambda: hands.update_alias(AliasName=alias, TargetKeyId=other),
            "restore": lambda: (
                hands.update_alias(AliasName=alias, TargetKeyId=key.arn)
                if (key.region, alias) in self.aws.kms.aliases
                else hands.create_alias(AliasName=alias, TargetKeyId=key.arn)
            ),
            "add": lambda: hands.create_alias(AliasName=f"{alias}-more", TargetKeyId=key.arn),
        }
        self._do(acts[how])

    @rule(which=_ANY, how=st.sampled_from(["disable", "enable", "schedule", "cancel"]))
    def change_state(self, which: int, how: str) -> None:
        if key := self._choose_key(which):
            hands, arn = hands_in(self.aws, key.region), key.arn
            acts: dict[str, Callable[[], Any]] = {
                "disable": lambda: hands.disable_key(KeyId=arn),
                "enable": lambda: hands.enable_key(KeyId=arn),
                "schedule": lambda: hands.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7),
                "cancel": lambda: hands.cancel_key_deletion(KeyId=arn),
            }
            self._do(acts[how])

    @rule(which=_ANY, policy=st.booleans())
    def change_setting(self, which: int, policy: bool) -> None:
        if key := self._choose_key(which):
            hands, arn = hands_in(self.aws, key.region), key.arn
            if policy:
                self._do(lambda: hands.put_key_policy(KeyId=arn, Policy=_DEFAULT_POLICY))
            else:
                self._do(lambda: hands.update_key_description(KeyId=arn, Description="by hand"))

    @rule(which=_ANY, region=st.sampled_from(REGIONS), anew=st.booleans())
    def promote_or_replicate(self, which: int, region: str, anew: bool) -> None:
        """Let another Region be the primary's, or make a replica there as it comes."""
        key = self._choose_key(which)
        primary = key and self._primary_of(key)
        if not primary:
            return
        hands, arn = hands_in(self.aws, primary.region), primary.arn
        if anew:
            self._do(
                lambda: hands.replicate_key(
                    KeyId=arn,
                    ReplicaRegion=region,
                    Description="",
                    Policy=_DEFAULT_POLICY,
                    Tags=[],
                )
            )
        else:
            self._do(lambda: hands.update_primary_region(KeyId=arn, PrimaryRegion=region))

    @rule(which=_ANY)
    def delete_material(self, which: int) -> None:
        if key := self._choose_key(which):
            hands = hands_in(self.aws, key.region)
            self._do(lambda: hands.delete_imported_key_material(KeyId=key.arn))

    @rule(region=st.sampled_from(REGIONS), which=st.sampled_from(["", "CHG0", "CHG77"]))
    @precondition(lambda self: len(self.forged) < 2)
    def forge(self, region: str, which: str) -> None:
        """Make a key that carries the stack's tags, and perhaps those of a request."""
        tags = {"mrk:stack": STACK} | ({"mrk:request-id": which} if which else {})
        arn = self._key_of_others(region, tags).arn
        self.forged.add(arn)

    # Time, and the sweep

    @rule(seconds=st.sampled_from(_TIMES))
    def let_time_pass(self, seconds: int) -> None:
        until = self.aws.time + seconds
        while waking := [s.wakes_at for s, _ in self.steppers if (s.wakes_at or 0) <= until]:
            self.aws.time = max(self.aws.time, min(one or 0 for one in waking))
            self._go_on()
        self.aws.time = max(self.aws.time, until)

    @rule(place=st.integers(min_value=0, max_value=25), fault=st.sampled_from(_FAULTS))
    def sweep_halfway(self, place: int, fault: Fault) -> None:
        """Let a sweep meet a fault or die, and another one go on when its lease is over."""
        self.aws.network = Failing(place, fault)
        self._sweep({})
        self.aws.network = self.aws
        self._go_on()
        self.aws.time += 901
        self._sweep({"leftOver": True})
        self.is_interrupted = True
        self._go_on()

    @rule()
    def sweep(self) -> None:
        """Sweep, and compare what is open with what is true; sweep again and hear nothing new."""
        if self.is_interrupted:
            # What went before in an interrupted listing may have been seen otherwise than it is.
            self._sweep({})
            self._go_on()
            self.is_interrupted = False
        if any(key.updating_until > self.aws.time for key in self.aws.kms.keys.values()):
            self.aws.time += 60
        statuses = self._statuses()
        self._sweep({})
        self._check_open()
        self._go_on()
        if self._statuses() != statuses:
            # What the sweep resumed has ended since, and some findings say what became of it.
            self._sweep({})
            self._go_on()
        before = len(self.aws.events)
        self._sweep({})
        again = [e.detail for e in self.aws.events[before:] if e.detail.get("action") == "REPORTED"]
        assert again == [], "a finding was published again, and nothing had changed"
        self._go_on()

    def teardown(self) -> None:
        try:
            self.aws.network = self.aws
            self.let_time_pass(1_000)
            self.sweep()
        finally:
            self._allow_deletion(allowed=False)
            for stepper, _ in self.steppers:
                stepper.abandon()

    # How it is done

    def _statuses(self) -> dict[str, Any]:
        items = self.aws.dynamodb.tables["requests"].items()
        return {request_id: item["status"] for request_id, item in items}

    def _allow_deletion(self, *, allowed: bool) -> None:
        os.environ["SWEEPER_MAY_DELETE"] = str(allowed).lower()
        settings.cache_clear()

    def _document(
        self, order: list[str], imported: bool, on_failure: str, days: int
    ) -> dict[str, Any]:
        request_id = f"CHG{len(self.sets)}"
        document: dict[str, Any] = {
            "requestId": request_id,
            "primaryRegion": order[0],
            "origin": "EXTERNAL" if imported else "AWS_KMS",
            "alias": f"alias/{request_id}",
            "description": "Card data",
            "tags": {"team": "payments"},
            "policy": {"document": policy_of("CardService")},
            "replicas": [{"region": region} for region in order[1:]],
            "onFailure": on_failure,
        }
        return document | ({"keyMaterial": self._material(days)} if imported else {})

    def _material(self, days: int) -> dict[str, Any]:
        if (expires_in := _EXPIRIES[days % len(_EXPIRIES)]) is None:
            return {"expires": False, "deadlineInDays": 2}
        valid_to = datetime.fromtimestamp(int(self.aws.time) + expires_in * DAY, UTC)
        return {"validTo": valid_to.strftime("%Y-%m-%dT%H:%M:%SZ"), "deadlineInDays": 2}

    def _key_of_others(self, region: str, tags: dict[str, str] | None = None) -> Key:
        given = [{"TagKey": name, "TagValue": value} for name, value in (tags or {}).items()]
        made = hands_in(self.aws, region).create_key(
            MultiRegion=True,
            KeySpec="SYMMETRIC_DEFAULT",
            KeyUsage="ENCRYPT_DECRYPT",
            Origin="AWS_KMS",
            Description="",
            Policy=_DEFAULT_POLICY,
            Tags=given,
        )
        return self.aws.kms.keys[made["KeyMetadata"]["Arn"]]

    def _choose_set(self, which: int) -> KeySet | None:
        sets = list(self.sets.values())
        return sets[which % len(sets)] if sets else None

    def _choose_key(self, which: int) -> Key | None:
        """Choose a key of a set that no run is about to create."""
        keys = [
            key
            for key in self.aws.kms.keys.values()
            if not self.aws.kms.is_gone(key)
            if (one := self.sets.get(self._request_of(key))) is not None
            if one.created or self._is_settled(one)
        ]
        return keys[which % len(keys)] if keys else None

    def _request_of(self, key: Key) -> str:
        for request_id, item in self.aws.dynamodb.tables["requests"].items():
            if item.get("keyArn", {}).get("S", "").endswith(key.key_id):
                return request_id
        return ""

    def _primary_of(self, key: Key) -> Key | None:
        same_set = [one for one in self.aws.kms.keys.values() if one.key_id == key.key_id]
        return next((one for one in same_set if one.facts["type"] == "PRIMARY"), None)

    def _is_settled(self, one: KeySet) -> bool:
        """Whether no run works on a request, nor will one without being asked."""
        item = self.aws.dynamodb.tables["requests"].get(one.document["requestId"], {})
        return "contentHash" in item and "unfinished" not in item

    def _lacks_material(self, one: KeySet) -> bool:
        """Whether a created set can be used again as soon as its material is imported."""
        if one.created is None or one.arn is None:
            return False
        rest = one.arn.split(":", 4)[4]
        arns = [f"arn:aws:kms:{region}:{rest}" for region in regions_of(one.created)]
        keys = [self.aws.kms.keys.get(arn) for arn in arns]
        states = {
            "gone"
            if key is None or self.aws.kms.is_gone(key) or key.tags.get("mrk:stack") != STACK
            else self.aws.kms.state_of(key)
            for key in keys
        }
        return "PendingImport" in states and states <= {"PendingImport", "Enabled"}

    def _do(self, act: Callable[[], Any]) -> None:
        """Let somebody do something in KMS, if KMS lets them."""
        try:
            act()
        except ClientError:
            return
        self.watched.accept()

    def _send(self, document: dict[str, Any], network: Network | None = None) -> None:
        one = self.sets.setdefault(document["requestId"], KeySet(document))
        self.aws.network = network or self.aws
        self._start(self.aws.new_execution(document))
        self._go_on()
        # A request that was refused, or left to another run, is not what its set is about.
        item = self.aws.dynamodb.tables["requests"].get(document["requestId"], {})
        if "request" in item:
            held = json.loads(item["request"]["S"])
            one.document = held

    def _start(self, execution: Execution) -> None:
        stepper = Stepper(execution.arn, lambda: workflow.run(self.aws, execution))
        stepper.wakes_at = self.aws.time
        self.steppers.append((stepper, execution))

    def _answer_all(self) -> None:
        for _ in range(4):
            for request_id in self.sets:
                if asked := asked_for(self.aws, request_id):
                    give(self.aws, answer(request_id, asked))
            self._go_on()

    def _go_on(self) -> None:
        """Let everything go on that waits for nothing, and see what it has done."""
        while True:
            for execution in self.aws.to_run:
                self._start(execution)
            self.aws.to_run.clear()
            awake = [one for one in self.steppers if (one[0].wakes_at or 0) <= self.aws.time]
            if not awake:
                break
            for stepper, execution in awake:
                stepper.step()
                self._hear(execution)
            self.steppers = [one for one in self.steppers if not one[0].is_done]
        self.aws.network = self.aws
        self._hear(None)

    def _hear(self, execution: Execution | None) -> None:
        """Check what was published, and every key of a created set."""
        self.watched.check(execution)
        for event in self.aws.events[self.heard :]:
            if event.detail_type == "Multi-Region Key Created":
                self._take_created(event)
        self.heard = len(self.aws.events)

    def _take_created(self, event: Event) -> None:
        one = self.sets[event.detail["requestId"]]
        arn = event.detail["key"]["primary"]["arn"]
        if one.created is None:
            document = self.aws.executions[event.detail["executionArn"]].document
            assert list(problems_of_a_creation(self.aws, document, arn)) == []
            one.created, one.arn = document, arn
            self.watched.add(document["requestId"], arn)
        assert arn == one.arn

    def _sweep(self, event: dict[str, Any]) -> None:
        """Run a sweep and its workers, each to its end or its death."""
        before = len(self.aws.events)
        leaving = self._leaving()
        work = [("SweepFunction", event)]
        while work:
            name, payload = work.pop(0)
            with contextlib.suppress(workflow.StateFailed):
                workflow.functions()[name].invoke(self.aws, name, payload)
            work += [("SweepRegionFunction", one) for one in self.aws.to_sweep]
            self.aws.to_sweep.clear()
        self._check_deletions(self._leaving() - leaving)
        for found in self.aws.events[before:]:
            if found.detail_type.endswith("Finding"):
                self._check_text(found.detail)
        self._hear(None)

    def _leaving(self) -> set[str]:
        return {key.arn for key in self.aws.kms.keys.values() if key.leaving}

    def _check_deletions(self, new: set[str]) -> None:
        recorded = {
            item["keyArn"]["S"].rsplit("/", 1)[1]
            for item in self.aws.dynamodb.tables["requests"].values()
            if "keyArn" in item
        }
        for arn in new:
            assert self.may_delete, f"{arn} is scheduled for deletion"
            assert arn in self.forged, f"{arn} is scheduled for deletion"
            assert arn.rsplit("/", 1)[1] not in recorded, f"{arn} is scheduled, and recorded"
            assert arn not in self.aws.kms.aliases.values()

    def _check_text(self, detail: dict[str, Any]) -> None:
        """Hold what a finding says against KMS, as it is when it is published."""
        key = self.aws.kms.keys.get(detail["keyArn"] or "")
        if key is None:
            return
        assert detail["region"] == key.region
        state, text = self.aws.kms.state_of(key), detail["message"]
        match detail["kind"]:
            case "KEY_NOT_ENABLED":
                assert f"is {state}," in text
            case "UNFINISHED_KEY_SET":
                assert f"is {state} " in text
            case "SURPLUS_KEY":
                assert "request None" not in text
                is_gone = detail["action"] == "SCHEDULED_FOR_DELETION"
                assert not is_gone or state in LEAVING
            case "ALIAS_ELSEWHERE":
                target = self.aws.kms.aliases.get((key.region, text.split()[0]))
                is_there = target and not self.aws.kms.is_gone(self.aws.kms.keys[target])
                assert f"points to {target if is_there else 'no key'}," in text
            case "PRIMARY_ELSEWHERE":
                primary = self._primary_of(key)
                assert primary
                assert primary.arn in text
                assert "keep working" not in text
            case "MATERIAL_EXPIRES" if key.valid_to:
                verb = "expires" if key.valid_to > self.aws.time else "expired"
                moment = datetime.fromtimestamp(key.valid_to, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                is_gone = "is gone: it has expired" in text and key.valid_to <= self.aws.time
                assert is_gone or f"{verb} at {moment}" in text

    def _records(self) -> list[dict[str, str]]:
        names = ("requestId", "status", "keyArn", "createdAt", "unfinished", "publishedAt")
        items = self.aws.dynamodb.tables["requests"].values()
        return [{name: item[name]["S"] for name in names if name in item} for item in items]

    def _check_open(self) -> None:
        """Compare the open findings with what is true of the keys."""
        published = [e.detail for e in self.aws.events if e.detail_type.endswith("Finding")]
        found = set()
        for item in self.aws.dynamodb.tables["sweep"].values():
            if "finding" in item:
                detail = json.loads(item["finding"]["S"])
                assert detail in published
                found.add((detail["kind"], detail["keyArn"]))
        true = expected(self.aws, self.sets)
        silent = true.must - found
        text = "it is not as it should be, and no finding says so"
        assert not silent, f"{text}: {silent}, {self._records()}"
        false = found - true.may
        assert not false, f"a finding says what is not so: {false}"


class WatchedSetsThatMayBeDeleted(WatchedSets):
    """The same, where the sweep may schedule the deletion of surplus keys."""

    may_delete = True


_SETTINGS = hypothesis_settings(histories(80, steps=40), print_blob=False)
TestWatchedSets = WatchedSets.TestCase
TestWatchedSets.settings = _SETTINGS
TestWatchedSetsThatMayBeDeleted = WatchedSetsThatMayBeDeleted.TestCase
TestWatchedSetsThatMayBeDeleted.settings = hypothesis_settings(
    _SETTINGS, max_examples=max(1, _SETTINGS.max_examples // 2)
)


def test_a_surplus_key_that_was_retired_is_no_finding_while_its_request_goes_on() -> None:
    state = WatchedSetsThatMayBeDeleted()
    state.first(order=["us-east-1", "eu-west-1", "us-west-2"], imported=True, days=0)
    state.forge(region="us-east-1", which="CHG0")
    state.delete_material(which=0)
    for place in (0, 5):
        state.sweep_halfway(fault=Fault.REFUSED, place=place)
    state.send_again(fault=Fault.REFUSED, place=0, which=0)
    state.sweep()
    state.teardown()
