"""Schedules a key's deletion, and cancels it, whether or not an earlier call did so already.

KMS refuses both where they have taken effect. A call whose answer is lost is sent again by the SDK,
so a refusal says something only together with the key's state.
https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.errors import KeyStateConflict


def schedule_deletion(client: KMSClient, key_arn: str, days: int) -> None:
    """Make sure that a key waits for its deletion.

    Raises
    ------
    KmsError
        KMS refused a call for another reason or did not answer.
    """
    try:
        kms.write(client, "ScheduleKeyDeletion", KeyId=key_arn, PendingWindowInDays=days)
    except KeyStateConflict:
        if not _is_leaving(client, key_arn):
            raise


def cancel_deletion(client: KMSClient, key_arn: str) -> None:
    """Make sure that a key does not wait for its deletion.

    Raises
    ------
    KmsError
        KMS refused a call for another reason or did not answer.
    """
    try:
        kms.write(client, "CancelKeyDeletion", KeyId=key_arn)
    except KeyStateConflict:
        if _is_leaving(client, key_arn):
            raise


def _is_leaving(client: KMSClient, key_arn: str) -> bool:
    return kms.describe_key(client, key_arn)["KeyState"] in PENDING_DELETION_STATES
