"""What a new declaration changes on a key set that exists, and in which order.

A change is computed three ways: from the declaration that was applied last, from the new one, and
from what KMS has. Nothing here calls AWS. `change_problems` says what of it is refused.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

from provisioner.domain.key_specs import Origin
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.lost_principals import differs_in_gone_principals_only
from provisioner.domain.plan import (
    ROTATION,
    KeyPlan,
    KeySetRequest,
    Names,
    RegionNames,
    arn_in,
    content_hash,
    deletion_window,
    fingerprint,
    is_decommissioned,
    is_enabled,
    names_by_region,
    plan_key,
    regions,
    revision_of,
)
from provisioner.domain.policy_meaning import canonical, same_meaning
from provisioner.json_text import Json
from provisioner.settings import Settings


class ObservedKey(TypedDict):
    """One key of the set, as KMS has it.

    `policy` is parsed JSON, None where KMS's text is no JSON object. `aliases` has every name that
    matters in this Region (those of the applied and of the new declaration, and superseded ones)
    with the ARN of the key that it points to, or None where there is no such alias.
    `rotationPeriodInDays` is read of the primary key only, None where rotation is off.
    `deletionDate` is ISO 8601 in UTC, None where KMS names none. A key of origin EXTERNAL has
    `validTo`, when its key material expires, or None; `lacksMaterial` is true, and only there, for
    one without its key material.
    """

    region: str
    arn: str
    keyState: str
    description: str
    policy: dict[str, Any] | None
    tags: dict[str, str]
    aliases: dict[str, str | None]
    rotationPeriodInDays: int | None
    deletionDate: str | None
    validTo: NotRequired[str | None]
    lacksMaterial: NotRequired[bool]


class ObservedSet(TypedDict):
    """The key set as KMS has it; a key that is gone for good is left out.

    `aliases` is for the Regions that have no key: the names that the declaration wants there, with
    the ARN of the key that each points to, or None.
    """

    primaryRegion: str
    keys: dict[str, ObservedKey]
    aliases: NotRequired[dict[str, dict[str, str | None]]]


Change = TypedDict(
    "Change",
    {
        "region": str,
        "property": str,
        "from": Any,
        "to": Any,
        "call": str,
        "confirm": str | None,
        "reversible": str,
    },
)
"""One change in one Region, as JSON.

`property` is `keyState`, `region`, `primaryRegion`, `alias`, `description`, `tags.<key>`, `policy`
or `rotation`. `from` and `to` are its values, None where there is none: names of key states, of
Regions and of aliases, texts, policy documents, `{"periodInDays": 365}`. `UpdateAlias` goes from
the ARN of the key that has the alias to the name of the alias. `call` is the KMS operation. Several
changes of tags with the same call in one Region are one call. `confirm` is the word that the change
needs, or None. A promotion has the Region of the new primary key; its call goes to the Region that
it is `from`.
"""


class Wave(StrEnum):
    """Changes that may be made side by side; the waves follow each other in this order."""

    RESTORE = "RESTORE"
    ADD = "ADD"
    MATERIAL = "MATERIAL"
    WIDEN = "WIDEN"
    PROMOTE = "PROMOTE"
    SETTINGS = "SETTINGS"
    NARROW = "NARROW"
    DISABLE = "DISABLE"
    REMOVE = "REMOVE"


_WAVES = list(Wave)
_WAVE_OF_CALL = {
    "CancelKeyDeletion": Wave.RESTORE,
    # A disabled key can neither be replicated nor promoted, and its rotation cannot be changed.
    "EnableKey": Wave.RESTORE,
    "ReplicateKey": Wave.ADD,
    # A key without its key material is not promoted.
    "ImportKeyMaterial": Wave.MATERIAL,
    "UpdatePrimaryRegion": Wave.PROMOTE,
    "DisableKey": Wave.DISABLE,
    "ScheduleKeyDeletion": Wave.REMOVE,
}
_REPEATABLE = (
    *("EnableKey", "DisableKey", "CreateAlias", "UpdateKeyDescription", "TagResource"),
    *("UntagResource", "PutKeyPolicy", "EnableKeyRotation", "DisableKeyRotation"),
)
"""Calls that set again what is set already."""
_TO_A_USABLE_STATE = ("CancelKeyDeletion", "EnableKey", "ImportKeyMaterial")
_EARLY_AND_LATE = {"UntagResource": -1, "DeleteAlias": 1}
"""Within a wave: a key has at most 50 tags, and should always have a name.

