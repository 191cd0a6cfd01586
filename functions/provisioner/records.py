"""Adapter of the requests table: one item a request, written by conditional updates only.

An item holds the request's identity (`requestId`, `contentHash`), who works on it (`executionArn`),
how far it is (`status`), the one CreateKey attempt (`attempt`, `keyArn`) and its outcome (`key`,
`errors`, `ticket` as JSON text).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.errors import (
    DependencyUnavailable,
    PrimaryKeyUnconfirmed,
    Problem,
    RequestConflict,
)


class Status(StrEnum):
    """Where a request stands."""

    IN_PROGRESS = "IN_PROGRESS"
    CREATED = "CREATED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Record:
    """One request as the table has it.

    `key_arn` is the primary key's, once CreateKey's answer is recorded. `attempt` is the number of
    the CreateKey attempt that was announced last, 0 before the first; `attempt_open` tells that it
    may have reached KMS and has no recorded answer.
    """

    request_id: str
    status: Status
    content_hash: str | None
    execution_arn: str | None
    attempt: int
    attempt_open: bool
    key_arn: str | None
    key: dict[str, Any] | None
    errors: list[Problem]
    ticket: dict[str, Any] | None


class _ConditionFailed(Exception):
    """The item is not in the state that the update needs."""


@contextmanager
def _named_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise _ConditionFailed from error
        raise DependencyUnavailable(f"DynamoDB refused {operation}: {code}.") from error
    except BotoCoreError as error:
        raise DependencyUnavailable(f"DynamoDB did not answer {operation}: {error}.") from error


class Records:
    """The requests table. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, request_id: str) -> Record | None:
        """Read a request's record, consistently."""
        with _named_errors("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key={"requestId": {"S": request_id}}, ConsistentRead=True
            )
        return _record(answer["Item"]) if "Item" in answer else None

    def claim(
        self,
        request_id: str,
        content_hash: str,
        execution_arn: str,
        ticket: dict[str, Any] | None,
        dead_execution: str | None = None,
    ) -> Record | None:
        """Make an execution the one that works on a request.

        That is possible for a new request, a refused one, one that failed with the same content,
        one this execution holds already, and one whose execution is known to be dead.

        Returns
        -------
        Record or None
            The claimed record; None where another execution holds it or it is CREATED.

        Raises
        ------
        RequestConflict
            The request was made before with other content.
        """
        condition = (
            "attribute_not_exists(requestId) OR #status = :rejected OR (contentHash = :hash AND "
            "(#status = :failed OR (#status = :running AND executionArn IN (:me, :dead))))"
        )
        update = (
            "SET #status = :running, contentHash = :hash, executionArn = :me, ticket = :ticket, "
            "attempt = if_not_exists(attempt, :zero) REMOVE errors"
        )
        values = {
            ":hash": content_hash,
            ":me": execution_arn,
            ":dead": dead_execution or execution_arn,
            ":ticket": json.dumps(ticket),
            ":running": Status.IN_PROGRESS,
            ":failed": Status.FAILED,
            ":rejected": Status.REJECTED,
            ":zero": 0,
        }
        try:
            return self._update(request_id, condition, update, values)
        except _ConditionFailed:
            existing = self.get(request_id)
        if existing and existing.content_hash != content_hash:
            raise RequestConflict(f"requestId {request_id} was used before with other content.")
        return None

    def announce_attempt(self, request_id: str, execution_arn: str, attempt: int) -> bool:
        """Write down, before CreateKey is sent, that attempt number `attempt` is about to be.

        Returns
        -------
        bool
            False where this execution does not hold the request or the attempt is not the next.
        """
        condition = (
            "executionArn = :me AND attempt = :last AND attribute_not_exists(attemptOpen) "
            "AND attribute_not_exists(keyArn)"
        )
        update = "SET attempt = :next, attemptOpen = :true"
        values = {":me": execution_arn, ":last": attempt - 1, ":next": attempt, ":true": True}
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed:
            return False
        return True

    def close_attempt(self, request_id: str, attempt: int, key_arn: str | None) -> None:
        """Write down what came of an attempt: the primary key's ARN, or None for no key at all.

        Raises
        ------
        PrimaryKeyUnconfirmed
            Another attempt was announced meanwhile, so this answer has no place in the record.
        """
        update = "REMOVE attemptOpen" + (" SET keyArn = :arn" if key_arn else "")
        values = {":attempt": attempt} | ({":arn": key_arn} if key_arn else {})
        try:
            self._update(request_id, "attempt = :attempt", update, values)
        except _ConditionFailed as error:
            raise PrimaryKeyUnconfirmed(
                f"Attempt {attempt} of {request_id} made {key_arn or 'no key'}, but it is not the "
                "attempt that the table has."
            ) from error

    def finish(
        self,
        request_id: str,
        *,
        content_hash: str,
        execution_arn: str,
        status: Status,
        key: dict[str, Any] | None,
        errors: list[Problem],
        ticket: dict[str, Any] | None,
    ) -> bool:
        """Record the outcome of an execution; False where another one holds the request.

        An execution that failed before it could claim a new request records its outcome as well.
        """
        update = (
            "SET #status = :status, #key = :key, errors = :errors, contentHash = :hash, "
            "executionArn = :me, ticket = :ticket, attempt = if_not_exists(attempt, :zero)"
        )
        values = {
            ":status": status,
            ":key": json.dumps(key),
            ":errors": json.dumps(errors),
            ":hash": content_hash,
            ":me": execution_arn,
            ":ticket": json.dumps(ticket),
            ":zero": 0,
        }
        condition = "attribute_not_exists(requestId) OR executionArn = :me"
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed:
            return False
        return True

    def note_refusal(
        self,
        request_id: str,
        execution_arn: str | None,
        ticket: dict[str, Any] | None,
        errors: list[Problem],
    ) -> None:
        """Keep a refusal for whoever asks; it neither claims the requestId nor hides a record."""
        update = (
            "SET #status = :rejected, executionArn = :me, ticket = :ticket, errors = :errors, "
            "attempt = :zero"
        )
        values = {
            ":rejected": Status.REJECTED,
            ":me": execution_arn,
            ":ticket": json.dumps(ticket),
            ":errors": json.dumps(errors),
            ":zero": 0,
        }
        condition = "attribute_not_exists(requestId) OR #status = :rejected"
        try:
            self._update(request_id, condition, update, values)
        except _ConditionFailed:
            return

    def _update(
        self, request_id: str, condition: str, update: str, values: dict[str, Any]
    ) -> Record:
        names = {"#status": "status", "#key": "key"}
        text = f"{condition} {update}"
        with _named_errors("UpdateItem"):
            answer = self._client.update_item(
                TableName=self._table,
                Key={"requestId": {"S": request_id}},
                ConditionExpression=condition,
                UpdateExpression=update,
                ExpressionAttributeValues={name: _attribute(v) for name, v in values.items()},
                ReturnValues="ALL_NEW",
                **(
                    {"ExpressionAttributeNames": used}
                    if (used := {name: field for name, field in names.items() if name in text})
                    else {}
                ),
            )
        return _record(answer["Attributes"])


def _attribute(value: str | int | bool | None) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _record(item: dict[str, dict[str, Any]]) -> Record:
    def text(name: str) -> str | None:
        return item.get(name, {}).get("S")

    return Record(
        request_id=item["requestId"]["S"],
        status=Status(item["status"]["S"]),
        content_hash=text("contentHash"),
        execution_arn=text("executionArn"),
        attempt=int(item["attempt"]["N"]),
        attempt_open="attemptOpen" in item,
        key_arn=text("keyArn"),
        key=json.loads(text("key") or "null"),
        errors=json.loads(text("errors") or "[]"),
        ticket=json.loads(text("ticket") or "null"),
    )
