"""Reads key sets back from KMS."""

import json
from typing import Any

from provisioner import kms
from provisioner.errors import KeySetIncomplete


def read_key_state(client: Any, key_arn: str) -> str:
    """Read the state of one key, such as `Creating` or `Enabled`.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    return str(kms.describe_key(client, key_arn)["KeyState"])


def confirm_key_set(client: Any, primary_arn: str, replica_regions: list[str]) -> dict[str, Any]:
    """Read the primary key and check that it is Enabled and knows every replica.

    Returns
    -------
    dict
        KMS's KeyMetadata of the primary as plain JSON, with its MultiRegionConfiguration; times are
        ISO 8601 texts.

    Raises
    ------
    KeySetIncomplete
        The primary is not Enabled or does not list a replica (yet).
    KmsError
        KMS refused the call or did not answer.
    """
    metadata = read_metadata(client, primary_arn)
    listed = {key["Region"] for key in metadata["MultiRegionConfiguration"]["ReplicaKeys"]}
    missing = sorted(set(replica_regions) - listed)
    if metadata["KeyState"] != "Enabled":
        raise KeySetIncomplete(f"The primary key {primary_arn} is {metadata['KeyState']}.")
    if missing:
        raise KeySetIncomplete(f"{primary_arn} does not list its replicas in {', '.join(missing)}.")
    return metadata


def read_metadata(client: Any, key_arn: str) -> dict[str, Any]:
    """Read KMS's KeyMetadata of a key as plain JSON; times are ISO 8601 texts.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    metadata = kms.describe_key(client, key_arn)
    return dict(json.loads(json.dumps(metadata, default=lambda time: time.isoformat())))
