"""Key material: which a key is associated with, and which of what is imported a Region holds.

https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html

The members of a multi-Region key share one `Materials`; what is imported is each member's own.
`place` puts what follows from both into the emulator's record of the key.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from ministack.services import kms

from local.emulator.kms import events as kms_events
from local.emulator.kms.keys import Key, is_replica, members, primary_of
from local.emulator.kms.settings import now

_DAY = 86400
_MATERIAL = ("_symmetric_key", "_hmac_key", "_private_key", "_public_key_der")


@dataclass
class Material:
    """Key material that a key is associated with, in every Region alike."""

    id: str
    state: Literal["CURRENT", "NON_CURRENT", "STAGED"]
    """`STAGED` until it is rotated to."""
    description: str | None = None
    rotated_at: float | None = None
    rotation_type: Literal["AUTOMATIC", "ON_DEMAND"] = "ON_DEMAND"
    secret: bytes | None = field(default=None, repr=False)
    """What KMS made; what was imported is each Region's own."""


@dataclass
class Materials:
    """All key material of a key or key set, in the order in which it came."""

    all: list[Material] = field(default_factory=list)
    rotation_began_at: float | None = None
    rotation_ends_at: float = 0

    def find(self, material_id: str) -> Material | None:
        """Find material by its ID."""
        return next((material for material in self.all if material.id == material_id), None)

    @property
    def current(self) -> Material | None:
        """The material that is used to encrypt."""
        return next((material for material in self.all if material.state == "CURRENT"), None)

    @property
    def staged(self) -> Material | None:
        """The material that waits for a rotation."""
        return next((material for material in self.all if material.state == "STAGED"), None)


@dataclass
class Imported:
    """What one import brought into one Region."""

    material: dict[str, Any]
    """The emulator's fields for it, as `kms._store_imported_material` writes them."""
    valid_to: float | None
    has_expired: bool = False
    """Whether its end was reported."""

    @property
    def is_there(self) -> bool:
        """Whether it has not expired."""
        return self.valid_to is None or now() < self.valid_to


def of(key: Key) -> Materials:
    """Return the material that a key is associated with; KMS makes the first of its own keys."""
    if "_materials" not in key:
        is_made = key["KeySpec"] == "SYMMETRIC_DEFAULT" and key["Origin"] != "EXTERNAL"
        key["_materials"] = Materials()
        if is_made:
            secret = key["_symmetric_key"]
            first = Material(kms._key_material_id(key), "CURRENT", secret=secret)
            key["_materials"].all.append(first)
    materials: Materials = key["_materials"]
    return materials


def make(key: Key) -> None:
    """Make new material for a key, which waits for a rotation; the current goes on encrypting."""
    of(key).all.append(Material(os.urandom(32).hex(), "STAGED", secret=os.urandom(32)))


def imports(key: Key) -> dict[str, Imported]:
    """Return what is imported in the key's Region, by the material's ID; expired or not."""
    imported: dict[str, Imported] = key.setdefault("_imports", {})
    return imported


def alike(key: Key) -> list[Key]:
    """List the keys that have the same material: the set's, or this one."""
    return list(members(key)) if key["MultiRegion"] else [key]


def expect_import(primary: Key, replica: Key) -> None:
    """Leave a new replica without the material, which has to be imported into it as well.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-import.html
    """
    for name in _MATERIAL:
        replica.pop(name, None)
    replica["ExpirationModel"] = primary["ExpirationModel"]


def place(key: Key) -> bool:
    """Set the material that a key has by now, and return whether that is all it needs.

    A key needs all of its material but what is staged: without one that was rotated from, it cannot
    decrypt everything.
    """
    materials, imported = of(key), imports(key)
    needed = [material.id for material in materials.all if material.state != "STAGED"]
    there = [imported[id_] for id_ in needed if id_ in imported and imported[id_].is_there]
    complete = bool(needed) and len(there) == len(needed)
    for name in (*_MATERIAL, "ExpirationModel", "ValidTo"):
        key.pop(name, None)
    if materials.current and key["KeySpec"] == "SYMMETRIC_DEFAULT":
        key["_material_id"] = materials.current.id
    if complete and materials.current:
        key |= imported[materials.current.id].material
        ends = [each.valid_to for each in there if each.valid_to is not None]
        key["ExpirationModel"] = "KEY_MATERIAL_EXPIRES" if ends else "KEY_MATERIAL_DOES_NOT_EXPIRE"
        if ends:
            key["ValidTo"] = min(ends)
    return complete


def begin_rotation(key: Key, seconds: float) -> None:
    """Begin to rotate to the staged material."""
    materials = of(key)
    materials.rotation_began_at, materials.rotation_ends_at = now(), now() + seconds


def pass_time(key: Key) -> None:
    """Rotate, if it is time."""
    materials = of(key)
    if materials.rotation_began_at is None or now() < materials.rotation_ends_at:
        return
    materials.rotation_began_at = None
    _rotate(key, "ON_DEMAND", materials.rotation_ends_at)


