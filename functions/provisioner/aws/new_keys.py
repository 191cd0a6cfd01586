"""Distinguishes denials by their cause: a key whose tags do not count yet, or that lost ours.

The stack's roles may act only on keys that carry its tag, and it can take up to five minutes until
the tags of a key count in authorisation.
https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.clock import now
from provisioner.domain.plan import STACK_TAG, region_of, tag_command
from provisioner.errors import (
    DependencyUnavailable,
    KeyTagMissing,
    KeyTagsNotInEffect,
    KmsAccessDenied,
)

# Five minutes, and one for the clocks and for the last retry.
_NEW_FOR = timedelta(minutes=6)
# How IAM's messages name a Deny, which no missing tag of the stack's is the reason of.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_DENY = "explicit deny"


@contextmanager
def may_be_new(client: KMSClient, key_arn: str) -> Iterator[None]:
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


@contextmanager
def may_lack_our_tag(
    key_arn: str, stack_name: str, read_tags: Callable[[], dict[str, str]]
) -> Iterator[None]:
    """Raise `KeyTagMissing` in the place of `KmsAccessDenied` where the key lacks the stack's tag.

    Parameters
    ----------
    read_tags
        Returns the tags of the key; called after a denial only.

    Raises
    ------
    KeyTagMissing
        KMS denied a call on the key, which does not have the tag, or has another stack's.
    KmsError
        KMS denied a call for another reason, or by a Deny; or the tags are not to be read.
    """
    try:
        yield
    except KmsAccessDenied as denial:
        if _DENY in denial.what_happened:
            raise
        try:
            tags = read_tags()
        except (KmsAccessDenied, DependencyUnavailable):
            raise denial from None
        if tags.get(STACK_TAG) == stack_name:
            raise
        shown = f"has {tags[STACK_TAG]} in the tag" if STACK_TAG in tags else "lacks the tag"
        raise KeyTagMissing(
            f"{key_arn} in {region_of(key_arn)} {shown} {STACK_TAG}, without which this stack may "
            f"not change the key. To put it back: {tag_command(key_arn, stack_name)}. "
            f"{denial.what_happened}"
        ) from denial


def _age(client: KMSClient, key_arn: str) -> timedelta | None:
    """Return how old a key is, or None where the caller may not know."""
    try:
        created = now() - kms.describe_key(client, key_arn)["CreationDate"]
    except KmsAccessDenied:
        return None
    return max(created, timedelta(0))
