"""One request under one schedule of faults, from its first sending to the sweep afterwards."""

import copy
import hashlib
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from provisioner.domain.policy_meaning import text_means
from tests.support.faults import wiring, workflow
from tests.support.faults.aws import STATE_MACHINE, Aws, Call, Execution, Holder
from tests.support.faults.faults import FaultyNetwork, Schedule
from tests.support.faults.holder import MATERIAL, answer_promptly
from tests.support.faults.kms import ACCOUNT, Key

REQUEST_ID = "CHG0031337"


def policy_of(user: str) -> dict[str, Any]:
    root, user_arn = f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:role/{user}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"},
            {
                "Effect": "Allow",
                "Principal": {"AWS": [user_arn]},
                "Action": ["kms:Decrypt"],
                "Resource": "*",
            },
        ],
    }


REQUEST: dict[str, Any] = {
    "requestId": REQUEST_ID,
    "primaryRegion": "us-east-1",
    "alias": "alias/payments/cards",
    "description": "Card data",
    "tags": {"team": "payments"},
    "policy": {"document": policy_of("CardService")},
    "replicas": [
        {"region": "eu-west-1"},
        {
            "region": "us-west-2",
            "alias": "alias/payments/cards-us",
            "description": None,
            "tags": {"team": "payments-us"},
            "policy": {"document": policy_of("CardServiceUs")},
        },
    ],
}

IMPORTED: dict[str, Any] = {
    **REQUEST,
    "origin": "EXTERNAL",
    "keyMaterial": {"validTo": "2027-11-01T00:00:00Z", "deadlineInDays": 2},
    "replicas": REQUEST["replicas"][:1],
}
"""A key set whose material comes from outside, and expires when the year is almost over."""

RENEWED: dict[str, Any] = {**IMPORTED, "keyMaterial": {"validTo": "2028-09-01T00:00:00Z"}}
"""The same key set; its material is to expire almost a year later."""
RENEWAL = datetime.fromisoformat("2027-10-15T00:00:00Z").timestamp()

# By Region: alias, the caller's tags, policy.
_WANTED: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    region: ("alias/payments/cards", {"team": "payments"}, policy_of("CardService"))
    for region in ("us-east-1", "eu-west-1")
} | {
    "us-west-2": (
        "alias/payments/cards-us",
        {"team": "payments-us"},
        policy_of("CardServiceUs"),
    )
}


Ends = dict[bytes, list[str]]
"""The problems at the end, by the fingerprint of a moment on the way there."""
_LOOKS = 2
"""At how many states after the last fault `play_to` asks whether the end is known."""


class Look(Protocol):
    """Sees a moment of a play; `fingerprint` says which one it is."""

    def __call__(self, fingerprint: Callable[[], bytes], *, is_delivered: bool) -> None: ...


class EndIsKnown(BaseException):
    """What comes now has come before, and its end is known: the play stops here."""


class _RunIsOver(BaseException):
    """The first run of the execution is over, and no more is asked for."""


@dataclass(frozen=True)
class Moment:
    """Right after a state of the execution's first run was entered; that many calls came before.

    `memory` is AWS's, the network's and the execution's, from which a play can go on.
    """

    calls: int
    memory: bytes


@dataclass(frozen=True)
class Report:
    """What came of a schedule: the calls in which faults could happen, and what is wrong."""

    schedule: Schedule
    calls: list[Call]
    problems: list[str]
    aws: Aws

    def __str__(self) -> str:
        places = [f"call {n} ({self.calls[n]}) {fault}" for n, fault in self.schedule]
        return " and ".join(places or ["no fault"]) + ": " + "; ".join(self.problems)


