"""Brings new key material into every key of a set with imported key material.

The primary key gets it first, as new material, and then each replica key the same. KMS uses none of
it before the rotation that follows.
https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

KMS keeps a description with the material, which has the operation's ID here. By it this operation
knows its own after an answer that was lost, and in another execution. Material that waits for a
rotation and that another operation or somebody else brought is nothing to rotate to unseen: it is
asked for like any other, and only whoever has it can answer.
"""

import base64
from collections.abc import Callable
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, RotationsListEntry
from provisioner.aws.records import Records, refuse_if_cancelled
from provisioner.change.claim import held_record
from provisioner.change.work import Work
from provisioner.clock import now
from provisioner.domain.material import Material, WrappedMaterial
from provisioner.domain.plan import Expiry, KeySetRequest, plan_key
from provisioner.errors import (
    IncorrectKeyMaterial,
    KeyMaterialRefused,
    KeySetIncomplete,
    Problem,
    new_problem,
)
from provisioner.material.importing import material_request
from provisioner.operation.rotation import STAGED_STATES, mark_of, staged
from provisioner.outcomes.failures import refusal_problem
from provisioner.settings import Settings


class NewMaterial(TypedDict):
    """What is still needed before the set can be rotated.

    `materials` has one for each Region whose key lacks the new material, and is empty where none
    does. `problems` say why KMS did not take what was given, `warnings` what to know before more is
    given.
    """

    materials: list[Material]
    problems: list[Problem]
    warnings: list[Problem]


def import_new_key_material(
    request: KeySetRequest,
    operation_id: str,
    execution_arn: str,
    members: list[Work],
    answers: list[WrappedMaterial],
    *,
    records: Records,
    kms_for: Callable[[str], KMSClient],
    settings: Settings,
) -> NewMaterial:
    """Import what was answered; where a key still lacks the new material, ask KMS how to.

    What is there already is left alone, so that calling again does nothing twice.

    Parameters
    ----------
    members
        The keys of the set, the primary key first.
    answers
        Those that came last, for some or all of the Regions.

    Raises
    ------
    KeySetIncomplete
        KMS does not show yet what was imported: call again.
    RequestTakenOver
        Another execution holds the request.
    Cancelled
        The operation was cancelled.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = held_record(records, request, execution_arn)
    refuse_if_cancelled(record)
    mark, given = mark_of(request["requestId"], operation_id), {a["region"]: a for a in answers}
    home, *others = [_Key(one, request, kms_for, settings) for one in members]
    problems: list[Problem] = []
    ours = _marked(home.materials(), mark)
    if ours and ours.get("KeyMaterialState") not in STAGED_STATES:  # Somebody has rotated to it.
        return {"materials": [], "problems": [], "warnings": []}
    if not _is_here(ours) and (answer := given.get(home.region)):
        problems += _stage(home, answer, mark)
        if not problems and not _is_here(ours := _marked(home.materials(), mark)):
            raise KeySetIncomplete(f"KMS does not show the new key material of {home.arn} yet.")
    lacking = [] if _is_here(ours) else [home]
    for key in others:
        if not _is_here(ours) or not ours:
            lacking.append(key)
            continue
        found = _import(key, ours["KeyMaterialId"], given.get(key.region))
        problems += found
        if found or not _is_here(_of_id(key.materials(), ours["KeyMaterialId"])):
            lacking.append(key)
    if not lacking and not _is_everywhere(home, mark):
        raise KeySetIncomplete(f"KMS does not show yet that {home.arn} can be rotated.")
    return {
        "materials": [material_request(key.client, request, key.arn) for key in lacking],
        "problems": problems,
        "warnings": _warnings(home, mark) if lacking else [],
    }


class _Key:
    """One Region's key, and how long its new material is kept."""

    def __init__(
        self,
        work: Work,
        request: KeySetRequest,
        kms_for: Callable[[str], KMSClient],
        settings: Settings,
    ) -> None:
        self.region, self.arn = work["region"], work["arn"]
        self.client = kms_for(self.region)
        self.request = request
        expiry: Expiry | None = plan_key(request, self.region, settings).expiry
        self.valid_to = expiry["validTo"] if expiry else None

    def materials(self) -> kms.KeyMaterials:
        return kms.list_key_materials(self.client, self.arn)


