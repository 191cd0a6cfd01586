"""The form and the declaration that it stands for: each can be made of the other.

A field of the form is called by the path that the API has for it, such as `replicas[0].alias`, so
that a problem finds its field. A choice between "same as primary", "own" and "none" is beside its
field, with `:choice` after its name. What the form has no field for, such as `keyMaterial`, is kept
as the declaration that is changed has it.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

type Values = dict[str, str]
type Problem = dict[str, str]
type Declaration = dict[str, Any]

SAME, OWN, NONE = "same", "own", "none"
DEFAULT, ROLES, DOCUMENT = "default", "roles", "document"
CHOICE = ":choice"
SPARE_TAGS = 2
"""Rows for tags beyond those that are filled in."""

_TEXTS = (
    *("requestId", "primaryRegion", "keySpec", "keyUsage", "origin", "alias", "description"),
    *("onFailure", "desiredState"),
)
_NUMBERS = ("rotation.periodInDays", "deletionWindowInDays", "revision")
_REPLICA = re.compile(r"replicas\[(\d{1,3})\]\.region")
_MOST_REPLICAS, _MOST_TAGS = 60, 60


def document_of(values: Values, base: Declaration) -> tuple[Declaration, list[Problem]]:
    """Return the declaration that a filled-in form stands for, and what cannot be read.

    Parameters
    ----------
    base
        The declaration that is changed; empty for a new key set.
    """
    problems: list[Problem] = []
    document = {name: copy.deepcopy(base[name]) for name in base if name != "confirm"}
    for name in _TEXTS:
        if name in values:
            _set(document, name, values[name].strip())
    document["tags"] = _tags(values, "", problems)
    document["policy"] = _policy(values, "", values.get(f"policy{CHOICE}", DEFAULT), problems)
    document["rotation"] = None
    if values.get(f"rotation{CHOICE}") == OWN:
        days = _number(values, "rotation.periodInDays", problems)
        document["rotation"] = {} if days is None else {"periodInDays": days}
    for name in ("deletionWindowInDays", "revision"):
        if name in values:
            _set(document, name, _number(values, name, problems))
    if "enabled" in values:
        _set_enabled(document, values["enabled"])
    if "ticket" in values:
        document["ticket"] = _json(values, "ticket", problems)
    earlier = {one["region"]: one for one in base.get("replicas", [])}
    document["replicas"] = [
        _replica(values, f"replicas[{index}].", earlier, problems)
        for index in range(replica_count(values))
    ]
    return document, problems


def values_of(document: Mapping[str, Any]) -> Values:
    """Fill in the form with a declaration, such as the API answers to a plan."""
    values = {name: str(document[name]) for name in _TEXTS if document.get(name) is not None}
    values |= {f"policy{CHOICE}": _policy_choice(document.get("policy"))}
    values |= _values_of_policy("", document.get("policy"))
    values |= _values_of_tags("", document.get("tags") or {})
    rotation = document.get("rotation")
    values[f"rotation{CHOICE}"] = OWN if rotation else NONE
    if rotation:
        values["rotation.periodInDays"] = str(rotation.get("periodInDays", ""))
    for name in ("deletionWindowInDays", "revision"):
        if name in document:
            values[name] = str(document[name])
    values["enabled"] = "true" if document.get("enabled", True) else "false"
    if document.get("ticket"):
        values["ticket"] = _json_text(document["ticket"])
    for index, replica in enumerate(document.get("replicas") or []):
        values |= _values_of_replica(f"replicas[{index}].", replica)
    return values


def replica_count(values: Values) -> int:
    """Count the replica Regions of the form."""
    found = [int(match[1]) for name in values if (match := _REPLICA.fullmatch(name))]
    return min(max(found, default=-1) + 1, _MOST_REPLICAS)


def tag_rows(values: Values, prefix: str) -> int:
    """Count the rows for tags of the primary (prefix "") or of a replica ("replicas[0].")."""
    filled = [
        row
        for row in range(_MOST_TAGS)
        if values.get(f"{prefix}tags[{row}].key") or values.get(f"{prefix}tags[{row}].value")
    ]
    return max(filled, default=-1) + 1 + SPARE_TAGS


def with_replica(values: Values) -> Values:
    """Add a replica Region that is the same as the primary in everything."""
    return values | _values_of_replica(f"replicas[{replica_count(values)}].", {"region": ""})


def without_replica(values: Values, index: int) -> Values:
    """Take away one replica Region; those after it move up."""
    kept = {}
    for name, value in values.items():
        match = re.match(r"replicas\[(\d{1,3})\](.*)", name, re.DOTALL)
        number = int(match[1]) if match else -1
        if match and number == index:
            continue
        moved = f"replicas[{number - 1}]{match[2]}" if match and number > index else name
        kept[moved] = value
    return kept


def field_of(path: str, names: set[str]) -> str | None:
    """Return the field of the form at which a problem of the API is shown; None where none is.

    Parameters
    ----------
    path
        Of the problem, such as `replicas[1].policy.users[0]`.
    names
        Of the form's fields.
    """
    while path:
        for name in (path, f"{path}{CHOICE}", f"{path}[0].key"):
            if name in names:
                return name
        path = re.sub(r"(\.?[^.\[\]]+|\[[^\]]*\])$", "", path)
    return None


def id_of(name: str) -> str:
    """Return the ID that a field has in the page."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _set(document: Declaration, name: str, value: object) -> None:
    """Set a field; one that is empty is left out, so that its default counts."""
    if value in ("", None):
        document.pop(name, None)
    else:
        document[name] = value


