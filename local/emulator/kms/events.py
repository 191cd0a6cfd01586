"""The events about KMS on the default bus of each Region: CloudTrail's, and those of KMS itself.

https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-kms.html
https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html
https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html

Both come by best effort: `eventCopies`, `eventSeconds` and `eventsReordered` of
`local.emulator.kms.settings` say whether, how often and how late. What CloudTrail says of one call
is in `local.emulator.kms.trail`.
"""

import asyncio
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import eventbridge

from local.emulator.kms.keys import Key, region_of
from local.emulator.kms.settings import current, now

_TICK_SECONDS = 0.5

_numbers = itertools.count()
_is_ticking = False


def put(detail_type: str, region: str, account: str, detail: Any, resources: list[str]) -> None:
    """Put an event on the default bus of a Region, as often and as late as the settings say.

    A copy has the ID of the event that it is a copy of.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events.html
    """
    settings = current()
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.kms",
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "EventBusName": "default",
        "Time": int(now()),
        "Resources": resources,
        "Account": account,
        "Region": region,
    }
    is_late = settings.events_reordered and next(_numbers) % 2 == 0
    for _ in range(settings.event_copies):
        delay = settings.event_seconds * (2 if is_late else 1)
        asyncio.get_running_loop().call_later(delay, _deliver, event)


def _deliver(event: dict[str, Any]) -> None:
    with request_scope(event["Account"], event["Region"]):
        eventbridge._events_log_list().append(event)
        eventbridge._dispatch_event(event)
        eventbridge._archive_event(event)


def rotated(key: Key, rotation_type: str, previous: str, current_id: str) -> None:
    """Report that a key set's material was rotated, in the primary's Region.

    Whether the Regions of the replicas have such an event as well is documented nowhere.
    """
    detail = {
        "key-origin": key["Origin"],
        "rotation-type": rotation_type,
        "previous-key-material-id": previous,
        "current-key-material-id": current_id,
    }
    _put_about("KMS CMK Rotation", key, detail)


def expired(key: Key) -> None:
    """Report that imported material of a key has expired in its Region."""
    _put_about("KMS Imported Key Material Expiration", key)


def deleted(key: Key) -> None:
    """Report that a key is gone."""
    _put_about("KMS CMK Deletion", key)


def _put_about(detail_type: str, key: Key, detail: dict[str, Any] | None = None) -> None:
    account = key["Arn"].split(":")[4]
    about = {"key-id": key["KeyId"]} | (detail or {})
    put(detail_type, region_of(key), account, about, [key["Arn"]])


def keep_time(pass_time: Callable[[], None]) -> None:
    """Let time pass for KMS while there are events to send, even if nobody calls it."""
    if not _is_ticking:
        _tick(pass_time)


def _tick(pass_time: Callable[[], None]) -> None:
    global _is_ticking  # noqa: PLW0603 - a process serves one KMS
    _is_ticking = current().event_copies > 0
    if _is_ticking:
        pass_time()
        asyncio.get_running_loop().call_later(_TICK_SECONDS, _tick, pass_time)
