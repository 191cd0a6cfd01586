"""What KMS has of a key set otherwise than it is declared, and what would make it so again.

Nothing here calls AWS. A difference is what the operation REPAIR would change, seen from the other
side: `plan_change` from the declaration to the same declaration. To that come what no call repairs:
a replica key that nobody declared, key material that is gone, a key policy that nobody of the stack
may read. What nobody declared is no difference: another tag, another alias, a rotation.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypedDict

from provisioner.domain.change import Change, ObservedKey, ObservedSet, is_leaving, plan_change
from provisioner.domain.key_states import MOVING_STATES
from provisioner.domain.plan import (
    STACK_TAG,
    KeySetRequest,
    fingerprint,
    is_decommissioned,
    is_enabled,
    plan_key,
    regions,
)
from provisioner.domain.policy_meaning import canonical, gone_principals
from provisioner.json_text import Json
from provisioner.settings import Settings

SHUT_OUT = "the key policy keeps the stack's role out"
"""What a key policy was changed to that the stack may not read any more."""
REPAIR = "REPAIR"
_MATERIAL = "imported"
_STACK_TAG = f"tags.{STACK_TAG}"
_BY_ITSELF = ("alias", "description", "policy", "rotation")


class Repair(TypedDict):
    """What would repair a difference.

    `operation` is the one that does, None where none can; `confirm` are the words that it needs.
    `calls` are KMS's operations that it would make.
    """

    operation: str | None
    confirm: list[str]
    calls: list[str]


Difference = TypedDict(
    "Difference",
    {"region": str, "property": str, "from": Any, "to": Any, "repair": Repair, "whatToDo": str},
)
"""One property of one key that is not as declared, as JSON.

