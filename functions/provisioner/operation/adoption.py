"""Adopts a key set that exists: reads it, says what differs, and begins to manage it.

The record of an adopted set is written before its keys are tagged, as the record of a released one:
a tagged key without a record would be surplus, and one of a set that is managed and lacks its tags
would be reported as well. It is managed once every key has its tags. docs/adoption.md has more.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.operations import KnownOperation
from provisioner.aws.records import Record, Records, Status, refuse_if_cancelled
from provisioner.change.claim import held_record
from provisioner.change.observe import agreed_primary, observed_key, parsed_policy
from provisioner.change.planning import ChangePlan
from provisioner.change.work import WaveWork, Work
from provisioner.domain.adoption import (
    AdoptionRequest,
    FoundSet,
    difference_problem,
    differences,
    is_managed_region,
    manager_problems,
    managers,
    tag_problems,
)
from provisioner.domain.change import ObservedKey
from provisioner.domain.key_specs import can_rotate
from provisioner.domain.operation import Adoption, Ended, Kind
from provisioner.domain.plan import (
    KeySetRequest,
    content_hash,
    key_id_of,
    own_tags,
    plan_key,
    region_of,
    regions,
    revision_of,
)
from provisioner.errors import (
    KeyNotAdoptable,
    KeySetManaged,
    KmsKeyNotFound,
    OtherManager,
    Problem,
    RequestConflict,
    RevisionSkipped,
)
from provisioner.operation.claim import check_free
from provisioner.settings import Settings


@dataclass(frozen=True)
class ReadSet:
    """A key set as KMS has it, and KMS's KeyMetadata of its primary key."""

    found: FoundSet
    metadata: kms.Metadata


def read_set(
    key_arn: str, *, aliases: Iterable[tuple[str, str]] = (), kms_for: Callable[[str], KMSClient]
) -> ReadSet:
    """Read a key set in all its Regions side by side, whoever made it and whatever its tags are.

    A key takes four calls, which read its state, its aliases, its policy and its tags, and the set
    takes the rotation of its primary key. Tags are read of KMS itself: the tagging API follows it
    with some delay, and another manager is to be seen at once.

    Parameters
    ----------
    key_arn
        The ARN of any key of the set.
    aliases
        Regions with names that are declared there: whose they are is read too.
    kms_for
        Returns the client of KMS in a Region.

    Raises
    ------
    KeyNotAdoptable
        There is no such key, or it belongs to no multi-Region key set.
    PromotionUnderWay
        The keys do not agree (yet) on which of them is the primary key.
    KmsError
        A call failed.
    """
    try:
        described = kms.describe_key(kms_for(region_of(key_arn)), key_arn)
    except KmsKeyNotFound as error:
        raise KeyNotAdoptable(f"KMS does not know {key_arn}.") from error
    roles = described.get("MultiRegionConfiguration")
    if roles is None:
        raise KeyNotAdoptable(f"{key_arn} is a single-Region key, and stays one for ever.")
    arns = {key["Region"]: key["Arn"] for key in (roles["PrimaryKey"], *roles["ReplicaKeys"])}
    # Made one by one, since boto3's session is not made for threads.
    clients = {region: kms_for(region) for region in arns}
    wanted: dict[str, list[str]] = {}
    for region, alias in aliases:
        wanted.setdefault(region, []).append(alias)
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:

        def read(region: str) -> tuple[ObservedKey, kms.Metadata] | None:
            return _read_key(clients[region], arns[region], wanted.get(region, []))

        keys = {
            key["region"]: (key, metadata) for key, metadata in filter(None, pool.map(read, arns))
        }
    primary = agreed_primary((metadata for _, metadata in keys.values()), key_arn)
    if primary not in keys:
        raise KmsKeyNotFound(f"KMS in {primary} does not show the primary key of {key_arn}.")
    observed = {region: key for region, (key, _) in keys.items()}
    metadata = keys[primary][1]
    spec, origin = metadata["KeySpec"], metadata["Origin"]
    if can_rotate(spec, origin):
        arn = observed[primary]["arn"]
        observed[primary]["rotationPeriodInDays"] = kms.read_rotation_period(clients[primary], arn)
    return ReadSet(
        FoundSet(
            key_spec=spec,
            key_usage=metadata["KeyUsage"],
            origin=origin,
            observed={"primaryRegion": primary, "keys": observed},
            valid_to={region: kms.expiry_of(one) for region, (_, one) in keys.items()},
        ),
        metadata,
    )


