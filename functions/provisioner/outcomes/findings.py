"""Things that are not as they should be: what they are, and how they are published.

A finding is an event of its own on the stack's bus, and a metric with its kind as a dimension.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import event_bus
from provisioner.aws.client_types import EventBridgeClient
from provisioner.telemetry import logger, metrics

DETAIL_TYPE = "Multi-Region Key Finding"


class Kind(StrEnum):
    """What was found."""

    SURPLUS_KEY = "SURPLUS_KEY"
    REQUEST_STUCK = "REQUEST_STUCK"
    KEY_NOT_ENABLED = "KEY_NOT_ENABLED"
    ALIAS_ELSEWHERE = "ALIAS_ELSEWHERE"
    MATERIAL_EXPIRES = "MATERIAL_EXPIRES"
    KEY_MISSING = "KEY_MISSING"
    KEY_DELETED = "KEY_DELETED"
    TAGS_MISSING = "TAGS_MISSING"
    PRIMARY_ELSEWHERE = "PRIMARY_ELSEWHERE"
    UNFINISHED_KEY_SET = "UNFINISHED_KEY_SET"
    KEYS_OF_AN_EARLIER_DEPLOYMENT = "KEYS_OF_AN_EARLIER_DEPLOYMENT"


class Action(StrEnum):
    """What was done about it."""

    REPORTED = "REPORTED"
    RESUMED = "RESUMED"
    ENDED = "ENDED"
    SCHEDULED_FOR_DELETION = "SCHEDULED_FOR_DELETION"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, as its event says it."""

    kind: Kind
    request_id: str | None
    region: str
    key_arn: str | None
    message: str
    action: Action = Action.REPORTED


class FindingDetail(TypedDict):
    """A finding as its event has it; `requestId` and `keyArn` are null where it is about none."""

    kind: Kind
    requestId: str | None
    region: str
    keyArn: str | None
    message: str
    action: Action


def detail_of(finding: Finding) -> FindingDetail:
    """Write a finding as its event has it."""
    return {
        "kind": finding.kind,
        "requestId": finding.request_id,
        "region": finding.region,
        "keyArn": finding.key_arn,
        "message": finding.message,
        "action": finding.action,
    }


def publish(finding: Finding, *, events: EventBridgeClient, bus: str) -> None:
    """Publish a finding.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        EventBridge did not take the event.
    """
    event_bus.put_event(events, bus, DETAIL_TYPE, detail_of(finding))
    logger.warning(finding.message, finding=finding.kind, action=finding.action)


def count(kind: Kind, number: int = 1) -> None:
    """Count findings of a kind."""
    metrics.add_dimension("kind", kind)
    metrics.add_metric("Findings", MetricUnit.Count, number)
    metrics.flush_metrics()  # Clears the dimension too, which no other metric has.


def report(finding: Finding, *, events: EventBridgeClient, bus: str) -> None:
    """Publish a finding and count it.

    Raises
    ------
    DependencyUnavailable, EventNotPublished
        EventBridge did not take the event.
    """
    publish(finding, events=events, bus=bus)
    count(finding.kind)
