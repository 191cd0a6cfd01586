"""Declarations that change a finished key set, each in one way."""

from typing import Any

from tests.support.faults.changes import ROTATING, Document, revised
from tests.support.faults.scenario import IMPORTED, policy_of

EUROPE, WEST = ROTATING["replicas"]


def promoted(*words: str, **changed: Any) -> Document:
    return revised(ROTATING, "PROMOTE:eu-west-1", *words, primaryRegion="eu-west-1", **changed)


TAG = revised(ROTATING, replicas=[EUROPE, {**WEST, "tags": {"team": "cards"}}])
SETTINGS = revised(
    ROTATING,
    alias="alias/payments/new",
    description="New",
    tags={"stage": "production"},
    policy={"document": policy_of("Other")},
    rotation={"periodInDays": 180},
)
WITHOUT_ROTATION = revised(ROTATING, rotation=None)
TAKEN_ALIAS = ("us-west-2", "alias/payments/taken")
"""Where an alias points to a key of somebody else."""
MOVE_ALIAS = revised(
    ROTATING, "MOVE_ALIAS:us-west-2", replicas=[EUROPE, {**WEST, "alias": TAKEN_ALIAS[1]}]
)
ADD = revised(ROTATING, replicas=[EUROPE, WEST, {"region": "ap-south-1"}])
OWN_MATERIAL: Document = {
    **IMPORTED,
    "keyMaterial": {"expires": False, "deadlineInDays": 2},
}
"""A key set of two Regions whose material its holder keeps."""
ADD_WITH_MATERIAL = revised(OWN_MATERIAL, replicas=[EUROPE, WEST])
PROMOTE = promoted(replicas=[{"region": "us-east-1"}, WEST])
LEAVE_THE_PRIMARY = promoted("REMOVE:us-east-1", replicas=[WEST])
REMOVE = revised(ROTATING, "REMOVE:us-west-2", replicas=[EUROPE])
DISABLE = revised(ROTATING, "DISABLE:us-west-2", replicas=[EUROPE, {**WEST, "enabled": False}])
DECOMMISSION = revised(ROTATING, "DECOMMISSION", desiredState="DECOMMISSIONED")
ALL_WORDS = [f"RESTORE:{region}" for region in ("us-east-1", "eu-west-1", "us-west-2")]
KINDS: dict[str, tuple[tuple[Document, ...], Document]] = {
    "a tag in one Region": ((ROTATING,), TAG),
    "every setting": ((ROTATING,), SETTINGS),
    "no rotation any more": ((ROTATING,), WITHOUT_ROTATION),
    "a Region more": ((ROTATING,), ADD),
    "a Region more, with imported material": ((OWN_MATERIAL,), ADD_WITH_MATERIAL),
    "a promotion": ((ROTATING,), PROMOTE),
    "a promotion, and the earlier primary's Region removed": ((ROTATING,), LEAVE_THE_PRIMARY),
    "a Region less": ((ROTATING,), REMOVE),
    "a key disabled": ((ROTATING,), DISABLE),
    "all decommissioned": ((ROTATING,), DECOMMISSION),
    "a removed Region restored": (
        (ROTATING, REMOVE),
        revised(REMOVE, "RESTORE:us-west-2", replicas=[EUROPE, WEST]),
    ),
    "a removed Region restored with other names": (
        (ROTATING, REMOVE),
        revised(
            REMOVE,
            "RESTORE:us-west-2",
            replicas=[EUROPE, {**WEST, "alias": "alias/payments/west", "tags": {"stage": "x"}}],
        ),
    ),
    "all restored": (
        (ROTATING, DECOMMISSION),
        revised(DECOMMISSION, *ALL_WORDS, desiredState="ACTIVE"),
    ),
}
"""By its name: the declarations that were applied before, and the one that changes the set."""
