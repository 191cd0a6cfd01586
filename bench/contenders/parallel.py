"""The floor: a script whose calls are as parallel as KMS allows, and who knows the future."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from bench.key_sets import Key, KeySet
from local.stack.stack import Stack

_POLL_SECONDS = 0.02


class Parallel:
    """Makes every call as soon as what it needs is there, and looks when a replica is Enabled.

    It knows how long a replica is `Creating`, which nobody knows in AWS, so that it needs one
    read a replica. It keeps no record, survives no failure and reports to nobody.
    """

    name = "parallel script, the floor"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}
        self._creating_seconds = 0.0

    def prepare(self, key_set: KeySet) -> None:
        """Make the clients."""
        self._clients = {key.region: self._stack.client("kms", key.region) for key in key_set.keys}
        self._creating_seconds = self._stack.kms_settings().creating_seconds

    def make(self, key_set: KeySet) -> float:
        """Make the key set; return the seconds on the wall."""
        with ThreadPoolExecutor(max_workers=len(key_set.keys)) as threads:
            began = time.monotonic()
            primary = key_set.primary
            kms = self._clients[primary.region]
            key_id = kms.create_key(MultiRegion=True, **primary.settings)["KeyMetadata"]["KeyId"]
            replicas = [
                threads.submit(self._replicate, kms, replica, key_id)
                for replica in key_set.replicas
            ]
            alias = threads.submit(kms.create_alias, AliasName=primary.alias, TargetKeyId=key_id)
            wait([*replicas, alias])
            ended = time.monotonic()
            for done in (*replicas, alias):
                done.result()
        return ended - began

    def _replicate(self, kms: Any, replica: Key, key_id: str) -> None:
        kms.replicate_key(KeyId=key_id, ReplicaRegion=replica.region, **replica.settings)
        enabled_at = time.monotonic() + self._creating_seconds
        own = self._clients[replica.region]
        own.create_alias(AliasName=replica.alias, TargetKeyId=key_id)
        time.sleep(max(0, enabled_at - time.monotonic()))
        while own.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] != "Enabled":
            time.sleep(_POLL_SECONDS)
