"""Key sets that are in use, what people do to them by hand, and what the sweep has to say of them.

`Watched` remembers what every key of a created set looks like. It learns of changes from whoever
makes one by hand and from nobody else, so whatever else changes was not asked for.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.faults.aws import Aws, Call, Execution, WaitingTask
from tests.faults.errors import refusal
from tests.faults.holder import MATERIAL
from tests.faults.kms import Key, KmsInRegion
from tests.faults.stepping import Stepper
from tests.faults.wiring import QUIET_SECONDS

DAY = 86_400
STACK = "mrk"
LEAVING = ("PendingDeletion", "PendingReplicaDeletion")
_NOT_READY = ("Creating", "Updating", "PendingImport", *LEAVING)
_WITHOUT_OUR_TAG = ("DescribeKey", "ListAliases")
_NOTICE = 30 * DAY

Snapshot = dict[str, Any]
Open = tuple[str, str | None]
"""A finding: its kind and its key's ARN."""


class WatchedAws(Aws):
    """An AWS in which an execution halts while it waits for key material, and only then."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, Stepper] = {}

    def wait_for_answer(self, task: WaitingTask) -> None:
        self._waiting[task.token] = Stepper.current()
        if not task.is_answered:
            Stepper.current().halt(wakes_at=max(task.ends_at, self.time))

    def wake(self, task: WaitingTask) -> None:
        if task.token in self._waiting:
            self._waiting[task.token].wakes_at = self.time

    def effect(self, call: Call, perform: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Let the stack change only keys that carry its tag, as its roles do."""
        arn = arguments.get("KeyId") or arguments.get("TargetKeyId")
        key = self.kms.keys.get(str(arn))
        if call.service == "kms" and key and call.operation not in _WITHOUT_OUR_TAG:
            if key.tags.get("mrk:stack") != STACK:
                raise refusal("AccessDeniedException", call.operation)
        return super().effect(call, perform, arguments)

    def _watch_keys(self, call: Call) -> None:
        """Tags that somebody changed say nothing here; `Watched` knows what each key may be."""


@dataclass
class KeySet:
    """A request: what was sent last, what was created, and the ARN of its primary key then."""

    document: dict[str, Any]
    created: dict[str, Any] | None = None
    arn: str | None = None


@dataclass
class Watched:
    """The keys of created sets as they have to be: as they were created, or left by hand."""

    aws: WatchedAws
    keys: dict[str, Snapshot] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    """By key ID: whose it is."""

    def snapshot(self, key: Key) -> Snapshot:
        """Return everything of a key that anybody could change."""
        aliases = sorted(p[1] for p, arn in self.aws.kms.aliases.items() if arn == key.arn)
        names = ("description", "policy", "disabled", "leaving", "leaving_since", "rotation_days")
        more = {"tags": dict(key.tags), "aliases": aliases, "type": key.facts["type"]}
        material = {"material": key.material, "valid_to": key.valid_to}
        return {name: getattr(key, name) for name in names} | more | material

    def now(self) -> dict[str, Snapshot]:
        """Return the keys of created sets as they are."""
        return {
            key.arn: self.snapshot(key)
            for key in self.aws.kms.keys.values()
            if key.key_id in self.requests
        }

    def accept(self) -> None:
        """Take everything as it is: somebody has just changed it by hand."""
        self.keys = self.now()

    def add(self, request_id: str, arn: str) -> None:
        """Watch a key set from now on."""
        self.requests[arn.rsplit("/", 1)[1]] = request_id
        self.keys |= {one: it for one, it in self.now().items() if one not in self.keys}

    def check(self, execution: Execution | None = None) -> None:
        """Compare every key with what it has to be.

        Parameters
        ----------
        execution
            The one that ran just now, which may have imported key material where it was asked for.
        """
        now = self.now()
        assert now.keys() == self.keys.keys(), "a key of a created set came or went"
        for arn, is_now in now.items():
            was = self.keys[arn]
            if is_now != was and execution is not None:
                was = self._imported(arn, was, is_now, execution.document)
            assert is_now == was, f"{arn} was changed, and nobody asked for it"
        self.keys = now

    def _imported(
        self, arn: str, was: Snapshot, is_now: Snapshot, document: dict[str, Any]
    ) -> Snapshot:
        """Return a key as an import leaves it, if this document asks for one."""
        region, key_id = arn.split(":")[3], arn.rsplit("/", 1)[1]
        had_material = was["material"] is not None and (
            was["valid_to"] is None or was["valid_to"] > self.aws.time
        )
        if (
            document.get("origin") != "EXTERNAL"
            or self.requests[key_id] != document["requestId"]
            or region not in regions_of(document)
            or was["leaving"]
            or (was["disabled"] and had_material and was["valid_to"] is None)
        ):
            return was
        expiry = expiry_of(document)
        # An import enables a key. One that has no material shows neither that nor the contrary.
        is_left = {"disabled": was["disabled"] and is_now["disabled"]}
        return {**was, "material": MATERIAL, "valid_to": expiry} | is_left


def regions_of(document: dict[str, Any]) -> list[str]:
    return [document["primaryRegion"], *(one["region"] for one in document["replicas"])]


def expiry_of(document: dict[str, Any]) -> float | None:
    valid_to = document["keyMaterial"].get("validTo")
    return datetime.fromisoformat(valid_to).timestamp() if valid_to else None


