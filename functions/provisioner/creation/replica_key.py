"""Makes sure that a Region has its replica key, and that a key on its way out comes back."""

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.deletion import cancel_deletion
from provisioner.aws.new_keys import may_be_new
from provisioner.creation.confirm import facts_of, refuse_moved_primary
from provisioner.domain.key_specs import Origin
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import KeySetRequest, MadeKey, arn_in, plan_key
from provisioner.errors import KmsRequestRefused
from provisioner.settings import Settings


def ensure_replica_key(
    request: KeySetRequest,
    region: str,
    primary_arn: str,
    *,
    primary_client: KMSClient,
    replica_client: KMSClient,
    settings: Settings,
) -> MadeKey:
    """Replicate the primary key to a Region, or find the replica that is there.

    ReplicateKey never makes two replicas in one Region, so it is safe to send again.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html

    Returns
    -------
    MadeKey
        The key, and whether this call created it.

    Raises
    ------
    PrimaryKeyMoved
        The primary key has become a replica key.
    KmsError
        KMS refused a call or did not answer.
    """
    plan = plan_key(request, region, settings)
    try:
        with may_be_new(primary_client, primary_arn):
            metadata = kms.replicate_key(primary_client, primary_arn, plan)
    except KmsRequestRefused:
        refuse_moved_primary(kms.describe_key(primary_client, primary_arn))
        raise
    fresh = metadata is not None
    if metadata is None:
        existing = kms.describe_key(replica_client, arn_in(region, primary_arn))
        metadata = restore_key(replica_client, existing)
    return {"key": facts_of(metadata), "fresh": fresh}


def restore_key(client: KMSClient, metadata: kms.Metadata) -> kms.Metadata:
    """Cancel a key's deletion and enable it where that is needed; return what it is then.

    A deleted replica would block its Region for at least seven days.
    https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys-scheduling-key-deletion.html

    Raises
    ------
    KmsError
        KMS refused a call or did not answer.
    """
    key_arn = metadata["Arn"]
    with may_be_new(client, key_arn):
        if metadata["KeyState"] in PENDING_DELETION_STATES:
            cancel_deletion(client, key_arn)
            # Read again only where it is not known: KMS may show the state before for some seconds.
            if metadata["Origin"] == Origin.EXTERNAL:
                metadata = kms.describe_key(client, key_arn)
            else:
                metadata["KeyState"] = "Disabled"
        if metadata["KeyState"] == "Disabled":
            kms.write(client, "EnableKey", KeyId=key_arn)
            metadata["KeyState"] = "Enabled"
    return metadata
