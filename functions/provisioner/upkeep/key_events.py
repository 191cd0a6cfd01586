"""Reads events about KMS keys: which keys and aliases they are about, who caused them, and when.

An event says that a key may have changed, never what it is now: events are lost, come late, twice
and in any order. So every event leads to the same thing, a look at the key set, and what else it
says only names who may have caused what is found.
https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-kms.html
https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from provisioner.domain.drift import Difference
from provisioner.json_text import Json, JsonObject

SOURCE = "aws.kms"
BY_CLOUDTRAIL = "AWS API Call via CloudTrail"
CALLS: Mapping[str, str] = {
    "CancelKeyDeletion": "keyState",
    "CreateAlias": "alias",
    "DeleteAlias": "alias",
    "DeleteImportedKeyMaterial": "keyMaterial",
    "DisableKey": "keyState",
    "DisableKeyRotation": "rotation",
    "EnableKey": "keyState",
    "EnableKeyRotation": "rotation",
    "ImportKeyMaterial": "keyMaterial",
    "PutKeyPolicy": "policy",
    "ReplicateKey": "region",
    "ScheduleKeyDeletion": "keyState",
    "TagResource": "tags",
    "UntagResource": "tags",
    "UpdateAlias": "alias",
    "UpdateKeyDescription": "description",
    "UpdatePrimaryRegion": "primaryRegion",
}
"""The calls that change what is declared, each with the property that it changes.

A rotation on demand changes nothing of that. CreateKey is seen where a replica key is made, beside
ReplicateKey in the Region of its primary key.
"""
OWN_EVENTS: Mapping[str, str] = {
    "KMS CMK Deletion": "region",
    "KMS Imported Key Material Expiration": "keyMaterial",
}
"""What KMS itself reports of what it did, without a trail, and the property that has changed."""
PATTERN: JsonObject = {
    "source": [SOURCE],
    "detail-type": [BY_CLOUDTRAIL, *OWN_EVENTS],
    # KMS's own events have neither. Calls that failed have changed nothing.
    "detail": {"eventName": [{"exists": False}, *CALLS], "errorCode": [{"exists": False}]},
}
"""What the rules of every Region let through; template.yaml and template-region.yaml repeat it."""
_MULTI_REGION = "mrk-"
_ALIAS = "alias/"


class KeyEvent(TypedDict):
    """An event, as far as it matters; plain JSON.

    `name` is the call, or the detail type of KMS's own event. `keyIds` are those of multi-Region
    keys. `tags` are keys of tags. `arn` is who called, `role` the name of the role that they used;
    None where nobody did or it is not known. `at` is ISO 8601.
    """

    region: str
    name: str
    keyIds: list[str]
    aliases: list[str]
    tags: list[str]
    replicaRegion: str | None
    arn: str | None
    role: str | None
    at: str
    eventId: str


def read_event(document: Json) -> KeyEvent | None:
    """Read an event of EventBridge; None where it can be about no key of a key set."""
    try:
        event = _from_cloudtrail(document) if _is_a_call(document) else _from_kms(document)
    except (KeyError, TypeError, AttributeError):
        return None
    return event if event["keyIds"] or event["aliases"] else None


def cause_of(difference: Difference, events: Iterable[KeyEvent]) -> KeyEvent | None:
    """Return the last event that may have caused a difference, if any is known."""
    fitting = [event for event in events if _fits(event, difference)]
    return max(fitting, key=lambda event: event["at"], default=None)


def _is_a_call(document: Json) -> bool:
    return bool(document["detail-type"] == BY_CLOUDTRAIL)


def _from_cloudtrail(document: Json) -> KeyEvent:
    detail = document["detail"]
    asked, answered = detail.get("requestParameters") or {}, detail.get("responseElements") or {}
    who = detail.get("userIdentity") or {}
    names = [
        *(asked.get(name) for name in ("keyId", "targetKeyId", "aliasName")),
        answered.get("keyId"),
        *(resource.get("ARN") for resource in detail.get("resources") or []),
    ]
    listed = [*(asked.get("tags") or []), *(asked.get("tagKeys") or [])]
    issuer = (who.get("sessionContext") or {}).get("sessionIssuer") or {}
    return {
        "region": detail["awsRegion"],
        "name": detail["eventName"],
        "keyIds": [*dict.fromkeys(_key_ids(names))],
        "aliases": [*dict.fromkeys(_aliases(names))],
        "tags": [tag["tagKey"] if isinstance(tag, dict) else tag for tag in listed],
        "replicaRegion": asked.get("replicaRegion"),
        "arn": who.get("arn"),
        "role": issuer.get("userName"),
        "at": detail["eventTime"],
        "eventId": detail["eventID"],
    }


def _from_kms(document: Json) -> KeyEvent:
    return {
        "region": document["region"],
        "name": document["detail-type"],
        "keyIds": [*_key_ids([document["detail"]["key-id"]])],
        "aliases": [],
        "tags": [],
        "replicaRegion": None,
        "arn": None,
        "role": None,
        "at": document["time"],
        "eventId": document["id"],
    }


def _key_ids(names: Iterable[str | None]) -> Iterator[str]:
    """Find the IDs of multi-Region keys among IDs and ARNs: no other key is of a key set."""
    for name in names:
        key_id = (name or "").rpartition("key/")[2]
        if key_id.startswith(_MULTI_REGION):
            yield key_id


def _aliases(names: Iterable[str | None]) -> Iterator[str]:
    for name in names:
        if (name or "").startswith(_ALIAS):
            yield str(name)
        elif name and f":{_ALIAS}" in name:
            yield _ALIAS + name.partition(f":{_ALIAS}")[2]


def _fits(event: KeyEvent, difference: Difference) -> bool:
    what, _, detail = difference["property"].partition(".")
    caused = CALLS.get(event["name"]) or OWN_EVENTS.get(event["name"])
    if caused != what:
        return False
    if what == "primaryRegion":
        return True
    if event["name"] == "ReplicateKey":
        return bool(event["replicaRegion"] == difference["to"])
    if event["region"] != difference["region"]:
        return False
    if what == "tags":
        return detail in event["tags"]
    return what != "alias" or difference["from"] in event["aliases"]
