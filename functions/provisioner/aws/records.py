"""Adapter of the requests table: one item a request, written by conditional updates only.

An item holds the request (`requestId`, `contentHash`, `request`), who works on it (`executionArn`,
`claimedAt`), how far it is (`status`), the CreateKey attempt (`attempt`, `attemptOpen`,
`attemptSentAt`, `keyArn`) and its outcome (`key`, `errors`, `ticket` as JSON text). `updatedAt` is
the time of the last update. While it waits for key material, `materials` is what was asked for,
`deadline` the end of that wait, and `taskToken` is what wakes the execution; `answerHash`
recognises an answer that comes twice. `createdAt` stays once the key set was finished.
`cancelledAt` is there from the cancellation of a request that is under way until that outcome is
published.
`run` counts the outcomes that were published before, and `nextRun` is its value for the next run.
`provenance` says who asked for the run `provenanceRun`, and who approved it.
`superseded` is what corrections of the request no longer ask for, until it is created; for a change
it is what revisions that failed may have set.
`applied` is the declaration that the key set has, as long as a change of it is under way or has
failed; at all other times a finished set has what `request` says. `promotion` is the
UpdatePrimaryRegion that was announced and whose end is not confirmed; `promotedBy` is the revision
that has announced the last one that may have been sent, and `promotedAt` when. `removed` has, by
Region, the keys that changes have scheduled for deletion, until they are gone. `removedNames` has
the names that such keys still have, until their Region is declared again. `operation` is the
operation that the record is held for, until its outcome is published; `lastOperation` says how the
last one ended. `rotation` is the RotateKeyOnDemand that was announced last, whatever came of it:
what KMS shows says that. `releasedAt` is there while nothing manages the keys: from the moment at
which their release was claimed, or their adoption was asked for, until they are adopted
(`adoptedAt`). `adoption` is what the last adoption was asked with beside the declaration.
`unfinished` is there until the outcome is published (`publishedAt`); an index over it finds what
the sweep has to check. Its value is one of a few shards: a partition of an index takes 1,000
writes a second, and each request writes to it twice.

Every update may be sent again by the SDK after it took effect. Its condition therefore holds, or is
recognised, when it is this very update that has changed the item.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import batched
from typing import TypedDict, cast

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import IDS_PER_CALL, read_many
from provisioner.clock import now
from provisioner.domain.material import Material
from provisioner.domain.operation import (
    Adoption,
    Ended,
    HeldOperation,
    Kind,
    LastOperation,
    Operation,
    is_for,
)
from provisioner.domain.plan import (
    KeySetFacts,
    KeySetRequest,
    RegionNames,
    content_hash,
    fingerprint,
    is_decommissioned,
    regions,
    revision_of,
)
from provisioner.domain.provenance import UNKNOWN, Provenance
from provisioner.errors import (
    Cancelled,
    DependencyUnavailable,
    NotUnderWay,
    PrimaryKeyUnconfirmed,
    Problem,
    RequestNotFound,
    RevisionSkipped,
)
from provisioner.json_text import Json, JsonObject

UNFINISHED_INDEX = "unfinished-by-shard"
SHARDS = 16
type _Value = str | int | dict[str, str] | None
type _Values = dict[str, _Value]


class Status(StrEnum):
    """Where a request stands."""

    IN_PROGRESS = "IN_PROGRESS"
    WAITING_FOR_MATERIAL = "WAITING_FOR_MATERIAL"
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    CREATED = "CREATED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    UPDATED = "UPDATED"
    UPDATE_FAILED = "UPDATE_FAILED"
    DECOMMISSIONED = "DECOMMISSIONED"


UNDER_WAY = (Status.IN_PROGRESS, Status.WAITING_FOR_MATERIAL)
"""An execution works on the request, or has died over it."""
FINISHED = (Status.CREATED, Status.UPDATED, Status.DECOMMISSIONED)
"""The key set is as its request says."""
OF_CHANGES = (Status.UPDATED, Status.UPDATE_FAILED, Status.DECOMMISSIONED)
"""Outcomes of a change of a key set that had been finished before."""


class Removed(TypedDict):
    """A key that a change has scheduled for deletion.

    `notBefore` is ISO 8601 in UTC, None for a primary key that waits for its replica keys: the time
    of its deletion is not known yet. `revision` is the one that removed it.
    """

    arn: str
    notBefore: str | None
    revision: int


Promotion = TypedDict("Promotion", {"from": str, "to": str, "token": str, "sentAt": str})
"""An announced UpdatePrimaryRegion.

