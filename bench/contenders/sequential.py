"""A straight script: boto3, one call after the other."""

import time
from typing import Any

from bench.key_sets import Key, KeySet
from local.stack.stack import Stack

_POLL_SECONDS = 1


class Sequential:
    """Makes the primary, then replica by replica, each until it is Enabled."""

    name = "straight script"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}

    def prepare(self, key_set: KeySet) -> None:
        """Make the clients."""
        self._clients = {key.region: self._stack.client("kms", key.region) for key in key_set.keys}

    def make(self, key_set: KeySet) -> float:
        """Make the key set; return the seconds on the wall."""
        began = time.monotonic()
        primary = key_set.primary
        kms = self._clients[primary.region]
        key_id = kms.create_key(MultiRegion=True, **primary.settings)["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=primary.alias, TargetKeyId=key_id)
        for replica in key_set.replicas:
            kms.replicate_key(KeyId=key_id, ReplicaRegion=replica.region, **replica.settings)
            self._finish(replica, key_id)
        return time.monotonic() - began

    def _finish(self, replica: Key, key_id: str) -> None:
        kms = self._clients[replica.region]
        while kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] != "Enabled":
            time.sleep(_POLL_SECONDS)
        kms.create_alias(AliasName=replica.alias, TargetKeyId=key_id)
