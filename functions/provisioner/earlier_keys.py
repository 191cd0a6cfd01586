"""Finds the key of a request that an earlier deployment made, so that it is not made twice.

The table of requests may be a new one, or restored from a backup, while keys that carry the tags of
its requests are there. They are not adopted: whoever may tag keys can forge the tags.
"""

from typing import Any

from provisioner import kms
from provisioner.errors import KmsKeyNotFound
from provisioner.plan import KeySetRequest, own_tags
from provisioner.replica_key import LEAVING
from provisioner.settings import Settings
from provisioner.tagged_keys import find_keys


def earlier_key(
    request: KeySetRequest, *, client: Any, tagging: Any, settings: Settings
) -> str | None:
    """Find a primary key with the request's tags that does not wait for its deletion.

    Returns
    -------
    str or None
        Its ARN.

    Raises
    ------
    KmsError, DependencyUnavailable
        A call failed.
    """
    for arn in find_keys(tagging, own_tags(request["requestId"], settings)):
        try:
            metadata = kms.describe_key(client, arn)
        except KmsKeyNotFound:
            continue  # The index knows it still; KMS does not.
        kind = metadata.get("MultiRegionConfiguration", {}).get("MultiRegionKeyType")
        if kind == "PRIMARY" and metadata["KeyState"] not in LEAVING:
            return arn
    return None
