"""Rotates a key set on demand, once for an operation.

RotateKeyOnDemand works for minutes after it answers, and has no client token. Sent again while KMS
rotates it changes nothing, and sent again after that it rotates once more; a key has 25 of these
rotations. Therefore it is announced in the record before it is sent, with the key material that is
current then; it is sent once; and after that it is only looked for.
https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html

KMS does not say who asked for a rotation. One that was running before the announcement is another's
and is waited for, since KMS would take ours for the same. One on demand that has ended since then
is what the operation was asked for, whoever began it: the material is newer than the announcement,
and nothing is sent again. An automatic one is not: KMS refuses ours beside it.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, RotationsListEntry
from provisioner.aws.new_keys import may_be_new
from provisioner.aws.records import (
    Records,
    Rotation,
    refuse_if_cancelled,
)
from provisioner.change.claim import held_record
from provisioner.clock import instant_text, now
from provisioner.domain.plan import KeySetRequest, arn_in
from provisioner.errors import (
    KeyStateConflict,
    KmsError,
    OperationRefused,
    RotationNotDone,
    RotationUnderWay,
)

IS_SHOWN_AFTER = timedelta(minutes=10)
"""How long after its announcement KMS shows a rotation that takes place.

A call can arrive for five minutes after it was signed, and one more is for the clocks. The rest is
for KMS, which is eventually consistent.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

_ON_DEMAND = "ON_DEMAND"
_CURRENT = "CURRENT"
STAGED_STATES = ("PENDING_ROTATION", "PENDING_MULTI_REGION_IMPORT_AND_ROTATION")
"""States of key material that waits for a rotation, in every Region or in some."""


class Rotated(TypedDict):
    """The primary key after its rotation; `rotatedAt` is ISO 8601 in UTC."""

    region: str
    arn: str
    keyMaterialId: str
    rotatedAt: str


