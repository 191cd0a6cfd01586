"""A key set whose every change in KMS becomes an event, and the queue from which looks are made.

Events wait until a test delivers them: late, twice, never, in any order. Reads of a look may show
what was before the stack's latest calls, as KMS's may for some minutes.
https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
"""

import copy
import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from provisioner.aws.clients import client
from provisioner.domain.policy_meaning import same_meaning
from provisioner.settings import settings
from provisioner.upkeep.owners import Owners
from tests.support.faults.adopting import disowned
from tests.support.faults.aws import REGIONS, Call
from tests.support.faults.changes import BY_HAND, Declared, Document
from tests.support.faults.changing import ChangingAws
from tests.support.faults.kms import Key, Kms, KmsInRegion
from tests.support.faults.revisions import NEW
from tests.support.faults.scenario import REQUEST_ID
from tests.support.faults.workflow import INVOCATION, functions
from tests.support.key_events import call_event

DRIFT = "Multi-Region Key Drift Detected"
LOOK = "LookAtKeysFunction"
LAG = 200
"""Seconds; the stack allows KMS 300."""

Subject = tuple[str, str]
"""A Region and a property."""


class LookedAtAws(ChangingAws):
    """A finished key set that nobody else uses; `key_events` are those that were not delivered."""

    regions = (*REGIONS, NEW)

    def __init__(self) -> None:
        super().__init__()
        for arn in [arn for arn, key in self.kms.keys.items() if key.region == BY_HAND]:
            del self.kms.keys[arn]
        for place in [place for place in self.kms.aliases if place[0] == BY_HAND]:
            del self.kms.aliases[place]
        self.key_events: list[dict[str, Any]] = []
        self.lags = False
        self._before: list[tuple[float, Any]] = []

    def begin_without_keys(self) -> None:
        """Let the key set be yet to be made."""
        for table in self.dynamodb.tables.values():
            table.clear()
        self.kms.keys.clear()
        self.kms.aliases.clear()
        self.key_id = ""

    def begin_with_keys_of_others(self) -> None:
        """Let the stack know nothing of the key set, as if somebody else had made it."""
        disowned(self)

    @property
    def is_to_be_created(self) -> bool:
        """Whether the set is one that the stack makes, and is not finished."""
        return not self.is_created and bool(self.record or not self.key_id)

    @property
    def is_created(self) -> bool:
        """Whether the set was finished or adopted once, whatever became of it since."""
        return "createdAt" in self.record

    @property
    def declarations(self) -> list[Document]:
        """The document that was taken last, and while it is not applied the one before it."""
        applied = self.record.get("applied")
        before = [self.sent[json.loads(applied["S"])["description"]]] if applied else []
        return [self.newest, *before]

    @property
    def open_differences(self) -> set[Subject]:
        """What the table says is not as declared."""
        item = self.dynamodb.tables["sweep"].get(f"drift/{REQUEST_ID}", {})
        region_and_property = json.loads(item.get("published", {}).get("S", "{}"))
        return {(region, what) for region, what in map(str.split, region_and_property)}

    @property
    def is_managed(self) -> bool:
        """Whether the set is one that the stack answers for."""
        return self.is_created and "releasedAt" not in self.record

    def effect(self, call: Call, perform: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Do a call's work; the stack's changes of keys are noted, and may show late."""
        if call.service != "kms":
            answer = super().effect(call, perform, arguments)
            if arn := self.record.get("keyArn"):
                self.key_id = arn["S"].rpartition("/")[2]
            return answer
        if call.is_read:
            if self.lags and INVOCATION.get().function_name == LOOK:
                perform = getattr(KmsInRegion(self._past(), call.region), perform.__name__)
            return super().effect(call, perform, arguments)
        before = copy.deepcopy((self.kms.keys, self.kms.aliases, self.kms.named_at))
        answer = super().effect(call, perform, arguments)
        self._before.append((self.time, before))
        self._note(call.operation, call.region, arguments, settings().key_role_names[0])
        return answer

    def by_hand(self, key: Key, operation: str, **arguments: Any) -> None:
        """Call KMS as somebody who may do everything; from now on this shows at once."""
        act = getattr(_Hands(self.kms, key.region), operation)
        named = arguments if operation == "delete_alias" else {"KeyId": key.arn, **arguments}
        if operation == "create_alias":
            named = {"TargetKeyId": key.arn, **arguments}
        act(**named)
        self._before.clear()
        given = {"KeyId": key.arn, **arguments}
        self._note(operation.title().replace("_", ""), key.region, given, None)

    def _note(
        self, operation: str, region: str, arguments: dict[str, Any], role: str | None
    ) -> None:
        arn = str(arguments.get("KeyId") or arguments.get("TargetKeyId") or "")
        more: dict[str, Any] = {}
        if alias := arguments.get("AliasName"):
            more["aliasName"] = alias
        if tags := arguments.get("Tags"):
            more["tags"] = [{"tagKey": tag["TagKey"]} for tag in tags]
        at = datetime.fromtimestamp(int(self.time), UTC).isoformat().replace("+00:00", "Z")
        key_id = arn.rpartition("/")[2] or self.key_id
        event = call_event(operation, region, key_id=key_id, at=at, role=role, **more)
        self.key_events.append(event)

    def _past(self) -> Kms:
        """Return KMS as it was before the stack's latest calls."""
        late = [before for at, before in self._before if at > self.time - LAG]
        if not late:
            return self.kms
        keys, aliases, named_at = late[0]
        return Kms(lambda: self.time, keys=keys, aliases=aliases, named_at=named_at)

    def _wrongs(self, call: Call, arguments: dict[str, Any]) -> Iterator[str]:
        """Find nothing: what the stack may do to keys is not what is tested here."""
        del call, arguments
        return iter(())

    def look(self, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Deliver messages of the queue; return those that come again."""
        messages = [
            {"messageId": str(number), "receiptHandle": "", "body": json.dumps(body)}
            for number, body in enumerate(bodies)
        ]
        answer = functions()[LOOK].invoke(self, LOOK, {"Records": messages})
        return [bodies[int(one["itemIdentifier"])] for one in answer["batchItemFailures"]]


class _Hands(KmsInRegion):
    """KMS as somebody calls it whom no tag keeps from a key."""

    def _key(self, arn: str, operation: str) -> Key:
        key = self._kms.keys.get(arn)
        return super()._key(arn, operation) if key is None or self._kms.is_gone(key) else key


def put_right(aws: LookedAtAws, document: Document) -> None:
    """Make every key as declared, as somebody does before its set is adopted."""
    keys = aws.keys()
    for member in Declared(aws, document, aws.key_id).members():
        if key := keys.get(member["region"]):
            wanted = {**document, "enabled": True, **member}
            key.disabled, key.leaving = not wanted["enabled"], False
            key.description = wanted["description"] or ""
            key.tags |= wanted["tags"]
            key.policy = json.dumps(wanted["policy"]["document"])
            aws.kms.aliases[key.region, wanted["alias"]] = key.arn


def forget_owners() -> None:
    """Let the function read whose keys are whose anew, as a new sandbox does."""
    app: Any = importlib.import_module("look_at_keys.app")
    app._owners = Owners(
        app._records, lambda region: client("resourcegroupstaggingapi", region), settings()
    )


def differences(aws: LookedAtAws) -> dict[Subject, Any]:
    """Return what each key has otherwise than declared, by the documents alone.

    A revision that has failed half-way leaves each property as it says or as the one before does.
    """
    found, *others = [dict(_differences(aws, one)) for one in aws.declarations]
    return {one: has for one, has in found.items() if all(one in other for other in others)}


def _differences(aws: LookedAtAws, document: Document) -> Iterator[tuple[Subject, Any]]:
    keys = aws.keys()
    members = Declared(aws, document, aws.key_id).members()
    for member in [member for member in members if member["region"] in keys]:
        wanted = {**document, "enabled": True, **member}
        region, key = member["region"], keys[member["region"]]
        state = aws.kms.state_of(key)
        if state != ("Enabled" if wanted["enabled"] else "Disabled"):
            yield (region, "keyState"), state
        if key.description != (wanted["description"] or ""):
            yield (region, "description"), key.description
        tags = {**wanted["tags"], "mrk:request-id": REQUEST_ID, "mrk:stack": "mrk"}
        for name, value in tags.items():
            if key.tags.get(name) != value:
                yield (region, f"tags.{name}"), key.tags.get(name)
        if aws.kms.aliases.get((region, wanted["alias"])) != key.arn:
            yield (region, "alias"), None
        if not same_meaning(json.loads(key.policy), wanted["policy"]["document"], partition="aws"):
            yield (region, "policy"), None