`from` and `to` are Regions. `token` is known to whoever announced it alone. `sentAt` is ISO 8601 in
UTC; the call is sent after that, once.
"""


class Rotation(TypedDict):
    """An announced RotateKeyOnDemand.

    `operationId` is the operation's, which announces one. `materialId` is the key material that was
    current before, of the primary key `keyArn`. `token` is known to whoever announced it alone.
    `sentAt` is ISO 8601 in UTC; the call is sent after that, once.
    """

    operationId: str
    keyArn: str
    materialId: str
    token: str
    sentAt: str


@dataclass(frozen=True)
class Record:
    """One request as the table has it.

    `key_arn` is the primary key's, once CreateKey's answer is recorded. `attempt` is the number of
    the CreateKey attempt that was announced last, 0 before the first. `open_attempt` is the token
    of an attempt that may have reached KMS and has no recorded answer, announced at
    `attempt_sent_at`. `published_at` is when the outcome's event was sent. `ever_created` says
    that the key set was finished once, whatever became of the request since. `superseded` names
    by Region the aliases and tag keys that earlier contents asked for and this one does not. `run`
    counts the outcomes that were published before the one that is worked on or was recorded last.
    `cancelled_at` is None unless the request is under way, or about to publish, and was cancelled.
    `applied` is the declaration that was applied last, None before the key set was finished once.
    `is_changing` says that a change of it is under way or has failed. `promotion` is an announced
    UpdatePrimaryRegion without a confirmed end; `promoted_by` is the revision that announced the
    last one, whatever came of it, at `promoted_at`. `removed` has the keys that wait for their
    deletion by Region. `removed_names` names the aliases and tag keys that the provisioner set in
    Regions which are not declared any more: their keys have them as long as they wait for their
    deletion. `provenance` is who asked for this run and who approved it, as far as that is known.
    `operation` is the one that is under way or about to be published, `last_operation` how the last
    one ended. `released_at` is None unless nothing manages the keys; they were adopted last at
    `adopted_at`, with `adoption`.
    """

    request_id: str
    status: Status
    content_hash: str | None
    request: KeySetRequest | None
    execution_arn: str | None
    attempt: int
    open_attempt: str | None
    attempt_sent_at: datetime | None
    key_arn: str | None
    key: KeySetFacts | None
    errors: list[Problem]
    ticket: JsonObject | None
    published_at: datetime | None
    claimed_at: datetime | None
    materials: list[Material]
    task_token: str | None
    answer_hash: str | None
    ever_created: bool
    revision: int
    superseded: RegionNames
    run: int
    warnings: list[Problem] = field(default_factory=list)
    cancelled_at: datetime | None = None
    updated_at: datetime | None = None
    deadline: str | None = None
    applied: KeySetRequest | None = None
    is_changing: bool = False
    promotion: Promotion | None = None
    promoted_by: int | None = None
    promoted_at: datetime | None = None
    removed: dict[str, Removed] = field(default_factory=dict)
    removed_names: RegionNames = field(default_factory=dict)
    provenance: Provenance = field(default_factory=lambda: UNKNOWN)
    operation: HeldOperation | None = None
    last_operation: LastOperation | None = None
    rotation: Rotation | None = None
    """The RotateKeyOnDemand that was announced last, whatever came of it."""
    released_at: datetime | None = None
    adopted_at: datetime | None = None
    adoption: Adoption | None = None

    @property
    def is_of_a_change(self) -> bool:
        """Whether a change of the finished key set is under way, or was the last to end."""
        return self.is_changing or self.status in OF_CHANGES

    @property
    def version(self) -> str:
        """Fingerprint of what a plan depends on; another one once anybody has claimed or ended."""
        holder = (self.execution_arn, self.run, self.published)
        return fingerprint([self.status, self.content_hash, self.revision, *holder])

    @property
    def published(self) -> bool:
        """Whether the outcome's event was sent."""
        return self.published_at is not None

    @property
    def ended_cancelled(self) -> bool:
        """Whether the outcome is that the request was cancelled."""
        has_failed = self.status in (Status.FAILED, Status.UPDATE_FAILED)
        return has_failed and _names_cancellation(self.errors)


def refuse_if_cancelled(record: Record) -> None:
    """Check that nobody cancelled the request.

    Raises
    ------
    Cancelled
        The execution that holds the request ends it.
    """
    if record.cancelled_at:
        raise Cancelled(record.request_id)


class _ConditionFailed(Exception):
    """The item is not in the state that the update needs. `record` is what it is, if it exists."""

    def __init__(self, record: Record | None) -> None:
        self.record = record
        super().__init__()


@contextmanager
def _named_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code, reason = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code == "ConditionalCheckFailedException":
            item = error.response.get("Item")
            raise _ConditionFailed(_record(item) if isinstance(item, dict) else None) from error
        raise DependencyUnavailable(f"DynamoDB refused {operation}: {code} {reason}.") from error
    except BotoCoreError as error:
        raise DependencyUnavailable(f"DynamoDB did not answer {operation}: {error}.") from error


class _Names(TypedDict, total=False):
    """What DynamoDB takes only where the update uses it."""

    ExpressionAttributeNames: dict[str, str]


