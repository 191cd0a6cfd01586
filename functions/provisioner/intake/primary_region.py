"""Which Region the primary key is in where a request leaves `primaryRegion` out.

That is the stack's own Region in a first revision, and afterwards the Region that was declared
before.
"""

from provisioner.aws.records import Record, Records
from provisioner.domain.plan import is_request_id
from provisioner.settings import Settings


def usual_primary_region(document: object, records: Records, settings: Settings) -> str:
    """Return the Region of the primary key that a request does not name.

    The record is read only where it is needed: a later revision leaves the Region out.

    Parameters
    ----------
    document
        What the caller sent, parsed from JSON; nothing of it is checked yet.

    Raises
    ------
    DependencyUnavailable
        DynamoDB did not answer.
    """
    request_id = needs_record(document)
    record = records.get(request_id) if request_id else None
    return declared_before(record, document, settings)


def needs_record(document: object) -> str | None:
    """Return the requestId of a later revision that leaves the Region out, else None."""
    if not isinstance(document, dict) or document.get("primaryRegion") is not None:
        return None
    request_id = document.get("requestId")
    return request_id if _revision(document) > 1 and is_request_id(request_id) else None


def declared_before(record: Record | None, document: object, settings: Settings) -> str:
    """Return the Region that a record declares for the primary key of a document.

    A revision that is delivered again has the Region that it had at first, and the next one has
    that of the declaration that was applied last: one that failed since does not count. Where KMS
    has the primary key makes no difference, since a document that leaves its Region out was written
    for the declared one.
    """
    if record is None or needs_record(document) != record.request_id or record.request is None:
        return settings.home_region
    is_next = isinstance(document, dict) and _revision(document) > record.revision
    declared = record.applied if is_next and record.applied else record.request
    return declared["primaryRegion"]


def _revision(document: dict[str, object]) -> int:
    revision = document.get("revision", 1)
    return revision if isinstance(revision, int) else 1