def _set_enabled(key: Declaration, value: str) -> None:
    key.pop("enabled", None)
    if value == "false":
        key["enabled"] = False


def _replica(
    values: Values, prefix: str, earlier: Mapping[str, Any], problems: list[Problem]
) -> Declaration:
    region = values.get(f"{prefix}region", "").strip()
    replica: Declaration = {"region": region}
    if "keyMaterial" in earlier.get(region, {}):
        replica["keyMaterial"] = earlier[region]["keyMaterial"]
    for name in ("alias", "description", "tags"):
        choice = values.get(f"{prefix}{name}{CHOICE}", SAME)
        if choice == OWN:
            text = values.get(f"{prefix}{name}", "").strip()
            replica[name] = _tags(values, prefix, problems) if name == "tags" else text
        elif choice == NONE:
            replica[name] = None
    choice = values.get(f"{prefix}policy{CHOICE}", SAME)
    if choice != SAME:
        replica["policy"] = _policy(values, prefix, choice, problems)
    if f"{prefix}enabled" in values:
        _set_enabled(replica, values[f"{prefix}enabled"])
    return replica


def _tags(values: Values, prefix: str, problems: list[Problem]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for row in range(_MOST_TAGS):
        name = f"{prefix}tags[{row}].key"
        key = values.get(name, "").strip()
        value = values.get(f"{prefix}tags[{row}].value", "").strip()
        if not key and not value:
            continue
        if not key:
            problems.append(_problem(name, "REQUIRED", f"The value {value} has no tag key."))
        elif key in tags:
            problems.append(_problem(name, "DUPLICATE_NAME", f"The tag {key} is there twice."))
        tags[key] = value
    return tags


def _policy(
    values: Values, prefix: str, choice: str, problems: list[Problem]
) -> dict[str, Any] | None:
    match choice:
        case "roles":
            return {
                name: _lines(values.get(f"{prefix}policy.{name}", ""))
                for name in ("administrators", "users")
            }
        case "document":
            return {"document": _json(values, f"{prefix}policy.document", problems)}
    return None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _number(values: Values, name: str, problems: list[Problem]) -> int | None:
    text = values.get(name, "").strip()
    if text and not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        problems.append(_problem(name, "NOT_A_NUMBER", f"{text[:80]} is no whole number."))
        return None
    return int(text) if text else None


def _json(values: Values, name: str, problems: list[Problem]) -> object:
    text = values.get(name, "").strip()
    if not text:
        return None
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        problems.append(_problem(name, "NOT_JSON", f"This is no JSON: {error.msg}, {place}."))
        return None
    except (ValueError, RecursionError) as error:
        problems.append(_problem(name, "NOT_JSON", f"This cannot be read as JSON: {error}."))
        return None
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:80]} is there twice in one object")
        found[name] = value
    return found