class Records:
    """The requests table. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def made_at(self) -> datetime:
        """Read when the table was made, or restored from a backup."""
        with _named_errors("DescribeTable"):
            table = self._client.describe_table(TableName=self._table)["Table"]
        return table["CreationDateTime"]

    def get(self, request_id: str) -> Record | None:
        """Read a request's record, consistently."""
        with _named_errors("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key={"requestId": {"S": request_id}}, ConsistentRead=True
            )
        return _record(answer["Item"]) if "Item" in answer else None

    def get_many(
        self, request_ids: Iterable[str], *, consistently: bool = False
    ) -> Iterator[Record]:
        """Read the records of many requests, a hundred a call; those that exist, in any order.

        Unless they are read consistently, what was written in the last second may be missing.
        """
        items = read_many(self._client, self._table, request_ids, consistently=consistently)
        return map(_record, items)

    def with_keys(self) -> Iterator[Record]:
        """Read the record of every request that has a key, consistently: it reads the whole table.

        A page is 1 MB of the table, and reading 4 KB takes a read unit.
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
        """
        with _named_errors("Scan"):
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table,
                FilterExpression="attribute_exists(keyArn)",
                ConsistentRead=True,
            )
            for page in pages:
                yield from map(_record, page["Items"])

    def claim(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        dead_execution: str | None = None,
        renewing: bool = False,
        only_created: bool = False,
        provenance: Provenance | None = None,
    ) -> tuple[bool, Record]:
        """Make an execution the one that works on a request.

        That is possible for a new request, a refused one, and, where the content is the same and
        the revision is the same or the next, for one whose failure was published, one that this
        execution holds already, and one whose execution is known to be dead and left no published
        outcome. With `renewing` also for one that was published as CREATED or UPDATED. With
        `only_created`, which is for a later revision, for none whose key set was never finished.
        Where the last run was a change that has not succeeded, only `claim_change` takes the
        request.

        Parameters
        ----------
        provenance
            Who asks for the run. None leaves what was said of it before.

        Returns
        -------
        tuple of bool and Record
            True with the claimed record; False with the one that is there: another execution holds
            it, it is CREATED and published, or it has other content or another revision.

        Raises
        ------
        RevisionSkipped
            The request is new, and this is not its first revision.
        """
        request_id, revision = request["requestId"], revision_of(request)
        is_new = "attribute_not_exists(requestId) OR #status = :rejected OR "
        condition = (
            f"{is_new if revision == 1 else ''}"
            f"(contentHash = :hash AND {_revision_is(':revision', ':before', number=revision)} AND "
            "attribute_not_exists(applied) AND attribute_not_exists(operation) AND "
            "attribute_not_exists(releasedAt) AND "
            "((#status = :failed AND attribute_exists(publishedAt)) OR "
            "(executionArn IN (:me, :dead) AND (#status IN (:running, :waiting) OR "
            "(#status IN (:failed, :created) AND attribute_not_exists(publishedAt)))) OR "
            "(#status IN (:renewable, :changed) AND attribute_exists(publishedAt))))"
        )
        values: _Values = {
            **_holding(request, execution_arn),
            ":running": Status.IN_PROGRESS,
            ":before": revision - 1,
            ":dead": dead_execution or execution_arn,
            ":waiting": Status.WAITING_FOR_MATERIAL,
            ":renewable": Status.CREATED if renewing else "none",
            ":changed": Status.UPDATED if renewing else "none",
            ":created": Status.CREATED,
            ":failed": Status.FAILED,
        }
        if revision == 1:
            values[":rejected"] = Status.REJECTED
        if only_created:
            condition += " AND attribute_exists(createdAt)"
        update = f"SET {_CLAIMED}{_asked_by(provenance, values)} REMOVE {_FORGOTTEN}"
        try:
            return True, self._update(request_id, condition, update, values)
        except _ConditionFailed as failed:
            holder = failed.record
        if holder is None and revision > 1:
            raise RevisionSkipped(request_id, revision, 1)
        if holder is None:
            raise DependencyUnavailable(f"DynamoDB does not say who holds {request_id}.")
        return False, holder

    def correct(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        seen: Record,
        superseded: RegionNames,
        provenance: Provenance | None = None,
    ) -> bool:
        """Claim a request that failed, with other content.

        Whether that may be was decided by what `seen` says, so the record must still say it.

        Parameters
        ----------
        superseded
            What the record has to keep of earlier contents, which this one does not ask for.
        provenance
            As in `claim`.

        Returns
        -------
        bool
            False where the record has changed: read it again.
        """
        condition = (
            "#status = :failed AND attribute_exists(publishedAt) AND "
            "attribute_not_exists(createdAt) AND contentHash = :seen AND executionArn = :holder "
            f"AND {_revision_is(':was', number=seen.revision)} AND attempt = :attempt"
        )
        values: _Values = {
            **_holding(request, execution_arn),
            ":running": Status.IN_PROGRESS,
            ":failed": Status.FAILED,
            ":seen": seen.content_hash,
            ":holder": seen.execution_arn,
            ":was": seen.revision,
            ":attempt": seen.attempt,
            ":superseded": json_text.text(superseded),
        }
        for name, value in (("attemptOpen", seen.open_attempt), ("keyArn", seen.key_arn)):
            if value is None:
                condition += f" AND attribute_not_exists({name})"
            else:
                condition += f" AND {name} = :{name}"
                values[f":{name}"] = value
        claimed = f"{_CLAIMED}{_asked_by(provenance, values)}"
        update = f"SET {claimed}, superseded = :superseded REMOVE {_FORGOTTEN}"
        return self._update_if(request["requestId"], condition, update, values)

    def claim_change(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        seen: Record,
        superseded: RegionNames,
        removed_names: RegionNames | None = None,
        provenance: Provenance | None = None,
    ) -> tuple[bool, Record]:
        """Make an execution the one that changes a finished key set to what a request says.

        Whether that may be was decided by what `seen` says, so the record must still say it. A
        promotion that is announced stays. A removed key in a Region that the request keeps is one
        of the set's own again.

        Parameters
        ----------
        superseded
            What earlier revisions may have set in declared Regions, or where they failed in any,
            and this one does not ask for.
        removed_names
            What earlier revisions have set in Regions that this one does not declare.
        provenance
            As in `claim`.

        Returns
        -------
        tuple of bool and Record
            True with the claimed record, also where this execution held it already; False with the
            one that is there: it has changed, so decide again.
        """
        condition = (
            "attribute_exists(createdAt) AND attribute_not_exists(operation) AND "
            "(executionArn = :me AND contentHash = :hash AND revision = :revision AND "
            "#status = :running OR contentHash = :seen AND "
            f"executionArn = :holder AND {_revision_is(':was', number=seen.revision)} AND "
            "#status = :then AND attribute_"
            f"{'exists' if seen.published else 'not_exists'}(publishedAt))"
        )
        kept = [] if is_decommissioned(request) else regions(request)
        removed = {
            region.replace("-", "_"): json_text.text(key)
            for region, key in seen.removed.items()
            if region not in kept
        }
        values: _Values = {
            **_holding(request, execution_arn),
            ":running": Status.IN_PROGRESS,
            ":seen": seen.content_hash,
            ":holder": seen.execution_arn,
            ":was": seen.revision,
            ":then": seen.status,
            ":applied": json_text.text(seen.applied),
            ":superseded": json_text.text(superseded),
            ":removed": removed,
            ":removedNames": json_text.text(removed_names or {}),
        }
        update = (
            f"SET {_CLAIMED}{_asked_by(provenance, values)}, applied = :applied, "
            "superseded = :superseded, removed = :removed, removedNames = :removedNames "
            f"REMOVE {_FORGOTTEN}"
        )
        return self._claim_if(request["requestId"], condition, update, values)

    def claim_operation(
        self,
        operation: Operation,
        execution_arn: str,
        *,
        seen: Record,
        provenance: Provenance | None = None,
    ) -> tuple[bool, Record]:
        """Make an execution the one that carries an operation out on a finished key set.

        Whether that may be was decided by what `seen` says, so the record must still say it. The
        declaration stays, and so does the status that the record gets back at the end.

        Parameters
        ----------
        provenance
            As in `claim`.

        Returns
        -------
        tuple of bool and Record
            True with the claimed record, also where this execution held it already; False with the
            one that is there.
        """
        held: HeldOperation = {**operation, "before": seen.status, "ended": None}
        values: _Values = {
            ":me": execution_arn,
            ":holder": seen.execution_arn,
            ":then": seen.status,
            ":running": Status.IN_PROGRESS,
            ":now": now().isoformat(),
            ":zero": 0,
            ":unfinished": _shard(seen.request_id),
        }
        if seen.operation is None:
            values[":was"] = seen.revision
            condition = (
                "executionArn = :holder AND #status = :then AND attribute_exists(publishedAt) AND "
                f"attribute_not_exists(operation) AND {_revision_is(':was', number=seen.revision)}"
            )
        else:  # Its execution has died.
            held = seen.operation
            values[":held"] = json_text.text(seen.operation)
            condition = "executionArn = :holder AND #status = :then AND operation = :held"
        values[":operation"] = json_text.text(held)
        mine = "executionArn = :me AND operation = :operation"
        status = ":then" if held["ended"] else ":running"
        # Before the first tag goes, so that none is missed.
        is_released = held["operation"] == Kind.RELEASE
        released = "releasedAt = if_not_exists(releasedAt, :now), " if is_released else ""
        update = (
            f"SET #status = {status}, executionArn = :me, operation = :operation, {released}"
            "claimedAt = :now, run = if_not_exists(nextRun, :zero), unfinished = :unfinished"
            f"{_asked_by(provenance, values)} REMOVE "
            f"{'publishedAt' if held['ended'] else _FORGOTTEN}"
        )
        if held["ended"]:
            del values[":running"]
        condition = f"attribute_exists(createdAt) AND ({mine} OR ({condition}))"
        return self._claim_if(seen.request_id, condition, update, values)

    def finish_operation(
        self,
        request_id: str,
        operation: Operation,
        execution_arn: str,
        *,
        ended: Ended,
        key: KeySetFacts | None,
        errors: list[Problem],
        warnings: Sequence[Problem] = (),
    ) -> Record | None:
        """Record how an operation has ended; None where this execution does not hold the request.

        What the record says of the key set is as it was before, except for what is known of its
        keys. An end that is recorded already stays.

        Raises
        ------
        Cancelled
            The operation was cancelled, and `errors` do not say so.
        """
        record = self.get(request_id)
        held = record.operation if record else None
        if (
            record is None
            or held is None
            or record.execution_arn != execution_arn
            or not is_for(held, operation["operationId"])
        ):
            return None
        if held["ended"]:
            return record
        at = now().isoformat()
        last: LastOperation = {
            "operationId": operation["operationId"],
            "operation": operation["operation"],
            "status": ended,
            "errors": errors,
            "at": at,
        }
        values: _Values = {
            ":me": execution_arn,
            ":held": json_text.text(held),
            ":operation": json_text.text({**held, "ended": ended}),
            ":last": json_text.text(last),
            ":status": held["before"],
            ":warnings": json_text.text([*warnings]),
            ":zero": 0,
        }
        update = (
            "SET #status = :status, operation = :operation, lastOperation = :last, "
            "warnings = :warnings, nextRun = if_not_exists(run, :zero)"
        )
        if key:
            update += ", #key = :key, keyArn = :primary"
            values |= {":key": json_text.text(key), ":primary": key["primary"]["arn"]}
        forgotten = _ENDED
        if ended == Ended.FINISHED and operation["operation"] == Kind.ADOPT:
            update += ", adoptedAt = :at"
            values[":at"] = at
            forgotten += ", releasedAt"
        condition = "executionArn = :me AND operation IN (:held, :operation)"
        if not _names_cancellation(errors):
            condition += " AND attribute_not_exists(cancelledAt)"
        return self._update_unless_cancelled(
            request_id, execution_arn, condition, f"{update} REMOVE {forgotten}", values
        )

    def of_key(self, key_id: str) -> Iterator[Record]:
        """Read the records of the requests that a key ID is recorded for, consistently.

        No index has key IDs, so it reads the whole table: for what is asked once in a key's life.
        """
        with _named_errors("Scan"):
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table,
                FilterExpression="contains(keyArn, :id)",
                ExpressionAttributeValues={":id": {"S": f"/{key_id}"}},
                ConsistentRead=True,
            )
            for page in pages:
                yield from map(_record, page["Items"])

    def adopt(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        key_arn: str,
        adoption: Adoption,
        seen: Record | None,
        provenance: Provenance,
    ) -> tuple[bool, Record]:
        """Write the record of a key set that is to be adopted: as that of a released one.

        Nothing manages the set yet, and nothing misses tags on its keys. An execution claims the
        adoption then, and the record says that it is managed once that has finished.

        Parameters
        ----------
        key_arn
            The ARN of the primary key.
        seen
            The request's record as it was read, on which it was decided that the set may be
            adopted; None where there was none.

        Returns
        -------
        tuple of bool and Record
            True with the record as it is written now, False with the one that is there: decide
            again.
        """
        values: _Values = {
            **_holding(request, execution_arn),
            ":arn": key_arn,
            ":adoption": json_text.text(adoption),
            ":status": seen.status if seen and seen.released_at else Status.CREATED,
        }
        if seen is None:
            condition = "attribute_not_exists(requestId)"
        elif seen.released_at is None:
            condition, values[":then"] = "#status = :then", Status.REJECTED
        else:
            values |= {":holder": seen.execution_arn, ":was": seen.revision}
            condition = (
                "attribute_exists(releasedAt) AND attribute_exists(publishedAt) AND "
                f"executionArn = :holder AND {_revision_is(':was', number=seen.revision)}"
            )
        values[":none"] = json_text.text([])
        held, _, _ = _HELD.rpartition(",")  # No outcome is to be published of it.
        del values[":unfinished"]
        update = (
            f"SET #status = :status, {held}, claimedAt = :now, publishedAt = :now, "
            "keyArn = :arn, adoption = :adoption, releasedAt = if_not_exists(releasedAt, :now), "
            "createdAt = if_not_exists(createdAt, :now), errors = :none, "
            "run = if_not_exists(nextRun, :zero), nextRun = if_not_exists(nextRun, :zero)"
            f"{_asked_by(provenance, values)} "
            "REMOVE unfinished, #key, warnings, materials, taskToken, answerHash, deadline, "
            "superseded, applied, removed, removedNames, promotion, cancelledAt"
        )
        mine = "executionArn = :me AND contentHash = :hash AND adoption = :adoption"
        condition = f"({condition}) OR ({mine})"
        return self._claim_if(request["requestId"], condition, update, values)

    def announce_promotion(
        self,
        request: KeySetRequest,
        execution_arn: str,
        *,
        source: str,
        target: str,
        token: str,
    ) -> bool:
        """Write down, before UpdatePrimaryRegion is sent, that it is about to be.

        A revision does that once, unless it is withdrawn.

        Parameters
        ----------
        source, target
            The Regions of the primary key and of the replica key that is to be promoted.
        token
            Known to this caller alone, so that it recognises its own announcement.

        Returns
        -------
        bool
            False where this execution does not hold the request, another promotion is open, or
            this revision has announced one before.

        Raises
        ------
        Cancelled
            The request was cancelled.
        """
        sent_at = now().isoformat()
        promotion = {"from": source, "to": target, "token": token, "sentAt": sent_at}
        condition = (
            "executionArn = :me AND #status IN (:running, :waiting) "
            "AND attribute_not_exists(promotion) "
            "AND (attribute_not_exists(promotedBy) OR promotedBy <> :revision) "
            "AND attribute_not_exists(cancelledAt)"
        )
        update = "SET promotion = :promotion, promotedBy = :revision, promotedAt = :at"
        values: _Values = {
            ":me": execution_arn,
            ":running": Status.IN_PROGRESS,
            ":waiting": Status.WAITING_FOR_MATERIAL,
            ":promotion": json_text.text(promotion),
            ":revision": revision_of(request),
            ":at": sent_at,
        }
        try:
            self._update(request["requestId"], condition, update, values)
        except _ConditionFailed as failed:
            record = failed.record
            if record and record.promotion and record.promotion["token"] == token:
                return True
            _refuse_if_cancelled(record, execution_arn)
            return False
        return True

    def withdraw_promotion(self, request_id: str, promotion: Promotion) -> None:
        """Take back an announcement whose call had no effect; the revision may announce another."""
        values: _Values = {":promotion": json_text.text(promotion)}
        update = "REMOVE promotion, promotedBy, promotedAt"
        self._update_if(request_id, "promotion = :promotion", update, values)

    def close_promotion(self, request_id: str, promotion: Promotion, key_arn: str | None) -> bool:
        """Write down what came of a promotion: the primary key's ARN now, or None for no change.

        Returns
        -------
        bool
            False where another promotion is announced, or this one was closed otherwise.
        """
        values: _Values = {":promotion": json_text.text(promotion)}
        update = "REMOVE promotion"
        if key_arn:
            update = "SET keyArn = :arn REMOVE promotion"
            values[":arn"] = key_arn
        try:
            self._update(request_id, "promotion = :promotion", update, values)
        except _ConditionFailed as failed:
            record = failed.record
            is_closed = record is not None and record.promotion is None
            return is_closed and key_arn in (None, record.key_arn if record else None)
        return True

    def announce_rotation(
        self, request_id: str, execution_arn: str, rotation: Rotation, *, seen: Rotation | None
    ) -> bool:
        """Write down, before RotateKeyOnDemand is sent, that it is about to be.

        Whether that may be was decided by the announcement that was `seen`, so the record must
        still have it. It is none of the operation's own: that rotates once.

        Returns
        -------
        bool
            False where this execution does not hold the request, or another rotation is announced.

        Raises
        ------
        Cancelled
            The operation was cancelled.
        """
        values: _Values = {
            ":me": execution_arn,
            ":running": Status.IN_PROGRESS,
            ":waiting": Status.WAITING_FOR_MATERIAL,
            ":rotation": json_text.text(rotation),
        }
        is_seen = "attribute_not_exists(rotation)"
        if seen is not None:
            is_seen = "rotation = :seen"
            values[":seen"] = json_text.text(seen)
        condition = (
            f"executionArn = :me AND #status IN (:running, :waiting) AND {is_seen} "
            "AND attribute_not_exists(cancelledAt)"
        )
        try:
            self._update(request_id, condition, "SET rotation = :rotation", values)
        except _ConditionFailed as failed:
            record = failed.record
            if record and record.rotation and record.rotation["token"] == rotation["token"]:
                return True
            _refuse_if_cancelled(record, execution_arn)
            return False
        return True

    def withdraw_rotation(self, request_id: str, rotation: Rotation) -> None:
        """Take back an announcement whose call had no effect; another one may follow."""
        values: _Values = {":rotation": json_text.text(rotation)}
        self._update_if(request_id, "rotation = :rotation", "REMOVE rotation", values)

    def forget_removed(self, request_id: str, region: str, removed: Removed) -> None:
        """Forget a removed key, since KMS has deleted it; one that was removed again stays."""
        place = _removed_in(region)
        values: _Values = {":removed": json_text.text(removed)}
        self._update_if(request_id, f"{place} = :removed", f"REMOVE {place}", values)

    def announce_attempt(
        self, request_id: str, execution_arn: str, attempt: int, token: str
    ) -> bool:
        """Write down, before CreateKey is sent, that attempt number `attempt` is about to be.

        Parameters
        ----------
        token
            Known to this caller alone, so that it recognises its own announcement.

        Returns
        -------
        bool
            False where this execution does not hold the request or the attempt is not the next.

        Raises
        ------
        Cancelled
            The request was cancelled.
        """
        condition = (
            "executionArn = :me AND attempt = :last AND attribute_not_exists(attemptOpen) "
            "AND attribute_not_exists(keyArn) AND attribute_not_exists(cancelledAt)"
        )
        update = "SET attempt = :next, attemptOpen = :token, attemptSentAt = :now"
        values: _Values = {
            ":me": execution_arn,
            ":last": attempt - 1,
            ":next": attempt,
            ":token": token,
            ":now": now().isoformat(),
        }
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed as failed:
            if failed.record is not None and failed.record.open_attempt == token:
                return True
            _refuse_if_cancelled(failed.record, execution_arn)
            return False
        return True

    def close_attempt(self, request_id: str, attempt: int, key_arn: str | None) -> None:
        """Write down what came of an attempt: the primary key's ARN, or None for no key at all.

        Raises
        ------
        PrimaryKeyUnconfirmed
            Another attempt was announced or another key recorded meanwhile, so this answer has no
            place in the record.
        """
        condition = "attempt = :attempt AND attribute_not_exists(keyArn)"
        update = "REMOVE attemptOpen"
        values: _Values = {":attempt": attempt}
        if key_arn:
            condition = "attempt = :attempt AND (attribute_not_exists(keyArn) OR keyArn = :arn)"
            update = "SET keyArn = :arn REMOVE attemptOpen"
            values[":arn"] = key_arn
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed as error:
            raise PrimaryKeyUnconfirmed(
                f"Attempt {attempt} of {request_id} made {key_arn or 'no key'}, but the table has "
                "another attempt or another key."
            ) from error

    def await_material(
        self,
        request_id: str,
        execution_arn: str,
        task_token: str,
        *,
        key: KeySetFacts | None,
        materials: list[Material],
        errors: list[Problem],
        deadline: str | None = None,
        warnings: Sequence[Problem] = (),
    ) -> bool:
        """Write down what key material is asked for, and the token that takes the answer.

        Parameters
        ----------
        deadline
            When the request fails unless the key material has come.
        warnings
            What to know before it is provided.

        Returns
        -------
        bool
            False where another execution holds the request.

        Raises
        ------
        Cancelled
            The request was cancelled.
        """
        update = (
            "SET #status = :waiting, #key = :key, materials = :materials, errors = :errors, "
            "taskToken = :token, deadline = :deadline, warnings = :warnings REMOVE answerHash"
        )
        values: _Values = {
            ":waiting": Status.WAITING_FOR_MATERIAL,
            ":key": json_text.text(key),
            ":materials": json_text.text(materials),
            ":errors": json_text.text(errors),
            ":token": task_token,
            ":deadline": deadline,
            ":warnings": json_text.text([*warnings]),
            ":me": execution_arn,
            ":running": Status.IN_PROGRESS,
        }
        condition = (
            "executionArn = :me AND #status IN (:running, :waiting) "
            "AND attribute_not_exists(cancelledAt)"
        )
        taken = self._update_unless_cancelled(request_id, execution_arn, condition, update, values)
        return taken is not None

    def cancel(self, request_id: str) -> Record:
        """Write down that a request which is under way is to end; repeating it changes nothing.

        Raises
        ------
        RequestNotFound
            There is no such request.
        NotUnderWay
            The request has ended otherwise.
        """
        update = "SET cancelledAt = if_not_exists(cancelledAt, :now)"
        values: _Values = {
            ":now": now().isoformat(),
            ":running": Status.IN_PROGRESS,
            ":waiting": Status.WAITING_FOR_MATERIAL,
        }
        try:
            return self._update(request_id, "#status IN (:running, :waiting)", update, values)
        except _ConditionFailed as failed:
            record = failed.record
        if record is None:
            raise RequestNotFound(f"There is no request {request_id}.")
        if not record.ended_cancelled:
            raise NotUnderWay(f"Request {request_id} is {record.status}.")
        return record

    def note_answer(self, request_id: str, task_token: str, answer_hash: str) -> None:
        """Write down that an answer was taken, unless the next question is out."""
        update = (
            "SET #status = :running, answerHash = :hash "
            "REMOVE materials, errors, taskToken, deadline"
        )
        values: _Values = {
            ":running": Status.IN_PROGRESS,
            ":hash": answer_hash,
            ":token": task_token,
        }
        self._update_if(request_id, "taskToken = :token", update, values)

    def finish(
        self,
        request: KeySetRequest,
        *,
        execution_arn: str,
        status: Status,
        key: KeySetFacts | None,
        errors: list[Problem],
        warnings: Sequence[Problem] = (),
        removed: Mapping[str, Removed] | None = None,
        provenance: Provenance | None = None,
    ) -> Record | None:
        """Record the outcome of an execution; None where another one holds the request.

        An execution that failed before it could claim a request records its outcome as well, where
        no other one holds it. Success is the holder's alone: another one that failed meanwhile may
        have rolled the key set back. What is known of the keys stays where this execution did not
        come so far as to know any.

        Parameters
        ----------
        removed
            The keys that this change has scheduled for deletion, by Region.
        provenance
            Who asked, where no claim has written that down: whoever goes on with the request has
            to know that it came through a webhook.

        Raises
        ------
        Cancelled
            The request was cancelled, and `errors` do not say so.
        """
        update = (
            f"SET #status = :status, #key = {':key' if key else 'if_not_exists(#key, :key)'}, "
            f"errors = :errors, warnings = :warnings, {_HELD}, "
            "claimedAt = if_not_exists(claimedAt, :now), "
            # Published or not before, it is to be published again, as the same outcome.
            "nextRun = if_not_exists(run, :zero)"
        )
        values: _Values = {
            **_holding(request, execution_arn),
            ":status": status,
            ":key": json_text.text(key),
            ":errors": json_text.text(errors),
            ":warnings": json_text.text([*warnings]),
        }
        if status == Status.CREATED:
            update += ", createdAt = if_not_exists(createdAt, :now)"
        elif status in FINISHED and key:
            # Whoever has promoted a replica key, the record follows.
            update += ", keyArn = :primary"
            values[":primary"] = key["primary"]["arn"]
        if provenance is not None:
            update += ", provenance = :provenance, provenanceRun = if_not_exists(run, :zero)"
            values[":provenance"] = json_text.text(provenance)
        for number, (region, leaving) in enumerate((removed or {}).items()):
            update += f", {_removed_in(region)} = :removed{number}"
            values[f":removed{number}"] = json_text.text(leaving)
        update += f" REMOVE {_ENDED}{', applied' if status in FINISHED else ''}"
        if status in FINISHED and status != Status.DECOMMISSIONED:
            # A key that waits for its deletion still has what was left out, and may be restored.
            update += ", superseded"
        condition = _may_end(status, revision_of(request))
        if status == Status.FAILED:
            values[":rejected"] = Status.REJECTED
        if not _names_cancellation(errors):
            condition = f"({condition}) AND attribute_not_exists(cancelledAt)"
        return self._update_unless_cancelled(
            request["requestId"], execution_arn, condition, update, values
        )

    def mark_published(self, request_id: str, execution_arn: str) -> None:
        """Write down that the event of this execution's outcome was sent."""
        # Whoever claims the request from now on begins another run.
        update = (
            "SET publishedAt = :now, nextRun = if_not_exists(run, :zero) + :one "
            "REMOVE unfinished, cancelledAt, operation"
        )
        values: _Values = {
            ":me": execution_arn,
            ":zero": 0,
            ":one": 1,
            ":now": now().isoformat(),
            ":running": Status.IN_PROGRESS,
            ":waiting": Status.WAITING_FOR_MATERIAL,
        }
        condition = "executionArn = :me AND #status <> :running AND #status <> :waiting"
        self._update_if(request_id, condition, update, values)

    def note_refusal(
        self,
        request_id: str,
        execution_arn: str | None,
        ticket: JsonObject | None,
        errors: list[Problem],
    ) -> Record | None:
        """Keep a refusal for whoever asks; it neither claims the requestId nor hides a record.

        Returns
        -------
        Record or None
            The record of the requestId that stays as it is, if there is one.
        """
        update = (
            "SET #status = :rejected, executionArn = :me, ticket = :ticket, errors = :errors, "
            "attempt = :zero"
        )
        values: _Values = {
            ":rejected": Status.REJECTED,
            ":me": execution_arn,
            ":ticket": json_text.text(ticket),
            ":errors": json_text.text(errors),
            ":zero": 0,
        }
        condition = "attribute_not_exists(requestId) OR #status = :rejected"
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed as failed:
            return failed.record
        return None

    def unfinished(self) -> Iterator[Record]:
        """Find the requests without a published outcome, the oldest first.

        The index follows the table within a second or so, and is asked shard by shard. It holds
        keys only; the records are read from the table.
        """
        found: list[tuple[str, str]] = []
        with _named_errors("Query"):
            for shard in range(SHARDS):
                pages = self._client.get_paginator("query").paginate(
                    TableName=self._table,
                    IndexName=UNFINISHED_INDEX,
                    KeyConditionExpression="unfinished = :shard",
                    ExpressionAttributeValues={":shard": {"S": str(shard)}},
                )
                found += (
                    (item["claimedAt"]["S"], item["requestId"]["S"])
                    for page in pages
                    for item in page["Items"]
                )
        for some in batched((name for _, name in sorted(found)), IDS_PER_CALL, strict=False):
            read = {record.request_id: record for record in self.get_many(some)}
            yield from (read[name] for name in some if name in read and not read[name].published)

    def _claim_if(
        self, request_id: str, condition: str, update: str, values: _Values
    ) -> tuple[bool, Record]:
        """Return True with the record as it is claimed, or False with the one that is there."""
        try:
            return True, self._update(request_id, condition, update, values)
        except _ConditionFailed as failed:
            holder = failed.record
        if holder is None:
            raise DependencyUnavailable(f"DynamoDB does not say who holds {request_id}.")
        return False, holder

    def _update_if(self, request_id: str, condition: str, update: str, values: _Values) -> bool:
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed:
            return False
        return True

    def _update_unless_cancelled(
        self,
        request_id: str,
        execution_arn: str,
        condition: str,
        update: str,
        values: _Values,
    ) -> Record | None:
        try:
            return self._update(request_id, condition, update, values)
        except _ConditionFailed as failed:
            _refuse_if_cancelled(failed.record, execution_arn)
            return None

    def _update(self, request_id: str, condition: str, update: str, values: _Values) -> Record:
        written = "SET updatedAt = :updated"
        rest = update.removeprefix("SET ")
        update = f"{written} {rest}" if rest == update else f"{written}, {rest}"
        values = {**values, ":updated": now().isoformat()}
        names = {"#status": "status", "#key": "key", "#request": "request"}
        text = f"{condition} {update}"
        used = {alias: name for alias, name in names.items() if alias in text}
        those_used: _Names = {"ExpressionAttributeNames": used} if used else {}
        with _named_errors("UpdateItem"):
            answer = self._client.update_item(
                TableName=self._table,
                Key={"requestId": {"S": request_id}},
                ConditionExpression=condition,
                UpdateExpression=update,
                ExpressionAttributeValues={name: _attribute(v) for name, v in values.items()},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **those_used,
            )
        return _record(answer["Attributes"])


