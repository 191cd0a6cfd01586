"""Lists the requests table page by page, for people who look for a key set.

The table has no index over what is listed: an index costs each write, and a stack that goes on with
an earlier table could not add one. A page of 1 MB is some hundreds of requests.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
"""

import json
from collections.abc import Mapping
from typing import TypedDict, cast

from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import named_errors
from provisioner.aws.records import Status
from provisioner.domain.plan import KeySetRequest, regions

PENDING = "approval/"
"""What the key of an item begins with whose request waits for approval."""
_PAGES = 10
"""How many pages of the table one call reads at most, so that it answers within seconds."""
_NAMES = {"#status": "status", "#state": "state", "#request": "request"}
_WANTED = "requestId, #status, #state, revision, #request, updatedAt"


class ListedRequest(TypedDict):
    """A request in a list. `alias`, `primaryRegion` and `regions` are null for a refused one."""

    requestId: str
    status: str
    revision: int
    alias: str | None
    primaryRegion: str | None
    regions: list[str] | None
    updatedAt: str | None


class Listed(TypedDict):
    """A page of a list. `next` is the item after which the next page begins, None for no page."""

    requests: list[ListedRequest]
    next: str | None


def list_requests(
    client: DynamoDBClient, table: str, *, status: str | None, limit: int, after: str | None
) -> Listed:
    """List requests in no order that means anything.

    A change that waits for approval is listed beside the key set as it is.

    Parameters
    ----------
    status
        Of those that are listed; None for all.
    limit
        How many are listed at most; fewer may be where few of the table's have the status.
    after
        The `next` of the page before.

    Raises
    ------
    DependencyUnavailable
        DynamoDB did not answer.
    """
    found: list[ListedRequest] = []
    for _ in range(_PAGES):
        items, after = _scan(client, table, status, after)
        for item in items:
            found.append(_listed(item))
            if len(found) == limit:
                is_last = after is None and item is items[-1]
                return {"requests": found, "next": None if is_last else item["requestId"]["S"]}
        if after is None:
            break
    return {"requests": found, "next": after}


def _scan(
    client: DynamoDBClient, table: str, status: str | None, after: str | None
) -> tuple[list[dict[str, AttributeValue]], str | None]:
    conditions, values = [], dict[str, AttributeValue]()
    if status != Status.WAITING_FOR_APPROVAL:
        conditions.append("#status = :status" if status else "attribute_exists(#status)")
        values |= {":status": {"S": status}} if status else {}
    if status in (None, Status.WAITING_FOR_APPROVAL):
        conditions.append("#state = :waiting")
        values[":waiting"] = {"S": "WAITING"}
    with named_errors("Scan"):
        answer = client.scan(
            TableName=table,
            FilterExpression=" OR ".join(conditions),
            ProjectionExpression=_WANTED,
            ExpressionAttributeNames=_NAMES,
            ExpressionAttributeValues=values,
            **({"ExclusiveStartKey": {"requestId": {"S": after}}} if after else {}),  # type: ignore[arg-type]
        )
    last = answer.get("LastEvaluatedKey")
    return answer["Items"], last["requestId"]["S"] if last else None


def _listed(item: Mapping[str, AttributeValue]) -> ListedRequest:
    request = cast("KeySetRequest | None", json.loads(item.get("request", {}).get("S", "null")))
    name = item["requestId"]["S"]
    waits = name.startswith(PENDING)
    return {
        "requestId": name.removeprefix(PENDING),
        "status": Status.WAITING_FOR_APPROVAL if waits else item["status"]["S"],
        "revision": int(item.get("revision", {}).get("N", "1")),
        "alias": request["alias"] if request else None,
        "primaryRegion": request["primaryRegion"] if request else None,
        "regions": regions(request) if request else None,
        "updatedAt": item.get("updatedAt", {}).get("S"),
    }
