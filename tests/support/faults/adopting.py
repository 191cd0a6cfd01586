"""The adoption of a set that somebody else made, and its release, under a schedule of faults."""

import copy
import json
from contextlib import suppress
from typing import Any

from tests.support.faults import wiring
from tests.support.faults.api import adopt, operate
from tests.support.faults.aws import Aws
from tests.support.faults.changes import BY_HAND, ROTATING, Document, copy_of
from tests.support.faults.faults import Schedule
from tests.support.faults.kms import Key
from tests.support.faults.scenario import REQUEST_ID, Scenario
from tests.support.faults.workflow import StateFailed

REQUESTER = "arn:aws:sts::111122223333:assumed-role/Platform/ana"
OURS = {"mrk:request-id": REQUEST_ID, "mrk:stack": "mrk"}
REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
ENDS = ("Multi-Region Key Operation Finished", "Multi-Region Key Operation Failed")
_NEW_TRIES = 3


def made_by_others() -> Aws:
    """Return an AWS with a key set of which the stack knows nothing, in use in a fourth Region."""
    aws = copy_of((ROTATING,))
    disowned(aws)
    return aws


def disowned(aws: Aws) -> None:
    """Let the stack know nothing of the keys that there are."""
    for table in aws.dynamodb.tables.values():
        table.clear()
    for key in aws.kms.keys.values():
        key.tags = {name: value for name, value in key.tags.items() if name not in OURS}
        key.tags.pop("mrk:attempt", None)
    aws.recorded.clear()


def adoption_of(aws: Aws, **more: Any) -> Document:
    """Return the document that adopts the set as it is."""
    arn = aws.kms.primaries()[0].arn
    return {**ROTATING, "keyArn": arn, "unmanaged": [BY_HAND], **more}


class _Scenario(Scenario):
    """What an adoption and a release have in common: they end, and touch nothing but our tags."""

    def __init__(self, schedule: Schedule, aws: Aws, document: Document) -> None:
        super().__init__(schedule, aws=aws, document=document)
        self.before = {arn: copy.deepcopy(key) for arn, key in aws.kms.keys.items()}
        self.aliases_before = dict(aws.kms.aliases)

    @property
    def record(self) -> dict[str, Any]:
        """The request's item as it is stored."""
        return self.aws.dynamodb.tables["requests"].get(REQUEST_ID, {})

    def is_done(self) -> bool:
        """Whether what was asked for is done, and that was published."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Say what is not as it has to be once everything has come to rest."""
        raise NotImplementedError

    def fingerprint(self) -> bytes:
        """Count what was done in KMS as well, since `problems` reads it."""
        return super().fingerprint() + repr(sorted(map(str, self.aws.done))).encode()

    def _come_to_rest(self) -> list[str]:
        self._look_later()
        for is_over in (False, True):
            if is_over:
                self.network.end_faults()
            if not self.is_done():
                self.deliver()
        for _ in range(_NEW_TRIES):
            self._look_later()
            if not self.is_done():
                self.deliver()
        return self.problems()

    def _look_later(self) -> None:
        """Let the sweep see what there is, whatever the faults have left."""
        self.aws.time += wiring.QUIET_SECONDS + 1
        with suppress(StateFailed):
            self.sweep()

    def key_in(self, region: str) -> Key:
        return next(
            self.aws.kms.keys[arn] for arn, key in self.before.items() if key.region == region
        )

    def common_problems(self, operation: str, tags: dict[str, str]) -> list[str]:
        """Say what is wrong with the keys, the record, the calls and what was published."""
        found = list(self.aws.violations)
        for arn, before in self.before.items():
            wanted = copy.deepcopy(before)
            if before.region in REGIONS:
                foreign = {n: v for n, v in before.tags.items() if not n.startswith("mrk:")}
                wanted.tags = {**foreign, **tags}
            if self.aws.kms.keys[arn] != wanted:
                found.append(f"{arn} is {self.aws.kms.keys[arn]}, not {wanted}")
        if self.aws.kms.aliases != self.aliases_before:
            found.append("aliases have changed")
        call = "TagResource" if tags else "UntagResource"
        if strangers := {str(one) for one in self.aws.done if one.operation != call}:
            found.append(f"KMS was asked for {strangers}")
        if not self.is_done() or {"unfinished", "operation", "applied"} & self.record.keys():
            found.append(f"the record is {self.record}")
        if any(execution.status == "RUNNING" for execution in self.aws.executions.values()):
            found.append("an execution never ended")
        return [*found, *self._problems_of_the_events(operation)]

    def _problems_of_the_events(self, operation: str) -> list[str]:
        found, ended = [], dict[str, set[tuple[str, str]]]()
        for event in self.aws.events:
            if event.detail_type == "Multi-Region Key Finding":
                if event.detail["kind"] != "REQUEST_STUCK":
                    found.append(f"the sweep found {event.detail['kind']}")
            elif event.detail_type in ENDS and event.detail["operation"] == operation:
                one = (event.detail["outcomeId"], event.detail_type)
                ended.setdefault(event.detail["operationId"], set()).add(one)
            elif "status" in event.detail:
                found.append(f"{event.detail_type} was published")
        found += [f"{name} ended as {ends}" for name, ends in ended.items() if len(ends) != 1]
        finished = [kind for ends in ended.values() for _, kind in ends if kind == ENDS[0]]
        if len(finished) != 1:
            found.append(f"{operation} was finished {len(finished)} times")
        return found


