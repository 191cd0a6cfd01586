"""Makes sure that a request has its one multi-Region primary key.

CreateKey has no client token, so two calls are two keys. Therefore the attempt is written down
before it is sent, it is sent once, and its answer is written down after it. An attempt that may
have reached KMS and has no recorded answer is never followed by another before
`reconcile.reconcile_primary_key` has looked for its key. docs/exactly-one-key.md says the rest.
https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.new_keys import may_lack_our_tag
from provisioner.aws.records import Record, Records, refuse_if_cancelled
from provisioner.aws.tagging import find_tags
from provisioner.creation.confirm import as_json, facts_of, refuse_moved_primary
from provisioner.creation.replica_key import restore_key
from provisioner.creation.tagged_primary_keys import find_primary_keys
from provisioner.domain.plan import (
    ATTEMPT_TAG,
    KeySetRequest,
    MadePrimaryKey,
    names_by_region,
    own_tags,
    plan_key,
)
from provisioner.errors import (
    AliasInUse,
    KeyOfEarlierDeployment,
    KmsAccessDenied,
    KmsError,
    PrimaryKeyUnconfirmed,
    RegionNotEnabled,
    ReplicaRegionNotEnabled,
)
from provisioner.settings import Settings


def ensure_primary_key(
    request: KeySetRequest,
    execution_arn: str,
    *,
    records: Records,
    client: KMSClient,
    send_once: Callable[[str], KMSClient],
    tagging: TaggingClient,
    settings: Settings,
) -> MadePrimaryKey:
    """Find the request's primary key by its record, or create it.

    Parameters
    ----------
    client
        KMS client of the primary's Region.
    send_once
        Returns the KMS client of a Region that sends every call once.
    tagging
        Client of the tagging API in that Region.

    Returns
    -------
    MadePrimaryKey
        The key, and what CreateKey answered where this call created it.

    Raises
    ------
    PrimaryKeyUnconfirmed
        An attempt may have reached KMS and its answer is not recorded: reconcile before anything.
    KeyOfEarlierDeployment
        A key with this request's tags is there that no record knows; nothing was created.
    Cancelled
        The request was cancelled, and has no key.
    AliasInUse
        Aliases of the request point to other keys, in whichever Regions; nothing was created.
    ReplicaRegionNotEnabled
        Regions of replicas are not enabled; nothing was created.
    PrimaryKeyMoved
        The recorded key has become a replica key; nothing was changed.
    KeyTagMissing
        The recorded key does not have the stack's tag any more, so KMS denied a call.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = records.get(request["requestId"])
    if record is None:
        raise RuntimeError(f"{request['requestId']} was not claimed before its key is made.")
    if record.open_attempt:
        raise _unconfirmed(record, "has no recorded answer")
    refuse_if_cancelled(record)
    if record.key_arn:
        metadata = _recorded_key(client, tagging, record.key_arn, settings)
        return {"key": facts_of(metadata), "fresh": False, "keyMetadata": None}
    if not record.attempt:
        _refuse_second_key(request, records, client, tagging, settings)
    # Before the key, so that a name that is taken leaves no key behind.
    _refuse_taken_aliases(request, client, send_once)
    plan = plan_key(request, request["primaryRegion"], settings)
    attempt = record.attempt + 1
    if not records.announce_attempt(
        request["requestId"], execution_arn, attempt, token=str(uuid.uuid4())
    ):
        raise _unconfirmed(record, "was followed by one of another execution")
    try:
        metadata = kms.create_primary_key(
            send_once(plan.region), request, plan, {**plan.tags, ATTEMPT_TAG: str(attempt)}
        )
    except KmsError:
        records.close_attempt(request["requestId"], attempt, None)
        raise
    records.close_attempt(request["requestId"], attempt, metadata["Arn"])
    return {"key": facts_of(metadata), "fresh": True, "keyMetadata": as_json(metadata)}


def _recorded_key(
    client: KMSClient, tagging: TaggingClient, key_arn: str, settings: Settings
) -> kms.Metadata:
    metadata = kms.describe_key(client, key_arn)
    refuse_moved_primary(metadata)
    with may_lack_our_tag(
        key_arn, settings.stack_name, lambda: find_tags(tagging, [key_arn]).get(key_arn, {})
    ):
        return restore_key(client, metadata)


def _refuse_taken_aliases(
    request: KeySetRequest, client: KMSClient, send_once: Callable[[str], KMSClient]
) -> None:
    """Refuse aliases that other keys have, and Regions of replicas that are not enabled.

    The Regions are asked side by side. One of a replica that does not answer its one call is left
    to the steps that need it: it must not hold the primary key up.
    """
    home = request["primaryRegion"]
    aliases = {
        region: alias
        for region, names in names_by_region(request).items()
        for alias in names["aliases"]
    }
    # Made one by one, since boto3's session is not made for threads.
    clients = {region: client if region == home else send_once(region) for region in aliases}

    def look_up(region: str) -> str | KmsError | None:
        try:
            return _owner_of(clients[region], aliases[region])
        except KmsError as error:
            return error

    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        answers = dict(zip(aliases, pool.map(look_up, aliases), strict=True))
    if isinstance(error := answers[home], KmsError):
        raise error
    owners = {region: owner for region, owner in answers.items() if isinstance(owner, str)}
    if owners:
        taken = [
            f"{aliases[region]} in {region} points to {arn}." for region, arn in owners.items()
        ]
        raise AliasInUse(" ".join(taken))
    closed = [one.what_happened for one in answers.values() if isinstance(one, RegionNotEnabled)]
    if closed:
        raise ReplicaRegionNotEnabled(" ".join(closed))


def _owner_of(client: KMSClient, alias: str) -> str | None:
    """Return the ARN of the key that has an alias, or None where KMS does not show one.

    This role may describe keys, and an alias that does not exist has none. CreateAlias decides.
    """
    try:
        return kms.read_alias(client, alias)
    except KmsAccessDenied:
        return None


def _refuse_second_key(
    request: KeySetRequest,
    records: Records,
    client: KMSClient,
    tagging: TaggingClient,
    settings: Settings,
) -> None:
    """Refuse to make a key where one with the request's tags is there that no record knows.

    The table may be a new one, or restored from a backup. The key is not adopted: whoever may tag
    keys can forge the tags.
    """
    request_id = request["requestId"]
    earlier = next(find_primary_keys(client, tagging, own_tags(request_id, settings)), None)
    # Read again: another execution may have taken over, and have made the key meanwhile.
    if earlier and (record := records.get(request_id)) and not record.attempt:
        raise KeyOfEarlierDeployment(
            f"{earlier['Arn']} carries the tags of request {request_id}, and the table "
            f"{settings.requests_table} has no record of it."
        )


def _unconfirmed(record: Record, why: str) -> PrimaryKeyUnconfirmed:
    return PrimaryKeyUnconfirmed(
        f"CreateKey attempt {record.attempt} of request {record.request_id} {why}."
    )
