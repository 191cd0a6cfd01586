"""What arrives on an event bus of one Region, while a test listens."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import Endpoint


@dataclass(frozen=True)
class Queue:
    """A queue of one Region, and what was received from it."""

    emulator: Endpoint
    region: str
    url: str
    arn: str
    received: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def create(cls, emulator: Endpoint, region: str) -> "Queue":
        name = f"events-{uuid.uuid4()}"
        url = emulator.client("sqs", region).create_queue(QueueName=name)["QueueUrl"]
        return cls(emulator, region, url, f"arn:aws:sqs:{region}:{ACCOUNT_ID}:{name}")

    def messages(self) -> list[dict[str, Any]]:
        """List the messages so far, the oldest first; each is `Body` parsed, and attributes."""
        sqs = self.emulator.client("sqs", self.region)
        while True:
            answer = sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            if not answer.get("Messages"):
                return self.received
            for message in answer["Messages"]:
                sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                attributes = message.get("MessageAttributes", {})
                named = {name: value["StringValue"] for name, value in attributes.items()}
                self.received.append({"Body": json.loads(message["Body"]), **named})

    def events(self) -> list[dict[str, Any]]:
        """List the events so far, the oldest first."""
        return [message["Body"] for message in self.messages()]

    def wait_for_events_of(self, arn: str) -> list[dict[str, Any]]:
        """List the events about a key once there is one; others may come beside it."""

        def about() -> list[dict[str, Any]] | None:
            return [event for event in self.events() if arn in event["resources"]] or None

        return wait_for(about, f"events of {arn}", timeout=10)

    def wait_for_events(self, count: int, timeout: float = 10) -> list[dict[str, Any]]:
        """List the events once there are `count` of them."""

        def enough() -> list[dict[str, Any]] | None:
            events = self.events()
            return events if len(events) >= count else None

        return wait_for(enough, f"{count} events in {self.region}", timeout=timeout)


@contextmanager
def rule(
    emulator: Endpoint,
    region: str,
    pattern: dict[str, Any],
    target: dict[str, Any],
    bus: str = "default",
) -> Iterator[str]:
    """Have a rule with one target for as long as the block runs; return its ARN."""
    events, name = emulator.client("events", region), f"rule-{uuid.uuid4()}"
    arn: str = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))[
        "RuleArn"
    ]
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "only", **target}])
    try:
        yield arn
    finally:
        events.remove_targets(Rule=name, EventBusName=bus, Ids=["only"])
        events.delete_rule(Name=name, EventBusName=bus)


@contextmanager
def heard(
    emulator: Endpoint, region: str, pattern: dict[str, Any], bus: str = "default"
) -> Iterator[Queue]:
    """Listen to a bus of a Region for as long as the block runs."""
    queue = Queue.create(emulator, region)
    with rule(emulator, region, pattern, {"Arn": queue.arn}, bus):
        yield queue
    emulator.client("sqs", region).delete_queue(QueueUrl=queue.url)
