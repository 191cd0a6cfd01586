"""Schedules for deletion what a request created, and frees the aliases it took."""

from collections.abc import Callable
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.deletion import schedule_deletion
from provisioner.aws.new_keys import may_be_new
from provisioner.creation.key_settings import free_aliases
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import KeyFacts, KeySetRequest, RegionNames, names_by_region


class RolledBack(TypedDict):
    """A key set after its rollback; the primary is the recorded key, whatever its role."""

    primary: KeyFacts
    replicas: list[KeyFacts]


def roll_back(
    request: KeySetRequest,
    primary_arn: str,
    *,
    superseded: RegionNames,
    client_for: Callable[[str], KMSClient],
    deletion_window_days: int,
) -> RolledBack:
    """Delete the aliases of a key set and schedule its keys for deletion, replicas first.

    KMS's own list of the set's keys counts, since a replica may exist whose creation was never
    answered, and somebody may have made another key the primary; of these only the Regions that the
    request names, or an earlier content of it named. An alias that points elsewhere stays. The
    waiting period is the stack's `DeletionWindowInDays`; until it ends, sending the request again
    brings the keys back.
    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html

    Parameters
    ----------
    superseded
        What earlier contents of the request asked for and this one does not, by Region.
    client_for
        Returns the KMS client of a Region.

    Returns
    -------
    RolledBack
        Each key with its state afterwards, and no alias.

    Raises
    ------
    KmsError
        KMS refused a call or did not answer. What was done stays done; calling again goes on.
    """
    primary_region = request["primaryRegion"]
    metadata = kms.describe_key(client_for(primary_region), primary_arn)
    members = metadata["MultiRegionConfiguration"]
    # A primary key waits for its replicas, so they go first.
    keys = {key["Region"]: key["Arn"] for key in (*members["ReplicaKeys"], members["PrimaryKey"])}
    named = [names_by_region(request), superseded]
    wanted = {region for names in named for region in names}

    def remove(region: str, key_arn: str) -> KeyFacts:
        client = client_for(region)
        aliases = [alias for names in named for alias in names.get(region, {}).get("aliases", [])]
        with may_be_new(client, key_arn):
            if aliases:
                free_aliases(client, aliases, key_arn)
            state = _schedule_deletion(client, key_arn, deletion_window_days)
        return {"region": region, "arn": key_arn, "keyState": state, "alias": None}

    removed = {region: remove(region, arn) for region, arn in keys.items() if region in wanted}
    return {"primary": removed.pop(primary_region), "replicas": [*removed.values()]}


def _schedule_deletion(client: KMSClient, key_arn: str, days: int) -> str:
    state = str(kms.describe_key(client, key_arn)["KeyState"])
    if state in PENDING_DELETION_STATES:
        return state
    schedule_deletion(client, key_arn, days)
    return str(kms.describe_key(client, key_arn)["KeyState"])
