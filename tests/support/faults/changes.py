"""A change of a finished key set under one schedule of faults."""

import copy
import json
import pickle
from dataclasses import dataclass
from functools import cache
from typing import Any

from provisioner.domain.policy_meaning import same_meaning
from tests.support.faults import wiring
from tests.support.faults.aws import Aws, Holder
from tests.support.faults.faults import Schedule
from tests.support.faults.holder import MATERIAL, answer_promptly
from tests.support.faults.kms import Key
from tests.support.faults.scenario import REQUEST, REQUEST_ID, Scenario

Document = dict[str, Any]
FOREIGN_TAG = ("owner", "finance")
FOREIGN_ALIAS = "alias/finance/cards"
BY_HAND = "sa-east-1"
"""Where somebody made a replica key by hand."""
ROTATING: Document = {**REQUEST, "rotation": {"periodInDays": 365}}
_LEAVING = ("PendingDeletion", "PendingReplicaDeletion")
_HURTS = {
    "DisableKey": "DISABLE",
    "ScheduleKeyDeletion": "REMOVE",
    "CancelKeyDeletion": "RESTORE",
    "UpdateAlias": "MOVE_ALIAS",
}


def revised(before: Document, *words: str, **changed: Any) -> Document:
    """Return the next revision of a declaration."""
    return {**before, "revision": before.get("revision", 1) + 1, "confirm": [*words], **changed}


@dataclass(frozen=True)
class Declared:
    """A declaration that the keys of a set are held against."""

    aws: Aws
    document: Document
    key_id: str

    def problems(self) -> list[str]:
        """Say where a key is not as declared."""
        document, kms = self.document, self.aws.kms
        members = {one["region"]: {**document, "enabled": True, **one} for one in self.members()}
        found = []
        ours = [key for key in kms.keys.values() if key.key_id == self.key_id]
        for key in ours:
            if key.region == BY_HAND:
                continue
            wanted = members.get(key.region)
            if (wanted is None or _is_decommissioned(document)) != (kms.state_of(key) in _LEAVING):
                found.append(f"{key.arn} is {kms.state_of(key)}")
            elif wanted and not _is_decommissioned(document):
                found += self._faults_of(key, wanted)
        if not _is_decommissioned(document):
            # A Region that a decommissioned set declares anew gets its key with the others' return.
            present = {key.region for key in ours}
            found += [f"there is no key in {region}" for region in members.keys() - present]
            found += self._faults_of_the_primary()
        return found

    def members(self) -> list[dict[str, Any]]:
        """List what is declared of each Region, the primary key's first."""
        document = self.document
        enabled = document.get("enabled", True)
        primary = {"region": document["primaryRegion"], "enabled": enabled}
        return [primary, *document["replicas"]]

    def _faults_of(self, key: Key, wanted: dict[str, Any]) -> list[str]:
        tags = {**wanted["tags"], "mrk:request-id": REQUEST_ID, "mrk:stack": "mrk"}
        state = "Enabled" if wanted["enabled"] else "Disabled"
        faults = {
            "state": self.aws.kms.state_of(key) != state,
            "alias": self.aws.kms.aliases.get((key.region, wanted["alias"])) != key.arn,
            "description": key.description != (wanted["description"] or ""),
            "tags": not tags.items() <= key.tags.items(),
            "key material": key.material
            != (MATERIAL if key.facts["origin"] == "EXTERNAL" else None),
            "old aliases": any(
                owner == key.arn and alias != wanted["alias"] and _may_be_our_name(alias)
                for (_, alias), owner in self.aws.kms.aliases.items()
            ),
            "old tags": bool({*filter(_may_be_ours, key.tags)} - {*tags, "mrk:attempt"}),
            "policy": not same_meaning(
                json.loads(key.policy), wanted["policy"]["document"], partition="aws"
            ),
        }
        return [
            f"{key.arn} has another {name}: {key}" for name, is_wrong in faults.items() if is_wrong
        ]

    def _faults_of_the_primary(self) -> list[str]:
        rotation = self.document.get("rotation")
        return [
            f"{key.arn} is not the primary key that was asked for"
            for key in self.aws.kms.keys.values()
            if key.key_id == self.key_id
            and (
                (key.facts["type"] == "PRIMARY") != (key.region == self.document["primaryRegion"])
                or (
                    key.facts["type"] == "PRIMARY"
                    and key.rotation_days != (rotation["periodInDays"] if rotation else None)
                )
            )
        ]

    def regions(self) -> list[str]:
        """List the Regions that keep a key."""
        if _is_decommissioned(self.document):
            return []
        return [member["region"] for member in self.members()]


