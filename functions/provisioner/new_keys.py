"""Distinguishes a denial that may pass, on a key made minutes ago, from one that stays.

The stack's roles may act only on keys that carry its tag, and it can take up to five minutes until
the tags of a key count in authorisation.
https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from provisioner import kms
from provisioner.clock import now
from provisioner.errors import KeyTagsNotInEffect, KmsAccessDenied

# Five minutes, and one for the clocks and for the last retry.
_NEW_FOR = timedelta(minutes=6)
# How IAM's messages name a Deny, which no missing tag of the stack's is the reason of.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_DENY = "explicit deny"


@contextmanager
def may_be_new(client: Any, key_arn: str) -> Iterator[None]:
    """Raise `KeyTagsNotInEffect` in the place of `KmsAccessDenied` where the key is that new.

    Parameters
    ----------
    client
        KMS client of the key's own Region.

    Raises
    ------
    KeyTagsNotInEffect
        KMS denied a call on the key, which its tags may allow soon.
    KmsError
        KMS denied a call on an older key, or denied it by a Deny; or the key's age is not known.
    """
    try:
        yield
    except KmsAccessDenied as denial:
        if _DENY in denial.what_happened or (age := _age(client, key_arn)) is None:
            raise
        if age > _NEW_FOR:
            raise
        raise KeyTagsNotInEffect(
            f"{denial.what_happened} {key_arn} is {age.seconds} seconds old, and its tags may not "
            "count in authorisation yet."
        ) from denial


def _age(client: Any, key_arn: str) -> timedelta | None:
    """Return how old a key is, or None where the caller may not know."""
    try:
        created: timedelta = now() - kms.describe_key(client, key_arn)["CreationDate"]
    except KmsAccessDenied:
        return None
    return max(created, timedelta(0))
