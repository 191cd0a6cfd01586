"""The key material of a key set in the stand-in for KMS, and its rotation.

https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-on-demand.html
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ROTATING_SECONDS = 460
"""How long a rotation on demand of a set with two replicas was seen to take."""
MOST_ON_DEMAND = 25
STAGED = ("PENDING_ROTATION", "PENDING_MULTI_REGION_IMPORT_AND_ROTATION")


@dataclass
class Material:
    """One key material of a set. `secret` is None where KMS has made it."""

    id: str
    state: str = "CURRENT"
    secret: bytes | None = None
    description: str | None = None
    rotated_at: float | None = None
    rotation_type: str | None = None


@dataclass
class Materials:
    """All key material of a set, and the rotation that is running.

    `begun` has, for each rotation on demand that KMS has begun, when that was; `asked` is how often
    KMS took the call, which begins none while one runs.
    """

    all: list[Material] = field(default_factory=list)
    running_since: float | None = None
    ends_at: float = 0
    begun: list[float] = field(default_factory=list)
    asked: int = 0
    is_near: bool = False
    """Whether the key rotates by itself within 20 minutes."""

    def of_state(self, *states: str) -> Material | None:
        return next((one for one in self.all if one.state in states), None)

    def of_secret(self, secret: bytes) -> Material | None:
        return next((one for one in self.all if one.secret == secret), None)

    def add(self, state: str, secret: bytes | None, description: str | None = None) -> Material:
        material = Material(f"{len(self.all) + 1:064x}", state, secret, description)
        self.all.append(material)
        return material

    def begin(self, now: float) -> None:
        """Begin a rotation on demand, unless one runs."""
        self.asked += 1
        if self.running_since is None:
            self.begun.append(now)
            self.running_since, self.ends_at = now, now + ROTATING_SECONDS

    def pass_time(self, now: float) -> None:
        """End the rotation that is running, if it is time."""
        if self.running_since is not None and now >= self.ends_at:
            self.running_since = None
            self.rotate(self.ends_at, "ON_DEMAND")

    def rotate(self, at: float, rotation_type: str) -> None:
        """Make the staged material, or new one, the current one."""
        before = self.of_state("CURRENT")
        assert before
        before.state = "NON_CURRENT"
        new = self.of_state(*STAGED) or self.add("", None)
        new.state, new.rotated_at, new.rotation_type = "CURRENT", at, rotation_type


def entry(arn: str, material: Material, valid_to: float | None, *, is_here: bool) -> dict[str, Any]:
    """Return an entry of ListKeyRotations."""
    found: dict[str, Any] = {
        "KeyId": arn,
        "KeyMaterialId": material.id,
        "KeyMaterialState": material.state,
    }
    if material.rotated_at is not None:
        found["RotationDate"] = datetime.fromtimestamp(material.rotated_at, UTC)
        found["RotationType"] = material.rotation_type
    if material.description:
        found["KeyMaterialDescription"] = material.description
    if material.secret is not None:
        found["ImportState"] = "IMPORTED" if is_here else "PENDING_IMPORT"
    if is_here and valid_to:
        found |= {"ValidTo": datetime.fromtimestamp(valid_to, UTC)}
    return found