def _read_key(
    client: KMSClient, arn: str, wanted: list[str]
) -> tuple[ObservedKey, kms.Metadata] | None:
    """Read one Region's key; None where KMS lists it still and has deleted it."""
    try:
        metadata = kms.describe_key(client, arn)
    except KmsKeyNotFound:
        return None
    owners: dict[str, str | None] = dict.fromkeys(kms.read_aliases(client, arn), arn)
    for alias in wanted:
        if alias not in owners:
            owners[alias] = kms.find_alias(client, alias)
    key = observed_key(metadata, owners)
    key["policy"] = parsed_policy(client, arn)
    key["tags"] = kms.read_tags(client, arn)
    return key, metadata


def adoption_problems(
    read: ReadSet, declared: KeySetRequest, adoption: Adoption, settings: Settings
) -> list[Problem]:
    """Find why a key set may not be adopted as it is declared; empty where it may."""
    differing = differences(read.found, declared, adoption["unmanaged"], settings)
    return [
        *standing_problems(read, declared["requestId"], adoption, settings),
        *map(difference_problem, differing),
    ]


def standing_problems(
    read: ReadSet, request_id: str, adoption: Adoption, settings: Settings
) -> list[Problem]:
    """Find what stands against an adoption however the set is declared."""
    found, unmanaged = read.found, adoption["unmanaged"]
    others = manager_problems(found, request_id, unmanaged, settings)
    return [
        *([] if adoption["takeOver"] else others),
        *tag_problems(found, request_id, unmanaged, settings),
    ]


def check_adoptable(
    records: Records, record: Record | None, asked: AdoptionRequest, read: ReadSet
) -> None:
    """Check that no request of the stack manages a key set, and that a requestId is free for it.

    Parameters
    ----------
    record
        That of the requestId, if it has one.

    Raises
    ------
    KeySetManaged
        A request manages the key set. It has to be released first.
    RequestConflict, RevisionSkipped, OperationRefused
        The requestId, or the revision, is that of something else.
    """
    key_id = read.metadata["KeyId"]
    for other in records.of_key(key_id):
        is_managed = other.ever_created and other.released_at is None
        if key_id_of(str(other.key_arn)) == key_id and (is_managed or not other.ever_created):
            raise KeySetManaged(f"Request {other.request_id} has the key set of {key_id}.")
    revision = revision_of(asked.request) if asked.request else None
    if record is None or record.status == Status.REJECTED:
        if revision not in (None, 1):
            raise RevisionSkipped(asked.request_id, int(revision or 0), 1)
        return
    if record.released_at is None or key_id_of(str(record.key_arn)) != key_id:
        raise RequestConflict(f"Request {asked.request_id} has another key set, or is to have one.")
    check_free(record)
    if asked.request:
        _check_revision(record, asked.request)


def _check_revision(record: Record, request: KeySetRequest) -> None:
    """Refuse a revision of a released set that is neither the one it had nor the next."""
    name, current, revision = record.request_id, record.revision, revision_of(request)
    is_same = record.content_hash == content_hash(request)
    if revision < current or (revision == current and not is_same):
        raise RequestConflict(
            f"Request {name} has revision {current}, with other content. Adopt the set as it is "
            f"declared now with revision {current + 1}."
        )
    if revision > current + 1:
        raise RevisionSkipped(name, revision, current + 1)


