"""Reads key sets back from KMS."""

import json
from collections.abc import Mapping
from typing import Any

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import KeyFacts, region_of, unread_key
from provisioner.errors import KeySetIncomplete, PrimaryKeyMoved, ReplicaKeyNotEnabled
from provisioner.json_text import JsonObject
from provisioner.telemetry import take_expected_error_off

_READY = ("Enabled", "PendingImport")
"""States of a replica key that is made: one of origin EXTERNAL waits for its key material then."""


def read_ready_replica(client: KMSClient, key_arn: str) -> kms.Metadata:
    """Read the KeyMetadata of a replica key that is made.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html

    Raises
    ------
    ReplicaKeyNotEnabled
        It is still being made: read it again later.
    KmsError
        KMS refused the call or did not answer.
    """
    metadata = kms.describe_key(client, key_arn)
    if metadata["KeyState"] not in _READY:
        take_expected_error_off()
        raise ReplicaKeyNotEnabled(
            f"The replica key in {region_of(key_arn)} is still {metadata['KeyState']}, and the "
            "workflow waits 30 minutes for it."
        )
    return metadata


def facts_of(metadata: kms.Metadata) -> KeyFacts:
    """Return what KMS's KeyMetadata says of a key; whether it has its alias is not in it."""
    return {**unread_key(metadata["Arn"]), "keyState": metadata["KeyState"]}


def as_json(metadata: kms.Metadata) -> JsonObject:
    """Return KMS's KeyMetadata as plain JSON; times are ISO 8601 texts."""
    return dict(json.loads(json.dumps(metadata, default=lambda time: time.isoformat())))


def confirm_key_set(client: KMSClient, primary_arn: str, replica_regions: list[str]) -> JsonObject:
    """Read the primary key and check that it is Enabled and knows every replica.

    Returns
    -------
    dict
        KMS's KeyMetadata of the primary as plain JSON, with its MultiRegionConfiguration; times are
        ISO 8601 texts.

    Raises
    ------
    PrimaryKeyMoved
        The key is a replica key now.
    KeySetIncomplete
        The primary is not Enabled or does not list a replica (yet).
    KmsError
        KMS refused the call or did not answer.
    """
    metadata = read_metadata(client, primary_arn)
    refuse_moved_primary(metadata)
    listed = {key["Region"] for key in metadata["MultiRegionConfiguration"]["ReplicaKeys"]}
    missing = sorted(set(replica_regions) - listed)
    if metadata["KeyState"] != "Enabled":
        raise KeySetIncomplete(f"The primary key {primary_arn} is {metadata['KeyState']}.")
    if missing:
        raise KeySetIncomplete(f"{primary_arn} does not list its replicas in {', '.join(missing)}.")
    return metadata


def read_metadata(client: KMSClient, key_arn: str) -> JsonObject:
    """Read KMS's KeyMetadata of a key as plain JSON; times are ISO 8601 texts.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    return as_json(kms.describe_key(client, key_arn))


def refuse_moved_primary(metadata: Mapping[str, Any]) -> None:
    """Refuse to work with a key as the primary key once KMS has it as a replica key.

    The message has the commands that make it the primary key again. KMS changes roles only between
    keys that are Enabled, and the deletion of a primary key has to be canceled first.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html

    Parameters
    ----------
    metadata
        KMS's KeyMetadata of the recorded key.

    Raises
    ------
    PrimaryKeyMoved
        Another key of the set is its primary key.
    """
    roles = metadata.get("MultiRegionConfiguration", {})
    if roles.get("MultiRegionKeyType") != "REPLICA":
        return
    arn, state, primary = metadata["Arn"], metadata["KeyState"], roles["PrimaryKey"]["Region"]
    where = f"--key-id {metadata['KeyId']} --region"
    commands = []
    if state in PENDING_DELETION_STATES:
        commands += [f"cancel-key-deletion {where} {r}" for r in (primary, region_of(arn))]
    if state in PENDING_DELETION_STATES or state == "Disabled":
        commands += [f"enable-key {where} {r}" for r in (primary, region_of(arn))]
    commands.append(f"update-primary-region {where} {primary} --primary-region {region_of(arn)}")
    raise PrimaryKeyMoved(
        f"{arn} is {state} and a replica key now: the primary key of its key set is in {primary}. "
        f"To move it back: {'; '.join(f'aws kms {command}' for command in commands)}."
    )
