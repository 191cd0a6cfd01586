"""Changes the state of one Region's key: restores it, disables it, or schedules its deletion."""

from collections.abc import Callable

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.deletion import cancel_deletion
from provisioner.aws.new_keys import may_be_new
from provisioner.change.work import Work
from provisioner.domain.key_states import MOVING_STATES, PENDING_DELETION_STATES
from provisioner.domain.plan import region_of
from provisioner.errors import KeyStateConflict, ReplicaKeyNotEnabled


def restore_key(client: KMSClient, work: Work) -> None:
    """Cancel a key's deletion, or enable it, or both, as its Region's work says.

    CancelKeyDeletion leaves a key Disabled, or PendingImport where its key material has expired or
    was deleted. Such a key is not to be enabled: an import does that.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html

    Raises
    ------
    KmsError
        KMS refused a call or did not answer. Calling again goes on.
    """
    arn, calls = work["arn"], work["calls"]
    with may_be_new(client, arn):
        if "CancelKeyDeletion" in calls:
            cancel_deletion(client, arn)
        if "EnableKey" in calls:
            _enable(client, arn)


def _enable(client: KMSClient, arn: str) -> None:
    try:
        kms.write(client, "EnableKey", KeyId=arn)
    except KeyStateConflict:
        if kms.describe_key(client, arn)["KeyState"] != "PendingImport":
            raise


def retire_key(
    client: KMSClient,
    work: Work,
    *,
    send_once: Callable[[str], KMSClient],
    check_wanted: Callable[[], object],
    days: int,
) -> None:
    """Disable a key or schedule its deletion, as its Region's work says, unless it is done.

    The state is read first, and the record after it: a revision that was taken over or cancelled
    asks for nothing any more. The call is sent once. One that the SDK sends again may arrive when
    somebody has canceled the deletion already, and would schedule another one.

    Parameters
    ----------
    client
        KMS client of the key's own Region, for what is read.
    send_once
        Returns the KMS client of a Region that sends every call once.
    check_wanted
        Raises where the execution is not to carry the change out any more.
    days
        How long the key waits for its deletion: 7 to 30.

    Raises
    ------
    ReplicaKeyNotEnabled
        The key is being made or is changing its role: call again later.
    KeyStateConflict
        The key waits for its deletion and is to be disabled.
    RequestTakenOver, Cancelled
        From `check_wanted`.
    KmsError
        KMS refused a call or did not answer. Calling again looks first.
    """
    arn, calls = work["arn"], work["calls"]
    state = str(kms.describe_key(client, arn)["KeyState"])
    if state in MOVING_STATES:
        raise ReplicaKeyNotEnabled(f"The key {arn} is still {state}.")
    is_leaving = state in PENDING_DELETION_STATES
    check_wanted()
    once = send_once(region_of(arn))
    with may_be_new(client, arn):
        if "ScheduleKeyDeletion" in calls and not is_leaving:
            kms.write(once, "ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=days)
        elif "DisableKey" in calls and is_leaving:
            raise KeyStateConflict(f"{arn} is {state}, and a key that leaves cannot be disabled.")
        elif "DisableKey" in calls and state != "Disabled":
            kms.write(once, "DisableKey", KeyId=arn)
