"""What one request means in each Region: alias, description, tags and key policy of every key.

A request travels through the workflow as the plain JSON that `request.parse_request` returns. A
replica in it holds only what the caller gave for that Region, so that the request stays small; this
module resolves the rest.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, TypeIs

from provisioner.domain import key_policy
from provisioner.domain.key_specs import (
    KeySpec,
    KeyUsageName,
    Origin,
    OriginName,
    WrappingAlgorithmName,
    WrappingKeySpec,
)
from provisioner.json_text import JsonObject
from provisioner.settings import Settings

REQUEST_ID_PATTERN = "[A-Za-z0-9_-]{1,80}"
REQUEST_ID_TAG = "mrk:request-id"
STACK_TAG = "mrk:stack"
ATTEMPT_TAG = "mrk:attempt"
OWN_TAGS = (REQUEST_ID_TAG, STACK_TAG, ATTEMPT_TAG)
OWN_TAG_PREFIX = "mrk:"
REVISIONS = range(1, 1_000_000_001)
DECOMMISSIONED = "DECOMMISSIONED"
DELETION_WINDOW_DAYS = 30
_NO_CONTENT = (
    "confirm",
    "deletionWindowInDays",
    "keyMaterial",
    "onFailure",
    "revision",
    "ticket",
)
_USUAL = {"enabled": True, "desiredState": "ACTIVE"}
"""What is the same content as the field left out, as it is in requests from before it existed."""


class PolicyRequest(TypedDict):
    """Either `document`, or `administrators` and `users`; the others are absent."""

    administrators: NotRequired[list[str]]
    users: NotRequired[list[str]]
    document: NotRequired[key_policy.Policy]


class Rotation(TypedDict):
    """Automatic rotation; the period is in days."""

    periodInDays: int


class Expiry(TypedDict):
    """Whether imported key material expires, and when: ISO 8601 in UTC, or None."""

    expires: bool
    validTo: str | None


class KeyMaterial(Expiry):
    """How imported key material comes in; the deadline counts from each time it is asked for."""

    wrappingAlgorithm: WrappingAlgorithmName
    wrappingKeySpec: WrappingKeySpec
    deadlineInDays: int


class ReplicaRequest(TypedDict):
    """One replica key. A field left out is the primary's; `None` is none.

    `enabled` is each key's own, and True where it is left out.
    """

    region: str
    alias: NotRequired[str | None]
    description: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    policy: NotRequired[PolicyRequest | None]
    keyMaterial: NotRequired[Expiry | None]
    enabled: NotRequired[bool]


class KeyKind(TypedDict):
    """What a key keeps for ever."""

    keySpec: KeySpec
    keyUsage: KeyUsageName
    origin: OriginName


class KeySetRequest(TypedDict):
    """A valid request with its defaults filled in; see "The request" in README.md.

    `enabled` (True), `desiredState` (ACTIVE), `deletionWindowInDays` (30) and `confirm` (empty) are
    there only where they differ from their defaults: `is_enabled` and the like read them.
    """

    requestId: str
    primaryRegion: str
    keySpec: KeySpec
    keyUsage: KeyUsageName
    origin: OriginName
    alias: str
    description: str
    tags: dict[str, str]
    policy: PolicyRequest | None
    rotation: Rotation | None
    keyMaterial: NotRequired[KeyMaterial | None]
    replicas: list[ReplicaRequest]
    onFailure: str
    revision: NotRequired[int]
    enabled: NotRequired[bool]
    desiredState: NotRequired[str]
    deletionWindowInDays: NotRequired[int]
    confirm: NotRequired[list[str]]
    ticket: JsonObject | None


class KeyFacts(TypedDict):
    """One key that exists, as events and statuses show it.

    `alias` is None until it is known to point to the key; `keyState` is None until it is read.
    `validTo` is there for imported key material only, and None where that does not expire.
    """

    region: str
    arn: str
    alias: str | None
    keyState: str | None
    validTo: NotRequired[str | None]


class MadeKey(TypedDict):
    """A key as a step hands it on; `fresh` says whether this execution made it."""

    key: KeyFacts
    fresh: bool


class MadePrimaryKey(MadeKey):
    """The primary key; `keyMetadata` is what CreateKey answered, as plain JSON, or None."""

    keyMetadata: JsonObject | None


class KeySetFacts(TypedDict):
    """A key set as far as it exists, as events and statuses show it.

    `keyMetadata` is KMS's KeyMetadata of the primary as plain JSON, once the key set is finished.
    """

    keyId: str
    keySpec: str
    keyUsage: str
    origin: str
    primary: KeyFacts
    replicas: list[KeyFacts]
    keyMetadata: JsonObject | None


ROTATION = "rotation"
Names = dict[str, list[str]]
"""What a request asks for on one key, by name: `aliases`, `tags` (their keys) and `settings`."""
RegionNames = dict[str, Names]


@dataclass(frozen=True)
class KeyPlan:
    """The settings of one key in one Region. KMS shares none of them between Regions.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html#mrk-sync-properties
    """

    region: str
    alias: str | None
    description: str
    tags: dict[str, str]
    policy: key_policy.Policy
    rotation: Rotation | None
    expiry: Expiry | None
    """Of imported key material; None for a key of origin AWS_KMS."""


def plan_key(request: KeySetRequest, region: str, settings: Settings) -> KeyPlan:
    """Resolve the settings of the key that the request wants in a Region.

    Raises
    ------
    KeyError
        The request has no key in that Region.
    """
    is_primary = region == request["primaryRegion"]
    replicas = {replica["region"]: replica for replica in request["replicas"]}
    own: Any = {} if is_primary else replicas[region]
    chosen: Any = {**request, **own}
    return KeyPlan(
        region=region,
        alias=chosen["alias"],
        description=chosen["description"] or "",
        tags={**(chosen["tags"] or {}), **own_tags(request["requestId"], settings)},
        policy=plan_policy(request, chosen["policy"], settings),
        rotation=request["rotation"] if is_primary else None,
        expiry=_expiry(request, chosen.get("keyMaterial")),
    )


def _expiry(request: KeySetRequest, chosen: Expiry | None) -> Expiry | None:
    if request["origin"] != Origin.EXTERNAL:
        return None
    valid_to = chosen["validTo"] if chosen else None
    return {"expires": valid_to is not None, "validTo": valid_to}


def own_tags(request_id: str, settings: Settings) -> dict[str, str]:
    """Tags by which a key is traced to its request and to the stack that made it."""
    return {REQUEST_ID_TAG: request_id, STACK_TAG: settings.stack_name}


def plan_policy(
    request: KeySetRequest, policy: PolicyRequest | None, settings: Settings
) -> key_policy.Policy:
    """Turn what the request says of a key policy into the policy document itself."""
    if policy is None:
        return key_policy.default_policy(settings.partition, settings.account_id)
    if "document" in policy:
        return policy["document"]
    return key_policy.console_policy(
        partition=settings.partition,
        account_id=settings.account_id,
        administrators=policy.get("administrators", []),
        users=policy.get("users", []),
        key_spec=request["keySpec"],
        key_usage=request["keyUsage"],
        origin=request["origin"],
    )


def key_facts(
    kind: KeyKind,
    primary: KeyFacts | None,
    replicas: list[KeyFacts],
    metadata: JsonObject | None = None,
) -> KeySetFacts | None:
    """Say what exists of a key set, as events and statuses do; None where there is no key yet.

    Parameters
    ----------
    kind
        The request, or as much of it.
    metadata
        KMS's KeyMetadata of the primary, once the key set is finished.
    """
    if primary is None:
        return None
    return {
        "keyId": key_id_of(primary["arn"]),
        "keySpec": kind["keySpec"],
        "keyUsage": kind["keyUsage"],
        "origin": kind["origin"],
        "primary": primary,
        "replicas": replicas,
        "keyMetadata": metadata,
    }


def is_request_id(text: object) -> TypeIs[str]:
    """Whether this can be the identity of a request."""
    return isinstance(text, str) and re.fullmatch(REQUEST_ID_PATTERN, text) is not None


def tag_command(key_arn: str, stack_name: str) -> str:
    """Return the command with which a key gets the tag of a stack."""
    return (
        f"aws kms tag-resource --key-id {key_arn} --region {region_of(key_arn)} "
        f"--tags TagKey={STACK_TAG},TagValue={stack_name}"
    )


def region_of(key_arn: str) -> str:
    """Return the Region of a key."""
    return key_arn.split(":")[3]


def key_id_of(key_arn: str) -> str:
    """Return the ID of a key, which all keys of a multi-Region key set share."""
    return key_arn.rsplit("/", 1)[1]


def arn_in(region: str, key_arn: str) -> str:
    """Return the ARN that a multi-Region key has in a Region: its key ID is the same everywhere."""
    parts = key_arn.split(":")
    return ":".join([*parts[:3], region, *parts[4:]])


def unread_key(key_arn: str) -> KeyFacts:
    """Return what is known of a key that was not read: where it is, and no more."""
    return {"region": region_of(key_arn), "arn": key_arn, "alias": None, "keyState": None}


def regions(request: KeySetRequest) -> list[str]:
    """List the Regions of the key set, the primary's first."""
    return [request["primaryRegion"], *(replica["region"] for replica in request["replicas"])]


