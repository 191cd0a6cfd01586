"""Adapter of the requests table for operations: one item each, kept for good.

An item's key is `operation/`, the request's ID, `/` and the operation's. It is what makes an
operation that is asked for twice one operation, also years later. It holds what was `asked`, by
whom (`requester`) and when (`askedAt`), the execution that was started for it (`executionArn`), and
once it has ended `ended`, `endedAt` and `errors`. The record of the request says meanwhile that it
is under way.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import named_errors
from provisioner.clock import now
from provisioner.domain.operation import Ended, Operation
from provisioner.errors import Problem

_PREFIX = "operation/"


@dataclass(frozen=True)
class KnownOperation:
    """An operation that was asked for. `ended` is None until its outcome is recorded."""

    request_id: str
    operation: Operation
    execution_arn: str
    requester: str | None
    ended: Ended | None
    errors: list[Problem]


class Operations:
    """The operations. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, request_id: str, operation_id: str) -> KnownOperation | None:
        """Read an operation, consistently."""
        with named_errors("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(request_id, operation_id), ConsistentRead=True
            )
        return _known(request_id, answer["Item"]) if "Item" in answer else None

    def begin(
        self,
        request_id: str,
        operation: Operation,
        execution_arn: str,
        *,
        requester: str | None,
    ) -> KnownOperation:
        """Write down that an operation is asked for; one that is there already stays.

        Returns
        -------
        KnownOperation
            The one that is there now.
        """
        with named_errors("UpdateItem"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(request_id, operation["operationId"]),
                UpdateExpression=(
                    "SET asked = if_not_exists(asked, :asked), "
                    "executionArn = if_not_exists(executionArn, :arn), "
                    "requester = if_not_exists(requester, :requester), "
                    "askedAt = if_not_exists(askedAt, :now)"
                ),
                ExpressionAttributeValues={
                    ":asked": {"S": json_text.text(operation)},
                    ":arn": {"S": execution_arn},
                    ":requester": {"S": json_text.text(requester)},
                    ":now": {"S": now().isoformat()},
                },
                ReturnValues="ALL_NEW",
            )
        return _known(request_id, answer["Attributes"])

    def end(
        self, request_id: str, operation: Operation, ended: Ended, errors: list[Problem]
    ) -> None:
        """Write down how an operation has ended; the first end that is written down stays."""
        with named_errors("UpdateItem"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(request_id, operation["operationId"]),
                UpdateExpression=(
                    "SET asked = if_not_exists(asked, :asked), ended = if_not_exists(ended, :ended)"
                    ", errors = if_not_exists(errors, :errors), "
                    "endedAt = if_not_exists(endedAt, :now)"
                ),
                ExpressionAttributeValues={
                    ":asked": {"S": json_text.text(operation)},
                    ":ended": {"S": ended.value},
                    ":errors": {"S": json_text.text(errors)},
                    ":now": {"S": now().isoformat()},
                },
            )


def _key(request_id: str, operation_id: str) -> dict[str, AttributeValue]:
    return {"requestId": {"S": f"{_PREFIX}{request_id}/{operation_id}"}}


def _known(request_id: str, item: Mapping[str, AttributeValue]) -> KnownOperation:
    def text(name: str) -> str | None:
        return item.get(name, {}).get("S")

    ended = text("ended")
    return KnownOperation(
        request_id=request_id,
        operation=json.loads(item["asked"]["S"]),
        execution_arn=text("executionArn") or "",
        requester=json.loads(text("requester") or "null"),
        ended=Ended(ended) if ended else None,
        errors=json.loads(text("errors") or "[]"),
    )
