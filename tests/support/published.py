"""What was put on the event bus."""

import json
from typing import Any

from tests.support.answering import on


def published_on(events: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return a list that grows with every PutEvents: source, detail-type and detail."""
    published: list[tuple[str, str, dict[str, Any]]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        for entry in params["Entries"]:
            assert entry["EventBusName"] == "keys"
            published.append((entry["Source"], entry["DetailType"], json.loads(entry["Detail"])))

    on(events, "provide-client-params.events.PutEvents", note)
    return published
