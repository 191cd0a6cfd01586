"""Makes the next document of a key set, and the words that it needs by what KMS has."""

from typing import Any

from tests.support.faults.changes import Document
from tests.support.faults.changing import LEAVING, ChangingAws, regions_of
from tests.support.faults.scenario import policy_of

_SETTINGS = ("tags", "alias", "policy", "rotation")
_HURTS = ("leave", "promote", "disable")
KINDS = (*_HURTS, *_SETTINGS, "add", "back", *_HURTS, "back with other names", "end")
NEW = "ap-south-1"


def next_document(aws: ChangingAws, kind: str, which: int) -> Document:
    """Change the document that was taken last in one way; `which` chooses a Region."""
    before = aws.newest
    settings = _settings(before, kind, which)
    return finished(aws, {**before, **settings, **_members(aws, kind, which)})


def _settings(before: Document, kind: str, which: int) -> Document:
    match kind:
        case "tags":
            return {"tags": {"team": f"payments-{which}"} | ({"stage": "x"} if which % 2 else {})}
        case "alias":
            return {"alias": f"alias/payments/cards-{which % 3}"}
        case "policy":
            return {"policy": {"document": policy_of(("Other", "CardService")[which % 2])}}
        case "rotation":
            return {"rotation": None if before.get("rotation") else {"periodInDays": 180}}
        case "back with other names":
            names = _settings(before, "tags", which) | _settings(before, "alias", which)
            return {"desiredState": "ACTIVE", **names}
    states = {"end": "DECOMMISSIONED", "back": "ACTIVE"}
    return {"desiredState": states[kind]} if kind in states else {}


def _members(aws: ChangingAws, kind: str, which: int) -> Document:
    before, named = aws.newest, regions_of(aws.newest)
    replicas: list[dict[str, Any]] = [dict(one) for one in before["replicas"]]
    one = replicas[which % len(replicas)] if replicas else None
    if kind == "add" and NEW not in named:
        replicas.append({"region": NEW})
    elif kind.startswith("back"):
        replicas += [{"region": one} for one in sorted({*regions_of(aws.taken[1])} - {*named})]
    elif kind == "leave" and one:
        replicas.remove(one)
    elif kind == "promote" and one:
        replicas[replicas.index(one)] = {"region": before["primaryRegion"]}
        return {"primaryRegion": one["region"], "replicas": replicas}
    elif kind == "disable" and one:
        one["enabled"] = not one.get("enabled", True)
    return {"replicas": replicas}


def recovery(aws: ChangingAws) -> Document:
    """Declare the set in use, with every key enabled and the primary key where KMS has it."""
    before, home = aws.newest, aws.primary().region
    replicas = [
        {name: value for name, value in one.items() if name != "enabled"}
        for one in before["replicas"]
        if one["region"] != home
    ]
    if before["primaryRegion"] != home:
        replicas.append({"region": before["primaryRegion"]})
    changed = {"primaryRegion": home, "replicas": replicas, "desiredState": "ACTIVE"}
    return finished(aws, {**before, **changed})


def finished(aws: ChangingAws, document: Document) -> Document:
    """Complete a document: its number, its mark, and the words that KMS makes necessary."""
    marked = {
        **document,
        "revision": aws.revision + 1,
        "description": f"Document {len(aws.sent)}",
    }
    return {**marked, "confirm": sorted(words_for(aws, marked))}


def words_for(aws: ChangingAws, document: Document) -> set[str]:
    """List the words that a document needs, by the keys alone."""
    keys, states = aws.keys(), {r: aws.kms.state_of(key) for r, key in aws.keys().items()}
    owned = aws.owned()
    stays = {region for region in keys if states[region] not in LEAVING}
    if document.get("desiredState") == "DECOMMISSIONED":
        return {"DECOMMISSION"} if stays & {*owned, *regions_of(document)} else set()
    wanted = {document["primaryRegion"]: True}
    wanted |= {one["region"]: one.get("enabled", True) for one in document["replicas"]}
    found = {f"REMOVE:{region}" for region in (stays & owned) - wanted.keys()}
    for region, is_enabled in wanted.items():
        state = states.get(region)
        if state in LEAVING:
            found.add(f"RESTORE:{region}")
        elif not is_enabled and state != "Disabled":
            found.add(f"DISABLE:{region}")
    if aws.primary().region != document["primaryRegion"]:
        found.add(f"PROMOTE:{document['primaryRegion']}")
    return found
