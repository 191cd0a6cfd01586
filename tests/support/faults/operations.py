"""An operation on a finished key set under one schedule of faults."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.support.faults import wiring
from tests.support.faults.api import operate
from tests.support.faults.aws import Aws
from tests.support.faults.changes import (
    FOREIGN_ALIAS,
    ROTATING,
    ChangeScenario,
    Declared,
    Document,
)
from tests.support.faults.faults import Schedule
from tests.support.faults.scenario import REQUEST_ID
from tests.support.faults.workflow import StateFailed

REQUESTER = "arn:aws:sts::111122223333:assumed-role/Platform/ana"
OUTCOMES = ("Multi-Region Key Operation Finished", "Multi-Region Key Operation Failed")
_NEW_TRIES = 3


class OperationScenario(ChangeScenario):
    """An operation that is asked for by the API, over a network with faults.

    Parameters
    ----------
    before
        The declarations that were applied before; KMS is to be as the last one says.
    act
        What somebody does to KMS before the operation.
    """

    def __init__(
        self,
        schedule: Schedule = (),
        *,
        before: tuple[Document, ...],
        operation: str,
        words: tuple[str, ...] = (),
        act: Callable[[Aws, str], None] | None = None,
    ) -> None:
        super().__init__(schedule, before=before, document=before[-1])
        self.operation = {"operationId": "op-1", "operation": operation, "confirm": [*words]}
        self.words = [*words]
        self.record_before = dict(self.aws.dynamodb.tables["requests"][REQUEST_ID])
        if act:
            act(self.aws, self.key_id)

    def deliver(self) -> None:
        """Ask for the operation, and let run what that starts; whoever gets no answer goes on."""
        with suppress(StateFailed):
            operate(self.aws, REQUEST_ID, self.operation, caller=REQUESTER)
        self.run_started()

    def outcome(self) -> str | None:
        """Return how the operation ended, None where that is not recorded."""
        name = f"operation/{REQUEST_ID}/{self.operation['operationId']}"
        item = self.aws.dynamodb.tables["requests"].get(name, {})
        return item.get("ended", {}).get("S")

    def _come_to_rest(self) -> list[str]:
        for is_over in (False, True):
            if is_over:
                self.network.end_faults()
            if self.outcome() is None:
                self.deliver()
        for number in range(2, 2 + _NEW_TRIES):
            self.aws.time += wiring.QUIET_SECONDS + 1
            self.sweep()
            if self.outcome() == "FINISHED":
                break
            # As its message says.
            self.operation = {**self.operation, "operationId": f"op-{number}"}
            self.deliver()
        return self.problems()

    def problems(self) -> list[str]:
        """Say what is not as it has to be once everything has come to rest."""
        return [
            *self.aws.violations,
            *self._problems_of_the_record(),
            *self._problems_of_the_calls(),
            *Declared(self.aws, self.document, self.key_id).problems(),
            *self._problems_of_what_is_not_ours(),
        ]

    def _problems_of_the_record(self) -> list[str]:
        item, found = self.aws.dynamodb.tables["requests"][REQUEST_ID], []
        same = ("status", "request", "contentHash", "revision", "keyArn", "createdAt", "superseded")
        for name in same:
            if item.get(name) != self.record_before.get(name):
                found.append(f"{name} of the record is {item.get(name)}")
        if left := {"unfinished", "operation", "applied", "promotion"} & item.keys():
            found.append(f"the record still has {left}")
        if self.outcome() != "FINISHED" or "publishedAt" not in item:
            found.append(f"the operation ended as {self.outcome()}")
        last = json.loads(item.get("lastOperation", {}).get("S", "{}"))
        if last.get("operationId") != self.operation["operationId"]:
            found.append(f"the last operation is {last}")
        if any(execution.status == "RUNNING" for execution in self.aws.executions.values()):
            found.append("an execution never ended")
        return found + self._problems_of_the_outcomes()

    def _problems_of_the_outcomes(self) -> list[str]:
        found, published = [], dict[str, set[tuple[str, str]]]()
        for event in self.aws.events:
            if event.detail_type in OUTCOMES:
                ended = (event.detail["outcomeId"], event.detail_type)
                published.setdefault(event.detail["operationId"], set()).add(ended)
            elif "status" in event.detail:
                found.append(f"{event.detail_type} was published")
        for name, ends in published.items():
            if len(ends) != 1:
                found.append(f"{name} ended {len(ends)} times: {ends}")
        if self.operation["operationId"] not in published:
            found.append("the operation's end was not published")
        return found


def remaking(schedule: Schedule = ()) -> OperationScenario:
    """Return the repair of a set one of whose replica keys was deleted, weeks ago."""
    scenario = OperationScenario(schedule, before=(ROTATING,), operation="REPAIR")
    kms = scenario.aws.kms
    (arn,) = (key.arn for key in kms.keys.values() if key.region == "us-west-2")
    del kms.keys[arn], scenario.before[arn]
    for aliases in (kms.aliases, scenario.aliases_before):
        for place in [place for place, owner in aliases.items() if owner == arn]:
            del aliases[place]
    return scenario


def drifted(aws: Aws, key_id: str) -> None:
    """Change by hand, in every Region, whatever can be repaired without a word."""
    for key in aws.kms.keys.values():
        if key.key_id != key_id or key.region == "sa-east-1":
            continue
        key.description = "Changed by hand"
        key.tags.pop("team", None)
        key.policy = json.dumps({**json.loads(key.policy), "Id": "x", "Statement": _opened(key)})
        for place in [place for place, arn in aws.kms.aliases.items() if arn == key.arn]:
            if place[1] != FOREIGN_ALIAS:
                del aws.kms.aliases[place]
        if key.facts["type"] == "PRIMARY":
            key.rotation_days = None
        if key.region == "us-west-2":
            key.disabled = True


def _opened(key: Any) -> list[Any]:
    statements: list[Any] = json.loads(key.policy)["Statement"]
    return [*statements[:1], {**statements[1], "Action": ["kms:Decrypt", "kms:Encrypt"]}]
