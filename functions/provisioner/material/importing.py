"""Makes sure that one Region's key has its imported key material, or says what is needed for that.

Every key of a multi-Region set needs the same material, and each one has a public key and an import
token of its own to bring it in.
https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-import.html
"""

import base64
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.new_keys import may_be_new
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.material import Material, WrappedMaterial
from provisioner.domain.plan import Expiry, KeyFacts, KeySetRequest, plan_key, region_of
from provisioner.errors import (
    IncorrectKeyMaterial,
    KeyMaterialRefused,
    KeySetIncomplete,
    KeyStateConflict,
    Problem,
    ReplicaKeyNotEnabled,
)
from provisioner.outcomes.failures import Failure, failure_of, refusal_problem
from provisioner.settings import Settings

_SAME_EVERYWHERE = "KMS takes only the key material that this key set has in every Region."


class MaterialState(TypedDict):
    """Where one Region's key stands.

    `materials` holds one where the key needs its material, and is empty where the key is ready.
    `problems` say why KMS did not take what was given. `blocked` says why the key is left alone,
    although it has not the material that is asked for.
    """

    key: KeyFacts
    materials: list[Material]
    problems: list[Problem]
    blocked: list[Failure]


def ensure_key_material(
    request: KeySetRequest,
    key: KeyFacts,
    answer: WrappedMaterial | None,
    *,
    client: KMSClient,
    settings: Settings,
) -> MaterialState:
    """Import what was answered for a Region; where the key still has none, ask KMS how to.

    A key whose material expires as declared is left alone, so that calling again does nothing
    twice. One whose material expires at another time needs it once more. A key that somebody
    disabled or scheduled for deletion is left as it is: an import would enable a disabled one.

    Parameters
    ----------
    client
        KMS client of the key's own Region.

    Raises
    ------
    ReplicaKeyNotEnabled
        The key is still Creating and takes no key material: call again later.
    KeySetIncomplete
        The material was imported and KMS does not show it yet: call again.
    KmsError
        KMS refused a call for another reason than the material, or did not answer.
    """
    expiry = plan_key(request, key["region"], settings).expiry
    if expiry is None:
        raise RuntimeError(f"{key['arn']} is not of origin EXTERNAL.")
    facts = _facts(client, key)
    if blocked := _blocked(facts, expiry):
        return {"key": facts, "materials": [], "problems": [], "blocked": [blocked]}
    if facts["keyState"] == "Creating":
        raise ReplicaKeyNotEnabled(f"{facts['arn']} is Creating and takes no key material yet.")
    problems: list[Problem] = []
    with may_be_new(client, facts["arn"]):
        if answer and not _is_ready(facts, expiry):
            problems = _import(client, request, facts["arn"], answer, expiry)
            if not problems and not _is_ready(facts := _facts(client, key), expiry):
                raise KeySetIncomplete(f"KMS does not show the key material of {facts['arn']} yet.")
        materials = (
            [] if _is_ready(facts, expiry) else [material_request(client, request, facts["arn"])]
        )
    return {"key": facts, "materials": materials, "problems": problems, "blocked": []}


def _facts(client: KMSClient, key: KeyFacts) -> KeyFacts:
    metadata = kms.describe_key(client, key["arn"])
    return {
        "region": key["region"],
        "arn": key["arn"],
        "alias": key["alias"],
        "keyState": metadata["KeyState"],
        "validTo": kms.expiry_of(metadata),
    }


def _is_ready(facts: KeyFacts, expiry: Expiry) -> bool:
    has_material = facts["keyState"] in ("Enabled", "Disabled")
    return has_material and facts["validTo"] == expiry["validTo"]


def _blocked(facts: KeyFacts, expiry: Expiry) -> Failure | None:
    """Say why a key takes no material without a change that nobody asked for, if it is so."""
    arn, state = facts["arn"], facts["keyState"]
    where = f"--key-id {arn} --region {facts['region']}"
    commands = f"aws kms enable-key {where}"
    if state in PENDING_DELETION_STATES:
        reason = "and such a key takes no key material"
        commands = f"aws kms cancel-key-deletion {where}; once it is Disabled, {commands}"
    elif state == "Disabled" and not _is_ready(facts, expiry):
        reason = "and an import of key material would enable it"
    else:
        return None
    conflict = KeyStateConflict(f"{arn} is {state}, {reason}. To bring it back: {commands}.")
    name = type(conflict).__name__
    return failure_of("ImportKeyMaterial", facts["region"], name, str(conflict))


def _import(
    client: KMSClient,
    request: KeySetRequest,
    key_arn: str,
    answer: WrappedMaterial,
    expiry: Expiry,
) -> list[Problem]:
    """Import what was answered for a Region's key, and say why KMS does not take it."""
    token, encrypted = (
        base64.b64decode(answer[part]) for part in ("importToken", "encryptedKeyMaterial")
    )
    try:
        kms.import_key_material(client, key_arn, token, encrypted, expiry["validTo"])
    except IncorrectKeyMaterial as refusal:
        explained = IncorrectKeyMaterial(f"{refusal.what_happened} {_SAME_EVERYWHERE}")
        return [refusal_problem(explained, region_of(key_arn), request)]
    except KeyMaterialRefused as refusal:
        return [refusal_problem(refusal, region_of(key_arn), request)]
    return []


def material_request(client: KMSClient, request: KeySetRequest, key_arn: str) -> Material:
    """Ask KMS how key material for one Region's key is to be wrapped.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    wanted = request["keyMaterial"]
    if wanted is None:
        raise RuntimeError(f"Request {request['requestId']} does not say how material comes in.")
    parameters = kms.get_import_parameters(
        client, key_arn, wanted["wrappingAlgorithm"], wanted["wrappingKeySpec"]
    )
    return {
        "region": region_of(key_arn),
        "keyArn": key_arn,
        "keySpec": request["keySpec"],
        "wrappingAlgorithm": wanted["wrappingAlgorithm"],
        "wrappingKeySpec": wanted["wrappingKeySpec"],
        "publicKey": parameters["publicKey"],
        "importToken": parameters["importToken"],
        "validUntil": parameters["validUntil"],
    }