def asked_in(document: dict[str, Any], region: str) -> dict[str, Any]:
    """Return what a request asks for in a Region; a field left out is the primary's."""
    members = [{"region": document["primaryRegion"]}, *document["replicas"]]
    own = next(member for member in members if member["region"] == region)
    names = ("alias", "description", "tags", "policy")
    return {name: own.get(name, document.get(name)) for name in names}


def problems_of_a_creation(aws: Aws, document: dict[str, Any], primary_arn: str) -> Iterator[str]:
    """Say where a key set is not as it was asked for when its creation is published."""
    for region in regions_of(document):
        arn = primary_arn.replace(document["primaryRegion"], region)
        key, asked = aws.kms.keys.get(arn), asked_in(document, region)
        if key is None or aws.kms.is_gone(key):
            yield f"there is no {arn}"
            continue
        tags = {**asked["tags"], "mrk:stack": STACK, "mrk:request-id": document["requestId"]}
        is_as_asked = (
            aws.kms.state_of(key) == "Enabled"
            and aws.kms.aliases.get((region, asked["alias"])) == arn
            and key.description == (asked["description"] or "")
            and tags.items() <= key.tags.items()
            and json.loads(key.policy) == asked["policy"]["document"]
        )
        if document["origin"] == "EXTERNAL":
            is_as_asked &= (key.material, key.valid_to) == (MATERIAL, expiry_of(document))
        if not is_as_asked:
            yield f"the key in {region} is not as asked: {key}"


# What the sweep has to find, and what it may find


@dataclass
class Expected:
    """What is true of the keys that exist: what a complete sweep must say, and what it may say."""

    must: set[Open] = field(default_factory=set)
    may: set[Open] = field(default_factory=set)


def expected(aws: Aws, sets: dict[str, KeySet]) -> Expected:
    """Say what is not as it should be in KMS now, by the documents alone."""
    found = Expected()
    for request_id, one in sets.items():
        item = aws.dynamodb.tables["requests"].get(request_id, {})
        arn = item.get("keyArn", {}).get("S")
        if arn is None:
            continue
        key_id = arn.rsplit("/", 1)[1]
        for key in [key for key in aws.kms.keys.values() if key.key_id == key_id]:
            may = {*_true_of(aws, one, key, arn, item)}
            found.may |= may
            is_asked = key.region in regions_of(one.created or one.document)
            is_settled = one.created is not None or "unfinished" not in item
            is_old = aws.time - key.created_at >= QUIET_SECONDS or aws.kms.is_gone(key)
            if is_asked and is_settled and is_old:
                found.must |= may
    known = {
        item["keyArn"]["S"].rsplit("/", 1)[1]
        for item in aws.dynamodb.tables["requests"].values()
        if "keyArn" in item
    }
    for key in aws.kms.keys.values():
        if (
            key.tags.get("mrk:stack") == STACK
            and key.key_id not in known
            and not aws.kms.is_gone(key)
            and aws.kms.state_of(key) not in LEAVING
        ):
            found.may.add(("SURPLUS_KEY", key.arn))
            holder = aws.dynamodb.tables["requests"].get(key.tags.get("mrk:request-id", ""), {})
            if aws.time - key.created_at >= QUIET_SECONDS and "unfinished" not in holder:
                found.must.add(("SURPLUS_KEY", key.arn))
    return found


def _true_of(
    aws: Aws, one: KeySet, key: Key, recorded: str, item: dict[str, Any]
) -> Iterator[Open]:
    """List the findings whose conditions hold for a key that a record names."""
    state, arn = aws.kms.state_of(key), key.arn
    document = one.created or one.document
    if aws.kms.is_gone(key):
        if one.created and key.region in regions_of(document):
            yield "KEY_MISSING", arn
        return
    tags = {"mrk:stack": STACK, "mrk:request-id": document["requestId"]}
    if state not in LEAVING and not tags.items() <= key.tags.items():
        yield "TAGS_MISSING", arn
    if arn == recorded and key.facts["type"] == "REPLICA":
        yield "PRIMARY_ELSEWHERE", arn
    if one.created is None:
        since = datetime.fromisoformat(item.get("publishedAt", {}).get("S", "9999-01-01T00:00Z"))
        is_failed = item["status"] == {"S": "FAILED"}
        if is_failed and state not in LEAVING and aws.time - since.timestamp() >= DAY:
            yield "UNFINISHED_KEY_SET", arn
        return
    if state in _NOT_READY:
        yield "KEY_NOT_ENABLED", arn
    if key.region not in regions_of(document) or state in LEAVING:
        return
    alias = asked_in(document, key.region)["alias"]
    target = aws.kms.aliases.get((key.region, alias))
    if target != arn or aws.kms.is_gone(aws.kms.keys[target]):
        yield "ALIAS_ELSEWHERE", arn
    if key.valid_to is not None and key.valid_to - aws.time <= _NOTICE:
        yield "MATERIAL_EXPIRES", arn
    elif state == "PendingImport" and expiry_of(one.document) is not None:
        yield "MATERIAL_EXPIRES", arn


def hands_in(aws: Aws, region: str) -> KmsInRegion:
    """Return KMS as somebody sees it who may do everything."""
    return KmsInRegion(aws.kms, region)
