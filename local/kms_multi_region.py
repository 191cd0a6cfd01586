"""ReplicateKey and UpdatePrimaryRegion.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import UnknownRegionError
from ministack.core.responses import json_response
from ministack.services import kms

from local import kms_labels, kms_material, kms_policies, kms_states
from local.kms_keys import Key, find, in_region, is_replica, members, region_of
from local.kms_refusal import KmsRefusedError, invalid, unsupported
from local.kms_settings import current, now


def replicate_key(parameters: dict[str, Any]) -> Any:
    """Serve ReplicateKey: the replica is `Creating` for a while.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html

    Raises
    ------
    KmsRefusedError
        The key is no primary that can be replicated now, the Region cannot have a replica or has
        one in whatever state, or the policy is refused.
    """
    primary = _primary("ReplicateKey", parameters)
    region = str(parameters.get("ReplicaRegion", ""))
    _check_region(primary, region)
    if in_region(primary, region):
        raise KmsRefusedError(
            "AlreadyExistsException",
            "You can create only one replica of each primary key in each AWS Region.",
        )
    kms_policies.check(parameters, region)
    kms._replicate_key({**parameters, "KeyId": primary["KeyId"]})
    replica = kms._keys.get_scoped(primary["Arn"].split(":")[4], region, primary["KeyId"])
    replica["KeySpec"], replica["CreationDate"] = primary["KeySpec"], now()
    replica["_visible_at"] = now() + current().propagation_seconds
    kms_labels.note_change(replica)
    if "KeyAgreementAlgorithms" in primary:
        replica["KeyAgreementAlgorithms"] = primary["KeyAgreementAlgorithms"]
    if primary["Origin"] == "EXTERNAL":
        kms_material.expect_import(primary, replica)
    kms_states.enter(replica, "Creating", current().creating_seconds)
    return json_response(
        {
            "ReplicaKeyMetadata": kms._key_metadata_in_region(replica, region),
            "ReplicaPolicy": replica["Policy"],
            "ReplicaTags": replica["Tags"],
        }
    )


def update_primary_region(parameters: dict[str, Any]) -> Any:
    """Serve UpdatePrimaryRegion: the old and the new primary are `Updating` for a while.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html

    Raises
    ------
    KmsRefusedError
        The key is no primary, has no replica in the Region, or one of the two cannot change now.
    """
    old = _primary("UpdatePrimaryRegion", parameters)
    region = str(parameters.get("PrimaryRegion", ""))
    if region == region_of(old):
        return json_response({})
    new = in_region(old, region)
    if new is None:
        raise invalid(f"{old['KeyId']} does not have a replica key in the specified Region.")
    kms_states.check("UpdatePrimaryRegion", new)
    for key in members(old):
        key["_mrk_primary_region"] = region
    old["_mrk_type"], new["_mrk_type"] = "REPLICA", "PRIMARY"
    if "_rotation" in old:
        new["_rotation"] = old.pop("_rotation")
    for key in (old, new):
        kms_states.enter(key, "Updating", current().updating_seconds)
    return json_response({})


def _primary(operation: str, parameters: dict[str, Any]) -> Key:
    key = find(operation, parameters.get("KeyId", ""))
    if not key["MultiRegion"] or is_replica(key):
        raise unsupported(f"{key['Arn']} is not a multi-region primary key.")
    kms_states.check(operation, key)
    return key


def _check_region(primary: Key, region: str) -> None:
    """Check that a Region can have a replica of a primary key.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-replicate.html
    """
    if region == region_of(primary):
        raise invalid(f"{region} cannot have a replica because it contains the primary.")
    partition, regions = _partition_and_regions(region)
    if region not in regions:
        raise invalid(
            f"Region {region} is not a valid Region or multi-Region keys are not supported in "
            f"Region {region}."
        )
    if partition != _partition_and_regions(region_of(primary))[0]:
        raise invalid(
            "The replica key Region must be in the same AWS partition as the primary key Region."
        )


@cache
def _partition_and_regions(region: str) -> tuple[str, frozenset[str]]:
    """Give a Region's partition and the Regions in which that has KMS."""
    session = botocore.session.get_session()
    try:
        partition = session.get_partition_for_region(region)
    except UnknownRegionError:
        return "", frozenset()
    return partition, frozenset(session.get_available_regions("kms", partition))
