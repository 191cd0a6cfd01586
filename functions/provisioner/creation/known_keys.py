"""What exists of a key set while no outcome says it: the record and the primary key together."""

from collections.abc import Callable

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.records import UNDER_WAY, Record
from provisioner.domain.key_specs import Origin
from provisioner.domain.plan import (
    KeyFacts,
    KeySetFacts,
    KeySetRequest,
    key_facts,
    region_of,
    regions,
    unread_key,
)
from provisioner.errors import KmsError
from provisioner.telemetry import logger


def known_key(record: Record, kms_for: Callable[[str], KMSClient]) -> KeySetFacts | None:
    """Return the key set as far as it exists, or None where no key is known.

    A published outcome says it. Of a request that is under way, or that failed without knowing its
    keys, the primary key is read with one call, which lists its replica keys as well. Where KMS
    refuses that or does not answer, the record is all that is known.

    Parameters
    ----------
    kms_for
        Returns the KMS client of a Region.
    """
    request, arn = record.request, record.key_arn
    if arn is None or request is None or (record.key and record.status not in UNDER_WAY):
        return record.key
    home = region_of(arn)
    known: dict[str, KeyFacts] = {home: unread_key(arn)}
    for key in (record.key["primary"], *record.key["replicas"]) if record.key else ():
        known[key["region"]] = key
    try:
        metadata = kms.describe_key(kms_for(home), arn)
    except KmsError as error:
        logger.warning("the primary key cannot be read", reason=str(error))
    else:
        known[home] = _facts(metadata, known[home])
        for replica in _replicas(metadata, request, home):
            known.setdefault(replica["region"], replica)
    return key_facts(request, known.pop(home), [*known.values()])


def _facts(metadata: kms.Metadata, known: KeyFacts) -> KeyFacts:
    facts: KeyFacts = {**known, "keyState": metadata["KeyState"]}
    if metadata.get("Origin") == Origin.EXTERNAL:
        facts["validTo"] = kms.expiry_of(metadata)
    return facts


def _replicas(metadata: kms.Metadata, request: KeySetRequest, home: str) -> list[KeyFacts]:
    """List the other keys of the set in the request's Regions, in the request's order."""
    set_of = metadata.get("MultiRegionConfiguration", {})
    # Whoever promoted a replica key made the recorded one a replica.
    keys = [set_of.get("PrimaryKey"), *set_of.get("ReplicaKeys", [])]
    arns = {key["Region"]: key["Arn"] for key in keys if key}
    return [
        unread_key(arns[region]) for region in regions(request) if region in arns.keys() - {home}
    ]
