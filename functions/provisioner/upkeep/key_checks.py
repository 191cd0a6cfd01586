"""What is wrong with a key that a record names, by what KMS and its tags say of it.

A key set that was created once is checked whatever became of its request since: a renewal that
waits or failed leaves the keys as much in use as before.
"""

from collections.abc import Iterator
from datetime import timedelta

from provisioner.aws import kms
from provisioner.aws.records import Record, Removed, Status
from provisioner.aws.tagging import Tags
from provisioner.clock import instant_text, now
from provisioner.domain.key_specs import Origin
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import (
    KeySetRequest,
    is_decommissioned,
    own_tags,
    plan_key,
    region_of,
    regions,
)
from provisioner.outcomes.findings import Finding, Kind
from provisioner.settings import Settings

_NOT_READY = ("Creating", "Updating", "PendingImport", "Unavailable", *PENDING_DELETION_STATES)
"""States that a key of a finished key set is not in for long. Disabled is somebody's choice."""
_RENEWAL_NOTICE = timedelta(days=30)
CORRECTION_TIME = timedelta(days=1)
"""A failed request is usually corrected and sent again: its keys are no finding for so long."""


def wanted_regions(record: Record) -> list[str]:
    """List the Regions in which a finished key set is to have keys.

    While a change is under way, or has failed, those are the Regions of both declarations: in the
    others a key may be there or not. What is decommissioned is to have none.
    """
    if record.request is None or record.applied is None or is_decommissioned(record.request):
        return []
    return [region for region in regions(record.request) if region in regions(record.applied)]


def find_state(record: Record, metadata: kms.Metadata) -> Iterator[Finding]:
    """Find that a created key cannot be used.

    A replica key that the request does not ask for was reported with its outcome; it may go.
    """
    arn, state = metadata["Arn"], metadata["KeyState"]
    if state not in _NOT_READY or region_of(arn) not in wanted_regions(record):
        return
    text = f"{arn} is {state}, although its key set was created.{_what_it_means(metadata)}"
    yield _finding(Kind.KEY_NOT_ENABLED, record, arn, text)


def _what_it_means(metadata: kms.Metadata) -> str:
    match metadata["KeyState"]:
        case "PendingDeletion" if "DeletionDate" in metadata:
            date = instant_text(metadata["DeletionDate"])
            return f" KMS deletes it at {date}. Until then the deletion can be canceled."
        case "PendingReplicaDeletion":
            return " KMS deletes it after its replicas. Until then the deletion can be canceled."
        case "PendingImport":
            return " Its key material has expired or was deleted."
    return ""


def find_expiry(
    record: Record, request: KeySetRequest, metadata: kms.Metadata, settings: Settings
) -> Iterator[Finding]:
    """Find that imported key material expires soon, or has expired."""
    arn, valid_to = metadata["Arn"], metadata.get("ValidTo")
    region = region_of(arn)
    if region not in regions(request) or metadata["KeyState"] in PENDING_DELETION_STATES:
        return  # The request cannot renew somebody else's replica, nor a key that is being deleted.
    if valid_to is not None:
        if valid_to - now() > _RENEWAL_NOTICE:
            return
        verb = "expires" if valid_to > now() else "expired"
        fact = f"The key material of {arn} {verb} at {instant_text(valid_to)}."
    elif metadata["KeyState"] == "PendingImport" and request["origin"] == Origin.EXTERNAL:
        expiry = plan_key(request, region, settings).expiry
        if expiry is None or not expiry["expires"]:
            return
        fact = f"The key material of {arn} is gone: it has expired, or was deleted before."
    else:
        return
    text = f"{fact} {_how_to_renew(record)}"
    yield _finding(Kind.MATERIAL_EXPIRES, record, arn, text)


def _how_to_renew(record: Record) -> str:
    send = f"Send request {record.request_id} again with a later validTo"
    match record.status:
        case Status.WAITING_FOR_MATERIAL:
            return f"Request {record.request_id} waits for key material: provide it."
        case Status.IN_PROGRESS:
            return f"Request {record.request_id} is in progress."
        case Status.FAILED:
            return f"The last run of the request failed. {send}."
    return f"{send}: it asks for the same material once more."


def find_unfinished(record: Record, metadata: kms.Metadata) -> Iterator[Finding]:
    """Find a key of a request that failed a while ago and was never created."""
    arn, state = metadata["Arn"], metadata["KeyState"]
    if (
        record.status != Status.FAILED
        or state in PENDING_DELETION_STATES
        or record.published_at is None
        or now() - record.published_at < CORRECTION_TIME
    ):
        return
    text = (
        f"{arn} is {state} and costs money, and its request {record.request_id} failed before the "
        "key set was created. Send the request again, corrected where its errors say so, or "
        "schedule the key's deletion."
    )
    yield _finding(Kind.UNFINISHED_KEY_SET, record, arn, text)


def find_promotion(record: Record, metadata: kms.Metadata) -> Iterator[Finding]:
    """Find that the primary key of a record is a replica now."""
    arn, described = metadata["Arn"], metadata.get("MultiRegionConfiguration", {})
    primary = described.get("PrimaryKey", {}).get("Arn")
    if arn != record.key_arn or primary in (None, arn):
        return
    text = (
        f"{arn} is a replica key now: somebody made {primary} the primary key of its key set, "
        f"outside request {record.request_id}. That changed no key's ARN, alias, policy or state; "
        f"rotation and new replicas are the primary key's, in {region_of(primary)}."
    )
    yield _finding(Kind.PRIMARY_ELSEWHERE, record, arn, text)


def find_tags(
    record: Record, tags: Tags, metadata: kms.Metadata, settings: Settings
) -> Iterator[Finding]:
    """Find that a key lacks the tags by which it is found."""
    arn = metadata["Arn"]
    wanted = own_tags(record.request_id, settings)
    missing = {key: value for key, value in wanted.items() if tags.get(key) != value}
    if not missing or metadata["KeyState"] in PENDING_DELETION_STATES:
        return  # KMS does not let anybody tag a key that waits for its deletion.
    given = " ".join(f"TagKey={key},TagValue={value}" for key, value in missing.items())
    text = (
        f"{arn} is recorded for request {record.request_id} and lacks tags of it, without which "
        "the provisioner may not change the key. Put them back: aws kms tag-resource "
        f"--region {region_of(arn)} --key-id {arn} --tags {given}"
    )
    yield _finding(Kind.TAGS_MISSING, record, arn, text)


def missing(record: Record, arn: str) -> Finding:
    """Find that KMS does not know a created key any more."""
    text = (
        f"KMS does not know {arn} any more, which was created for request {record.request_id}. "
        "What was encrypted under it can be read with the other keys of its key set only, where "
        "there are any. A replica key can be created again from its primary key."
    )
    return _finding(Kind.KEY_MISSING, record, arn, text)


def deleted(record: Record, arn: str, removed: Removed) -> Finding:
    """Say that KMS has deleted a key which a revision of its request had removed."""
    text = (
        f"KMS has deleted {arn}, which revision {removed['revision']} of request "
        f"{record.request_id} had removed. What was encrypted under it can be read with the other "
        "keys of its key set only, where there are any."
    )
    return _finding(Kind.KEY_DELETED, record, arn, text)


def _finding(kind: Kind, record: Record, arn: str, text: str) -> Finding:
    return Finding(kind, record.request_id, region_of(arn), arn, text)