def _problem(path: str, code: str, message: str) -> Problem:
    return {"path": path, "code": code, "message": message}


def _values_of_replica(prefix: str, replica: Mapping[str, Any]) -> Values:
    values = {f"{prefix}region": replica["region"]}
    for name in ("alias", "description"):
        values[f"{prefix}{name}{CHOICE}"] = _choice(replica, name)
        values[f"{prefix}{name}"] = replica.get(name) or ""
    values[f"{prefix}tags{CHOICE}"] = _choice(replica, "tags")
    values |= _values_of_tags(prefix, replica.get("tags") or {})
    policy = replica.get("policy")
    values[f"{prefix}policy{CHOICE}"] = _policy_choice(policy) if "policy" in replica else SAME
    values |= _values_of_policy(prefix, policy)
    values[f"{prefix}enabled"] = "true" if replica.get("enabled", True) else "false"
    return values


def _choice(replica: Mapping[str, Any], name: str) -> str:
    if name not in replica:
        return SAME
    return OWN if replica[name] else NONE


def _policy_choice(policy: Mapping[str, Any] | None) -> str:
    if not policy:
        return DEFAULT
    return DOCUMENT if "document" in policy else ROLES


def _values_of_policy(prefix: str, policy: Mapping[str, Any] | None) -> Values:
    return dict(_fields_of_policy(prefix, policy or {}))


def _fields_of_policy(prefix: str, policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("administrators", "users"):
        if policy.get(name):
            yield f"{prefix}policy.{name}", "\n".join(policy[name])
    if "document" in policy:
        yield f"{prefix}policy.document", _json_text(policy["document"])


def _values_of_tags(prefix: str, tags: Mapping[str, str]) -> Values:
    values: Values = {}
    for row, (key, value) in enumerate(tags.items()):
        values |= {f"{prefix}tags[{row}].key": key, f"{prefix}tags[{row}].value": value}
    return values


def _json_text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def promoted(document: Declaration, region: str) -> Declaration:
    """Return a declaration in which a replica's Region and the primary's have changed places.

    Every key keeps its settings: what was the same as the old primary's is written out where the
    new primary's differs. Fields that only the primary has, such as `rotation`, stay.
    """
    primary = {name: document.get(name) for name in _SETTINGS} | {
        "region": document["primaryRegion"],
        "enabled": document.get("enabled", True),
    }
    members = [{**primary, "enabled": True, **one} for one in document.get("replicas", [])]
    (chosen,) = [one for one in members if one["region"] == region]
    others = [primary, *(one for one in members if one is not chosen)]
    # The primary key has an alias in any declaration.
    settings = {name: chosen[name] for name in _SETTINGS if name != "alias" or chosen[name]}
    fields = {**document, **settings, "primaryRegion": region, "enabled": chosen["enabled"]}
    return {**fields, "replicas": [_beside(fields, one) for one in others]}


_SETTINGS = ("alias", "description", "tags", "policy")


def _beside(fields: Declaration, member: Declaration) -> Declaration:
    """Return a key's settings as those of a replica: without what is the same as the primary's."""
    return {
        name: value
        for name, value in member.items()
        if name not in _SETTINGS or (value or None) != (fields[name] or None)
    }


def names_of(values: Values) -> list[str]:
    """Name the form's fields in the order of the page."""
    prefixes = ["", *(f"replicas[{index}]." for index in range(replica_count(values)))]
    regions = ["primaryRegion", *(f"{prefix}region" for prefix in prefixes[1:])]
    texts = [name for name in _TEXTS if name != "primaryRegion"]
    settings = [f"{prefix}{name}" for prefix in prefixes for name in _FIELDS]
    tags = [
        f"{prefix}tags[{row}].{part}"
        for prefix in prefixes
        for row in range(tag_rows(values, prefix))
        for part in ("key", "value")
    ]
    last = [f"rotation{CHOICE}", *_NUMBERS, "ticket"]
    return list(dict.fromkeys([*regions, *texts, *settings, *tags, *last]))


_FIELDS = (
    *("alias", "description", "enabled", f"policy{CHOICE}", "policy.administrators"),
    *("policy.users", "policy.document"),
)