https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
"""
_ANY_PARTITION = "aws"
"""Decides only which account ID an ARN is the same as, and KMS shows ARNs."""
_BY_REVISION = "by the next revision"
_BY_HAND = "by hand, with UpdateAlias"
_ENABLED, _DISABLED = "Enabled", "Disabled"
_PENDING_IMPORT = "PendingImport"


def plan_change(
    applied: KeySetRequest,
    declared: KeySetRequest,
    observed: ObservedSet,
    settings: Settings,
    superseded: RegionNames | None = None,
) -> list[Change]:
    """List what has to be changed, in the order of the waves.

    Whatever the new declaration names is compared with what KMS has. Aliases, tags, rotation and
    Regions that only the applied declaration named are taken away; what nobody declared stays. As
    KMS may still show a value of before the last revision, a setting whose declared value differs
    from the applied one is written even where KMS seems to have it.
    https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency

    A key policy that was applied, and in which KMS shows since then that principals are gone, is
    left as it is: see `lost_principals`.

    Of a set with imported key material, the keys of Regions that the applied declaration does not
    have are PendingImport until theirs is imported. In its own Regions, key material that is
    missing is no part of a change.

    Parameters
    ----------
    applied
        The declaration that was applied last.
    superseded
        Names and Regions of revisions which failed, and which neither declaration has.
    """
    old = _names_left_out(applied, declared, superseded or {})
    added = {*regions(declared)} - {*regions(applied)}
    changes = [
        change
        for change in _changes(declared, observed, old, settings, added)
        if not _only_lacks_gone_principals(change, applied, settings)
    ]
    as_applied = observed_as_declared(applied, settings)
    from_applied = _changes(declared, as_applied, old, settings)
    changes += _repeated(from_applied, changes, observed["keys"])
    order = [observed["primaryRegion"], *regions(declared)]
    return sorted(changes, key=lambda change: _place(change, order, settings.partition))


def _only_lacks_gone_principals(change: Change, applied: KeySetRequest, settings: Settings) -> bool:
    """Whether a policy would be written again for no other reason than principals that are gone."""
    region, partition = change["region"], settings.partition
    if change["call"] != "PutKeyPolicy" or region not in regions(applied):
        return False
    put = plan_key(applied, region, settings).policy
    return same_meaning(put, change["to"], partition=partition) and (
        differs_in_gone_principals_only(change["from"], put, partition=partition)
    )


def wave_of(change: Mapping[str, Any], *, partition: str) -> Wave:
    """Return the wave that a change belongs to.

    A key policy that only allows more than before comes before the promotion, which needs its
    permissions on the new primary key. Any other one comes after what the old one may be needed
    for.
    """
    if change["call"] == "PutKeyPolicy":
        widens = _only_allows_more(change["from"], change["to"], partition)
        return Wave.WIDEN if widens else Wave.NARROW
    return _WAVE_OF_CALL.get(change["call"], Wave.SETTINGS)


def plan_id(record_revision: int, declared: KeySetRequest, changes: list[Change]) -> str:
    """Fingerprint of a plan; the same while the set, the request and the record are the same.

    The words of the request are no part of it, as a plan says which ones are needed.
    """
    return fingerprint(
        {
            "recordRevision": record_revision,
            "revision": revision_of(declared),
            "content": content_hash(declared),
            "changes": [_fingerprinted(change) for change in changes],
        }
    )


def _fingerprinted(change: Change) -> object:
    """Write a policy as KMS has it in one form, since KMS shows it in another order each time."""
    if change["property"] != "policy" or change["from"] is None:
        return change
    return {**change, "from": canonical(change["from"], partition=_ANY_PARTITION)}


def observed_as_declared(declared: KeySetRequest, settings: Settings) -> ObservedSet:
    """Return what KMS would have if a declaration were carried out to the letter.

    The ARNs in it are empty.
    """
    primary = declared["primaryRegion"]
    keys = {region: _key_as_declared(declared, region, settings) for region in regions(declared)}
    return {"primaryRegion": primary, "keys": keys}


def _key_as_declared(declared: KeySetRequest, region: str, settings: Settings) -> ObservedKey:
    plan = plan_key(declared, region, settings)
    key = _new_key(plan, "")
    if is_decommissioned(declared):
        key["keyState"] = "PendingDeletion"
    elif not is_enabled(declared, region):
        key["keyState"] = _DISABLED
    if plan.alias:
        key["aliases"] = {plan.alias: key["arn"]}
    key["rotationPeriodInDays"] = plan.rotation["periodInDays"] if plan.rotation else None
    return key


def _new_key(plan: KeyPlan, arn: str) -> ObservedKey:
    """Return the key that ReplicateKey makes: it has no alias yet."""
    return {
        "region": plan.region,
        "arn": arn,
        "keyState": _ENABLED,
        "description": plan.description,
        "policy": plan.policy,
        "tags": plan.tags,
        "aliases": {},
        "rotationPeriodInDays": None,
        "deletionDate": None,
    }


def _names_left_out(
    applied: KeySetRequest, declared: KeySetRequest, superseded: RegionNames
) -> RegionNames:
    """Name, by Region, what earlier declarations named and the new one does not."""
    before, after = names_by_region(applied), names_by_region(declared)
    found: RegionNames = {}
    for region in before.keys() | superseded.keys():
        named = [before.get(region, {}), superseded.get(region, {})]
        found[region] = {
            kind: sorted(
                {name for names in named for name in names.get(kind, [])}
                - {*after.get(region, {}).get(kind, [])}
            )
            for kind in ("aliases", "tags", "settings")
        }
    return found


def _changes(
    declared: KeySetRequest,
    observed: ObservedSet,
    old: RegionNames,
    settings: Settings,
    added: Collection[str] = (),
) -> Iterator[Change]:
    """List the changes that bring a set to what is declared.

    Parameters
    ----------
    added
        The Regions whose key gets its key material with this declaration, where that is imported.
    """
    decommissioned = is_decommissioned(declared)
    to_import = added if declared["origin"] == Origin.EXTERNAL else ()
    for region in regions(declared):
        plan, key = plan_key(declared, region, settings), observed["keys"].get(region)
        gone = old.get(region, {})
        if decommissioned:
            if key and not is_leaving(key):
                yield from _lasting_settings(plan, key, gone, settings.partition)
        elif key is None:
            yield _change(region, "region", None, region, "ReplicateKey")
            yield from _new_key_changes(declared, plan, observed, imports=region in to_import)
        else:
            enabled, imports = is_enabled(declared, region), region in to_import
            yield from _state_changes(key, enabled=enabled, imports=imports)
            yield from _alias_changes(plan, key, gone)
            yield from _lasting_settings(plan, key, gone, settings.partition)
    if not decommissioned:
        yield from _promotion(declared["primaryRegion"], observed)
        yield from _rotation_changes(declared, observed, old)
    yield from _removals(declared, observed, old)


def _new_key_changes(
    declared: KeySetRequest, plan: KeyPlan, observed: ObservedSet, *, imports: bool
) -> Iterator[Change]:
    primary = observed["keys"].get(observed["primaryRegion"])
    key = _new_key(plan, arn_in(plan.region, primary["arn"]) if primary and primary["arn"] else "")
    key["aliases"] = observed.get("aliases", {}).get(plan.region, {})
    if imports:
        key["keyState"] = _PENDING_IMPORT
    yield from _alias_changes(plan, key, {})
    enabled = is_enabled(declared, plan.region)
    yield from _state_changes(key, enabled=enabled, imports=imports)


def is_leaving(key: ObservedKey) -> bool:
    """Whether a key is scheduled for deletion."""
    return key["keyState"] in PENDING_DELETION_STATES


def _state_changes(key: ObservedKey, *, enabled: bool, imports: bool) -> Iterator[Change]:
    """Restore, enable or disable a key. A key whose deletion is canceled is disabled.

    One without its key material is PendingImport then, and no call but an import enables it.
    https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys-cancelling-key-deletion.html

    Parameters
    ----------
    imports
        Whether key material is imported into a key that is made, and never had any.
    """
    region, state = key["region"], key["keyState"]
    if is_leaving(key):
        word = f"RESTORE:{region}"
        becomes = _PENDING_IMPORT if key.get("lacksMaterial") else _DISABLED
        yield _change(region, "keyState", state, becomes, "CancelKeyDeletion", confirm=word)
        state = becomes
    elif imports and state in (_PENDING_IMPORT, "Creating"):
        # The same before the key is made and after, as it is the same step of a plan.
        yield _change(region, "keyState", _PENDING_IMPORT, _ENABLED, "ImportKeyMaterial")
        state = _ENABLED
    if enabled and state == _DISABLED:
        yield _change(region, "keyState", state, _ENABLED, "EnableKey")
    elif not enabled and state != _DISABLED:
        yield _change(
            region, "keyState", state, _DISABLED, "DisableKey", confirm=f"DISABLE:{region}"
        )


def _lasting_settings(
    plan: KeyPlan, key: ObservedKey, gone: Names, partition: str
) -> Iterator[Change]:
    """Change the settings that also a key keeps which waits for its deletion."""
    region = plan.region
    if key["description"] != plan.description:
        yield _change(
            region, "description", key["description"], plan.description, "UpdateKeyDescription"
        )
    yield from _tag_changes(plan, key, gone.get("tags", []))
    if key["policy"] is None or not same_meaning(key["policy"], plan.policy, partition=partition):
        yield _change(region, "policy", key["policy"], plan.policy, "PutKeyPolicy")


def _tag_changes(plan: KeyPlan, key: ObservedKey, gone: list[str]) -> Iterator[Change]:
    has = key["tags"]
    for name in gone:
        if name in has:
            yield _change(plan.region, f"tags.{name}", has[name], None, "UntagResource")
    for name, value in plan.tags.items():
        if has.get(name) != value:
            yield _change(plan.region, f"tags.{name}", has.get(name), value, "TagResource")


def _alias_changes(plan: KeyPlan, key: ObservedKey, gone: Names) -> Iterator[Change]:
    """Name a key before its old name is taken away. An alias of another key is left to that key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html
    """
    region, points_to = plan.region, key["aliases"]
    if plan.alias and (owner := points_to.get(plan.alias)) != key["arn"]:
        if owner is None:
            yield _change(region, "alias", None, plan.alias, "CreateAlias")
        else:
            word = f"MOVE_ALIAS:{region}"
            yield _change(
                region, "alias", owner, plan.alias, "UpdateAlias", confirm=word, reversible=_BY_HAND
            )
    for name in gone.get("aliases", []):
        if points_to.get(name) == key["arn"]:
            yield _change(region, "alias", name, None, "DeleteAlias")


def _promotion(region: str, observed: ObservedSet) -> Iterator[Change]:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html ."""
    now = observed["primaryRegion"]
    if now != region:
        yield _change(
            region, "primaryRegion", now, region, "UpdatePrimaryRegion", confirm=f"PROMOTE:{region}"
        )


