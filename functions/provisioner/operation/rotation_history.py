"""The key material that a key set has had, has, and is to have, for whoever asks for its status."""

from collections.abc import Callable
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.records import Record
from provisioner.clock import instant_text
from provisioner.domain.plan import region_of
from provisioner.errors import KmsError


class RotationFacts(TypedDict):
    """One key material. The first was never rotated to, and has no time and no type.

    `state` is KMS's KeyMaterialState, `rotatedAt` ISO 8601 in UTC, `type` AUTOMATIC or ON_DEMAND.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotationsListEntry.html
    """

    keyMaterialId: str
    state: str
    rotatedAt: str | None
    type: str | None


def rotations_of(record: Record, kms_for: Callable[[str], KMSClient]) -> list[RotationFacts] | None:
    """List the key material of a finished set's primary key, the oldest first.

    Returns
    -------
    list or None
        None for a set that is not finished or whose material never changes, and where KMS does not
        say.
    """
    request, arn = record.request, record.key_arn
    if not record.ever_created or not request or not arn:
        return None
    if request["keySpec"] != "SYMMETRIC_DEFAULT":
        return None
    try:
        materials = kms.list_key_materials(kms_for(region_of(arn)), arn)
    except KmsError:
        return None
    return [
        {
            "keyMaterialId": one["KeyMaterialId"],
            "state": one["KeyMaterialState"],
            "rotatedAt": instant_text(one["RotationDate"]) if "RotationDate" in one else None,
            "type": one.get("RotationType"),
        }
        for one in materials
    ]
