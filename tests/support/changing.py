"""Key sets as KMS has them, and what each change makes of them, with the calls that KMS refuses."""

from copy import deepcopy
from typing import Any

from provisioner.domain.change import Change, ObservedKey, ObservedSet
from provisioner.domain.plan import KeySetRequest, is_enabled, plan_key, regions
from tests.support.samples import SETTINGS, key_arn

LEAVING = ("PendingDeletion", "PendingReplicaDeletion")
OTHER_KEY = "mrk-11111111111111111111111111111111"
MAX_TAGS = 50


def observed_of(request: KeySetRequest) -> ObservedSet:
    """Return the key set of a request as it is after its creation, or its last change."""
    keys = {region: key_of(request, region) for region in regions(request)}
    for region, key in keys.items():
        if alias := plan_key(request, region, SETTINGS).alias:
            key["aliases"][alias] = key["arn"]
        if not is_enabled(request, region):
            key["keyState"] = "Disabled"
        if request.get("desiredState") == "DECOMMISSIONED":
            key["keyState"] = "PendingDeletion"
    if request["rotation"]:
        keys[request["primaryRegion"]]["rotationPeriodInDays"] = request["rotation"]["periodInDays"]
    return {"primaryRegion": request["primaryRegion"], "keys": keys, "aliases": {}}


def key_of(request: KeySetRequest, region: str) -> ObservedKey:
    """Return a key as it is when KMS has just made it: without alias and rotation."""
    plan = plan_key(request, region, SETTINGS)
    return {
        "region": region,
        "arn": key_arn(region),
        "keyState": "Enabled",
        "description": plan.description,
        "policy": deepcopy(plan.policy),
        "tags": dict(plan.tags),
        "aliases": {},
        "rotationPeriodInDays": None,
        "deletionDate": None,
    }


def carried_out(
    observed: ObservedSet, changes: list[Change], declared: KeySetRequest
) -> ObservedSet:
    """Return what KMS has once these changes were made one after the other.

    Raises
    ------
    AssertionError
        KMS would refuse one of the calls.
    """
    after = deepcopy(observed)
    for change in changes:
        key = after["keys"].get(change["region"])
        if change["call"] == "ReplicateKey":
            assert key is None
            assert after["keys"][after["primaryRegion"]]["keyState"] == "Enabled"
            key = key_of(declared, change["region"])
            key["aliases"] = after.get("aliases", {}).get(change["region"], {})
            after["keys"][change["region"]] = key
        elif change["call"] == "UpdatePrimaryRegion":
            _promote(after, change["to"])
        else:
            assert key is not None
            _carry_out(key, change, is_primary=change["region"] == after["primaryRegion"])
    return after


def _promote(after: ObservedSet, region: str) -> None:
    source, target = after["keys"][after["primaryRegion"]], after["keys"][region]
    assert source["keyState"] == target["keyState"] == "Enabled"
    target["rotationPeriodInDays"] = source["rotationPeriodInDays"]
    source["rotationPeriodInDays"] = None
    after["primaryRegion"] = region


def _carry_out(key: ObservedKey, change: Change, *, is_primary: bool) -> None:
    value = change["to"]
    leaving = key["keyState"] in LEAVING
    assert leaving == (change["call"] == "CancelKeyDeletion") or change["call"] == "DeleteAlias"
    match change["property"]:
        case "keyState":
            assert change["call"] in ("CancelKeyDeletion", "ScheduleKeyDeletion") or key[
                "keyState"
            ] in ("Enabled", "Disabled")
            key["keyState"] = value
        case "alias":
            _name(key, change)
        case "description":
            key["description"] = value
        case "policy":
            key["policy"] = value
        case "rotation":
            assert is_primary
            assert key["keyState"] == "Enabled"
            key["rotationPeriodInDays"] = value["periodInDays"] if value else None
        case _:
            _tag(key["tags"], change)


def _name(key: ObservedKey, change: Change) -> None:
    before, after = change["from"], change["to"]
    if change["call"] == "DeleteAlias":
        assert key["aliases"][before] == key["arn"]
        key["aliases"][before] = None
        return
    allowed = (None, key["arn"]) if change["call"] == "CreateAlias" else (before,)
    assert key["aliases"].get(after) in allowed
    key["aliases"][after] = key["arn"]


def _tag(tags: dict[str, str], change: Change) -> None:
    name = change["property"].removeprefix("tags.")
    if change["call"] == "TagResource":
        tags[name] = change["to"]
        assert len(tags) <= MAX_TAGS
    else:
        assert change["call"] == "UntagResource"
        tags.pop(name, None)


def shown_otherwise(policy: Any) -> Any:
    """Write a policy as KMS may show it: in another order, and one value without its list."""
    statements = [
        {name: _shown(value) for name, value in reversed(statement.items())}
        for statement in reversed(policy["Statement"])
    ]
    return {**policy, "Statement": statements}


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    if isinstance(value, list):
        return value[0] if len(value) == 1 else value[::-1]
    return value


def changes_of(changes: list[Change]) -> list[tuple[str, str, Any, Any, str, str | None]]:
    """Return region, property, from, to, call and word of each change."""
    return [
        (one["region"], one["property"], one["from"], one["to"], one["call"], one["confirm"])
        for one in changes
    ]
