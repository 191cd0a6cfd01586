"""What each field of a document from outside is, in a sentence for whoever got it wrong.

A field has the same meaning wherever its name stands, so there is one sentence for each name.
"""

import json
from collections.abc import Iterable
from difflib import get_close_matches

FIELD_TEXTS = {
    "administrators": "administrators is a list of ARNs of IAM principals.",
    "alias": "An alias is `alias/` and letters, digits, `/`, `_`, `-`: at most 256 characters.",
    "comment": "A comment is a text of at most 1,024 characters.",
    "confirm": (
        "confirm is a list of words: PROMOTE, REMOVE, DISABLE, RESTORE or MOVE_ALIAS with a "
        "Region, such as REMOVE:eu-west-1, or DECOMMISSION."
    ),
    "contentHash": "contentHash is the hash of what waits; the request's status shows it.",
    "deadlineInDays": "deadlineInDays is a whole number from 1 to 30.",
    "decision": "decision is APPROVE or REFUSE.",
    "deletionWindowInDays": "deletionWindowInDays is a whole number from 7 to 30.",
    "description": "A description is a text of at most 8,192 characters.",
    "desiredState": "desiredState is ACTIVE or DECOMMISSIONED.",
    "document": "document is a key policy: an object with Version and Statement.",
    "enabled": "enabled is true or false.",
    "encryptedKeyMaterial": "encryptedKeyMaterial is base64 of at most 8,192 characters.",
    "expires": "expires is true or false.",
    "importToken": "importToken is base64 of at most 8,192 characters.",
    "keyMaterial": 'keyMaterial is an object such as {"validTo": "2027-01-31T00:00:00Z"}.',
    "keySpec": "keySpec is a text such as SYMMETRIC_DEFAULT.",
    "keyUsage": ("keyUsage is ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC or KEY_AGREEMENT."),
    "materials": (
        "materials is a list of one or more objects with region, importToken and "
        "encryptedKeyMaterial."
    ),
    "onFailure": "onFailure is RETAIN or ROLL_BACK.",
    "operation": "operation is REPAIR, ROTATE, ROTATE_MATERIAL or RELEASE.",
    "operationId": "An operationId is 1 to 80 letters, digits, `_` and `-`.",
    "origin": "origin is AWS_KMS or EXTERNAL.",
    "periodInDays": "periodInDays is a whole number from 90 to 2,560.",
    "policy": "policy is an object with administrators and users, or with document.",
    "primaryRegion": "primaryRegion is the name of a Region, such as us-east-1.",
    "region": "region is the name of a Region, such as eu-west-1.",
    "replicas": 'replicas is a list of objects such as {"region": "eu-west-1"}.',
    "requestId": "A requestId is 1 to 80 letters, digits, `_` and `-`.",
    "revision": "revision is a whole number, 1 or more.",
    "rotation": 'rotation is an object such as {"periodInDays": 365}.',
    "tags": (
        'tags is an object such as {"team": "payments"}: keys have 1 to 128 characters, and values '
        "are texts of at most 256."
    ),
    "ticket": 'ticket is an object such as {"id": "CHG0031337"}.',
    "users": "users is a list of ARNs of IAM principals.",
    "validTo": "validTo is a time such as 2027-01-31T00:00:00Z, with its time zone.",
    "wrappingAlgorithm": ("wrappingAlgorithm is RSAES_OAEP_SHA_256 or RSA_AES_KEY_WRAP_SHA_256."),
    "wrappingKeySpec": "wrappingKeySpec is RSA_2048, RSA_3072 or RSA_4096.",
}
_NEVER_QUOTED = {"document", "encryptedKeyMaterial", "importToken", "materials", "policy", "ticket"}
_QUOTED_CHARACTERS = 40


def wrong(name: str, given: object) -> str:
    """Say what a field is, and what was given in its place where that can be shown."""
    text = FIELD_TEXTS[name]
    if name in _NEVER_QUOTED:
        return text
    return f"{text.removesuffix('.')}; {shown(given)} is not."


def too_long(name: str, given: object) -> str:
    """Say what a field is, and how long the text is that was given."""
    return f"{FIELD_TEXTS[name]} This one has {len(str(given)):,} characters."


def missing(name: str) -> str:
    """Say that a field is required, and what it is."""
    return f"This field is required. {FIELD_TEXTS[name]}"


def unknown(name: object, known: Iterable[str]) -> str:
    """Say that there is no such field, and which one may be meant."""
    if meant := nearest(str(name), known):
        return f"There is no such field. Perhaps {meant} is meant."
    return "There is no such field; check its spelling."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, if any is."""
    by_lower_case = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower_case, n=1)
    return by_lower_case[found[0]] if found else None


def shown(given: object) -> str:
    """Write what a caller gave so that it is short and cannot break a sentence."""
    if isinstance(given, dict | list):
        return "an object" if isinstance(given, dict) else "a list"
    text = json.dumps(given)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}..."