class Scenario:
    """The request, sent over a network with faults.

    `sure_runs` is how many runs of executions come first, whatever the faults do.
    """

    sure_runs = 1

    def __init__(
        self,
        schedule: Schedule = (),
        *,
        aws: Aws | None = None,
        document: dict[str, Any] | None = None,
        definition: dict[str, Any] | None = None,
        holder: Holder | None = None,
    ) -> None:
        self.aws = aws or Aws()
        self.aws.holder = holder or self.aws.holder
        self.document = document or REQUEST
        self.definition = definition
        self.schedule = schedule
        self.runs = 0
        self._since: Moment | None = None
        self.network = FaultyNetwork(self.aws, schedule, self.deliver)
        self.aws.network = self.network
        wiring.use(self.aws)

    def deliver(self) -> None:
        """Deliver the event: one more execution, and what it starts, run to its end."""
        self.run(self.aws.new_execution(self.document))
        self.run_started()

    def run(self, execution: Execution) -> None:
        if workflow.INVOCATION.get(None) is None:
            self.runs += 1
        workflow.run(self.aws, execution, self._definition_of(execution))

    def _definition_of(self, execution: Execution) -> dict[str, Any] | None:
        return self.definition if execution.machine == STATE_MACHINE else None

    def run_started(self) -> None:
        """Run what StartExecution was called for, and what that starts in turn."""
        while self.aws.to_run:
            self.run(self.aws.to_run.pop())

    def sweep(self) -> None:
        """Run the sweeper, and whatever it starts."""
        workflow.sweep(self.aws)
        self.run_started()

    def play(self) -> Report:
        """Send the request; again if it did not succeed; once more after faults; sweep later."""
        if self._since:
            self._go_on(self._since)
        else:
            self.deliver()
        self.network.enter(_delivered)
        return self._report(self._come_to_rest())

    def moments(self) -> list[Moment]:
        """Play the first run of the execution, and return a moment of it after each call or so."""
        assert self.sure_runs == 1
        found: list[Moment] = []

        def between(place: Callable[[], Any]) -> None:
            if self.runs != 1:
                raise _RunIsOver
            if not found or len(self.network.calls) > found[-1].calls:
                memory = (self.aws.memory(), self.network.memory(), place())
                found.append(Moment(len(self.network.calls), pickle.dumps(memory)))

        self.network.watch = between
        with suppress(_RunIsOver):
            self.deliver()
        return found

    def _go_on(self, since: Moment) -> None:
        """Do what is left of the first sending."""
        aws, network, place = pickle.loads(since.memory)  # noqa: S301  # made in this process
        self.aws.remember(aws)
        self.network.remember(network)
        self.runs = 1
        execution = self.aws.executions[place.execution]
        workflow.go_on(self.aws, place, self._definition_of(execution))
        self.run_started()

    def play_to(self, ends: Ends, since: Moment | None = None) -> Report:
        """Do what `play` does, up to where the end is known, which is added to `ends` otherwise.

        Parameters
        ----------
        since
            The moment to begin with. It is one of a scenario that is made alike and has no other
            faults until then.

        Returns
        -------
        Report
            `calls` and `aws` of the report may stop there; `problems` are those of the end.
        """
        passed: list[bytes] = []

        def look(fingerprint: Callable[[], bytes], *, is_delivered: bool) -> None:
            if not self.network.is_past_its_faults or (len(passed) >= _LOOKS and not is_delivered):
                return
            passed.append(fingerprint())
            if passed[-1] in ends:
                raise EndIsKnown

        try:
            report = self.play_watched(look, since)
        except EndIsKnown:
            return self._report(ends[passed[-1]])
        ends |= dict.fromkeys(passed, report.problems)
        return report

    def play_watched(self, look: Look, since: Moment | None = None) -> Report:
        """Do what `play` does, and let `look` fingerprint the moment between two states.

        What follows is a function of the fingerprint, as long as no fault is left: it has AWS and
        where the execution is. Where the scenario is, it has during the sure runs and right after
        the first sending alone.
        """

        def between(place: Callable[[], Any]) -> None:
            is_delivered = place is _delivered
            if is_delivered or self.runs <= self.sure_runs:
                runs = 0 if is_delivered else self.runs
                look(lambda: _digest(self.fingerprint(), runs, place()), is_delivered=is_delivered)

        self.network.watch, self._since = between, since
        return self.play()

    def fingerprint(self) -> bytes:
        """Fingerprint of all that decides what follows, and what is wrong in the end."""
        return self.aws.digest()

    def _report(self, found: list[str]) -> Report:
        return Report(self.schedule, self.network.calls, found, self.aws)

    def _come_to_rest(self) -> list[str]:
        """Do all that follows the first sending, and say what is wrong then."""
        for is_over in (False, True):
            if is_over:
                self.network.end_faults()
            if not is_created(self.aws):
                self.deliver()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self.sweep()
        return problems(self.aws, self.document)


def _delivered() -> str:
    return "after the first sending"


def _digest(*parts: object) -> bytes:
    text = repr(parts)
    assert " at 0x" not in text
    return hashlib.sha256(text.encode()).digest()


def imported(schedule: Schedule = (), **more: Any) -> Scenario:
    """Return the scenario of imported key material, whose holder answers at once."""
    return Scenario(schedule, **{"document": IMPORTED, "holder": answer_promptly, **more})


def renewed(schedule: Schedule = (), *, on_failure: str = "RETAIN", **more: Any) -> Scenario:
    """Return the scenario of a renewal: the key set is there, and its event not yet published."""
    aws = copy.deepcopy(_created(on_failure))
    aws.kms.clock = lambda: aws.time
    return imported(schedule, aws=aws, document={**RENEWED, "onFailure": on_failure}, **more)


@cache
def _created(on_failure: str) -> Aws:
    created = imported(document={**IMPORTED, "onFailure": on_failure})
    assert created.play().problems == []
    aws = created.aws
    aws.events.clear()
    aws.time = RENEWAL
    aws.network, aws.publish = aws, lambda _outcome: {}
    return aws


