"""Adapter of the sweep's table for drift: one item a key set, under the place `drift`.

Its subject is the request's ID. `published` has the digest of each difference that was published
and still holds, by what it is about; `looked` is when the last look began, `repairs` when
operations were started to repair what was found, `repair` the ID of the last one, `owesRepair`
whether one is still to be started, `shutOut` the Regions in which the last look was refused,
`again` until when another look is on its way, `waiting` the events that came meanwhile. One look at
a key set is made at a time, by whoever holds it until `leasedUntil`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from provisioner import json_text
from provisioner.aws.client_types import AttributeValue, DynamoDBClient
from provisioner.aws.dynamodb import named_errors
from provisioner.aws.look_queue import MOST_EVENTS
from provisioner.aws.sweep_table import is_failed_condition
from provisioner.clock import now
from provisioner.errors import DependencyUnavailable
from provisioner.json_text import Json

_PLACE = "drift"


@dataclass(frozen=True)
class Watched:
    """What was published of a key set and what was done about it; times are ISO 8601."""

    published: dict[str, str] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    repair: str | None = None
    """The operationId of the last operation that was started."""
    looked: datetime | None = None
    owes_repair: bool = False
    """Whether the stack is to repair what was found, and has not started that yet."""
    shut_out: list[str] = field(default_factory=list)
    """Regions whose keys did not let the last look read them."""
    waiting: list[Json] = field(default_factory=list)
    """Events that came while a look was on its way; the last ones of many, and old ones as well."""


class DriftTable:
    """What was published. Every method raises `DependencyUnavailable` where DynamoDB fails."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def take(self, request_id: str, worker: str, seconds: int) -> Watched | None:
        """Make a worker the one that looks at a key set; None where another one does."""
        moment = now()
        condition = "attribute_not_exists(leasedUntil) OR leasedUntil < :now"
        values: dict[str, AttributeValue] = {
            ":me": {"S": worker},
            ":now": {"S": moment.isoformat()},
            ":until": {"S": (moment + timedelta(seconds=seconds)).isoformat()},
        }
        item = self._update(
            request_id, "SET worker = :me, leasedUntil = :until", values, condition=condition
        )
        return _watched(item) if item is not None else None

    def save(self, request_id: str, worker: str, watched: Watched) -> None:
        """Write down what is known after a look, and leave the key set to the next one."""
        looked = watched.looked.isoformat() if watched.looked else ""
        values: dict[str, AttributeValue] = {
            ":me": {"S": worker},
            ":published": {"S": json_text.text(watched.published)},
            ":repairs": {"S": json_text.text(watched.repairs)},
            ":looked": {"S": looked},
            ":repair": {"S": watched.repair or ""},
            ":owes": {"BOOL": watched.owes_repair},
            ":shutOut": {"S": json_text.text(watched.shut_out)},
        }
        update = (
            "SET published = :published, repairs = :repairs, repair = :repair, looked = :looked, "
            "owesRepair = :owes, shutOut = :shutOut REMOVE leasedUntil"
        )
        self._update(request_id, update, values, condition="worker = :me")

    def look_again(self, request_id: str, until: datetime) -> None:
        """Write down that another look is on its way, which begins after that moment."""
        self._update(request_id, "SET again = :until", {":until": {"S": until.isoformat()}})

    def leave_to_next_look(self, request_id: str, events: Sequence[Json]) -> bool:
        """Leave events to the look that is on its way; False where none is.

        Of events that are left at the same moment some may be lost. They only name a cause.
        """
        with named_errors("GetItem"):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(request_id), ConsistentRead=True
            )
        item = answer.get("Item", {})
        if item.get("again", {}).get("S", "") <= now().isoformat():
            return False
        if events:
            waiting = [*_watched(item).waiting, *events][-MOST_EVENTS:]
            values: dict[str, AttributeValue] = {":waiting": {"S": json_text.text(waiting)}}
            self._update(request_id, "SET waiting = :waiting", values)
        return True

    def open_sets(self) -> list[str]:
        """List the requests of the key sets that are known not to be as declared."""
        with named_errors("Query"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="place = :place",
                ExpressionAttributeValues={":place": {"S": _PLACE}},
                ConsistentRead=True,
            )
            return [
                item["subject"]["S"]
                for page in pages
                for item in page["Items"]
                if _watched(item).published
            ]

    def _update(
        self,
        request_id: str,
        update: str,
        values: dict[str, AttributeValue],
        *,
        condition: str | None = None,
    ) -> Mapping[str, AttributeValue] | None:
        more = {"ConditionExpression": condition} if condition else {}
        try:
            with named_errors("UpdateItem"):
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(request_id),
                    UpdateExpression=update,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    **more,  # type: ignore[arg-type]
                )
        except DependencyUnavailable as error:
            if is_failed_condition(error):
                return None
            raise
        return answer["Attributes"]


def _key(request_id: str) -> dict[str, AttributeValue]:
    return {"place": {"S": _PLACE}, "subject": {"S": request_id}}


def _watched(item: Mapping[str, AttributeValue]) -> Watched:
    looked = item.get("looked", {}).get("S")
    return Watched(
        published=json.loads(item.get("published", {}).get("S", "{}")),
        repairs=json.loads(item.get("repairs", {}).get("S", "[]")),
        repair=item.get("repair", {}).get("S") or None,
        looked=datetime.fromisoformat(looked) if looked else None,
        owes_repair=item.get("owesRepair", {}).get("BOOL", False),
        shut_out=json.loads(item.get("shutOut", {}).get("S", "[]")),
        waiting=json.loads(item.get("waiting", {}).get("S", "[]")),
    )
