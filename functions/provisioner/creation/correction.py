"""Decides whether a request that failed may be taken with other content, under its own ID.

What its key set has already is brought to the new content by the steps that follow. They need to
know which aliases, tags and rotation earlier contents asked for and the new one does not:
`superseded` names them, so that what the provisioner itself set is taken away and what others set
stays.
docs/exactly-one-key.md says why a correction is safe.
"""

from provisioner import json_text
from provisioner.aws.records import Record, Status
from provisioner.domain.plan import (
    KeySetRequest,
    Names,
    RegionNames,
    confirmed_words,
    content_hash,
    expiry_by_region,
    is_decommissioned,
    is_enabled,
    names_by_region,
    regions,
    revision_of,
)
from provisioner.errors import (
    Immutable,
    Problem,
    Released,
    RequestConflict,
    RevisionSkipped,
    new_problem,
)

MAX_SUPERSEDED_BYTES = 32 * 1024
"""What Step Functions passes on beside a request of 128 KB and its keys, of 256 KB in all.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""
_NEVER_CHANGES = ("keySpec", "keyUsage", "origin", "primaryRegion")


def check_managed(record: Record) -> None:
    """Refuse whatever would manage the keys of a released set.

    Raises
    ------
    Released
        The key set was released, or its adoption has not finished.
    """
    if record.released_at is not None:
        raise Released(
            f"The key set of request {record.request_id} is not managed since "
            f"{record.released_at:%Y-%m-%dT%H:%M:%SZ}."
        )


def check_revision(record: Record, request: KeySetRequest) -> None:
    """Refuse a revision that is neither the record's nor the one that follows it.

    Raises
    ------
    RequestConflict
        The revision is lower: a later one was taken.
    RevisionSkipped
        It is higher than the next.
    Released
        Nothing manages the key set any more, or yet.
    """
    check_managed(record)
    asked, current = revision_of(request), record.revision
    if asked < current:
        what_next = (
            f"To change its key set, send the request with revision {current + 1}."
            if record.ever_created
            else f"To correct what failed, send the request with revision {current} or "
            f"{current + 1}."
        )
        raise RequestConflict(
            f"Request {record.request_id} has revision {current}, and this is the earlier revision "
            f"{asked}. {what_next}"
        )
    next_revision = 1 if record.status == Status.REJECTED else current + 1
    if asked > next_revision:
        raise RevisionSkipped(record.request_id, asked, next_revision)


def check_correction(record: Record, request: KeySetRequest) -> None:
    """Refuse other content than the record's, unless the request failed and may be corrected.

    Raises
    ------
    RequestConflict, RevisionSkipped
        An execution works on the request or has to, or the revision does not fit.
    Immutable
        A key exists, or may exist, that the new content cannot have.
    """
    check_revision(record, request)
    name = record.request_id
    if record.status != Status.FAILED or not record.published:
        raise under_way(record)
    held = record.request
    if held is None or not _has_key(record):
        return
    differing = [field for field in _NEVER_CHANGES if held.get(field) != request.get(field)]
    if differing:
        key = record.key_arn or "the key that an unanswered CreateKey may have created"
        was = ", ".join(f"{field} {held.get(field)}" for field in differing)
        raise Immutable(f"Request {name} has {key}, with {was}, which never changes.", differing)


def too_early_problems(request: KeySetRequest) -> list[Problem]:
    """Find what a later revision asks for and only a key set that was finished once can have.

    A first revision with any of it is refused by itself, before anything is known of a record.
    """
    if revision_of(request) == 1:
        return []
    later = "Leave it out, and send it in the next revision once the key set is created."
    paths = {request["primaryRegion"]: "enabled"} | {
        replica["region"]: f"replicas[{index}].enabled"
        for index, replica in enumerate(request["replicas"])
    }
    found = [
        new_problem(path, "KEY_SET_NOT_CREATED", f"Keys are created enabled. {later}")
        for region, path in paths.items()
        if not is_enabled(request, region)
    ]
    if is_decommissioned(request):
        text = f"This key set was never created, so it cannot be decommissioned. {later}"
        found.append(new_problem("desiredState", "KEY_SET_NOT_CREATED", text))
    for index, word in enumerate(confirmed_words(request)):
        text = f"This key set was never created, so that nothing needs {word}; leave it out."
        found.append(new_problem(f"confirm[{index}]", "CONFIRMATION_UNUSED", text))
    return found


def check_change(record: Record, request: KeySetRequest) -> None:
    """Refuse a change of a finished key set that nobody works on, unless it may be carried out.

    Raises
    ------
    RequestConflict
        It has other content under the number of the revision that there is, or it changes when
        imported key material expires as well: that is a renewal, which changes nothing else.
    """
    name, current = record.request_id, record.revision
    is_new = record.content_hash != content_hash(request)
    if is_new and revision_of(request) == current:
        raise RequestConflict(
            f"Request {name} has revision {current} with other content (status {record.status}). "
            f"To change its key set, send this content with revision {current + 1}."
        )
    before = expiry_by_region(record.request) if record.request else {}
    after = expiry_by_region(request)
    common = before.keys() & after.keys()
    if any(None is not before[one] != after[one] is not None for one in common):
        raise RequestConflict(
            f"Revision {revision_of(request)} of request {name} changes the key set, and also when "
            "its imported key material expires. Send the change with validTo as it was; once it is "
            "finished, send the same with the new validTo."
        )


def under_way(record: Record) -> RequestConflict:
    """Return the refusal of other content while a request is under way."""
    name = record.request_id
    if record.ever_created:
        then = f"Then send the revision that follows: {record.revision + 1}."
    else:
        then = "If it fails, send this request again: it corrects the failed one."
    return RequestConflict(
        f"Request {name} is under way with other content (status {record.status}). Wait for its "
        f"outcome, or cancel it with DELETE /keys/{name}. {then} Sending the earlier content "
        "resumes it."
    )


def superseded(record: Record, request: KeySetRequest) -> RegionNames:
    """Name, by Region, what earlier contents of a request asked for and the new one does not.

    A Region that the new content leaves out is there even if its key had no names.

    Raises
    ------
    RequestConflict
        It is more than a record can keep.
    """
    if record.request is None or not _has_key(record):
        return {}
    before, after = names_by_region(record.request), names_by_region(request)
    found: RegionNames = {}
    for region in sorted(before.keys() | record.superseded.keys()):
        kinds: Names = {
            kind: sorted(
                {
                    *record.superseded.get(region, {}).get(kind, []),
                    *before.get(region, {}).get(kind, []),
                }
                - {*after.get(region, {}).get(kind, [])}
            )
            for kind in ("aliases", "tags", "settings")
        }
        if region not in after or any(kinds.values()):
            found[region] = kinds
    _check_size(record, found)
    return found


def with_restored(names: RegionNames, record: Record, request: KeySetRequest) -> RegionNames:
    """Add to `superseded` what keys have still whose removed Regions a request declares again.

    Raises
    ------
    RequestConflict
        It is more than a record can keep.
    """
    found = {**names}
    for region, wanted in names_by_region(request).items():
        had = record.removed_names.get(region, {})
        known = found.get(region, {})
        left = {kind: {*had.get(kind, [])} - {*wanted[kind]} for kind in ("aliases", "tags")}
        if any(left.values()):
            more = {kind: sorted({*known.get(kind, []), *left[kind]}) for kind in left}
            found[region] = {"settings": [], **known, **more}
    _check_size(record, found)
    return found


def removed_names(record: Record, request: KeySetRequest, names: RegionNames) -> RegionNames:
    """Name the aliases and tag keys of Regions that a request does not declare, by Region.

    Rotation is the primary key's, so it does not belong to a Region that was removed.

    Parameters
    ----------
    names
        What the record keeps of earlier revisions otherwise.

    Raises
    ------
    RequestConflict
        It is more than a record can keep.
    """
    applied = names_by_region(record.applied) if record.applied else {}
    known = (record.removed_names, applied, names)
    found: RegionNames = {
        region: {
            kind: sorted({name for one in known for name in one.get(region, {}).get(kind, [])})
            for kind in ("aliases", "tags")
        }
        for region in sorted({*known[0], *known[1], *known[2]} - {*regions(request)})
    }
    if (size := json_text.size(found)) > MAX_SUPERSEDED_BYTES:
        raise RequestConflict(
            f"The Regions that request {record.request_id} removes, or has removed, have {size} "
            f"bytes of aliases and tag keys, and at most {MAX_SUPERSEDED_BYTES} are kept to "
            "restore them. Take tags away from these Regions in a revision of its own, and remove "
            "them in the next."
        )
    return found


def _check_size(record: Record, names: RegionNames) -> None:
    if (size := json_text.size(names)) > MAX_SUPERSEDED_BYTES:
        raise RequestConflict(
            f"The contents that request {record.request_id} had so far name {size} bytes of "
            f"aliases and tag keys that this one leaves out; at most {MAX_SUPERSEDED_BYTES} are "
            "kept. Keep more of the earlier aliases and tag keys in the request, and leave them "
            "out in a revision that follows once this one is finished."
        )


def _has_key(record: Record) -> bool:
    """Whether the request has a key, or may have one that nobody recorded yet."""
    return record.key_arn is not None or record.open_attempt is not None