_HELD = (
    "contentHash = :hash, #request = :request, revision = :revision, executionArn = :me, "
    "ticket = :ticket, attempt = if_not_exists(attempt, :zero), unfinished = :unfinished"
)
"""What of an item says which request is held, and by whom; `_holding` has the values."""
_CLAIMED = f"#status = :running, {_HELD}, claimedAt = :now, run = if_not_exists(nextRun, :zero)"
_FORGOTTEN = "errors, warnings, publishedAt, materials, taskToken, answerHash, deadline"
"""What of an earlier run does not count in the one that claims the request."""


_ENDED = "publishedAt, materials, taskToken, deadline"
"""What is over with an outcome; its event is still to be published."""


def _asked_by(provenance: Provenance | None, values: _Values) -> str:
    """Return what of a claim's update says who asks, and put its value to the others."""
    if provenance is None:
        return ""
    values[":provenance"] = json_text.text(provenance)
    return ", provenance = :provenance, provenanceRun = if_not_exists(nextRun, :zero)"


def _may_end(status: Status, revision: int) -> str:
    """Return the condition that an execution may record an outcome of this status."""
    if status in (Status.UPDATED, Status.DECOMMISSIONED):
        return "executionArn = :me"
    if status == Status.CREATED:
        return "attribute_not_exists(requestId) OR executionArn = :me"
    is_same = f"contentHash = :hash AND {_revision_is(':revision', number=revision)}"
    holds = f"executionArn = :me OR (#status = :status AND {is_same})"
    if status == Status.UPDATE_FAILED:
        return holds
    return f"attribute_not_exists(requestId) OR #status = :rejected OR {holds}"