def _rotation_changes(
    declared: KeySetRequest, observed: ObservedSet, old: RegionNames
) -> Iterator[Change]:
    """Change the rotation on what is the primary key by then; a promotion leaves it as it is.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-update.html
    """
    primary = observed["keys"].get(observed["primaryRegion"])
    period = primary["rotationPeriodInDays"] if primary else None
    has = {"periodInDays": period} if period is not None else None
    wants, region = declared["rotation"], declared["primaryRegion"]
    if wants and has != wants:
        yield _change(region, "rotation", has, {**wants}, "EnableKeyRotation")
    elif not wants and has and any(ROTATION in names["settings"] for names in old.values()):
        yield _change(region, "rotation", has, None, "DisableKeyRotation")


def _removals(declared: KeySetRequest, observed: ObservedSet, old: RegionNames) -> Iterator[Change]:
    """Schedule the deletion of keys that are declared no more.

    A primary key waits until its replica keys are gone, and then for the window.
    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    """
    all_go, keys = is_decommissioned(declared), observed["keys"]
    named = {*old, *regions(declared)} if all_go else old.keys() - {*regions(declared)}
    for region in sorted(named & keys.keys()):
        state = keys[region]["keyState"]
        if state in PENDING_DELETION_STATES:
            continue
        waits = all_go and region == observed["primaryRegion"] and len(keys) > 1
        goes_to = "PendingReplicaDeletion" if waits else "PendingDeletion"
        word = "DECOMMISSION" if all_go else f"REMOVE:{region}"
        until = f"for {'at least ' if waits else ''}{deletion_window(declared)} days from then on"
        yield _change(
            region,
            "keyState",
            state,
            goes_to,
            "ScheduleKeyDeletion",
            confirm=word,
            reversible=until,
        )