def names_by_region(request: KeySetRequest) -> RegionNames:
    """Name the alias, the tags and the rotation that a request asks for, in each of its Regions."""
    members: list[Any] = [{"region": request["primaryRegion"]}, *request["replicas"]]
    names: RegionNames = {
        member["region"]: {
            "aliases": [alias] if (alias := member.get("alias", request["alias"])) else [],
            "tags": [*(member.get("tags", request["tags"]) or {})],
            "settings": [],
        }
        for member in members
    }
    if request["rotation"]:
        names[request["primaryRegion"]]["settings"] = [ROTATION]
    return names


def is_enabled(request: KeySetRequest, region: str) -> bool:
    """Whether the request wants the key in one of its Regions to be enabled.

    Raises
    ------
    KeyError
        The request has no key in that Region.
    """
    if region == request["primaryRegion"]:
        return request.get("enabled", True)
    replicas = {replica["region"]: replica for replica in request["replicas"]}
    return replicas[region].get("enabled", True)


def is_decommissioned(request: KeySetRequest) -> bool:
    """Whether the request wants every key of the set to be scheduled for deletion."""
    return request.get("desiredState") == DECOMMISSIONED


def deletion_window(request: KeySetRequest) -> int:
    """Return for how many days a key waits for its deletion that the request removes."""
    return request.get("deletionWindowInDays", DELETION_WINDOW_DAYS)


