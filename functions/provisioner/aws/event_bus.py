"""Adapter of EventBridge: put one event on the stack's bus, and make sure that it was taken."""

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.aws.client_types import EventBridgeClient, EventEntry
from provisioner.errors import DependencyUnavailable, EventNotPublished

SOURCE = "mrk.provisioner"


def put_event(
    client: EventBridgeClient,
    bus: str,
    detail_type: str,
    detail: Mapping[str, object],
    *,
    source: str = SOURCE,
) -> None:
    """Publish one event.

    Raises
    ------
    EventNotPublished
        EventBridge refused the entry; PutEvents itself still succeeds then.
        https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
    DependencyUnavailable
        EventBridge refused the call or did not answer.
    """
    entry: EventEntry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json_text.text(detail),
        "EventBusName": bus,
    }
    try:
        answer = client.put_events(Entries=[entry])
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"EventBridge did not do PutEvents: {error}.") from error
    if answer["FailedEntryCount"]:
        failed = answer["Entries"][0]
        raise EventNotPublished(
            f"EventBridge refused the event: {failed['ErrorCode']}: {failed.get('ErrorMessage')}."
        )
