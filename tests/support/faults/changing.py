"""An AWS that checks each write of a change against the words of the revisions that were taken."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.faults.aws import Call, Execution
from tests.support.faults.changes import FOREIGN_ALIAS, ROTATING, Document, copy_of
from tests.support.faults.kms import Key
from tests.support.faults.scenario import REQUEST_ID
from tests.support.faults.stepping import SteppedAws
from tests.support.faults.workflow import INVOCATION, Invocation

LEAVING = ("PendingDeletion", "PendingReplicaDeletion")
_WORDS = {
    "DisableKey": ("DISABLE:{}",),
    "ScheduleKeyDeletion": ("REMOVE:{}", "DECOMMISSION"),
    "CancelKeyDeletion": ("RESTORE:{}",),
    "UpdateAlias": ("MOVE_ALIAS:{}",),
}
_UPDATED = "Multi-Region Key Updated"
_OUTCOMES = {
    _UPDATED: True,
    "Multi-Region Key Decommissioned": True,
    "Multi-Region Key Update Failed": False,
}


class ChangingAws(SteppedAws):
    """A finished key set that others use as well, and whose changes halt before each call.

    `taken` are the documents that an execution claimed, by revision. Each document that is sent
    has a description of its own, by which it is known here.
    """

    def __init__(self) -> None:
        super().__init__()
        before = copy_of((ROTATING,))
        self.__dict__.update({n: v for n, v in vars(before).items() if n not in ("_waiting",)})
        self.network = self
        self.kms.clock = lambda: self.time
        self.key_id = self.kms.primaries()[0].key_id
        self.sent: dict[str, Document] = {str(ROTATING["description"]): ROTATING}
        self.taken: dict[int, Document] = {1: ROTATING}
        self.promotions: Counter[int] = Counter()
        self.touched: set[str] = set()
        """Regions in which a call came late: when its execution held the request no more."""
        self._revision_then: dict[str, int] = {}
        self._found_cancelled: dict[int, tuple[Invocation, bool]] = {}
        """Whether a function read, before it went on, that the request was cancelled."""

    def new_execution(self, document: Any, *arguments: Any, **more: Any) -> Execution:
        execution = super().new_execution(document, *arguments, **more)
        self._revision_then[execution.arn] = self.revision
        return execution

    @property
    def record(self) -> dict[str, Any]:
        """The request's item as it is stored; empty where there is none."""
        return self.dynamodb.tables["requests"].get(REQUEST_ID, {})

    @property
    def revision(self) -> int:
        return int(self.record.get("revision", {"N": "1"})["N"])

    @property
    def newest(self) -> Document:
        """The document that was taken last."""
        return self.taken[max(self.taken)]

    def owned(self) -> set[str]:
        """Return the Regions of the revision that was applied last, and of those that followed."""
        published = [e.detail["revision"] for e in self.events if e.detail_type == _UPDATED]
        last = max(published, default=1)
        return {
            r for number in self.taken if number >= last for r in regions_of(self.taken[number])
        }

    def keys(self) -> dict[str, Key]:
        """Return the keys of the set that there are, by Region."""
        found = (key for key in self.kms.keys.values() if key.key_id == self.key_id)
        return {key.region: key for key in found if not self.kms.is_gone(key)}

    def primary(self) -> Key:
        """Return the primary key of the set."""
        return next(key for key in self.keys().values() if key.facts["type"] == "PRIMARY")

    def effect(self, call: Call, perform: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        others = self._of_others()
        answer = super().effect(call, perform, arguments)
        if call.operation == "UpdateItem" and "request" in self.record:
            self._note_taken()
        if call.operation == "GetItem":
            invocation = INVOCATION.get()
            self._found_cancelled[id(invocation)] = invocation, self.is_cancelled
        if call.service == "kms" and not call.is_read:
            self.violations += self._wrongs(call, arguments)
            if self._of_others() != others:
                self.violations.append(f"{call} with {arguments} changed what others had set")
        return answer

    @property
    def is_cancelled(self) -> bool:
        """Whether a revision that is under way was cancelled."""
        return "cancelledAt" in self.record

    def _note_taken(self) -> None:
        document = self.sent[json.loads(self.record["request"]["S"])["description"]]
        self.taken[self.revision] = document

    def _wrongs(self, call: Call, arguments: dict[str, Any]) -> Iterator[str]:
        execution = INVOCATION.get().execution
        assert execution is not None
        asked, now = execution.document.get("revision", 1), self.revision
        if asked < self._revision_then[execution.arn]:
            yield f"{call} is of an old document, of revision {asked}"
        if self.record["executionArn"]["S"] != execution.arn:
            self.touched.add(call.region)
        elif self.is_cancelled and self._found_cancelled.get(id(INVOCATION.get()), (None, True))[1]:
            yield f"{call} was sent after the revision was cancelled"
        words = {word for one in self.taken.values() for word in one.get("confirm", [])}
        needed = {word.format(call.region) for word in _WORDS.get(call.operation, ())}
        if needed and not needed & words:
            yield f"{call} was never confirmed"
        target = arguments.get("ReplicaRegion", call.region)
        documents = [self.taken[number] for number in (asked, now) if number in self.taken]
        if call.operation == "ReplicateKey" and not any(
            target in regions_of(document) for document in documents
        ):
            yield f"{call} brought back the key in {target}"
        if target not in {region for one in self.taken.values() for region in regions_of(one)}:
            yield f"{call} touched the key in {target}, which was never declared"
        if call.operation == "UpdatePrimaryRegion":
            yield from self._wrongs_of_a_promotion(asked, str(arguments["PrimaryRegion"]))

    def _wrongs_of_a_promotion(self, revision: int, region: str) -> Iterator[str]:
        self.promotions[revision] += 1
        if f"PROMOTE:{region}" not in self.taken[revision].get("confirm", []):
            yield f"the promotion to {region} was never confirmed"
        if self.promotions[revision] > 1:
            yield f"revision {revision} promoted {self.promotions[revision]} times"

    def _of_others(self) -> Any:
        """Return the tags and the aliases that the provisioner did not set."""
        tags = {
            (key.arn, name): value
            for key in self.kms.keys.values()
            for name, value in key.tags.items()
            if name.startswith("owner")
        }
        aliases = {p: a for p, a in self.kms.aliases.items() if p[1].startswith(FOREIGN_ALIAS)}
        return copy.copy((tags, aliases))

    def problems_of_the_outcomes(self) -> Iterator[str]:
        """Say which revisions were not answered once, whatever came of them."""
        told: dict[int, dict[str, bool]] = {}
        for event in self.events:
            if (is_done := _OUTCOMES.get(event.detail_type)) is not None:
                detail = event.detail
                told.setdefault(detail["revision"], {})[detail["outcomeId"]] = is_done
        for revision in self.taken.keys() - {1}:
            outcomes = list(told.get(revision, {}).values())
            if not outcomes:
                yield f"revision {revision} was taken and never answered"
            if outcomes.count(True) > 1:
                yield f"revision {revision} was done {outcomes.count(True)} times"
            if True in outcomes and outcomes[-1] is not True:
                yield f"revision {revision} failed after it was done"
        if strangers := told.keys() - self.taken.keys():
            yield f"revisions were answered that nobody took: {strangers}"


def regions_of(document: Document) -> list[str]:
    """List the Regions that a document names."""
    return [document["primaryRegion"], *(one["region"] for one in document["replicas"])]