def is_created(aws: Aws) -> bool:
    """Whether the request is recorded as created, and that was published."""
    record = aws.dynamodb.tables["requests"].get(REQUEST_ID, {})
    return record.get("status") == {"S": "CREATED"} and "publishedAt" in record


def problems(aws: Aws, document: dict[str, Any] = REQUEST) -> list[str]:
    """Say what is not as it has to be once everything has come to rest."""
    found = list(aws.violations)
    keys = aws.kms.primaries()
    # An effect shows itself within the quiet period here, so there is no reason for a second key.
    if len(keys) != 1:
        found.append(f"{len(keys)} keys were created")
    return [*found, *problems_of_the_rest(aws, document), *surplus_problems(aws)]


def surplus_problems(aws: Aws) -> list[str]:
    """Say what is wrong with the keys that the record does not know."""
    told = {
        event.detail["keyArn"]
        for event in aws.events
        if event.detail_type == "Multi-Region Key Finding" and event.detail["kind"] == "SURPLUS_KEY"
    }
    recorded = recorded_key(aws)
    found = []
    for key in aws.kms.primaries():
        if key.arn != recorded and key.ever_had_alias:
            found.append(f"{key.arn} is surplus and had an alias")
        if (key.arn != recorded) != (key.arn in told):
            found.append(f"{key.arn}: {recorded} is recorded and the sweep found {told}")
    return found


def recorded_key(aws: Aws) -> str | None:
    item = aws.dynamodb.tables["requests"].get(REQUEST_ID, {})
    return item.get("keyArn", {}).get("S")


def problems_of_the_rest(aws: Aws, document: dict[str, Any] = REQUEST) -> list[str]:
    """Say what is wrong with the record, with what was told, and with the key that is recorded."""
    found = []
    item = aws.dynamodb.tables["requests"].get(REQUEST_ID, {})
    if not is_created(aws) or "unfinished" in item or "attemptOpen" in item:
        found.append(f"the record is {item}")
    if any(execution.status == "RUNNING" for execution in aws.executions.values()):
        found.append("an execution never ended")
    created = [e.detail for e in aws.events if e.detail_type == "Multi-Region Key Created"]
    if len({detail["outcomeId"] for detail in created}) != 1:
        found.append(f"Created was told {len(created)} times")
    elif _is_taken_back(aws):
        found.append("FAILED was told after CREATED")
    arn = recorded_key(aws)
    if arn is None:
        return [*found, "no key is recorded"]
    facts = {d["key"]["primary"]["arn"] for d in created}
    if facts != {arn} or json.loads(item["key"]["S"])["primary"]["arn"] != arn:
        found.append(f"{facts} was told, {arn} is recorded")
    found += [
        f"{key.arn} has other material than was given"
        for key in aws.kms.keys.values()
        if key.material not in (None, MATERIAL)
    ]
    regions = [document["primaryRegion"], *(replica["region"] for replica in document["replicas"])]
    return found + [p for region in regions if (p := _problem_in(aws, region, arn, document))]


def _is_taken_back(aws: Aws) -> bool:
    """Whether a failure was told after the success.

    Of an execution that was stopped by force, the function that still runs may tell its outcome
    late, and the execution that takes its place may fail where it had succeeded.
    """
    statuses = [event.detail["status"] for event in aws.events if "status" in event.detail]
    is_stopped = any(execution.status == "ABORTED" for execution in aws.executions.values())
    return not is_stopped and "FAILED" in statuses[statuses.index("CREATED") :]


def _problem_in(aws: Aws, region: str, primary_arn: str, document: dict[str, Any]) -> str | None:
    """Compare one Region's key with what the request asks for."""
    key = aws.kms.keys.get(primary_arn.replace("us-east-1", region))
    if key is None:
        return f"there is no key in {region}"
    alias, tags, policy = _WANTED[region]
    is_as_asked = (
        aws.kms.state_of(key) == "Enabled"
        and aws.kms.aliases.get((region, alias)) == key.arn
        and key.description == _description_of(document, region)
        and tags.items() <= key.tags.items()
        and (key.tags["mrk:request-id"], key.tags["mrk:stack"]) == (REQUEST_ID, "mrk")
        and text_means(key.policy, policy, partition="aws")
        and _has_its_material(key, document)
    )
    return None if is_as_asked else f"the key in {region} is not as asked: {key}"


def _description_of(document: dict[str, Any], region: str) -> str:
    members = [{"region": "us-east-1"}, *document["replicas"]]
    own = next(member for member in members if member["region"] == region)
    return own.get("description", document["description"]) or ""


def _has_its_material(key: Key, document: dict[str, Any]) -> bool:
    if document.get("origin") != "EXTERNAL":
        return key.material is None
    expiry = datetime.fromisoformat(document["keyMaterial"]["validTo"]).timestamp()
    return key.material == MATERIAL and key.valid_to == expiry