class ChangeScenario(Scenario):
    """A new declaration, sent over a network with faults, of a key set that others use as well.

    Parameters
    ----------
    holder
        Whoever has the key material of a set with imported one.
    before
        The declarations that were applied before.
    taken
        The Region and the name of an alias that points to a key of somebody else.
    """

    def __init__(
        self,
        schedule: Schedule = (),
        *,
        before: tuple[Document, ...],
        document: Document,
        taken: tuple[str, str] | None = None,
        holder: Holder = answer_promptly,
    ) -> None:
        aws = copy_of(before)
        self.key_id = aws.kms.primaries()[0].key_id
        if taken:
            aws.kms.take_alias(*taken).tags[FOREIGN_TAG[0]] = FOREIGN_TAG[1]
        super().__init__(schedule, aws=aws, document=document, holder=holder)
        self.before = {arn: copy.deepcopy(key) for arn, key in aws.kms.keys.items()}
        self.aliases_before = dict(aws.kms.aliases)
        self.words = document.get("confirm", [])

    def fingerprint(self) -> bytes:
        """Count what was done in KMS as well, since `problems` reads it."""
        return super().fingerprint() + repr(sorted(map(str, self.aws.done))).encode()

    def _come_to_rest(self) -> list[str]:
        for is_over in (False, True):
            if is_over:
                self.network.end_faults()
            if not is_changed(self.aws, self.document):
                self.deliver()
        if ended_without_promotion(self.aws):
            # As its message says, whether or not the call was ever sent.
            self.document = revised(self.document, *self.words)
            self.deliver()
        self.aws.time += wiring.QUIET_SECONDS + 1
        self.sweep()
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
        left = {"unfinished", "applied", "promotion"} & item.keys()
        if not _is_decommissioned(self.document) or item["superseded"] != {"S": "{}"}:
            left |= {"superseded"} & item.keys()
        if not is_changed(self.aws, self.document) or left:
            found.append(f"the record is {item}")
        if any(execution.status == "RUNNING" for execution in self.aws.executions.values()):
            found.append("an execution never ended")
        published = [e.detail for e in self.aws.events if e.detail_type in _PUBLISHED]
        if len({detail["outcomeId"] for detail in published}) != 1:
            found.append(f"the change was published {len(published)} times")
        return found

    def _problems_of_the_calls(self) -> list[str]:
        """Say what was done to keys that nobody confirmed, and what was done twice."""
        found = []
        all_go = "DECOMMISSION" in self.words
        for call in self.aws.done:
            word = _HURTS.get(call.operation)
            is_meant = f"{word}:{call.region}" in self.words or (word == "REMOVE" and all_go)
            if word and not is_meant:
                found.append(f"{call} was not confirmed")
        promotions = [call for call in self.aws.done if call.operation == "UpdatePrimaryRegion"]
        asked = sum(word.startswith("PROMOTE:") for word in self.words)
        if len(promotions) != asked:
            found.append(f"{len(promotions)} promotions instead of {asked}")
        return found

    def _problems_of_what_is_not_ours(self) -> list[str]:
        """Say what became of what others set, and of what the declaration left as it was."""
        found, kms = [], self.aws.kms
        for arn in self.before:
            if kms.keys[arn].tags.get(FOREIGN_TAG[0]) != FOREIGN_TAG[1]:
                found.append(f"{arn} lost the tag of others")
        for place, arn in self.aliases_before.items():
            if place[1] == FOREIGN_ALIAS and kms.aliases.get(place) != arn:
                found.append(f"the alias of others in {place[0]} is gone")
        for arn, before in self.before.items():
            is_foreign = before.region == BY_HAND or before.key_id != self.key_id
            if is_foreign and _settings_of(kms.keys[arn]) != _settings_of(before):
                found.append(f"a key of others has changed: {kms.keys[arn]}")
        named = {alias for (region, alias), _ in kms.aliases.items() if region != BY_HAND}
        declared = Declared(self.aws, self.document, self.key_id)
        wanted = {one.get("alias", self.document["alias"]) for one in declared.members()}
        kept = {alias for place, alias in self.aliases_before if place not in declared.regions()}
        if left := named - wanted - kept - {FOREIGN_ALIAS}:
            found.append(f"old aliases are left: {left}")
        return found