def rotate_key(
    request: KeySetRequest,
    operation_id: str,
    execution_arn: str,
    region: str,
    *,
    records: Records,
    kms_for: Callable[[str], KMSClient],
    send_once: Callable[[str], KMSClient],
) -> Rotated:
    """Make sure that the key set was rotated for this operation, and that KMS is done with it.

    Parameters
    ----------
    region
        Of the primary key, as the operation was planned.
    send_once
        Returns the KMS client of a Region that sends every call once.

    Raises
    ------
    RotationUnderWay
        It is not done yet, or may still take effect, or another one has to end first: call again
        later.
    RotationNotDone
        The one call of this operation had no effect.
    OperationRefused
        The primary key is in another Region meanwhile, or the imported key material that was to
        become the current one is gone.
    KeyStateConflict
        The primary key is not Enabled.
    RequestTakenOver
        Another execution holds the request.
    Cancelled
        The operation was cancelled before anything was sent.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = held_record(records, request, execution_arn)
    key_arn = arn_in(region, str(record.key_arn))
    client = kms_for(region)
    # In this order, so that one which ends meanwhile is listed.
    running = kms.read_running_rotation(client, key_arn)
    materials = kms.list_key_materials(client, key_arn)
    announced = record.rotation
    if announced and announced["operationId"] == operation_id:
        return _rotated(announced, region, materials, running)
    if request["origin"] == "EXTERNAL":
        done = _is_marked_current(request, operation_id, materials)
        if done and not running:
            return _facts(region, key_arn, done)
    _wait_for_others(announced, running, materials, key_arn)
    refuse_if_cancelled(record)
    _check_key(client, key_arn, region)
    rotation: Rotation = {
        "operationId": operation_id,
        "keyArn": key_arn,
        "materialId": _current(materials, key_arn)["KeyMaterialId"],
        "token": str(uuid.uuid4()),
        "sentAt": now().isoformat(),
    }
    if not records.announce_rotation(record.request_id, execution_arn, rotation, seen=announced):
        raise RotationUnderWay(f"Another rotation of {key_arn} is announced.")
    try:
        with may_be_new(client, key_arn):
            kms.rotate_key_on_demand(send_once(region), key_arn)
    except KmsError:
        records.withdraw_rotation(record.request_id, rotation)
        raise
    raise RotationUnderWay(f"RotateKeyOnDemand of {key_arn} is sent.")


def mark_of(request_id: str, operation_id: str) -> str:
    """Return the description of the key material that an operation imports.

    By it KMS itself says whose material waits for a rotation, also after an answer that was lost.
    """
    return f"mrk:{request_id}/{operation_id}"


def staged(materials: kms.KeyMaterials) -> RotationsListEntry | None:
    """Return the key material that waits for a rotation, of which there is one at most."""
    return next((one for one in materials if one.get("KeyMaterialState") in STAGED_STATES), None)


def _is_marked_current(
    request: KeySetRequest, operation_id: str, materials: kms.KeyMaterials
) -> RotationsListEntry | None:
    """Return the operation's material where somebody has rotated to it before.

    Raises
    ------
    OperationRefused
        Somebody has taken it away.
    """
    mark = mark_of(request["requestId"], operation_id)
    ours = [one for one in materials if one.get("KeyMaterialDescription") == mark]
    if not ours:
        raise OperationRefused(
            f"The new key material of operation {operation_id} is not there any more: somebody has "
            "deleted it. CloudTrail shows who, as DeleteImportedKeyMaterial: ask why."
        )
    return ours[0] if ours[0].get("KeyMaterialState") not in STAGED_STATES else None


def _rotated(
    announced: Rotation,
    region: str,
    materials: kms.KeyMaterials,
    running: datetime | None,
) -> Rotated:
    """Return what came of an announced rotation.

    Raises
    ------
    RotationUnderWay
        That is not known yet.
    RotationNotDone
        Nothing, and nothing will.
    """
    key_arn = announced["keyArn"]
    if running:
        raise RotationUnderWay(f"{key_arn} is being rotated since {instant_text(running)}.")
    since = _rotations_since(announced["materialId"], materials)
    if since is None:
        raise RotationUnderWay(f"KMS does not list the key material of {key_arn} yet.")
    on_demand = [one for one in since if one.get("RotationType") == _ON_DEMAND]
    if on_demand:
        return _facts(region, key_arn, on_demand[0])
    if not _is_settled(announced):
        raise RotationUnderWay(
            f"RotateKeyOnDemand of {key_arn} was sent, and KMS does not show it yet."
        )
    automatic = (
        f" KMS has rotated it by itself at {instant_text(since[0]['RotationDate'])}."
        if since
        else ""
    )
    sent_at = instant_text(datetime.fromisoformat(announced["sentAt"]))
    raise RotationNotDone(
        f"Operation {announced['operationId']} announced RotateKeyOnDemand of {key_arn} at "
        f"{sent_at}, and KMS has not rotated the key on demand since: the call was never sent or "
        f"never carried out.{automatic}"
    )


def _rotations_since(
    material_id: str, materials: kms.KeyMaterials
) -> list[RotationsListEntry] | None:
    """List the rotations that ended after the one to some material, the first of them first.

    None where that material is not listed. The first material of a key was never rotated to.
    """
    before = [one for one in materials if one.get("KeyMaterialId") == material_id]
    if not before:
        return None
    at = before[0].get("RotationDate")
    later = [
        one for one in materials if "RotationDate" in one and (not at or one["RotationDate"] > at)
    ]
    return sorted(later, key=lambda one: one["RotationDate"])


def _wait_for_others(
    announced: Rotation | None,
    running: datetime | None,
    materials: kms.KeyMaterials,
    key_arn: str,
) -> None:
    """Let no rotation of another be taken for ours.

    Raises
    ------
    RotationUnderWay
        One is running, or an earlier operation has announced one that may still begin.
    """
    if running:
        raise RotationUnderWay(
            f"Another rotation of {key_arn} is running since {instant_text(running)}. This "
            "operation's own begins after it."
        )
    if announced and not _is_settled(announced):
        since = _rotations_since(announced["materialId"], materials)
        if not since:
            raise RotationUnderWay(
                f"Operation {announced['operationId']} has announced a rotation of {key_arn}, "
                "which may still begin."
            )


def _is_settled(announced: Rotation) -> bool:
    return now() - datetime.fromisoformat(announced["sentAt"]) > IS_SHOWN_AFTER


def _check_key(client: KMSClient, key_arn: str, region: str) -> None:
    key = kms.describe_key(client, key_arn)
    home = key["MultiRegionConfiguration"]["PrimaryKey"]["Region"]
    if home != region:
        raise OperationRefused(
            f"The primary key of {key_arn} is in {home}, and was in {region} when the rotation was "
            "planned. Wait until both keys are Enabled."
        )
    if key["KeyState"] != "Enabled":
        raise KeyStateConflict(
            f"{key_arn} is {key['KeyState']}, and KMS rotates a key only while it is Enabled."
        )


def _current(materials: kms.KeyMaterials, key_arn: str) -> RotationsListEntry:
    found = [one for one in materials if one.get("KeyMaterialState") == _CURRENT]
    if not found:
        raise RotationUnderWay(f"KMS does not list the current key material of {key_arn} yet.")
    return found[0]


def _facts(region: str, key_arn: str, material: RotationsListEntry) -> Rotated:
    return {
        "region": region,
        "arn": key_arn,
        "keyMaterialId": material["KeyMaterialId"],
        "rotatedAt": instant_text(material["RotationDate"]),
    }
