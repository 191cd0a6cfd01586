"""Compares one Region's key with its declaration, as the sweep comes by, in two calls a key.

It only asks for a look at the whole key set: what it has read may be from different moments.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.aws import kms
from provisioner.aws.client_types import KeyMetadata, KMSClient
from provisioner.aws.records import UNDER_WAY, Record
from provisioner.aws.tagging import Tags
from provisioner.change.observe import observed_key
from provisioner.domain import drift
from provisioner.domain.plan import key_id_of, names_by_region, region_of, regions
from provisioner.errors import KeyStateConflict, KmsAccessDenied, KmsError, KmsKeyNotFound
from provisioner.settings import Settings


@dataclass(frozen=True)
class DescribedKey:
    """A key of a key set, with its tags and what DescribeKey says of it."""

    record: Record
    tags: Tags
    metadata: KeyMetadata


@dataclass(frozen=True)
class Reading:
    """What is read of a key besides; `policy` is KMS's text, None where it keeps us out."""

    policy: str | None
    rotation: int | None


def is_watched(record: Record) -> bool:
    """Whether a key set was finished once and no run works on it."""
    is_held = record.status in UNDER_WAY or record.operation is not None
    return record.ever_created and record.published and not is_held


@dataclass(frozen=True)
class Comparison:
    """Compares keys of a Region.

    `target_of` returns the ID of the key that an alias points to, as the Region lists them.
    """

    region: str
    client: KMSClient
    target_of: Callable[[str], str | None]
    settings: Settings

    def read(self, key: DescribedKey) -> Reading | KmsError:
        """Read a key's policy, and of a primary key that is to rotate how it does."""
        arn, applied = key.metadata["Arn"], key.record.applied
        is_primary = _primary_region(key) == self.region
        try:
            policy = kms.read_policy(self.client, arn)
            rotation = None
            if applied and applied["rotation"] and is_primary:
                rotation = kms.read_rotation_period(self.client, arn)
        except KmsAccessDenied:
            return Reading(None, None)
        except KeyStateConflict:
            return Reading(policy, None)
        except KmsError as error:
            return error
        return Reading(policy, rotation)

    def differs(self, key: DescribedKey, read: Reading | KmsError) -> bool:
        """Whether a key is not as declared, or its set has one that nobody declared.

        Raises
        ------
        KmsError
            It could not be read.
        """
        record, metadata = key.record, key.metadata
        if isinstance(read, KmsKeyNotFound):
            return True  # It is gone since it was described.
        if isinstance(read, KmsError):
            raise read
        if record.applied is None or record.request is None:
            return False
        declared = [record.applied, *([record.request] if record.is_changing else [])]
        known = {region for one in declared for region in regions(one)} | record.removed.keys()
        if not _members(metadata) <= known:
            return True
        names = [
            alias
            for one in declared
            for alias in names_by_region(one).get(self.region, {}).get("aliases", [])
        ]
        arn = metadata["Arn"]
        owners = {alias: self._owner(alias, arn) for alias in names}
        observed = observed_key(metadata, owners)
        observed["tags"] = key.tags
        observed["policy"] = _parsed(read.policy)
        observed["rotationPeriodInDays"] = read.rotation
        found = drift.differences(
            declared,
            {"primaryRegion": _primary_region(key), "keys": {self.region: observed}},
            self.settings,
            removed=record.removed,
            shut_out=[self.region] if read.policy is None else [],
        )
        return any(one["region"] == self.region for one in found)

    def _owner(self, alias: str, arn: str) -> str | None:
        target = self.target_of(alias)
        return arn.replace(key_id_of(arn), target) if target else None


def _parsed(policy: str | None) -> dict[str, object] | None:
    try:
        found = json.loads(policy or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _primary_region(key: DescribedKey) -> str:
    """Return the Region of the primary key; the record's, where KMS does not name one."""
    primary = key.metadata.get("MultiRegionConfiguration", {}).get("PrimaryKey", {})
    return primary.get("Region") or region_of(str(key.record.key_arn))


def _members(metadata: KeyMetadata) -> set[str]:
    described = metadata.get("MultiRegionConfiguration", {})
    keys = [described.get("PrimaryKey", {}), *described.get("ReplicaKeys", [])]
    return {region_of(metadata["Arn"]), *(key["Region"] for key in keys if "Region" in key)}