def confirmed_words(request: KeySetRequest) -> list[str]:
    """Return the words by which the request confirms what can hurt."""
    return request.get("confirm", [])


def revision_of(request: KeySetRequest) -> int:
    """Return the number of a request's revision; the first is 1, also where none is written."""
    return request.get("revision", 1)


def content_hash(request: KeySetRequest) -> str:
    """Fingerprint of what is asked, the same however the JSON was written; SHA-256 in hex.

    What says nothing of the keys is no part of it: `ticket`, `onFailure`, `revision`, `confirm`,
    `deletionWindowInDays` and the order of the replicas. Nor is how key material comes in and when
    it expires: a request that is sent again with a later `validTo` is the same request and renews
    the material. Numbers count as JSONata has them, which is as doubles: Step Functions may hand
    1.0 on as 1, and that is no other content.
    """
    replicas = [_content(replica) for replica in _replicas_by_region(request)]
    asked = {**_content(request), "replicas": replicas}
    return fingerprint(asked)


def fingerprint(value: object) -> str:
    """Fingerprint of JSON, the same however it was written; SHA-256 in hex.

    What is nested more deeply than can be read has the fingerprint of nothing.
    """
    try:
        text = json.dumps(_with_doubles(value), sort_keys=True)
    except RecursionError:
        text = ""
    return hashlib.sha256(text.encode()).hexdigest()


def material_terms(request: KeySetRequest) -> list[Expiry | None]:
    """Say when the imported key material is to expire: the primary's, then each Region's by name.

    The order of the replicas makes no difference, as for `content_hash`.
    """
    shared = request.get("keyMaterial")
    own = [replica.get("keyMaterial", shared) for replica in _replicas_by_region(request)]
    return [_expiry(request, chosen) for chosen in (shared, *own)]


def expiry_by_region(request: KeySetRequest) -> dict[str, Expiry | None]:
    """Return when the imported key material of each Region is to expire."""
    shared = request.get("keyMaterial")
    own = {one["region"]: one.get("keyMaterial", shared) for one in request["replicas"]}
    chosen = {request["primaryRegion"]: shared, **own}
    return {region: _expiry(request, one) for region, one in chosen.items()}


def _with_doubles(value: object) -> object:
    if isinstance(value, dict):
        return {name: _with_doubles(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_doubles(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        double = float(value)
    except OverflowError:  # No double is so large.
        return value
    return int(double) if double.is_integer() else double


def _replicas_by_region(request: KeySetRequest) -> list[ReplicaRequest]:
    return sorted(request["replicas"], key=lambda replica: replica["region"])


def _content(holder: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in holder.items()
        if name not in _NO_CONTENT and (name not in _USUAL or value != _USUAL[name])
    }