def is_same_adoption(record: Record, asked: AdoptionRequest, known: KnownOperation | None) -> bool:
    """Whether what is asked was asked for before, and is under way or was done.

    Parameters
    ----------
    known
        The operation of the adoption that the record has, if it was begun.
    """
    had, request = record.adoption, asked.request
    is_same = (
        had is not None
        and request is not None
        and had == {**asked.adoption, "operationId": had["operationId"]}
        and record.content_hash == content_hash(request)
        and record.revision == revision_of(request)
    )
    if not is_same or known is None or known.ended is None:
        return is_same
    return known.ended == Ended.FINISHED and record.released_at is None


def adoption_work(read: ReadSet, declared: KeySetRequest, settings: Settings) -> list[Work]:
    """Return what an adoption does in each Region: it tags the key that is declared there."""
    names = [*own_tags(declared["requestId"], settings)]
    keys = read.found.observed["keys"]
    return [
        {"region": region, "arn": keys[region]["arn"], "calls": {"TagResource": names}}
        for region in regions(declared)
        if region in keys and is_managed_region(keys[region], [])
    ]


def plan_adoption(
    record: Record,
    request: KeySetRequest,
    *,
    kms_for: Callable[[str], KMSClient],
    settings: Settings,
) -> tuple[ChangePlan, list[WaveWork]]:
    """Compare a key set with its declaration once more, and return what its adoption does.

    Raises
    ------
    KeyNotAdoptable, PromotionUnderWay, KmsError
        As `read_set` does.
    """
    adoption = adoption_of(record)
    read = read_set(
        adoption["keyArn"], aliases=declared_aliases(request, settings), kms_for=kms_for
    )
    problems = adoption_problems(read, request, adoption, settings)
    work = [] if problems else adoption_work(read, request, settings)
    plan = ChangePlan(
        plan_id="",
        changes=[],
        problems=problems,
        warnings=[],
        lasting=[],
        observed=read.found.observed,
        metadata=read.metadata,
        is_resumed=record.operation is not None,
        version=record.version,
    )
    return plan, [{"wave": Kind.ADOPT.value, "work": work}] if work else []


def declared_aliases(request: KeySetRequest, settings: Settings) -> list[tuple[str, str]]:
    """List the alias that a request declares in each Region that has one."""
    plans = [plan_key(request, region, settings) for region in regions(request)]
    return [(plan.region, plan.alias) for plan in plans if plan.alias]


def adopt_key(
    client: KMSClient,
    work: Work,
    request_id: str,
    *,
    wanted: Callable[[], Adoption],
    settings: Settings,
) -> None:
    """Put the provisioner's tags on one Region's key, and nothing else.

    Its tags are read first: since they were compared, another manager may have come.

    Parameters
    ----------
    client
        KMS client of the key's Region.
    wanted
        Returns what the adoption was asked with, and raises where the execution is not to carry it
        out any more.

    Raises
    ------
    OtherManager
        Somebody else manages the key by now.
    RequestTakenOver, Cancelled
        From `wanted`.
    KmsError
        KMS refused a call or did not answer. Calling again goes on.
    """
    arn = work["arn"]
    tags, ours = kms.read_tags(client, arn), own_tags(request_id, settings)
    adoption = wanted()
    if (others := managers(tags, settings)) and not adoption["takeOver"]:
        raise OtherManager(f"{others[0]} manages {arn}, by its tags.")
    if any(tags.get(name) != value for name, value in ours.items()):
        kms.write_tags(client, arn, ours)


def wanted_adoption(records: Records, request: KeySetRequest, execution_arn: str) -> Adoption:
    """Return what an adoption was asked with, as long as this execution is to carry it out.

    Raises
    ------
    RequestTakenOver, Cancelled, DependencyUnavailable
        As `check_wanted` does.
    """
    record = held_record(records, request, execution_arn)
    refuse_if_cancelled(record)
    return adoption_of(record)


def adoption_of(record: Record) -> Adoption:
    """Return what the adoption of a key set was asked with."""
    if record.adoption is None:
        raise RuntimeError(f"The record of {record.request_id} says nothing of an adoption.")
    return record.adoption
