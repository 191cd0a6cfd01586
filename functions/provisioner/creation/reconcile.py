"""Finds out what became of a CreateKey attempt that nobody heard the end of.

Its key, if there is one, carries the tags of the request and of the attempt, and was created while
the attempt was under way. It is looked for until a quiet period has passed since the attempt was
announced; then there is none, and another attempt may follow.
docs/exactly-one-key.md says why that is safe and what it costs.
"""

from datetime import datetime, timedelta

from provisioner.aws import kms
from provisioner.aws.client_types import EventBridgeClient, KMSClient, TaggingClient
from provisioner.aws.new_keys import may_be_new
from provisioner.aws.records import Record, Records
from provisioner.clock import now
from provisioner.creation.tagged_primary_keys import find_primary_keys
from provisioner.domain.plan import ATTEMPT_TAG, KeySetRequest, own_tags
from provisioner.outcomes.surplus import report_and_retire_surplus_key
from provisioner.settings import Settings

CLOCKS_DIFFER_BY = timedelta(seconds=1)
"""How much earlier KMS may date a key than Lambda dated its announcement."""
CREATED_WITHIN = timedelta(minutes=6)
"""How long after its announcement an attempt can still make a key: the function lives for a minute,
and AWS takes a call for five minutes after it was signed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""


def reconcile_primary_key(
    request: KeySetRequest,
    *,
    records: Records,
    client: KMSClient,
    tagging: TaggingClient,
    events: EventBridgeClient,
    settings: Settings,
) -> bool:
    """Look for the key of an unanswered attempt; adopt it, or say that there is none.

    Of several keys of the attempt the recorded one stays, else the oldest. The others are scheduled
    for deletion, which can be cancelled for `DeletionWindowInDays`, unless they are in use. A key
    that is not of this attempt is left alone, whatever its other tags say: the sweep reports it.

    Parameters
    ----------
    client, tagging
        Clients of KMS and of the tagging API in the primary's Region.

    Returns
    -------
    bool
        Whether that is settled: the record holds the attempt's key, or the attempt made none. If
        not, a key may still become visible: look again later.

    Raises
    ------
    PrimaryKeyUnconfirmed
        The record changed under our hands: look again.
    KmsError, DependencyUnavailable, EventNotPublished
        A call failed.
    """
    record = records.get(request["requestId"])
    if record is None:
        raise RuntimeError(f"{request['requestId']} was not claimed before it is reconciled.")
    if not record.open_attempt and not record.key_arn:
        return True
    too_early = _is_too_early(record, settings)  # Asked before the look, which takes its time.
    keys = _keys_of_attempt(client, tagging, record, request, settings)
    winner = record.key_arn or next(iter(keys), None)
    if winner is None and too_early:
        return False
    if record.open_attempt:
        records.close_attempt(record.request_id, record.attempt, winner)
    for arn, metadata in keys.items():
        if arn != winner:
            with may_be_new(client, arn):
                report_and_retire_surplus_key(
                    record.request_id, metadata, client=client, events=events, settings=settings
                )
    return True


def _is_too_early(record: Record, settings: Settings) -> bool:
    """Whether a key of the open attempt may still become visible."""
    quiet = timedelta(seconds=settings.quiet_period_seconds)
    return record.attempt_sent_at is not None and now() - record.attempt_sent_at < quiet


def _keys_of_attempt(
    client: KMSClient,
    tagging: TaggingClient,
    record: Record,
    request: KeySetRequest,
    settings: Settings,
) -> dict[str, kms.Metadata]:
    """Return the primary keys of the newest attempt, as KMS itself knows them, oldest first.

    Whoever may tag keys can write the tags on any of them. So a key of another kind than was asked
    for, or of another time than the attempt's, is not ours whatever its tags say. One that was
    scheduled for deletion by hand is no key of the request any more.
    """
    tags = {**own_tags(record.request_id, settings), ATTEMPT_TAG: str(record.attempt)}
    found = [
        metadata
        for metadata in find_primary_keys(client, tagging, tags)
        if _is_as_asked(metadata, request) and _is_of_its_time(metadata, record.attempt_sent_at)
    ]
    found.sort(key=lambda metadata: (metadata["CreationDate"], metadata["KeyId"]))
    return {metadata["Arn"]: metadata for metadata in found}


def _is_as_asked(metadata: kms.Metadata, request: KeySetRequest) -> bool:
    return (metadata["KeySpec"], metadata["KeyUsage"], metadata["Origin"]) == (
        request["keySpec"],
        request["keyUsage"],
        request["origin"],
    )


def _is_of_its_time(metadata: kms.Metadata, announced_at: datetime | None) -> bool:
    """Whether an attempt that was announced at that time can have made the key."""
    created: datetime = metadata["CreationDate"]
    return announced_at is not None and (
        announced_at - CLOCKS_DIFFER_BY <= created <= announced_at + CREATED_WITHIN
    )
