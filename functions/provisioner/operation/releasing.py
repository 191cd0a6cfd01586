"""Releases a key set: the provisioner's own tags go from its keys, and nothing else is touched.

The record says so before the first tag goes, so that no sweep misses a tag, and it keeps what was
declared: the set may be adopted again.
"""

from collections.abc import Callable

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.change.work import Work
from provisioner.domain.change import ObservedSet, is_leaving
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import (
    OWN_TAGS,
    REQUEST_ID_TAG,
    STACK_TAG,
    KeySetRequest,
    regions,
)
from provisioner.errors import KeyStateConflict
from provisioner.settings import Settings


def release_work(observed: ObservedSet, declared: KeySetRequest) -> list[Work]:
    """Return what a release does in each Region of the declaration that has a key.

    A key that waits for its deletion keeps its tags, since KMS takes none away from it.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """
    keys = observed["keys"]
    return [
        {"region": region, "arn": keys[region]["arn"], "calls": {"UntagResource": [*OWN_TAGS]}}
        for region in regions(declared)
        if region in keys and not is_leaving(keys[region])
    ]


def release_key(
    client: KMSClient,
    work: Work,
    request_id: str,
    *,
    check_wanted: Callable[[], object],
    settings: Settings,
) -> None:
    """Take the provisioner's tags of a request away from one Region's key, and no other tag.

    The tags are read first: those of another stack, or of another request, which has adopted the
    key since, stay. A key without the stack's tag is nobody's, and no role may untag it. One that
    waits for its deletion stays as it is.

    Parameters
    ----------
    client
        KMS client of the key's Region.
    check_wanted
        Raises where the execution is not to carry the operation out any more.

    Raises
    ------
    RequestTakenOver, Cancelled
        From `check_wanted`.
    KmsError
        KMS refused a call or did not answer. Calling again goes on.
    """
    arn = work["arn"]
    tags = kms.read_tags(client, arn)
    if tags.get(STACK_TAG) != settings.stack_name:
        return
    if tags.get(REQUEST_ID_TAG, request_id) != request_id:
        return
    names = [name for name in OWN_TAGS if name in tags]
    check_wanted()
    try:
        kms.write(client, "UntagResource", KeyId=arn, TagKeys=names)
    except KeyStateConflict:
        if kms.describe_key(client, arn)["KeyState"] not in PENDING_DELETION_STATES:
            raise
