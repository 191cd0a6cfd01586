"""Things that are not as they should be: what they are, and how they are published.

A finding is an event of its own on the stack's bus, and a metric with its kind as a dimension.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from provisioner import event_bus, kms
from provisioner.deletion import schedule_deletion
from provisioner.plan import region_of
from provisioner.settings import Settings
from provisioner.telemetry import logger, metrics

DETAIL_TYPE = "Multi-Region Key Finding"


class Kind(StrEnum):
    """What was found."""

    SURPLUS_KEY = "SURPLUS_KEY"
    REQUEST_STUCK = "REQUEST_STUCK"
    KEY_NOT_ENABLED = "KEY_NOT_ENABLED"
    ALIAS_ELSEWHERE = "ALIAS_ELSEWHERE"
    MATERIAL_EXPIRES = "MATERIAL_EXPIRES"
    KEYS_OF_AN_EARLIER_DEPLOYMENT = "KEYS_OF_AN_EARLIER_DEPLOYMENT"


class Action(StrEnum):
    """What was done about it."""

    REPORTED = "REPORTED"
    RESUMED = "RESUMED"
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


def detail_of(finding: Finding) -> dict[str, Any]:
    """Write a finding as its event has it."""
    return {
        "kind": finding.kind,
        "requestId": finding.request_id,
        "region": finding.region,
        "keyArn": finding.key_arn,
        "message": finding.message,
        "action": finding.action,
    }


def publish(finding: Finding, *, events: Any, bus: str) -> None:
    """Publish a finding.

    Raises
    ------
    DependencyUnavailable, OutcomeNotPublished
        EventBridge did not take the event.
    """
    event_bus.put_event(events, bus, DETAIL_TYPE, detail_of(finding))
    logger.warning(finding.message, finding=finding.kind, action=finding.action)


def count(kind: Kind, number: int = 1) -> None:
    """Count findings of a kind."""
    metrics.add_dimension("kind", kind)
    metrics.add_metric("Findings", MetricUnit.Count, number)
    metrics.flush_metrics()  # Clears the dimension too, which no other metric has.


def tell(finding: Finding, *, events: Any, bus: str) -> None:
    """Publish a finding and count it.

    Raises
    ------
    DependencyUnavailable, OutcomeNotPublished
        EventBridge did not take the event.
    """
    publish(finding, events=events, bus=bus)
    count(finding.kind)


def surplus(request_id: str | None, metadata: kms.Metadata, action: Action) -> Finding:
    """Find that a key carries a request's tag and is not its key."""
    arn = metadata["Arn"]
    text = f"{arn} carries the tags of request {request_id} and is not the key recorded for it."
    return Finding(Kind.SURPLUS_KEY, request_id, region_of(arn), arn, text, action)


def report_surplus(
    request_id: str | None,
    metadata: kms.Metadata,
    *,
    client: Any,
    events: Any,
    settings: Settings,
) -> None:
    """Report a key that carries a request's tag and is not its key; schedule its deletion.

    A key that has an alias or replicas may be in use, so it is only reported. The deletion can be
    cancelled until `DeletionWindowInDays` have passed.

    Parameters
    ----------
    client
        KMS client of the key's Region.

    Raises
    ------
    KmsError, DependencyUnavailable, OutcomeNotPublished
        A call failed. Calling again does all of it again.
    """
    arn = metadata["Arn"]
    replicas = metadata.get("MultiRegionConfiguration", {}).get("ReplicaKeys")
    retire = not replicas and not kms.has_alias(client, arn)
    action = Action.SCHEDULED_FOR_DELETION if retire else Action.REPORTED
    # Published first: once it waits for its deletion, nothing looks at it again.
    tell(surplus(request_id, metadata, action), events=events, bus=settings.event_bus)
    if retire:
        schedule_deletion(client, arn, settings.deletion_window_days)
