"""Key sets that are in use, what people do to them by hand, and what the sweep has to say of them.

`Watched` remembers what every key of a created set looks like. It learns of changes from whoever
makes one by hand and from nobody else, so whatever else changes was not asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from provisioner.domain.policy_meaning import text_means
from tests.support.faults.aws import Aws, Call, Execution, WaitingTask
from tests.support.faults.errors import refusal
from tests.support.faults.holder import MATERIAL
from tests.support.faults.kms import Key, KmsInRegion
from tests.support.faults.stepping import Stepper
from tests.support.faults.wiring import QUIET_SECONDS

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
        needs_tag = call.service == "kms" and call.operation not in _WITHOUT_OUR_TAG
        if needs_tag and key and key.tags.get("mrk:stack") != STACK:
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
            and text_means(key.policy, asked["policy"]["document"], partition="aws")
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
    items = aws.dynamodb.tables["requests"]
    recorded = {name: item["keyArn"]["S"] for name, item in items.items() if "keyArn" in item}
    requests = {_key_id(arn): name for name, arn in recorded.items()}
    for key in aws.kms.keys.values():
        is_old = aws.time - key.created_at >= QUIET_SECONDS or aws.kms.is_gone(key)
        request_id = requests.get(key.key_id)
        if request_id is None:
            may, is_certain = _surplus(aws, key)
        else:
            one, item = sets[request_id], items[request_id]
            may = {*_true_of(aws, one, key, recorded[request_id], item)}
            is_asked = key.region in regions_of(one.created or one.document)
            is_certain = is_asked and (one.created is not None or "unfinished" not in item)
        found.may |= may
        found.must |= may if is_old and is_certain else set()
    return found


def _surplus(aws: Aws, key: Key) -> tuple[set[Open], bool]:
    """Say whether a key is one that no record names, and whether that is certain."""
    is_ours = key.tags.get("mrk:stack") == STACK and not aws.kms.is_gone(key)
    # What a sweep has just scheduled for deletion is still open until the next one.
    if not is_ours or (key.leaving and key.leaving_since != aws.time):
        return set(), False
    holder = aws.dynamodb.tables["requests"].get(key.tags.get("mrk:request-id", ""), {})
    return {("SURPLUS_KEY", key.arn)}, "unfinished" not in holder and not key.leaving


def _true_of(
    aws: Aws, one: KeySet, key: Key, recorded: str, item: dict[str, Any]
) -> Iterator[Open]:
    """List the findings whose conditions hold for a key that a record names."""
    document = one.created or one.document
    if aws.kms.is_gone(key):
        if one.created and key.region in regions_of(document):
            yield "KEY_MISSING", key.arn
        return
    state = aws.kms.state_of(key)
    tags = {"mrk:stack": STACK, "mrk:request-id": document["requestId"]}
    if state not in LEAVING and not tags.items() <= key.tags.items():
        yield "TAGS_MISSING", key.arn
    if key.arn == recorded and key.facts["type"] == "REPLICA":
        yield "PRIMARY_ELSEWHERE", key.arn
    if one.created:
        yield from _true_of_what_is_used(aws, one, key)
    elif state not in LEAVING and _failed_a_day_ago(aws, item):
        yield "UNFINISHED_KEY_SET", key.arn


def _true_of_what_is_used(aws: Aws, one: KeySet, key: Key) -> Iterator[Open]:
    document, state = one.created or one.document, aws.kms.state_of(key)
    if state in _NOT_READY:
        yield "KEY_NOT_ENABLED", key.arn
    if key.region not in regions_of(document) or state in LEAVING:
        return
    target = aws.kms.aliases.get((key.region, asked_in(document, key.region)["alias"]))
    if target != key.arn or aws.kms.is_gone(aws.kms.keys[target]):
        yield "ALIAS_ELSEWHERE", key.arn
    # Of material that is gone KMS does not say when it expired; the request says whether it may.
    expires = key.valid_to is not None and key.valid_to - aws.time <= _NOTICE
    if state == "PendingImport":
        expires = expiry_of(one.document) is not None
    if expires:
        yield "MATERIAL_EXPIRES", key.arn


def _failed_a_day_ago(aws: Aws, item: dict[str, Any]) -> bool:
    if item["status"] != {"S": "FAILED"} or "publishedAt" not in item:
        return False
    return aws.time - datetime.fromisoformat(item["publishedAt"]["S"]).timestamp() >= DAY


def _key_id(key_arn: str) -> str:
    return key_arn.rsplit("/", 1)[1]


def hands_in(aws: Aws, region: str) -> KmsInRegion:
    """Return KMS as somebody sees it who may do everything."""
    return KmsInRegion(aws.kms, region)