`property` is one of `Change`, or `keyMaterial`. `from` is what is declared, `to` what KMS has, in
the forms of `Change`. A `region` from its name to None is a key that is gone, from None to its name
a replica key that nobody declared; then nothing else is said of the Region. `primaryRegion` has the
Region of the declared primary key. An alias goes from its name to the ARN of the key that has it.
"""


def differences(
    declarations: Sequence[KeySetRequest],
    observed: ObservedSet,
    settings: Settings,
    *,
    removed: Collection[str] = (),
    shut_out: Collection[str] = (),
) -> list[Difference]:
    """List what KMS has otherwise than every one of these declarations says.

    Parameters
    ----------
    declarations
        The one that was applied last; where a change of it has failed, that one as well: each
        property is as either of them says.
    observed
        The key set; without any key where KMS has none of it any more.
    removed
        Regions whose keys earlier revisions have scheduled for deletion.
    shut_out
        Regions whose keys do not let the stack read them, or not their policy.
    """
    found = [
        [*_differences(declared, observed, settings, removed, shut_out)]
        for declared in declarations
    ]
    first, *others = found
    return [
        one
        for one in first
        if all(any(subject_of(one) == subject_of(other) for other in some) for some in others)
    ]


def is_moving(observed: ObservedSet) -> bool:
    """Whether a key is in a state that passes by itself, so that it is neither old nor new."""
    return any(key["keyState"] in MOVING_STATES for key in observed["keys"].values())


def subject_of(difference: Difference) -> str:
    """Name what a difference is about: there is one at a time of each."""
    return f"{difference['region']} {difference['property']}"


def digest_of(difference: Difference, settings: Settings) -> str:
    """Fingerprint of a difference, the same while it is the same; a policy counts by its meaning.

    KMS shows a policy in another order each time.
    """
    values: list[object] = [difference["from"], difference["to"]]
    if difference["property"] == "policy":
        values = [canonical(value, partition=settings.partition) for value in values]
    return fingerprint([subject_of(difference), *values])


def repairs_itself(difference: Difference) -> bool:
    """Whether a difference may be repaired without anybody being asked.

    Never what may be a decision, or cannot be taken back: a key that was disabled, scheduled for
    deletion, promoted or deleted, its imported material, what needs a word, and a key policy that
    names a principal which is gone: writing its ARN would let in whoever has that name now.
    """
    repair, what = difference["repair"], difference["property"]
    if repair["operation"] is None or repair["confirm"]:
        return False
    if what == "policy" and gone_principals(difference["to"]):
        return False
    return what in _BY_ITSELF or what.startswith("tags.")


def _differences(
    declared: KeySetRequest,
    observed: ObservedSet,
    settings: Settings,
    removed: Collection[str],
    shut_out: Collection[str],
) -> Iterator[Difference]:
    changes = plan_change(declared, declared, observed, settings)
    for region in regions(declared):
        if region in shut_out:
            yield _unreadable(declared, region, settings)
        elif region not in observed["keys"] and not is_decommissioned(declared):
            yield _gone(region, is_last=not observed["keys"] and not shut_out)
    for key in observed["keys"].values():
        yield from _of_state(declared, key, changes, removed)
        yield from _of_lost_principals(declared, key, changes, settings)
    yield from (_changed(c) for c in changes if _is_compared(c, observed, shut_out))


def _is_compared(change: Change, observed: ObservedSet, shut_out: Collection[str]) -> bool:
    """Whether a change shows by itself that something is otherwise, and KMS has said what."""
    keys, region = observed["keys"], change["region"]
    match change["property"]:
        case "region" | "keyState":
            return False
        case "policy":
            return region in keys and region not in shut_out
        case "primaryRegion":
            return bool(keys)
        case "rotation":
            return _shows_rotation(observed, shut_out)
        case _:
            return region in keys


def _shows_rotation(observed: ObservedSet, shut_out: Collection[str]) -> bool:
    """Whether KMS says of the primary key how it rotates.

    It does not while the key waits for its deletion; what it was comes back with the key.
    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable.html
    """
    region = observed["primaryRegion"]
    key = observed["keys"].get(region)
    return key is not None and region not in shut_out and not is_leaving(key)


def _of_state(
    declared: KeySetRequest, key: ObservedKey, changes: Iterable[Change], removed: Collection[str]
) -> Iterator[Difference]:
    """Compare a key's state, or whether it should be there at all."""
    region, state = key["region"], key["keyState"]
    if region not in regions(declared):
        if region in removed and not is_leaving(key):
            yield _by_hand(region, "keyState", "PendingDeletion", state, _DELETION_CANCELED)
        elif not is_leaving(key):
            yield _by_hand(region, "region", None, region, _REPLICA_BY_HAND)
        return
    lacks_material = key.get("lacksMaterial", False) and not is_decommissioned(declared)
    if lacks_material:
        yield _by_hand(region, "keyMaterial", _MATERIAL, None, _MATERIAL_GONE)
    steps = [c for c in changes if c["region"] == region and c["property"] == "keyState"]
    if not steps or (lacks_material and state == "PendingImport"):
        return
    if is_decommissioned(declared):
        yield _by_hand(region, "keyState", steps[-1]["to"], state, _RESTORED)
        return
    wanted = "Enabled" if is_enabled(declared, region) else "Disabled"
    yield _difference(region, "keyState", wanted, state, steps)


def _of_lost_principals(
    declared: KeySetRequest, key: ObservedKey, changes: Iterable[Change], settings: Settings
) -> Iterator[Difference]:
    """Find a key policy that lacks nothing but principals that are gone: no operation writes it."""
    region, gone = key["region"], gone_principals(key["policy"])
    is_changed = any(c["property"] == "policy" and c["region"] == region for c in changes)
    if gone and not is_changed and region in regions(declared):
        policy = plan_key(declared, region, settings).policy
        yield _by_hand(region, "policy", policy, key["policy"], _NAME_LOST.format(", ".join(gone)))


def _changed(change: Change) -> Difference:
    """Turn a change that would repair a property into what was changed."""
    region, what, wanted, found = (
        change["region"],
        change["property"],
        change["to"],
        change["from"],
    )
    if what == _STACK_TAG:
        return _by_hand(region, what, wanted, found, _OWN_TAG)
    if what == "primaryRegion":
        return _by_hand(region, what, wanted, found, _PROMOTED.format(found, wanted))
    difference = _difference(region, what, wanted, found, [change])
    if what == "policy" and (gone := gone_principals(found)):
        difference["whatToDo"] = _PRINCIPAL_GONE.format(", ".join(gone))
    return difference


