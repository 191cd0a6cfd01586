"""Makes sure that one Region's key has its alias, description, tags, policy and rotation."""

import json

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.new_keys import may_be_new, may_lack_our_tag
from provisioner.domain import policy_meaning
from provisioner.domain.plan import ROTATION, STACK_TAG, KeyPlan, Names, region_of
from provisioner.errors import (
    AliasInUse,
    AliasNotVisible,
    KeyPolicyRefused,
    PolicyPrincipalGone,
)


def ensure_settings(
    client: KMSClient,
    plan: KeyPlan,
    key_arn: str,
    *,
    fresh: bool,
    superseded: Names | None,
    metadata: kms.Metadata | None = None,
) -> None:
    """Bring a key to the settings of its Region.

    A fresh key got description, tags and policy with the call that made it and needs its alias and
    rotation only. On an older one everything is read, compared, and written where it differs. What
    earlier contents of the request asked for and this one does not is taken away, aliases last, so
    that the key always has a name. Aliases, tags and rotation that the request never named stay:
    organisations put their own on keys.

    Parameters
    ----------
    client
        KMS client of the key's own Region.
    superseded
        What earlier contents asked for on this key and this one does not, if anything.
    metadata
        KMS's KeyMetadata of the key, where it has just been read.

    Raises
    ------
    AliasInUse
        The alias points to another key; it stays where it is.
    AliasNotVisible
        The alias exists and KMS does not show its key: call again.
    KeyTagMissing
        The key does not have the stack's tag any more, so KMS denied a call.
    PolicyPrincipalGone
        KMS refuses the policy, and a principal of the one that the key has was deleted.
    KmsError
        KMS refused a call or did not answer.
    """
    with (
        may_lack_our_tag(key_arn, plan.tags[STACK_TAG], lambda: kms.read_tags(client, key_arn)),
        may_be_new(client, key_arn),
    ):
        if not fresh:
            _ensure_description(client, plan, metadata or kms.describe_key(client, key_arn))
            _ensure_tags(client, plan, key_arn, superseded)
            _ensure_policy(client, plan, key_arn)
        if plan.rotation:
            ensure_rotation(client, plan.rotation["periodInDays"], key_arn, fresh=fresh)
        if plan.alias:
            ensure_alias(client, plan.alias, key_arn)
        if superseded and not fresh:
            _take_away(client, superseded, key_arn)


def _ensure_description(client: KMSClient, plan: KeyPlan, metadata: kms.Metadata) -> None:
    if metadata.get("Description", "") != plan.description:
        arn = metadata["Arn"]
        kms.write(client, "UpdateKeyDescription", KeyId=arn, Description=plan.description)


def _ensure_tags(client: KMSClient, plan: KeyPlan, key_arn: str, superseded: Names | None) -> None:
    present = kms.read_tags(client, key_arn)
    # First, as a key has at most 50.
    if old := [key for key in (superseded or {}).get("tags", []) if key in present]:
        kms.write(client, "UntagResource", KeyId=key_arn, TagKeys=old)
    missing = {key: value for key, value in plan.tags.items() if present.get(key) != value}
    if missing:
        kms.write_tags(client, key_arn, missing)


def _ensure_policy(client: KMSClient, plan: KeyPlan, key_arn: str) -> None:
    found, partition = kms.read_policy(client, key_arn), key_arn.split(":")[1]
    if not policy_meaning.text_means(found, plan.policy, partition=partition):
        try:
            kms.write_policy(client, key_arn, plan.policy)
        except KeyPolicyRefused as error:
            gone = _gone_principals(found)
            if not gone:
                raise
            raise PolicyPrincipalGone(
                f"{error.what_happened} The policy that the key {key_arn} in {plan.region} has "
                f"shows the IDs of principals that were deleted: {', '.join(gone)}."
            ) from error


def _gone_principals(policy: str) -> list[str]:
    try:
        return policy_meaning.gone_principals(json.loads(policy))
    except ValueError:
        return []


def ensure_rotation(client: KMSClient, period: int, key_arn: str, *, fresh: bool) -> None:
    """Set how often a primary key rotates, in days; setting it again would move the next date.

    https://docs.aws.amazon.com/kms/latest/developerguide/rotating-keys-enable.html

    Raises
    ------
    KmsError
        KMS refused a call or did not answer.
    """
    if fresh or kms.read_rotation_period(client, key_arn) != period:
        kms.write(client, "EnableKeyRotation", KeyId=key_arn, RotationPeriodInDays=period)


def ensure_alias(client: KMSClient, alias: str, key_arn: str) -> None:
    """Make sure that an alias points to a key; one that points elsewhere stays.

    Raises
    ------
    AliasInUse
        The alias points to another key.
    AliasNotVisible
        The alias exists and KMS does not show its key: call again.
    KmsError
        KMS refused a call or did not answer.
    """
    if kms.create_alias(client, alias, key_arn) or alias in kms.read_aliases(client, key_arn):
        return
    # Either another key has it, or this one since a moment ago: the SDK sends a call again whose
    # answer is lost, and KMS may not show yet what the first one did.
    owner = kms.find_alias(client, alias)
    if owner is None:
        raise AliasNotVisible(
            f"{alias} in {region_of(key_arn)} exists, and KMS does not show which key has it. To "
            f"see whose it is: aws kms list-aliases --region {region_of(key_arn)}."
        )
    if owner != key_arn:
        raise AliasInUse(f"{alias} in {region_of(key_arn)} points to {owner}.")


def _take_away(client: KMSClient, superseded: Names, key_arn: str) -> None:
    if ROTATION in superseded["settings"] and kms.read_rotation_period(client, key_arn):
        kms.write(client, "DisableKeyRotation", KeyId=key_arn)
    if superseded["aliases"]:
        free_aliases(client, superseded["aliases"], key_arn)


def free_aliases(client: KMSClient, aliases: list[str], key_arn: str) -> None:
    """Delete those of these aliases that point to a key; others stay where they are.

    Raises
    ------
    KmsError
        KMS refused a call or did not answer.
    """
    for alias in sorted({*aliases} & {*kms.read_aliases(client, key_arn)}):
        kms.delete_alias(client, alias)
