"""Changes the settings of one Region's key: tags, description, key policy, rotation, aliases."""

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.new_keys import may_be_new, may_lack_our_tag
from provisioner.change.work import Calls, Work
from provisioner.creation.key_settings import ensure_alias, ensure_rotation, free_aliases
from provisioner.domain.plan import STACK_TAG, KeyPlan


def apply_settings(client: KMSClient, plan: KeyPlan, work: Work) -> None:
    """Make the calls of a Region's work, and no others; all are safe to make again.

    What makes room or takes away comes before what needs the room: a key has at most 50 tags. An
    old alias goes last, so that the key always has a name.

    Parameters
    ----------
    client
        KMS client of the key's own Region.
    plan
        The settings of the key that the request wants in that Region.

    Raises
    ------
    AliasInUse
        An alias that was free points to another key meanwhile; it stays where it is.
    AliasNotVisible
        The alias exists and KMS does not show its key: call again.
    KeyTagMissing
        The key does not have the stack's tag any more, so KMS denied a call.
    KmsError
        KMS refused a call or did not answer.
    """
    arn, calls = work["arn"], work["calls"]
    with (
        may_lack_our_tag(arn, plan.tags[STACK_TAG], lambda: kms.read_tags(client, arn)),
        may_be_new(client, arn),
    ):
        _apply_tags_and_texts(client, plan, arn, calls)
        if "EnableKeyRotation" in calls and plan.rotation:
            ensure_rotation(client, plan.rotation["periodInDays"], arn, fresh=False)
        if "DisableKeyRotation" in calls:
            kms.write(client, "DisableKeyRotation", KeyId=arn)
        for alias in calls.get("CreateAlias", []):
            ensure_alias(client, alias, arn)
        for alias in calls.get("UpdateAlias", []):
            kms.move_alias(client, alias, arn)
        if aliases := calls.get("DeleteAlias"):
            free_aliases(client, aliases, arn)


def _apply_tags_and_texts(client: KMSClient, plan: KeyPlan, arn: str, calls: Calls) -> None:
    if keys := calls.get("UntagResource"):
        kms.write(client, "UntagResource", KeyId=arn, TagKeys=keys)
    if keys := calls.get("TagResource"):
        kms.write_tags(client, arn, {key: plan.tags[key] for key in keys})
    if "UpdateKeyDescription" in calls:
        kms.write(client, "UpdateKeyDescription", KeyId=arn, Description=plan.description)
    if "PutKeyPolicy" in calls:
        kms.write_policy(client, arn, plan.policy)
