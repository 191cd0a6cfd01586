"""Adapter of the sweep's own table: how far it is in each Region, and which findings are open.

An item's keys are `place`, a Region, and `subject`. The subject `position` is how far the listing
of the Region's keys is; one worker at a time holds it, until `leasedUntil`. Every other subject is
an open finding: what it is about, `#`, and its kind.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta

from botocore.exceptions import ClientError

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient, KeysToRead
from provisioner.aws.dynamodb import named_errors
from provisioner.clock import now
from provisioner.errors import DependencyUnavailable

_POSITION = "position"


@dataclass(frozen=True)
class Position:
    """How far the listing of a Region's keys is. Times are ISO 8601, empty for never.

    `page` is the next page of the listing and `token` what asks for it; `looked` is how many pages
    were checked. They differ only while a listing that had to be asked for again catches up.
    `keys`, `failed` and `earlier` count the keys that were checked, those that could not be, and
    those of an earlier deployment. After the last page, `is_listed`: keys that records name and no
    page had come next, in the order of their ARNs, and `unlisted` is the last one that was looked
    at. `ended_at` is when all of that came to its end last.
    """

    is_under_way: bool = False
    begun_at: str = ""
    ended_at: str = ""
    token: str = ""
    page: int = 0
    looked: int = 0
    keys: int = 0
    failed: int = 0
    earlier: int = 0
    is_listed: bool = False
    unlisted: str = ""


class SweepTable:
    """The sweep's table. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def positions(self, places: Iterable[str]) -> dict[str, Position]:
        """Read how far the sweep is in these Regions, a hundred at most, where it ever began."""
        keys = [_key(place, _POSITION) for place in places]
        if not keys:
            return {}
        asked: KeysToRead = {"Keys": keys, "ConsistentRead": True}
        with named_errors("BatchGetItem"):
            answer = self._client.batch_get_item(RequestItems={self._table: asked})
        items = answer["Responses"].get(self._table, [])
        return {item["place"]["S"]: _position(item) for item in items}

    def take(self, place: str, worker: str, seconds: int) -> Position | None:
        """Make a worker the one that sweeps a Region; None where another one does.

        Parameters
        ----------
        seconds
            How long the worker lives at most.
        """
        moment = now()
        try:
            with named_errors("UpdateItem"):
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(place, _POSITION),
                    ConditionExpression=(
                        "attribute_not_exists(leasedUntil) OR leasedUntil < :now OR worker = :me"
                    ),
                    UpdateExpression="SET worker = :me, leasedUntil = :until",
                    ExpressionAttributeValues={
                        ":me": {"S": worker},
                        ":now": {"S": moment.isoformat()},
                        ":until": {"S": (moment + timedelta(seconds=seconds)).isoformat()},
                    },
                    ReturnValues="ALL_NEW",
                )
        except DependencyUnavailable as error:
            if is_failed_condition(error):
                return None
            raise
        return _position(answer["Attributes"])

    def save(self, place: str, worker: str, position: Position) -> bool:
        """Write down how far a Region is; False where another worker has taken it over."""
        values: dict[str, AttributeValue] = {
            ":me": {"S": worker},
            ":listing": {"S": json_text.text(asdict(position))},
        }
        return self._update_own(place, "SET listing = :listing", values)

    def release(self, place: str, worker: str) -> None:
        """Leave a Region to the next worker."""
        self._update_own(place, "REMOVE leasedUntil", {":me": {"S": worker}})

    def open_findings(self, place: str) -> dict[str, str]:
        """Return the subjects of a Region's open findings, each with the digest of its event."""
        with named_errors("Query"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="place = :place",
                ExpressionAttributeValues={":place": {"S": place}},
                ConsistentRead=True,
            )
            return {
                item["subject"]["S"]: item["digest"]["S"]
                for page in pages
                for item in page["Items"]
                if item["subject"]["S"] != _POSITION
            }

    def keep_finding(self, place: str, subject: str, digest: str, text: str) -> None:
        """Write down that a finding is open, and what its event said."""
        item: dict[str, AttributeValue] = {
            **_key(place, subject),
            "digest": {"S": digest},
            "publishedAt": {"S": now().isoformat()},
            "finding": {"S": text},
        }
        with named_errors("PutItem"):
            self._client.put_item(TableName=self._table, Item=item)

    def close_finding(self, place: str, subject: str) -> None:
        """Forget a finding that holds no more."""
        with named_errors("DeleteItem"):
            self._client.delete_item(TableName=self._table, Key=_key(place, subject))

    def _update_own(self, place: str, update: str, values: dict[str, AttributeValue]) -> bool:
        try:
            with named_errors("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(place, _POSITION),
                    ConditionExpression="worker = :me",
                    UpdateExpression=update,
                    ExpressionAttributeValues=values,
                )
        except DependencyUnavailable as error:
            if is_failed_condition(error):
                return False
            raise
        return True


def _key(place: str, subject: str) -> dict[str, AttributeValue]:
    return {"place": {"S": place}, "subject": {"S": subject}}


def _position(item: dict[str, AttributeValue]) -> Position:
    return Position(**json.loads(item["listing"]["S"])) if "listing" in item else Position()


def is_failed_condition(error: DependencyUnavailable) -> bool:
    """Whether an update failed because the item was not as its condition wants."""
    cause = error.__cause__
    return (
        isinstance(cause, ClientError)
        and cause.response["Error"]["Code"] == "ConditionalCheckFailedException"
    )
