"""ReplicateKey and UpdatePrimaryRegion.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

from typing import Any

from ministack.core.responses import json_response
from ministack.services import kms

from local.emulator import regions
from local.emulator.kms import authorization as kms_authorization
from local.emulator.kms import labels as kms_labels
from local.emulator.kms import material as kms_material
from local.emulator.kms import policies as kms_policies
from local.emulator.kms import policy_text as kms_policy_text
from local.emulator.kms import states as kms_states
from local.emulator.kms import tags as kms_tags
from local.emulator.kms.keys import Key, find, in_region, is_replica, members, region_of
from local.emulator.kms.refusal import KmsRefusedError, invalid, unsupported
from local.emulator.kms.settings import current, now


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
    kms_tags.check(parameters)
    kms_policies.check(parameters, kms_authorization.new_replica_policy_change(primary, parameters))
    kms._replicate_key({**parameters, "KeyId": primary["KeyId"]})
    replica = kms._keys.get_scoped(primary["Arn"].split(":")[4], region, primary["KeyId"])
    replica["KeySpec"], replica["CreationDate"] = primary["KeySpec"], now()
    replica["_visible_at"] = now() + current().propagation_seconds
    kms_labels.note_change(replica)
    kms_policy_text.note_principals(replica)
    if "KeyAgreementAlgorithms" in primary:
        replica["KeyAgreementAlgorithms"] = primary["KeyAgreementAlgorithms"]
    replica["_materials"] = kms_material.of(primary)
    if primary["Origin"] == "EXTERNAL":
        kms_material.expect_import(primary, replica)
    elif primary["KeySpec"] == "SYMMETRIC_DEFAULT":
        kms_material.take_current(replica)
    kms_states.enter(replica, "Creating", current().creating_seconds)
    answer = {
        "ReplicaKeyMetadata": kms._key_metadata_in_region(replica, region),
        "ReplicaPolicy": replica["Policy"],
    }
    if replica["Tags"]:
        answer["ReplicaTags"] = replica["Tags"]
    return json_response(answer)


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
    if is_replica(key) and operation == "UpdatePrimaryRegion":
        raise KmsRefusedError(
            "KMSInvalidStateException", f"{key['Arn']} is not a multi-Region primary key."
        )
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
    # How KMS words that a Region is not enabled is not known.
    if not regions.partition(region) or not regions.is_enabled(region):
        raise invalid(
            f"Region {region} is not a valid Region or multi-Region keys are not supported in "
            f"Region {region}."
        )
    if regions.partition(region) != regions.partition(region_of(primary)):
        raise invalid(
            "The replica key Region must be in the same AWS partition as the primary key Region."
        )