def _stage(home: _Key, answer: WrappedMaterial, mark: str) -> list[Problem]:
    """Import material into the primary key, and say why KMS does not take it."""
    wrapped = _wrapped(answer)
    waiting = staged(home.materials())
    try:
        if waiting is None:
            kms.stage_new_key_material(home.client, home.arn, wrapped, home.valid_to, mark)
        else:
            kms.import_staged_key_material(
                *(home.client, home.arn, wrapped, home.valid_to),
                material_id=waiting["KeyMaterialId"],
                description=mark,
            )
    except IncorrectKeyMaterial as refusal:
        problem = refusal_problem(refusal, home.region, home.request)
        if waiting is not None:
            problem["message"] += f" {_other_is_staged(home, waiting)}"
        return [problem]
    except KeyMaterialRefused as refusal:
        return [refusal_problem(refusal, home.region, home.request)]
    return []


def _import(key: _Key, material_id: str, answer: WrappedMaterial | None) -> list[Problem]:
    """Import the staged material into a replica key that lacks it, and say why that failed."""
    entry = _of_id(key.materials(), material_id)
    if answer is None or _is_here(entry):
        return []
    if entry is None:
        raise KeySetIncomplete(f"KMS does not show the new key material to {key.arn} yet.")
    try:
        kms.import_staged_key_material(
            *(key.client, key.arn, _wrapped(answer), key.valid_to), material_id=material_id
        )
    except KeyMaterialRefused as refusal:
        return [refusal_problem(refusal, key.region, key.request)]
    if not _is_here(_of_id(key.materials(), material_id)):
        raise KeySetIncomplete(f"KMS does not show the new key material of {key.arn} yet.")
    return []


def _is_everywhere(home: _Key, mark: str) -> bool:
    ours = _marked(home.materials(), mark)
    return ours is not None and ours.get("KeyMaterialState") == "PENDING_ROTATION"


def _warnings(home: _Key, mark: str) -> list[Problem]:
    """Say what whoever answers should know: what cannot be undone afterwards.

    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html
    """
    final = (
        "As soon as every Region has this key material, KMS rotates to it, and that cannot be "
        "undone: the earlier material does not become the current one again, and from then on "
        "every key needs all of its key material. Keep both, the earlier and this one, as long as "
        "the keys are in use: a key that loses one of them cannot be used until it is imported "
        "again, and a Region that is added needs all of them."
    )
    found = [new_problem("operation", "ROTATION_IS_FINAL", final)]
    if home.valid_to:
        text = (
            f"This key material expires at {home.valid_to}, as declared. Expired material becomes "
            "the current one all the same if it was imported before, and the keys cannot be used "
            "then."
        )
        found.append(new_problem("keyMaterial.validTo", "NEW_MATERIAL_EXPIRES", text))
    waiting = staged(home.materials())
    if waiting is not None and waiting.get("KeyMaterialDescription") != mark:
        text = _other_is_staged(home, waiting)
        found.append(new_problem("operation", "OTHER_MATERIAL_STAGED", text))
    return found


def _other_is_staged(home: _Key, waiting: RotationsListEntry) -> str:
    material_id = waiting["KeyMaterialId"]
    return (
        f"Key material that this operation did not bring waits for a rotation of {home.arn}: "
        f"{material_id}. Answer with that one, or delete it first: aws kms "
        f"delete-imported-key-material --key-id {home.arn} --region {home.region} "
        f"--key-material-id {material_id}."
    )


def _marked(materials: kms.KeyMaterials, mark: str) -> RotationsListEntry | None:
    return next((one for one in materials if one.get("KeyMaterialDescription") == mark), None)


def _of_id(materials: kms.KeyMaterials, material_id: str) -> RotationsListEntry | None:
    return next((one for one in materials if one.get("KeyMaterialId") == material_id), None)


def _is_here(entry: RotationsListEntry | None) -> bool:
    """Whether material is imported and has not expired.

    KMS was seen to list material that waits for a rotation as imported long after it had expired
    (`import.staged-expired-history` in tests/support/stack/kms_observed.json).
    """
    if entry is None or entry.get("ImportState") != "IMPORTED":
        return False
    valid_to = entry.get("ValidTo")
    return valid_to is None or valid_to > now()


def _wrapped(answer: WrappedMaterial) -> tuple[bytes, bytes]:
    token, encrypted = answer["importToken"], answer["encryptedKeyMaterial"]
    return base64.b64decode(token), base64.b64decode(encrypted)
