"""Adapter of the requests table for requests that wait for approval: one item each.

An item's key is `approval/` and the request's ID. It is there from the moment a request has to wait
until its outcome is published; the record of the request itself is untouched until then, so that a
refusal leaves nothing to undo. It holds the `request`, its `revision`, its `content` and the hash
of that (what exactly is approved), the `operation` if it is about one, `executionArn` (who waits),
`requester` and `via` (who asked), `plan` (what approvers see), `askedAt` and `until`, the
`approvals`, and its `state`. `taskToken` wakes the execution, which reads the item again; a
decision whose wake-up is lost is read all the same once the execution looks by itself.
`announcedAt` is when the event was sent. All items are in the index of unfinished requests, in a
shard of their own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import read_many
from provisioner.aws.listing import PENDING
from provisioner.aws.records import UNFINISHED_INDEX, Record
from provisioner.clock import now
from provisioner.domain.approval import Content, Planned, hash_of
from provisioner.domain.operation import Operation
from provisioner.domain.plan import KeySetRequest, revision_of
from provisioner.domain.provenance import Approval, Provenance, Via
from provisioner.errors import DependencyUnavailable

_SHARD = "approval"


class State(StrEnum):
    """Where an approval stands."""

    WAITING = "WAITING"
    APPROVED = "APPROVED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Pending:
    """A request that waits for approval, or whose approval is decided and not used up yet.

    `asked_at` and `until` are ISO 8601 in UTC. `operation` is the one that is to be carried out,
    None for the request itself.
    """

    request_id: str
    request: KeySetRequest
    content: Content
    execution_arn: str
    requester: str | None
    via: Via | None
    plan: list[Planned]
    asked_at: str
    until: str
    approvals: list[Approval]
    state: State
    task_token: str | None = None
    announced: bool = False
    operation: Operation | None = None

    @property
    def content_hash(self) -> str:
        """What approvers name what they approve by."""
        return hash_of(self.content)

    @property
    def provenance(self) -> Provenance:
        """Who asked and who decided."""
        return {"requester": self.requester, "via": self.via, "approvals": self.approvals}

    @property
    def is_over(self) -> bool:
        """Whether the time for a decision is over."""
        return now() >= datetime.fromisoformat(self.until)

    def is_ahead_of(self, record: Record | None) -> bool:
        """Whether the request waits for approval, or goes on by it and is not claimed yet."""
        is_claimed = record is not None and record.execution_arn == self.execution_arn
        return self.state == State.WAITING or not is_claimed


class _Changed(Exception):
    """The item is not as it was read."""


@contextmanager
def _named_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise _Changed from error
        raise DependencyUnavailable(f"DynamoDB refused {operation}: {error}.") from error
    except BotoCoreError as error:
        raise DependencyUnavailable(f"DynamoDB did not answer {operation}: {error}.") from error


class Approvals:
    """The pending approvals. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, request_id: str) -> Pending | None:
        """Read the approval that a request waits for, consistently."""
        with _named_errors("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(request_id), ConsistentRead=True
            )
        return _pending(answer["Item"]) if "Item" in answer else None

    def get_many(self, request_ids: Iterable[str]) -> Iterator[Pending]:
        """Read the approvals of many requests; those that exist, in any order.

        What was written in the last second may be missing.
        """
        keys = (f"{PENDING}{request_id}" for request_id in request_ids)
        return map(_pending, read_many(self._client, self._table, keys, consistently=False))

    def ask(self, pending: Pending, *, seen: Pending | None) -> bool:
        """Write down what is to be approved, in the place of what was `seen` there.

        Returns
        -------
        bool
            False where something else is there by now: read it again.
        """
        condition, values = "attribute_not_exists(requestId)", dict[str, AttributeValue]()
        names = dict[str, str]()
        if seen is not None:
            condition = (
                "executionArn = :holder AND askedAt = :asked AND approvals = :approvals "
                "AND #state = :state"
            )
            names = {"#state": "state"}
            values = {
                ":state": {"S": seen.state.value},
                ":holder": {"S": seen.execution_arn},
                ":asked": {"S": seen.asked_at},
                ":approvals": {"S": json_text.text(seen.approvals)},
            }
        try:
            with _named_errors("PutItem"):
                self._client.put_item(
                    TableName=self._table,
                    Item=_item(pending),
                    ConditionExpression=condition,
                    **({"ExpressionAttributeNames": names} if names else {}),  # type: ignore[arg-type]
                    **({"ExpressionAttributeValues": values} if values else {}),  # type: ignore[arg-type]
                )
        except _Changed:
            return self._is_there(pending)
        return True

    def _is_there(self, pending: Pending) -> bool:
        """Whether a call whose answer was lost has written this very item."""
        found = self.get(pending.request_id)
        return found is not None and (found.execution_arn, found.asked_at, found.content) == (
            pending.execution_arn,
            pending.asked_at,
            pending.content,
        )

    def await_decision(self, pending: Pending, execution_arn: str, task_token: str) -> bool:
        """Write down who waits, and what wakes it; False where the item is another one by now."""
        return self._update_if(
            pending,
            "SET executionArn = :me, taskToken = :token",
            {":me": execution_arn, ":token": task_token},
        )

    def mark_announced(self, pending: Pending) -> None:
        """Write down that the event was sent, unless something else is to be approved by now."""
        self._update_if(pending, "SET announcedAt = :now", {})

    def decide(self, pending: Pending, approvals: list[Approval], state: State) -> bool:
        """Write down one more decision, and where that leaves the approval.

        Returns
        -------
        bool
            False where somebody else was faster: read it again.
        """
        values = {
            ":approvals": json_text.text(approvals),
            ":state": state.value,
            ":before": json_text.text(pending.approvals),
            ":waiting": State.WAITING.value,
        }
        return self._update_if(
            pending,
            "SET approvals = :approvals, #state = :state",
            values,
            "approvals = :before AND #state = :waiting",
        )

    def cancel(self, pending: Pending) -> bool:
        """Write down that a request which waits is to end; False where it waits no more."""
        values = {":state": State.CANCELLED.value, ":waiting": State.WAITING.value}
        return self._update_if(pending, "SET #state = :state", values, "#state = :waiting")

    def forget(self, request_id: str, execution_arn: str) -> None:
        """Forget an approval that is used up, unless another execution has asked since."""
        try:
            with _named_errors("DeleteItem"):
                self._client.delete_item(
                    TableName=self._table,
                    Key=_key(request_id),
                    ConditionExpression="attribute_not_exists(requestId) OR executionArn = :me",
                    ExpressionAttributeValues={":me": {"S": execution_arn}},
                )
        except _Changed:
            return

    def unfinished(self) -> Iterator[Pending]:
        """Find every approval that is not used up."""
        with _named_errors("Query"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=UNFINISHED_INDEX,
                KeyConditionExpression="unfinished = :shard",
                ExpressionAttributeValues={":shard": {"S": _SHARD}},
            )
            names = [item["requestId"]["S"] for page in pages for item in page["Items"]]
        for name in names:
            if pending := self.get(name.removeprefix(PENDING)):
                yield pending

    def _update_if(
        self, pending: Pending, update: str, values: Mapping[str, str], condition: str = ""
    ) -> bool:
        same = "contentHash = :hash AND askedAt = :asked"
        given = {
            **values,
            ":hash": pending.content_hash,
            ":asked": pending.asked_at,
            ":now": now().isoformat(),
        }
        text = f"{condition} {update}"
        names = {"ExpressionAttributeNames": {"#state": "state"}} if "#state" in text else {}
        try:
            with _named_errors("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(pending.request_id),
                    ConditionExpression=f"{same} AND {condition}" if condition else same,
                    UpdateExpression=f"{update}, updatedAt = :now",
                    ExpressionAttributeValues={name: {"S": one} for name, one in given.items()},
                    **names,  # type: ignore[arg-type]
                )
        except _Changed:
            return False
        return True