def _repeated(
    from_applied: Iterator[Change], changes: list[Change], keys: dict[str, ObservedKey]
) -> Iterator[Change]:
    """Pick what differs from the applied declaration only, where the key can take it."""
    planned = {_subject(change) for change in changes}
    for change in from_applied:
        key = keys.get(change["region"])
        if key and change["call"] in _REPEATABLE and _subject(change) not in planned:
            state = state_by_then(change["region"], changes, key)
            if change["property"] == "keyState":
                takes_it = state == change["to"]
            elif change["property"] == "rotation":
                takes_it = state == _ENABLED
            else:
                takes_it = state not in PENDING_DELETION_STATES
            if takes_it:
                yield change


def state_by_then(region: str, changes: list[Change], key: ObservedKey) -> str:
    """Return a key's state once keys are restored and enabled, and have their key material."""
    states: list[str] = [
        change["to"]
        for change in changes
        if change["region"] == region and change["call"] in _TO_A_USABLE_STATE
    ]
    return states[-1] if states else key["keyState"]


def _subject(change: Change) -> tuple[str, str, str | None]:
    """Return what a change is about; a key can have two aliases, or be restored and enabled."""
    detail = {"alias": change["to"] or change["from"], "keyState": change["call"]}
    return change["region"], change["property"], detail.get(change["property"])


