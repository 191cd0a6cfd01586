"""What can be done with a finished key set besides declaring it anew, and when it cannot."""

from enum import StrEnum
from typing import TypedDict

from provisioner.domain.key_specs import Origin
from provisioner.domain.plan import KeySetRequest, is_decommissioned
from provisioner.errors import Problem, new_problem


class Kind(StrEnum):
    """The operations."""

    REPAIR = "REPAIR"
    """Make KMS as declared again."""
    ROTATE = "ROTATE"
    """Rotate key material that KMS has generated, once."""
    ROTATE_MATERIAL = "ROTATE_MATERIAL"
    """Import new key material into every key, then rotate to it, once."""
    RELEASE = "RELEASE"
    """Stop managing the keys: the provisioner's own tags go, and nothing else."""
    ADOPT = "ADOPT"
    """Begin to manage keys that exist. It is asked for by `POST /keys?adopt=true` alone."""


ASKED_FOR = (Kind.REPAIR, Kind.ROTATE, Kind.ROTATE_MATERIAL, Kind.RELEASE)
"""What `POST /keys/{requestId}/operations` takes."""


class Operation(TypedDict):
    """An operation as it was asked for.

    `operationId` is its identity: the same one again is the same operation, for ever. `confirm` has
    the words for what can hurt.
    """

    operationId: str
    operation: str
    confirm: list[str]


class Adoption(TypedDict):
    """What an adoption was asked with beside the declaration.

    `operationId` is that of the one operation that may carry it out. `keyArn` is the ARN of any key
    of the set, `unmanaged` are the Regions of replica keys that stay as they are and unwatched, and
    with `takeOver` the key set may have another manager.
    """

    operationId: str
    keyArn: str
    unmanaged: list[str]
    takeOver: bool


def again_of(kind: str) -> str:
    """Say how to ask once more for an operation that has failed, as the end of a sentence."""
    if kind == Kind.ADOPT:
        return "send the adoption again (POST /keys?adopt=true)"
    return "ask for the operation again, with a new operationId"


class Ended(StrEnum):
    """How an operation has ended."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"


class HeldOperation(Operation):
    """The operation that a record is held for.

    `before` is the status that the record had and will have again. `ended` is None while the
    operation is under way, and there until its outcome is published.
    """

    before: str
    ended: str | None


def asked_for(held: HeldOperation | None) -> Operation | None:
    """Return the operation that a record is held for as it was asked for, if there is one."""
    if held is None:
        return None
    return {
        "operationId": held["operationId"],
        "operation": held["operation"],
        "confirm": held["confirm"],
    }


def is_for(held: HeldOperation | None, operation_id: str) -> bool:
    """Whether a record is held for an operation, and for this one."""
    return held is not None and held["operationId"] == operation_id


class LastOperation(TypedDict):
    """How the last operation on a key set ended; `at` is ISO 8601 in UTC."""

    operationId: str
    operation: str
    status: str
    errors: list[Problem]
    at: str


def operation_problems(operation: Operation, declared: KeySetRequest) -> list[Problem]:
    """Find why an operation is nothing for a key set that is declared like this.

    The codes are `OPERATION_NOT_SUPPORTED` and `CONFIRMATION_UNUSED`.

    Key material is rotated of symmetric encryption keys alone.
    https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
    """
    kind = Kind(operation["operation"])
    found = []
    if is_decommissioned(declared):
        text = (
            "Every key of this set waits for its deletion. Restore it first: send the next "
            "revision with desiredState ACTIVE and the words that the plan names."
        )
        found.append(new_problem("operation", "OPERATION_NOT_SUPPORTED", text))
    elif text := _unsuitable(kind, declared):
        found.append(new_problem("operation", "OPERATION_NOT_SUPPORTED", text))
    if kind not in (Kind.REPAIR, Kind.ADOPT):
        for index, word in enumerate(operation["confirm"]):
            text = f"Nothing in {kind} needs {word}; leave it out."
            found.append(new_problem(f"confirm[{index}]", "CONFIRMATION_UNUSED", text))
    return found


def _unsuitable(kind: Kind, declared: KeySetRequest) -> str:
    if kind not in (Kind.ROTATE, Kind.ROTATE_MATERIAL):
        return ""
    if declared["keySpec"] != "SYMMETRIC_DEFAULT":
        return (
            f"Keys of the key spec {declared['keySpec']} keep their key material for ever. "
            "Request another key set with another requestId, and let its users move there."
        )
    imported = declared["origin"] == Origin.EXTERNAL
    if kind == Kind.ROTATE and imported:
        return "The key material of this set is imported. Ask for ROTATE_MATERIAL."
    if kind == Kind.ROTATE_MATERIAL and not imported:
        return "KMS makes the key material of this set. Ask for ROTATE."
    return ""
