"""The forms of the API's answers, from which its published contract is made.

A field that is `NotRequired` is left out where it says nothing.
"""

from typing import NotRequired, TypedDict

from provisioner.approval.asking import ShownApproval
from provisioner.aws.history import PastOutcome
from provisioner.aws.records import Status
from provisioner.domain.adoption import Difference
from provisioner.domain.change import Change
from provisioner.domain.key_policy import Policy
from provisioner.domain.material import Material
from provisioner.domain.operation import Adoption, Ended, Kind, LastOperation, Operation
from provisioner.domain.plan import Expiry, KeySetFacts, KeySetRequest, Rotation
from provisioner.errors import Problem
from provisioner.json_text import JsonObject
from provisioner.operation.rotation_history import RotationFacts
from provisioner.outcomes.outcome import RemovedKey


class Errors(TypedDict):
    """Every reason for which a call was refused or failed."""

    errors: list[Problem]


class Accepted(TypedDict):
    """A request that goes on, or will.

    `executionArn` is null where no execution holds the request any more.
    """

    requestId: str
    executionArn: str | None
    status: Status


class AcceptedOperation(TypedDict):
    """An operation that is accepted, and where it stands; `errors` is there once it has failed."""

    requestId: str
    operationId: str
    operation: Kind
    executionArn: str
    status: Status | Ended
    errors: NotRequired[list[Problem]]


class PlannedKey(TypedDict):
    """The settings of one key, its complete key policy among them; `expiry` is of imported keys."""

    region: str
    alias: str | None
    description: str
    tags: dict[str, str]
    policy: Policy
    rotation: Rotation | None
    expiry: Expiry | None


class ShownChange(Change):
    """One change in one Region; the last three are of a key that it stops, where KMS says it."""

    lastUsedAt: NotRequired[str | None]
    lastUsedFor: NotRequired[str | None]
    usageTrackedSince: NotRequired[str | None]


class RequestPlan(TypedDict):
    """What a request would do: the request with its defaults, and the settings of every key.

    `planId` and `changes` are there for a key set that exists.
    """

    request: KeySetRequest
    keys: list[PlannedKey]
    warnings: list[Problem]
    planId: NotRequired[str]
    changes: NotRequired[list[ShownChange]]


class AdoptionPlan(TypedDict):
    """How a key set that exists would be declared, and what stands against its adoption.

    `keyArn` is the primary key's.
    """

    declaration: JsonObject
    keyArn: str
    unmanaged: list[str]
    differences: list[Difference]
    errors: list[Problem]
    warnings: list[Problem]


class KnownAdoption(Adoption):
    """How a key set came to be managed that somebody else made; `adoptedAt` is ISO 8601."""

    adoptedAt: str | None


class KeySetStatus(TypedDict):
    """Where a request stands; times are ISO 8601 in UTC.

    A field that may be left out is there where it says something: `operation` while one is under
    way, `materials` and `deadline` while key material is asked for, `approval` while somebody has
    to approve, `rotations` of a finished set whose key material can change.
    """

    requestId: str
    revision: int
    status: Status
    startedAt: str | None
    updatedAt: str | None
    key: KeySetFacts | None
    errors: list[Problem]
    warnings: list[Problem]
    ticket: JsonObject | None
    executionArn: str | None
    request: NotRequired[KeySetRequest | None]
    operation: NotRequired[Operation]
    lastOperation: NotRequired[LastOperation]
    rotations: NotRequired[list[RotationFacts]]
    releasedAt: NotRequired[str | None]
    adoption: NotRequired[KnownAdoption]
    removed: NotRequired[list[RemovedKey]]
    materials: NotRequired[list[Material]]
    deadline: NotRequired[str | None]
    approval: NotRequired[ShownApproval]


class PastOutcomes(TypedDict):
    """What became of a request so far, oldest first."""

    outcomes: list[PastOutcome]
