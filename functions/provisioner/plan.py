"""What one request means in each Region: alias, description, tags and key policy of every key.

A request travels through the workflow as the plain JSON that `request.parse_request` gives. A
replica in it holds only what the caller gave for that Region, so that the request stays small; this
module resolves the rest.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, TypeIs

from provisioner import key_policy
from provisioner.settings import Settings

REQUEST_ID_PATTERN = "[A-Za-z0-9_-]{1,80}"
REQUEST_ID_TAG = "mrk:request-id"
STACK_TAG = "mrk:stack"
ATTEMPT_TAG = "mrk:attempt"
OWN_TAGS = (REQUEST_ID_TAG, STACK_TAG, ATTEMPT_TAG)
OWN_TAG_PREFIX = "mrk:"


class PolicyRequest(TypedDict):
    """Either `document`, or `administrators` and `users`; the others are absent."""

    administrators: NotRequired[list[str]]
    users: NotRequired[list[str]]
    document: NotRequired[dict[str, Any]]


class Rotation(TypedDict):
    """Automatic rotation; the period is in days."""

    periodInDays: int


class ReplicaRequest(TypedDict):
    """One replica key. A field left out is the primary's; `None` is none."""

    region: str
    alias: NotRequired[str | None]
    description: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    policy: NotRequired[PolicyRequest | None]


class KeySetRequest(TypedDict):
    """A valid request with its defaults filled in; see "The request" in README.md."""

    requestId: str
    primaryRegion: str
    keySpec: str
    keyUsage: str
    origin: str
    alias: str
    description: str
    tags: dict[str, str]
    policy: PolicyRequest | None
    rotation: Rotation | None
    replicas: list[ReplicaRequest]
    onFailure: str
    ticket: dict[str, Any] | None


class KeyFacts(TypedDict):
    """One key that exists, as events and statuses show it.

    `alias` is None until it is known to point to the key; `keyState` is None until it is read.
    """

    region: str
    arn: str
    alias: str | None
    keyState: str | None


@dataclass(frozen=True)
class KeyPlan:
    """The settings of one key in one Region. KMS shares none of them between Regions.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html#mrk-sync-properties
    """

    region: str
    alias: str | None
    description: str
    tags: dict[str, str]
    policy: dict[str, Any]
    rotation: Rotation | None


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
    )


def own_tags(request_id: str, settings: Settings) -> dict[str, str]:
    """Tags by which a key is traced to its request and to the stack that made it."""
    return {REQUEST_ID_TAG: request_id, STACK_TAG: settings.stack_name}


def plan_policy(
    request: KeySetRequest, policy: PolicyRequest | None, settings: Settings
) -> dict[str, Any]:
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


def is_request_id(text: object) -> TypeIs[str]:
    """Whether this can be the identity of a request."""
    return isinstance(text, str) and re.fullmatch(REQUEST_ID_PATTERN, text) is not None


def regions(request: KeySetRequest) -> list[str]:
    """List the Regions of the key set, the primary's first."""
    return [request["primaryRegion"], *(replica["region"] for replica in request["replicas"])]


def content_hash(request: KeySetRequest) -> str:
    """Fingerprint of what is asked, the same however the JSON was written; SHA-256 in hex."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