class AdoptionScenario(_Scenario):
    """The adoption of a set that others made and use."""

    def __init__(self, schedule: Schedule = (), *, aws: Aws | None = None, **more: Any) -> None:
        aws = aws or made_by_others()
        super().__init__(schedule, aws, adoption_of(aws, **more))

    def deliver(self) -> None:
        """Ask for the adoption, and run what that starts; who gets no answer asks again."""
        with suppress(StateFailed):
            adopt(self.aws, self.document, caller=REQUESTER)
        self.run_started()

    def is_done(self) -> bool:
        """Whether the set is managed, and that was published."""
        return "adoptedAt" in self.record and not {"releasedAt", "operation"} & self.record.keys()

    def problems(self) -> list[str]:
        """Say what is not as it has to be once everything has come to rest."""
        found = self.common_problems("ADOPT", OURS)
        if self.record.get("status") != {"S": "CREATED"}:
            found.append(f"the status is {self.record.get('status')}")
        key = json.loads(self.record.get("key", {}).get("S", "null"))
        if key is None or key["primary"]["keyState"] != "Enabled":
            found.append(f"the key set is recorded as {key}")
        return found


class ReleaseScenario(_Scenario):
    """The release of a set that the stack made."""

    def __init__(self, schedule: Schedule = (), *, aws: Aws | None = None) -> None:
        super().__init__(schedule, aws or copy_of((ROTATING,)), ROTATING)
        self._tries = 1

    def deliver(self) -> None:
        """Ask for the release with a new ID once one has failed."""
        if self._ended() == "FAILED":
            self._tries += 1
        body = {"operationId": f"release-{self._tries}", "operation": "RELEASE"}
        with suppress(StateFailed):
            operate(self.aws, REQUEST_ID, body, caller=REQUESTER)
        self.run_started()

    def _ended(self) -> str | None:
        name = f"operation/{REQUEST_ID}/release-{self._tries}"
        item = self.aws.dynamodb.tables["requests"].get(name, {})
        return item.get("ended", {}).get("S")

    def is_done(self) -> bool:
        """Whether the set is released, and that was published."""
        return self._ended() == "FINISHED" and "operation" not in self.record

    def problems(self) -> list[str]:
        """Say what is not as it has to be once everything has come to rest."""
        found = self.common_problems("RELEASE", {})
        if "releasedAt" not in self.record:
            found.append("the record does not say that the set is released")
        return found
