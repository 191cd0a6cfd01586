"""Adapter of the queue that asks for looks at key sets: events about keys, and our own messages."""

from collections.abc import Sequence

from provisioner import json_text
from provisioner.aws import sqs
from provisioner.aws.client_types import SQSClient
from provisioner.json_text import Json, JsonObject

LONGEST_DELAY = 900
"""Seconds. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""
MOST_EVENTS = 20
"""How many events a look is asked for because of at most: the last ones."""


class LookQueue:
    """The queue of looks. Its method raises `DependencyUnavailable` where SQS fails."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def ask(self, request_id: str, events: Sequence[Json] = (), delay: int = 0) -> None:
        """Ask for a look at a key set, after some seconds.

        Parameters
        ----------
        events
            What the look is asked for because of; of many, the last ones.
        """
        look: JsonObject = {"requestId": request_id, "events": [*events][-MOST_EVENTS:]}
        sqs.send(self._client, self._url, json_text.text({"look": look}), min(delay, LONGEST_DELAY))
