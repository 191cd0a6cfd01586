"""Schedules a key's deletion, whether or not an earlier call did so already."""

from typing import Any

from provisioner import kms
from provisioner.errors import KeyStateConflict
from provisioner.replica_key import is_leaving


def schedule_deletion(client: Any, key_arn: str, days: int) -> None:
    """Make sure that a key waits for its deletion.

    KMS refuses that where it has taken effect. A call whose answer is lost is sent again by the
    SDK, so a refusal says something only together with the key's state.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html

    Raises
    ------
    KmsError
        KMS refused a call for another reason or did not answer.
    """
    try:
        kms.write(client, "ScheduleKeyDeletion", KeyId=key_arn, PendingWindowInDays=days)
    except KeyStateConflict:
        if not is_leaving(client, key_arn):
            raise
