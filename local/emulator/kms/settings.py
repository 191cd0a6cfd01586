"""How slow, how late and how strict the emulator's KMS is, and what time it is there.

| over HTTP | environment | default | meaning |
|---|---|---|---|
| `creatingSeconds` | `KMS_CREATING_SECONDS` | 1 | how long a new replica is `Creating` |
| `updatingSeconds` | `KMS_UPDATING_SECONDS` | 0 | how long a promotion is `Updating` |
| `rotatingSeconds` | `KMS_ROTATING_SECONDS` | 0 | how long a rotation on demand takes |
| `propagationSeconds` | `KMS_PROPAGATION_SECONDS` | 0 | how long a new key or alias is not seen |
| `authorizationSeconds` | `KMS_AUTHORIZATION_SECONDS` | 0 | how late tags and aliases count |
| `principalSeconds` | `KMS_PRINCIPAL_SECONDS` | 0 | how long a new role or user is not seen |
| `latencySeconds` | `KMS_LATENCY_SECONDS` | 0 | how long every call takes at least |
| `quotas` | `KMS_QUOTAS` | null | the request quotas |
| `clockShiftSeconds` | `KMS_CLOCK_SHIFT_SECONDS` | 0 | how far KMS's clock is ahead |
| `lockoutSeesTags` | `KMS_LOCKOUT_SEES_TAGS` | false | whether the lockout check sees new tags |
| `rewritesPolicies` | `KMS_REWRITES_POLICIES` | true | whether GetKeyPolicy rewrites a policy |
| `disabledRegions` | `KMS_DISABLED_REGIONS` | [] | Regions that are not enabled, for any service |
| `eventCopies` | `KMS_EVENT_COPIES` | 0 | how often an event about a key comes; 0 is never |
| `eventSeconds` | `KMS_EVENT_SECONDS` | 0 | how late it comes |
| `eventsReordered` | `KMS_EVENTS_REORDERED` | false | whether every second is twice as late |

Values are JSON. Quotas: `null` is none; `{}` is KMS's default rates; `{"CreateKey": 50}` is 50
calls a second of CreateKey and the default rates of the other operations.

Tags and aliases that count late do so in authorisation alone: `labels`. The lockout check asks
whether who gives a key a policy could change it afterwards: whether it sees the tags of a key that
is being made is documented nowhere. How a policy is rewritten: `policy_text`. Which events about
keys there are: `events`.

The environment gives the values at the start; `PUT /_local/kms-settings` changes those it names.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypedDict

_FIELDS = {
    "creatingSeconds": "creating_seconds",
    "updatingSeconds": "updating_seconds",
    "rotatingSeconds": "rotating_seconds",
    "propagationSeconds": "propagation_seconds",
    "authorizationSeconds": "authorization_seconds",
    "principalSeconds": "principal_seconds",
    "latencySeconds": "latency_seconds",
    "quotas": "quotas",
    "clockShiftSeconds": "clock_shift_seconds",
    "lockoutSeesTags": "lockout_sees_tags",
    "rewritesPolicies": "rewrites_policies",
    "disabledRegions": "disabled_regions",
    "eventCopies": "event_copies",
    "eventSeconds": "event_seconds",
    "eventsReordered": "events_reordered",
}


class KmsChanges(TypedDict, total=False):
    """Some of the settings of `KmsSettings`."""

    creating_seconds: float
    updating_seconds: float
    rotating_seconds: float
    propagation_seconds: float
    authorization_seconds: float
    principal_seconds: float
    latency_seconds: float
    quotas: dict[str, float] | None
    clock_shift_seconds: float
    lockout_sees_tags: bool
    rewrites_policies: bool
    disabled_regions: list[str]
    event_copies: int
    event_seconds: float
    events_reordered: bool


@dataclass(frozen=True)
class KmsSettings:
    """The settings; the module's docstring says what each means."""

    creating_seconds: float = 1
    updating_seconds: float = 0
    rotating_seconds: float = 0
    propagation_seconds: float = 0
    authorization_seconds: float = 0
    principal_seconds: float = 0
    latency_seconds: float = 0
    quotas: dict[str, float] | None = None
    clock_shift_seconds: float = 0
    lockout_sees_tags: bool = False
    rewrites_policies: bool = True
    disabled_regions: list[str] = field(default_factory=list)
    event_copies: int = 0
    event_seconds: float = 0
    events_reordered: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the settings under their names over HTTP."""
        return {name: getattr(self, field) for name, field in _FIELDS.items()}

    def changed(self, changes: Any) -> Self:
        """Return the settings with some of them changed, named as over HTTP.

        Raises
        ------
        ValueError
            A name or a value is none of the settings'.
        """
        if not isinstance(changes, dict):
            raise ValueError("The settings must be a JSON object.")  # noqa: TRY004 - what was sent
        for name, value in changes.items():
            if name not in _FIELDS:
                raise ValueError(f"{name} is no setting. There are: {', '.join(_FIELDS)}.")
            if not _CHECKS.get(name, _is_number)(value):
                raise ValueError(f"{name} cannot be {json.dumps(value)}.")
        return replace(self, **{_FIELDS[name]: value for name, value in changes.items()})


def over_http(changes: KmsChanges) -> dict[str, Any]:
    """Return changes under their names over HTTP."""
    names = {field: name for name, field in _FIELDS.items()}
    return {names[field]: value for field, value in changes.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_rates(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(_is_number(r) and r > 0 for r in value.values())


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_CHECKS = {
    "quotas": _is_rates,
    "lockoutSeesTags": _is_flag,
    "rewritesPolicies": _is_flag,
    "disabledRegions": _is_list_of_names,
    "eventCopies": _is_count,
    "eventsReordered": _is_flag,
}


def from_environment(environment: Mapping[str, str] = os.environ) -> KmsSettings:
    """Return the settings that the environment asks for."""
    given = {
        name: json.loads(environment[variable])
        for name, field in _FIELDS.items()
        if (variable := f"KMS_{field.upper()}") in environment
    }
    return KmsSettings().changed(given)


_current = from_environment()


def current() -> KmsSettings:
    """Return the settings that are in force."""
    return _current


def change(changes: Any) -> None:
    """Put settings in force, named as over HTTP; the others stay.

    Raises
    ------
    ValueError
        A name or a value is none of the settings'.
    """
    global _current  # noqa: PLW0603 - a process serves one KMS
    _current = _current.changed(changes)


def now() -> float:
    """Return the time on KMS's clock, in seconds since the epoch, to the millisecond."""
    return round(time.time() + _current.clock_shift_seconds, 3)