def _gone(region: str, *, is_last: bool) -> Difference:
    if is_last:
        return _by_hand(region, "region", region, None, _SET_GONE)
    repair: Repair = {"operation": REPAIR, "confirm": [], "calls": ["ReplicateKey"]}
    return {
        "region": region,
        "property": "region",
        "from": region,
        "to": None,
        "repair": repair,
        "whatToDo": _KEY_GONE,
    }


def _unreadable(declared: KeySetRequest, region: str, settings: Settings) -> Difference:
    policy = plan_key(declared, region, settings).policy
    return _by_hand(region, "policy", policy, SHUT_OUT, _SHUT_OUT_TEXT)


def _difference(
    region: str, what: str, wanted: Json, found: Json, changes: list[Change]
) -> Difference:
    words = [word for change in changes if (word := change["confirm"])]
    calls = [change["call"] for change in changes]
    confirmed = f", confirmed by {' and '.join(words)}," if words else ""
    text = (
        f"The operation {REPAIR}{confirmed} makes it as declared again ({', '.join(calls)}). If "
        "what was changed is to stay, declare it with the next revision."
    )
    return {
        "region": region,
        "property": what,
        "from": wanted,
        "to": found,
        "repair": {"operation": REPAIR, "confirm": words, "calls": calls},
        "whatToDo": text,
    }


def _by_hand(region: str, what: str, wanted: Json, found: Json, text: str) -> Difference:
    """Return a difference that no operation repairs."""
    return {
        "region": region,
        "property": what,
        "from": wanted,
        "to": found,
        "repair": {"operation": None, "confirm": [], "calls": []},
        "whatToDo": text,
    }


_NAME_LOST = (
    "The key policy names {}, of principals that were deleted, and is otherwise as declared. It "
    "stays: the declared names would let in whoever has them now. To let them in, leave them out "
    "in the next revision and name them again in the one after it."
)
_REPLICA_BY_HAND = (
    "Declare the Region with the next revision, or schedule the deletion of the replica key by "
    "hand: no operation changes a key that nobody declared."
)
_DELETION_CANCELED = (
    "A revision had removed this key, and somebody canceled its deletion. Schedule it again by "
    "hand, or declare the Region with the next revision."
)
_RESTORED = (
    "The key set is DECOMMISSIONED, and somebody canceled the deletion of this key. Schedule it "
    "again by hand, or declare the set ACTIVE with the next revision."
)
_PROMOTED = (
    "Send the next revision: with primaryRegion {0} and {1} as a replica the primary key stays "
    "where it is, with the word PROMOTE:{1} it moves back. Until then no operation repairs "
    "anything."
)
_MATERIAL_GONE = (
    "The key cannot be used: its key material has expired or was deleted. Send the request again "
    "with a later validTo; it asks for the same material once more."
)
_KEY_GONE = (
    f"The operation {REPAIR} creates the replica key again from its primary key (ReplicateKey). If "
    "it is to stay away, leave the Region out with the next revision."
)
_SET_GONE = (
    "KMS has no key of this key set any more, and nothing brings one back. Declare the set "
    "DECOMMISSIONED with the next revision."
)
_OWN_TAG = (
    "Put the tag back by hand with kms:TagResource: without it, the stack's roles may not change "
    "the key, so no operation can."
)
_SHUT_OUT_TEXT = (
    "Whoever the key policy still lets in puts the declared policy back with kms:PutKeyPolicy, or "
    "lets the stack's account in; where it lets in nobody, only AWS Support can help."
)
_PRINCIPAL_GONE = (
    "KMS shows {} for a principal that was deleted. Make it again and run the operation REPAIR "
    "(PutKeyPolicy), which lets in whoever has that name then, or leave it out with the next "
    "revision."
)