def rotate_if_due(key: Key) -> None:
    """Rotate a key automatically, if it is time; a key that is not Enabled is passed over.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
    """
    rotation, runs = key["_rotation"], of(key).rotation_began_at is not None
    due = rotation["NextRotationDate"]
    if now() < due or runs or key["KeyState"] != "Enabled":
        return
    rotation["NextRotationDate"] = round(due + rotation["RotationPeriodInDays"] * _DAY, 3)
    make(key)
    _rotate(key, "AUTOMATIC", due)


def _rotate(key: Key, rotation_type: Literal["AUTOMATIC", "ON_DEMAND"], moment: float) -> None:
    """Let the staged material be the current one in every Region."""
    materials = of(key)
    current, staged = materials.current, materials.staged
    if not current or not staged:
        return
    current.state, staged.state = "NON_CURRENT", "CURRENT"
    staged.rotated_at, staged.rotation_type = moment, rotation_type
    for member in alike(key):
        take_current(member)
    kms_events.rotated(primary_of(key), rotation_type, current.id, staged.id)


def take_current(key: Key) -> None:
    """Let a key encrypt with the current material, if KMS made it, and name it."""
    current = of(key).current
    if current:
        key["_material_id"] = current.id
        if current.secret:
            key["_symmetric_key"] = current.secret


@contextmanager
def used(key: Key, material_id: str) -> Iterator[bool]:
    """Let a key use other material for as long as the block runs; the value says if it has it."""
    material, imported = of(key).find(material_id), imports(key).get(material_id)
    secret = material.secret if material else None
    if imported and imported.is_there:
        secret = imported.material["_symmetric_key"]
    if secret is None:
        yield False
        return
    before: Key = {name: key[name] for name in ("_symmetric_key", "_material_id") if name in key}
    key |= {"_symmetric_key": secret, "_material_id": material_id}
    try:
        yield True
    finally:
        del key["_symmetric_key"], key["_material_id"]
        key |= before


def expire(key: Key) -> None:
    """Report the material that has expired in a key's Region since it was last looked at."""
    for imported in imports(key).values():
        if not imported.is_there and not imported.has_expired:
            imported.has_expired = True
            kms_events.expired(key)


def remove(key: Key, material: Material) -> None:
    """Take an import away; staged material that the primary loses is no longer the key's."""
    imports(key).pop(material.id, None)
    if material.state == "STAGED" and not is_replica(key):
        of(key).all.remove(material)
        for member in alike(key):
            imports(member).pop(material.id, None)


def is_everywhere(key: Key, material: Material) -> bool:
    """Say whether material was imported in every Region of the key."""
    return all(material.id in imports(member) for member in alike(key))


def history(key: Key) -> list[dict[str, Any]]:
    """List the material as entries of ListKeyRotations.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_RotationsListEntry.html
    """
    if key["Origin"] != "EXTERNAL":
        made = [material for material in of(key).all if material.state != "STAGED"]
        return [_made_entry(key, material) for material in made]
    return [_entry(key, material) for material in of(key).all]


def _made_entry(key: Key, material: Material) -> dict[str, Any]:
    entry = {
        "KeyId": key["Arn"],
        "KeyMaterialId": material.id,
        "KeyMaterialState": material.state,
    }
    return entry | _rotation(material)


def _rotation(material: Material) -> dict[str, Any]:
    if material.rotated_at is None:
        return {}
    return {"RotationDate": material.rotated_at, "RotationType": material.rotation_type}


def _entry(key: Key, material: Material) -> dict[str, Any]:
    state: str = material.state
    if state == "STAGED":
        ready = is_everywhere(key, material)
        state = "PENDING_ROTATION" if ready else "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    entry: dict[str, Any] = {
        "KeyId": key["Arn"],
        "KeyMaterialId": material.id,
        "KeyMaterialState": state,
        "ImportState": "PENDING_IMPORT",
    }
    if material.description is not None:
        entry["KeyMaterialDescription"] = material.description
    entry |= _rotation(material)
    # An import that expired was seen here as if it had not; for how long is not known.
    imported = imports(key).get(material.id)
    if imported:
        entry["ImportState"] = "IMPORTED"
        entry["ExpirationModel"] = "KEY_MATERIAL_DOES_NOT_EXPIRE"
        if imported.valid_to is not None:
            entry |= {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": imported.valid_to}
    return entry


def identify(key: Key, material: dict[str, Any]) -> str:
    """Return material's ID on a key.

    KMS returns IDs of symmetric keys alone; the sameness of the others' is checked as well.
    """
    secret = material.get("_symmetric_key") or material.get("_hmac_key")
    # The same private key can be encoded in several ways.
    secret = secret or material["_public_key_der"]
    identifier: str = kms._key_material_id({"_symmetric_key": secret, "KeyId": key["KeyId"]})
    return identifier