def _key(request_id: str) -> dict[str, AttributeValue]:
    return {"requestId": {"S": f"{PENDING}{request_id}"}}


def _item(pending: Pending) -> dict[str, AttributeValue]:
    texts = {
        "request": json_text.text(pending.request),
        "content": json_text.text(pending.content),
        "contentHash": pending.content_hash,
        "executionArn": pending.execution_arn,
        "requester": json_text.text(pending.requester),
        "via": json_text.text(pending.via),
        "operation": json_text.text(pending.operation),
        "plan": json_text.text(pending.plan),
        "askedAt": pending.asked_at,
        "until": pending.until,
        "approvals": json_text.text(pending.approvals),
        "state": pending.state.value,
        "updatedAt": now().isoformat(),
        "unfinished": _SHARD,
        "claimedAt": pending.asked_at,
    }
    return {
        **_key(pending.request_id),
        "revision": {"N": str(revision_of(pending.request))},
        **{name: {"S": text} for name, text in texts.items()},
    }


def _pending(item: Mapping[str, AttributeValue]) -> Pending:
    def parsed(name: str) -> object:
        return json.loads(item.get(name, {}).get("S", "null"))

    return Pending(
        request_id=item["requestId"]["S"].removeprefix(PENDING),
        request=cast("KeySetRequest", parsed("request")),
        content=cast("Content", parsed("content")),
        execution_arn=item["executionArn"]["S"],
        requester=cast("str | None", parsed("requester")),
        via=cast("Via | None", parsed("via")),
        plan=cast("list[Planned]", parsed("plan")),
        asked_at=item["askedAt"]["S"],
        until=item["until"]["S"],
        approvals=cast("list[Approval]", parsed("approvals")),
        state=State(item["state"]["S"]),
        task_token=item.get("taskToken", {}).get("S"),
        announced="announcedAt" in item,
        operation=cast("Operation | None", parsed("operation")),
    )
