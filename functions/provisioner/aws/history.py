"""Adapter of the history table: one item an outcome, kept for good.

An item's keys are `requestId` and `outcomeId`. It is written before the outcome's event is sent,
and a repeat of that changes nothing.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import NotRequired, TypedDict, cast

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import named_errors
from provisioner.clock import now
from provisioner.domain.provenance import Approval, Provenance, Via
from provisioner.errors import Problem
from provisioner.json_text import Json, JsonObject

MAX_ERRORS = 20
"""What an item keeps of an outcome's errors; the outcome's event has all of them."""


class PastOutcome(TypedDict):
    """One outcome of a request, or of an operation on its key set, which is named then.

    `at` is when it was recorded, ISO 8601 in UTC.
    """

    outcomeId: str
    revision: int | None
    status: str
    at: str
    executionArn: str | None
    requester: str | None
    via: Via | None
    approvals: list[Approval]
    errors: list[Problem]
    operationId: NotRequired[str]
    operation: NotRequired[str]


class History:
    """The history table. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def keep(self, detail: Mapping[str, Json], provenance: Provenance) -> None:
        """Keep an outcome, given its event's detail; one that is kept already stays as it is."""
        outcome: JsonObject = {
            "revision": detail["revision"],
            "status": detail["status"],
            "executionArn": detail["executionArn"],
            **provenance,
            "errors": detail["errors"][:MAX_ERRORS],
            **{name: detail[name] for name in ("operationId", "operation") if name in detail},
        }
        with named_errors("UpdateItem"):
            self._client.update_item(
                TableName=self._table,
                Key={
                    "requestId": {"S": detail["requestId"]},
                    "outcomeId": {"S": detail["outcomeId"]},
                },
                UpdateExpression=(
                    "SET #at = if_not_exists(#at, :now), #outcome = if_not_exists(#outcome, :it)"
                ),
                ExpressionAttributeNames={"#at": "at", "#outcome": "outcome"},
                ExpressionAttributeValues={
                    ":now": {"S": now().isoformat()},
                    ":it": {"S": json_text.text(outcome)},
                },
            )

    def of(self, request_id: str) -> list[PastOutcome]:
        """Read a request's outcomes, oldest first."""
        with named_errors("Query"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="requestId = :name",
                ExpressionAttributeValues={":name": {"S": request_id}},
                ConsistentRead=True,
            )
            items = [item for page in pages for item in page["Items"]]
        outcomes = map(_past, items)
        return sorted(outcomes, key=lambda one: datetime.fromisoformat(one["at"]))


def _past(item: Mapping[str, AttributeValue]) -> PastOutcome:
    kept = json.loads(item["outcome"]["S"])
    found = {"outcomeId": item["outcomeId"]["S"], "at": item["at"]["S"], **kept}
    return cast("PastOutcome", found)
