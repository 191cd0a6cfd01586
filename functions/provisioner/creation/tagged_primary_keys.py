"""Finds primary keys by their tags, as KMS itself knows them.

The tags say which keys; KMS says what they are, and whether they are still there.
"""

from collections.abc import Iterator

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.tagging import find_keys
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.errors import KmsKeyNotFound


def find_primary_keys(
    client: KMSClient, tagging: TaggingClient, tags: dict[str, str]
) -> Iterator[kms.Metadata]:
    """Find the multi-Region primary keys with these tags that do not wait for their deletion.

    Parameters
    ----------
    client, tagging
        Clients of KMS and of the tagging API in the Region to look in.

    Raises
    ------
    KmsError, DependencyUnavailable
        A call failed.
    """
    for arn in find_keys(tagging, tags):
        try:
            metadata = kms.describe_key(client, arn)
        except KmsKeyNotFound:
            continue  # The index knows it already, or still; KMS does not.
        kind = metadata.get("MultiRegionConfiguration", {}).get("MultiRegionKeyType")
        if kind == "PRIMARY" and metadata["KeyState"] not in PENDING_DELETION_STATES:
            yield metadata
