"""A request that waits for approval, under one schedule of faults, and the people who decide."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.faults import api
from tests.support.faults.aws import Aws, Call, Execution, Holder, WaitingTask
from tests.support.faults.changes import ChangeScenario, Document
from tests.support.faults.faults import FaultyNetwork, Schedule
from tests.support.faults.scenario import REQUEST_ID, Scenario
from tests.support.faults.workflow import StateFailed

ALICE, BOB, CAROL = (
    f"arn:aws:sts::111122223333:assumed-role/Platform/{name}" for name in ("alice", "bob", "carol")
)
VIA = {"hook": "jira", "actor": "557058:alice"}
ITEM = f"approval/{REQUEST_ID}"
ASKED = "Multi-Region Key Approval Required"
_TRIES = 3


def enveloped(document: Document) -> Document:
    """Return a request as the door hands it on."""
    return {"request": document, "via": VIA}


def waiting(aws: Aws) -> dict[str, Any] | None:
    """Return what the status shows of the approval; None where it does not wait for one."""
    try:
        status, body = api.ask(aws, "GET", REQUEST_ID)
    except StateFailed:
        return None
    return body.get("approval") if status == 200 else None


def decide(
    aws: Aws, approver: str, decision: str = "APPROVE", execution: Execution | None = None
) -> int:
    """Decide about what the status shows, and again where no answer came; return the last one."""
    status = 0
    for _ in range(_TRIES):
        approval = waiting(aws)
        if approval is None:
            continue
        body = {"decision": decision, "contentHash": approval["contentHash"], "comment": "Seen"}
        try:
            status, _answer = api.decide(aws, REQUEST_ID, body, approver, execution)
        except StateFailed:
            continue
        if status < 500:
            break
    return status


def approved_by(*approvers: str) -> Holder:
    """Return people who approve at once."""

    def act(aws: Aws, task: WaitingTask) -> None:
        for approver in approvers:
            decide(aws, approver, execution=task.execution)

    return act


def refused_by(approver: str) -> Holder:
    """Return somebody who refuses at once."""

    def act(aws: Aws, task: WaitingTask) -> None:
        decide(aws, approver, "REFUSE", task.execution)

    return act


def cancelled(aws: Aws, _task: WaitingTask) -> None:
    """Cancel the request, and again where no answer came."""
    for _ in range(_TRIES):
        try:
            if api.ask(aws, "DELETE", REQUEST_ID)[0] < 500:
                return
        except StateFailed:
            continue


class GuardedNetwork(FaultyNetwork):
    """Notes every write in KMS before two people have approved the request.

    A function whose execution was stopped goes on to its end, also after another execution has
    done the rest and forgotten the approval.
    """

    approved_by: frozenset[str] = frozenset()

    def memory(self) -> dict[str, Any]:
        """Return who has approved as well."""
        return {**super().memory(), "approved_by": self.approved_by}

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        def guarded() -> Any:
            item = self._aws.dynamodb.tables["requests"].get(ITEM)
            if item is not None and item["state"] == {"S": "APPROVED"}:
                people = (one["approver"] for one in json.loads(item["approvals"]["S"]))
                self.approved_by = frozenset(people)
            if call.service == "kms" and not call.is_read and len(self.approved_by) < 2:
                self._aws.violations.append(f"{call} was approved by {self.approved_by}")
            return effect()

        return super().carry(call, guarded)


class _ThroughTheDoor(Scenario):
    """Delivers the request as the door does, and holds that nothing is written unapproved."""

    network: GuardedNetwork

    def guard(self) -> None:
        self.network = GuardedNetwork(self.aws, self.schedule, self.deliver)
        self.aws.network = self.network

    def deliver(self) -> None:
        self.run(self.aws.new_execution(enveloped(self.document)))
        self.run_started()

    def fingerprint(self) -> bytes:
        """Say who has approved as well, since that decides what is a violation."""
        return super().fingerprint() + repr(sorted(self.network.approved_by)).encode()

    def problems_of_approval(self, outcome: str) -> Iterator[str]:
        """Say what is left of the approval, and where the outcome does not show it."""
        if left := self.aws.dynamodb.tables["requests"].get(ITEM):
            yield f"the approval is left: {left}"
        questions = {
            e.detail["outcomeId"]: e.detail["contentHash"]
            for e in self.aws.events
            if e.detail_type == ASKED
        }
        failed = {e.detail["outcomeId"] for e in self.aws.events if e.detail.get("errors")}
        most = max(Counter(questions.values()).values(), default=0)
        if not 1 <= most <= 1 + len(failed):
            yield f"people were asked {most} times, and {len(failed)} runs have failed"
        for event in self.aws.events:
            if event.detail_type == outcome:
                people = {one["approver"] for one in event.detail["approvals"]}
                if people != {BOB, CAROL} or event.detail["via"] != VIA:
                    yield f"{outcome} shows {event.detail['via']} and {people}"


class ApprovalScenario(_ThroughTheDoor):
    """A new request through a webhook, which two people approve."""

    def __init__(self, schedule: Schedule = (), **more: Any) -> None:
        super().__init__(schedule, **{"holder": approved_by(BOB, CAROL), **more})
        self.guard()

    def _come_to_rest(self) -> list[str]:
        found = super()._come_to_rest()
        return [*found, *self.problems_of_approval("Multi-Region Key Created")]


class ApprovedChange(_ThroughTheDoor, ChangeScenario):
    """A change through a webhook, which two people approve."""

    def __init__(
        self, schedule: Schedule = (), *, holder: Holder | None = None, **more: Any
    ) -> None:
        super().__init__(schedule, **more)
        self.aws.holder = holder or approved_by(BOB, CAROL)
        self.guard()

    def problems(self) -> list[str]:
        return [*super().problems(), *self.problems_of_approval("Multi-Region Key Updated")]