def _holding(request: KeySetRequest, execution_arn: str) -> _Values:
    return {
        ":hash": content_hash(request),
        ":request": json_text.text(request),
        ":revision": revision_of(request),
        ":me": execution_arn,
        ":ticket": json_text.text(request["ticket"]),
        ":zero": 0,
        ":now": now().isoformat(),
        ":unfinished": _shard(request["requestId"]),
    }


def _revision_is(*values: str, number: int) -> str:
    """Return the condition that the revision is one of these values, the first one `number`.

    A record in which none is written has the first.
    """
    condition = f"revision IN ({', '.join(values)})"
    is_first = 1 in range(number - len(values) + 1, number + 1)
    return f"(attribute_not_exists(revision) OR {condition})" if is_first else condition


def _refuse_if_cancelled(record: Record | None, execution_arn: str) -> None:
    """Say that the request was cancelled to the execution that holds it, and to no other."""
    if record is not None and record.execution_arn == execution_arn:
        refuse_if_cancelled(record)


def _names_cancellation(errors: list[Problem]) -> bool:
    return any(error["code"] == "CANCELLED" for error in errors)


def _removed_in(region: str) -> str:
    """Return the path of a Region's removed key; a name in a path has no hyphen.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ExpressionAttributeNames.html
    """
    return f"removed.{region.replace('-', '_')}"


