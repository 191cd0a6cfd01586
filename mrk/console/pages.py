"""What the pages show of a form and of a status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mrk.console import form
from mrk.console.form import Declaration, Problem, Values

STATUSES = (
    *("IN_PROGRESS", "WAITING_FOR_MATERIAL", "WAITING_FOR_APPROVAL", "CREATED", "REJECTED"),
    *("FAILED", "UPDATED", "UPDATE_FAILED", "DECOMMISSIONED"),
)
CORRECTABLE = ("FAILED", "REJECTED", "UPDATE_FAILED")
"""Where the same revision may be sent again with other content."""
_GOING_ON = STATUSES[:3]

WORDS = {
    "IN_PROGRESS": "In progress",
    "WAITING_FOR_MATERIAL": "Waiting for key material",
    "WAITING_FOR_APPROVAL": "Waiting for approval",
    "CREATED": "Created",
    "REJECTED": "Rejected",
    "FAILED": "Failed",
    "UPDATED": "Updated",
    "UPDATE_FAILED": "Update failed",
    "DECOMMISSIONED": "Decommissioned",
    "FINISHED": "Finished",
    "REPAIR": "Repair",
    "ROTATE": "Rotate now",
    "ROTATE_MATERIAL": "Import new key material",
    "RELEASE": "Release",
    "ADOPT": "Adopt",
}
"""How statuses and operations read for people."""

_OPERATIONS = {
    "REPAIR": "Make the keys in KMS as they are declared again.",
    "ROTATE": "Let KMS make new key material now, once.",
    "ROTATE_MATERIAL": "Ask for new key material, import it in every Region, and rotate to it.",
    "RELEASE": "Stop managing the key set. The keys stay as they are; only our own tags go.",
}


@dataclass(frozen=True)
class Form:
    """The form as it is filled in, with its problems at their fields."""

    values: Values
    base: Declaration
    """What is changed; empty for a new key set."""
    problems: list[Problem] = field(default_factory=list)
    focus: str = ""
    """The field that has the keyboard when the page opens."""

    @property
    def is_change(self) -> bool:
        """Whether the key set exists, so that what a key keeps for ever is fixed."""
        return bool(self.base.get("revision", 1) != 1)

    @property
    def replicas(self) -> list[str]:
        """List the prefixes of the replicas' fields."""
        return [f"replicas[{index}]." for index in range(form.replica_count(self.values))]

    @property
    def members(self) -> list[str]:
        """List the prefixes of all keys' fields, the primary's first."""
        return ["", *self.replicas]

    def value(self, name: str, default: str = "") -> str:
        """Return what a field holds."""
        return self.values.get(name, default)

    def region(self, prefix: str) -> str:
        """Return the Region of the primary (prefix "") or of a replica."""
        return self.values.get(f"{prefix}region" if prefix else "primaryRegion", "")

    def title(self, prefix: str) -> str:
        """Return what the fields of one key are called."""
        region = self.region(prefix)
        if not prefix:
            return f"Primary key, {region}" if region else "Primary key"
        number = int(prefix.removeprefix("replicas[").removesuffix("].")) + 1
        return f"Replica key {number}, {region}" if region else f"Replica key {number}"

    def tag_rows(self, prefix: str) -> range:
        """Return the numbers of the rows of one key's tags."""
        return range(form.tag_rows(self.values, prefix))

    def at(self, name: str) -> list[str]:
        """List the problems of a field."""
        return self._by_name.get(name, [])

    @property
    def by_id(self) -> dict[str, list[str]]:
        """Map the ID of each field that has problems to them."""
        return {form.id_of(name): texts for name, texts in self._by_name.items() if name}

    @property
    def others(self) -> list[str]:
        """List the problems that belong to no field."""
        return self._by_name.get("", [])

    @cached_property
    def summary(self) -> list[tuple[str, str]]:
        """List every problem with the ID of its field, in the order of the page."""
        order = [*form.names_of(self.values), ""]
        return [
            (form.id_of(name), text)
            for name in sorted(self._by_name, key=order.index)
            for text in self._by_name[name]
        ]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names = set(form.names_of(self.values))
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            name = self._tag_field(problem["path"]) or form.field_of(problem["path"], names) or ""
            path = "" if name else f"{problem['path']}: " if problem["path"] else ""
            found.setdefault(name, []).append(f"{path}{problem['message']}")
        return found

    def _tag_field(self, path: str) -> str | None:
        """Return the row of the tag that a path such as `tags.team` names."""
        for prefix in self.members:
            start = f"{prefix}tags."
            if path.startswith(start):
                for row in self.tag_rows(prefix):
                    if self.value(f"{prefix}tags[{row}].key").strip() == path.removeprefix(start):
                        return f"{prefix}tags[{row}].key"
        return None


def goes_on(status: Mapping[str, Any]) -> bool:
    """Whether a status will change without anybody's asking for it."""
    return status["status"] in _GOING_ON or "operation" in status


def said_of(status: Mapping[str, Any]) -> str:
    """Say in a sentence where a request stands, for who listens to the page."""
    done = sum(row["state"] == "Enabled" for row in rows_of(status))
    count = len(rows_of(status))
    return f"{WORDS.get(status['status'], status['status'])}. {done} of {count} keys are enabled."


def rows_of(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the keys of a set, those that are asked for and do not exist yet as well."""
    key, request = status.get("key") or {}, status.get("request") or {}
    primary = [key["primary"]] if key.get("primary") else []
    found = {one["region"]: one for one in [*primary, *key.get("replicas", [])]}
    wanted = [request.get("primaryRegion"), *(r["region"] for r in request.get("replicas", []))]
    regions = dict.fromkeys([*found, *(region for region in wanted if region)])
    first = primary[0]["region"] if primary else request.get("primaryRegion")
    return [
        {
            "region": region,
            "role": "Primary" if region == first else "Replica",
            "arn": found.get(region, {}).get("arn"),
            "alias": found.get(region, {}).get("alias"),
            "state": found.get(region, {}).get("keyState") or "Not there yet",
            "validTo": found.get(region, {}).get("validTo"),
        }
        for region in regions
    ]


def operations_for(status: Mapping[str, Any]) -> dict[str, str]:
    """Map each operation that suits a key set to what it does."""
    request = status.get("request") or {}
    is_there = status["status"] in ("CREATED", "UPDATED", "UPDATE_FAILED")
    if not is_there or goes_on(status) or status.get("releasedAt"):
        return {}
    chosen = ["REPAIR", "RELEASE"]
    if request.get("keySpec") == "SYMMETRIC_DEFAULT":
        chosen.insert(1, "ROTATE" if request.get("origin") == "AWS_KMS" else "ROTATE_MATERIAL")
    return {name: _OPERATIONS[name] for name in chosen}
