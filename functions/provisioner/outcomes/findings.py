"""Things that are not as they should be: what they are, and how they are published.

A finding is an event of its own on the stack's bus, and a metric with its kind as a dimension.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from provisioner.aws import event_bus, kms
from provisioner.aws.deletion import schedule_deletion
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import region_of
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
    KEY_MISSING = "KEY_MISSING"
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
    if request_id is None:
        text = f"{arn} carries the tag of this stack, and no record names it."
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

    A key that has an alias or replicas may be in use, so it is only reported. That its deletion is
    scheduled is reported once KMS shows it. It can be cancelled until `DeletionWindowInDays` have
    passed.

    Parameters
    ----------
    client
        KMS client of the key's Region.

    Raises
    ------
    KmsError, DependencyUnavailable, OutcomeNotPublished
        A call failed. Calling again does all of it again.
    """
    is_used = _is_used(client, metadata)
    # Published first: once it waits for its deletion, nothing looks at it again.
    tell(surplus(request_id, metadata, Action.REPORTED), events=events, bus=settings.event_bus)
    if not is_used:
        _retire(request_id, metadata, client=client, events=events, settings=settings)


def retire_surplus(
    request_id: str | None,
    metadata: kms.Metadata,
    *,
    client: Any,
    events: Any,
    settings: Settings,
) -> None:
    """Schedule the deletion of a surplus key that was reported, and report that, unless it is used.

    Raises
    ------
    KmsError, DependencyUnavailable, OutcomeNotPublished
        A call failed.
    """
    if not _is_used(client, metadata):
        _retire(request_id, metadata, client=client, events=events, settings=settings)


def _is_used(client: Any, metadata: kms.Metadata) -> bool:
    replicas = metadata.get("MultiRegionConfiguration", {}).get("ReplicaKeys")
    return bool(replicas) or kms.has_alias(client, metadata["Arn"])


def _retire(
    request_id: str | None, metadata: kms.Metadata, *, client: Any, events: Any, settings: Settings
) -> None:
    arn = metadata["Arn"]
    schedule_deletion(client, arn, settings.deletion_window_days)
    if kms.describe_key(client, arn)["KeyState"] not in PENDING_DELETION_STATES:
        logger.warning("a deletion was scheduled, and KMS does not show it", subject=arn)
        return
    done = surplus(request_id, metadata, Action.SCHEDULED_FOR_DELETION)
    publish(done, events=events, bus=settings.event_bus)