def _shard(request_id: str) -> str:
    return str(hashlib.sha256(request_id.encode()).digest()[0] % SHARDS)


def _attribute(value: _Value) -> AttributeValue:
    if value is None:
        return {"NULL": True}
    if isinstance(value, dict):
        return {"M": {name: _attribute(one) for name, one in value.items()}}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _record(item: Mapping[str, AttributeValue]) -> Record:
    def text(name: str) -> str | None:
        return item.get(name, {}).get("S")

    def instant(name: str) -> datetime | None:
        return datetime.fromisoformat(found) if (found := text(name)) else None

    def parsed(name: str, without: Json = None) -> Json:
        return json.loads(found) if (found := text(name)) else without

    request = cast("KeySetRequest | None", parsed("request"))
    ever_created = "createdAt" in item
    finished = request if ever_created else None
    return Record(
        request_id=item["requestId"]["S"],
        status=Status(item["status"]["S"]),
        content_hash=text("contentHash"),
        request=request,
        execution_arn=text("executionArn"),
        attempt=int(item["attempt"]["N"]),
        open_attempt=text("attemptOpen"),
        attempt_sent_at=instant("attemptSentAt"),
        key_arn=text("keyArn"),
        key=parsed("key"),
        errors=parsed("errors", []),
        ticket=parsed("ticket"),
        published_at=instant("publishedAt"),
        claimed_at=instant("claimedAt"),
        materials=parsed("materials", []),
        task_token=text("taskToken"),
        answer_hash=text("answerHash"),
        ever_created=ever_created,
        revision=int(item.get("revision", {}).get("N", "1")),
        superseded=parsed("superseded", {}),
        run=int(item.get("run", {}).get("N", "0")),
        warnings=parsed("warnings", []),
        cancelled_at=instant("cancelledAt"),
        updated_at=instant("updatedAt"),
        deadline=text("deadline"),
        applied=parsed("applied", finished),
        is_changing="applied" in item,
        promotion=parsed("promotion"),
        promoted_by=int(promoted["N"]) if (promoted := item.get("promotedBy")) else None,
        promoted_at=instant("promotedAt"),
        removed={
            region.replace("_", "-"): json.loads(key["S"])
            for region, key in item.get("removed", {"M": {}})["M"].items()
        },
        removed_names=parsed("removedNames", {}),
        provenance=_provenance(item),
        operation=parsed("operation"),
        last_operation=parsed("lastOperation"),
        rotation=parsed("rotation"),
        released_at=instant("releasedAt"),
        adopted_at=instant("adoptedAt"),
        adoption=parsed("adoption"),
    )


def _provenance(item: Mapping[str, AttributeValue]) -> Provenance:
    """Return who asked for the run that an item is in; what is kept of an earlier one is not."""
    run = item.get("run", {}).get("N", "0")
    if item.get("provenanceRun", {}).get("N") != run:
        return UNKNOWN
    return cast("Provenance", json.loads(item["provenance"]["S"]))
