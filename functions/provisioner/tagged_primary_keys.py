"""Finds primary keys by their tags, as KMS itself knows them.

The tags say which keys; KMS says what they are, and whether they are still there.
"""

from collections.abc import Iterator
from typing import Any

from provisioner import kms
from provisioner.deletion import LEAVING
from provisioner.errors import KmsKeyNotFound
from provisioner.tagged_keys import find_keys


def find_primary_keys(client: Any, tagging: Any, tags: dict[str, str]) -> Iterator[kms.Metadata]:
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
        if kind == "PRIMARY" and metadata["KeyState"] not in LEAVING:
            yield metadata