_PUBLISHED = ("Multi-Region Key Updated", "Multi-Region Key Decommissioned")


def is_changed(aws: Aws, document: Document) -> bool:
    """Whether the revision is recorded as done, and that was published."""
    record = aws.dynamodb.tables["requests"][REQUEST_ID]
    status = "DECOMMISSIONED" if _is_decommissioned(document) else "UPDATED"
    is_done = record["status"] == {"S": status} and "publishedAt" in record
    return is_done and record["revision"] == {"N": str(document["revision"])}


def ended_without_promotion(aws: Aws) -> bool:
    """Whether the newest outcome is that the one promotion of a revision had no effect."""
    outcome: dict[str, Any] = next(
        (e.detail for e in reversed(aws.events) if "status" in e.detail), {}
    )
    codes = {error["code"] for error in outcome.get("errors", [])}
    return outcome.get("status") == "UPDATE_FAILED" and "PROMOTION_NOT_DONE" in codes


def _is_decommissioned(document: Document) -> bool:
    return document.get("desiredState") == "DECOMMISSIONED"


def _may_be_ours(tag: str) -> bool:
    return not tag.startswith(FOREIGN_TAG[0])


def _may_be_our_name(alias: str) -> bool:
    return not alias.startswith(FOREIGN_ALIAS)


def _settings_of(key: Key) -> tuple[Any, ...]:
    return key.description, key.policy, key.tags, key.disabled, key.leaving


def copy_of(documents: tuple[Document, ...], *, is_used: bool = True) -> Aws:
    """Return an AWS in which these declarations were applied, one after the other.

    Parameters
    ----------
    is_used
        Whether others use the keys as well.
    """
    aws = Aws()
    aws.remember(pickle.loads(_applied(json.dumps(documents), is_used=is_used)))  # noqa: S301
    return aws


@cache
def _applied(documents: str, *, is_used: bool) -> bytes:
    """Return the memory of that AWS."""
    first, *later = json.loads(documents)
    scenario = Scenario(document=first, holder=answer_promptly)
    scenario.deliver()
    if is_used:
        mark(scenario.aws)
    scenario.aws.time += 3600
    for document in later:
        scenario.document = document
        scenario.deliver()
        assert is_changed(scenario.aws, document), scenario.aws.events[-1]
        scenario.aws.time += 3600
    aws = scenario.aws
    aws.events.clear()
    aws.done.clear()
    return pickle.dumps(aws.memory())


def mark(aws: Aws) -> None:
    """Do what organisations do to keys: tag them, name them, and replicate them by hand."""
    primary = aws.kms.primaries()[0]
    aws.kms.replicate(primary, BY_HAND)
    for key in aws.kms.keys.values():
        key.tags[FOREIGN_TAG[0]] = FOREIGN_TAG[1]
        aws.kms.aliases[key.region, FOREIGN_ALIAS] = key.arn
        aws.kms.named_at[key.region, FOREIGN_ALIAS] = aws.time
