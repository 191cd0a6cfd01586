"""Keys that carry a request's tag and that no record names: reported, and retired where allowed."""

from provisioner.aws import kms
from provisioner.aws.client_types import EventBridgeClient, KMSClient
from provisioner.aws.deletion import schedule_deletion
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import region_of
from provisioner.outcomes import findings
from provisioner.outcomes.findings import Action, Finding, Kind
from provisioner.settings import Settings
from provisioner.telemetry import logger


def surplus_key(request_id: str | None, metadata: kms.Metadata, action: Action) -> Finding:
    """Find that a key carries a request's tag and is not its key."""
    arn = metadata["Arn"]
    text = f"{arn} carries the tags of request {request_id} and is not the key recorded for it."
    if request_id is None:
        text = f"{arn} carries the tag of this stack, and no record names it."
    return Finding(Kind.SURPLUS_KEY, request_id, region_of(arn), arn, text, action)


def report_and_retire_surplus_key(
    request_id: str | None,
    metadata: kms.Metadata,
    *,
    client: KMSClient,
    events: EventBridgeClient,
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
    KmsError, DependencyUnavailable, EventNotPublished
        A call failed. Calling again does all of it again.
    """
    is_used = _is_used(client, metadata)
    # Published first: once it waits for its deletion, nothing checks it again.
    findings.report(
        surplus_key(request_id, metadata, Action.REPORTED), events=events, bus=settings.event_bus
    )
    if not is_used:
        _retire(request_id, metadata, client=client, events=events, settings=settings)


def retire_surplus_key(
    request_id: str | None,
    metadata: kms.Metadata,
    *,
    client: KMSClient,
    events: EventBridgeClient,
    settings: Settings,
) -> None:
    """Schedule the deletion of a surplus key that was reported, and report that, unless it is used.

    Raises
    ------
    KmsError, DependencyUnavailable, EventNotPublished
        A call failed.
    """
    if not _is_used(client, metadata):
        _retire(request_id, metadata, client=client, events=events, settings=settings)


def _is_used(client: KMSClient, metadata: kms.Metadata) -> bool:
    replicas = metadata.get("MultiRegionConfiguration", {}).get("ReplicaKeys")
    return bool(replicas) or kms.has_alias(client, metadata["Arn"])


def _retire(
    request_id: str | None,
    metadata: kms.Metadata,
    *,
    client: KMSClient,
    events: EventBridgeClient,
    settings: Settings,
) -> None:
    arn = metadata["Arn"]
    schedule_deletion(client, arn, settings.deletion_window_days)
    if kms.describe_key(client, arn)["KeyState"] not in PENDING_DELETION_STATES:
        logger.warning("a deletion was scheduled, and KMS does not show it", subject=arn)
        return
    done = surplus_key(request_id, metadata, Action.SCHEDULED_FOR_DELETION)
    findings.publish(done, events=events, bus=settings.event_bus)