def _place(change: Change, order: list[str], partition: str) -> tuple[int, int, int]:
    """Return what changes are sorted by: wave, Region, and what comes first in a Region.

    The primary key comes first: it is restored before its replica keys. It is removed last.
    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    """
    region, wave = change["region"], wave_of(change, partition=partition)
    place = order.index(region) if region in order else len(order)
    place = -place if wave == Wave.REMOVE else place
    return _WAVES.index(wave), place, _EARLY_AND_LATE.get(change["call"], 0)


def _only_allows_more(before: dict[str, Any] | None, after: dict[str, Any], partition: str) -> bool:
    """Whether a policy has every statement of another, and otherwise only such as allow."""
    if before is None or before.get("Version") != after.get("Version"):
        return False
    old, new = _effects(before, partition), _effects(after, partition)
    return old.items() <= new.items() and all(
        effect == "Allow" for meaning, effect in new.items() if meaning not in old
    )


def _effects(policy: dict[str, Any], partition: str) -> dict[str, Any]:
    """Return the effect of each statement, by its meaning."""
    found = policy.get("Statement", [])
    return {
        canonical({"Statement": one}, partition=partition): (
            one.get("Effect") if isinstance(one, dict) else None
        )
        for one in (found if isinstance(found, list) else [found])
    }


def _change(
    region: str,
    what: str,
    before: Json,
    after: Json,
    call: str,
    *,
    confirm: str | None = None,
    reversible: str = _BY_REVISION,
) -> Change:
    return {
        "region": region,
        "property": what,
        "from": before,
        "to": after,
        "call": call,
        "confirm": confirm,
        "reversible": reversible,
    }
