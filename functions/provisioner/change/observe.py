"""Reads what KMS has of a key set: its keys, their settings, and where its aliases point."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.tagging import Tags, find_tags
from provisioner.clock import instant_text
from provisioner.domain.change import ObservedKey, ObservedSet
from provisioner.domain.plan import (
    ROTATION,
    KeySetRequest,
    RegionNames,
    arn_in,
    key_id_of,
    names_by_region,
    region_of,
    regions,
)
from provisioner.errors import KeyStateConflict, KmsAccessDenied, KmsKeyNotFound, PromotionUnderWay
from provisioner.json_text import JsonObject


@dataclass(frozen=True)
class _Question:
    """What is to be read of one Region's key: the policy and the tags only where it is kept."""

    arn: str
    aliases: list[str] = field(default_factory=list)
    is_kept: bool = False


@dataclass(frozen=True)
class _State:
    """What DescribeKey returned of one Region's key, if there is one, and of its aliases."""

    region: str
    metadata: kms.Metadata | None
    owners: dict[str, str | None]


def observe(
    applied: KeySetRequest,
    declared: KeySetRequest,
    key_arn: str,
    *,
    superseded: RegionNames,
    kms_for: Callable[[str], KMSClient],
    tagging_for: Callable[[str], TaggingClient],
) -> ObservedSet:
    """Read a key set in all its Regions side by side, as `read_key_set` does."""
    read = read_key_set(
        applied,
        declared,
        key_arn,
        superseded=superseded,
        kms_for=kms_for,
        tagging_for=tagging_for,
    )
    if read is None:
        raise KmsKeyNotFound(f"No Region of its key set has {key_arn}.")
    return read[0]


def read_key_set(
    applied: KeySetRequest,
    declared: KeySetRequest,
    key_arn: str,
    *,
    superseded: RegionNames,
    kms_for: Callable[[str], KMSClient],
    tagging_for: Callable[[str], TaggingClient] | None,
    shut_out: set[str] | None = None,
) -> tuple[ObservedSet, kms.Metadata] | None:
    """Read a key set in all its Regions side by side.

    A key takes two calls: DescribeKey by the declared alias, which returns the key that it points
    to, and GetKeyPolicy. A name that the declaration leaves out takes one more, and so does a key
    that its alias does not point to. The set takes GetKeyRotationStatus of its primary, where
    rotation is or was declared. Of a key that is not declared, its state and its aliases are all
    that is read.

    Parameters
    ----------
    key_arn
        The ARN of any key of the set.
    superseded
        What declarations that were never finished asked for, by Region.
    kms_for, tagging_for
        Return the client of KMS, and of the tagging API, in a Region. The tagging API shows tags
        late; without it they are read from KMS, which takes a call more of each key.
    shut_out
        Where it is given, a Region whose key keeps the caller out is added to it, in the place of
        `KmsAccessDenied`; what else is known of its key is in the set.

    Returns
    -------
    tuple of ObservedSet and Metadata, or None
        The set, and KMS's KeyMetadata of its primary key; None where no Region has a key of it.

    Raises
    ------
    PromotionUnderWay
        The keys do not agree (yet) on which of them is the primary key.
    KmsError, DependencyUnavailable
        A call failed.
    """
    all_names = [names_by_region(declared), names_by_region(applied), superseded]
    questions = _questions(all_names, kept=regions(declared), key_arn=key_arn)
    # Made one by one, since boto3's session is not made for threads.
    readers = {region: kms_for(region) for region in questions}
    taggers = {region: tagging_for(region) for region in questions} if tagging_for else {}
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:

        def read(region: str) -> _State:
            return _read_state(readers[region], questions[region], shut_out)

        states = [*pool.map(read, questions)]
        found = {state.region: state.metadata for state in states if state.metadata}
        if not found:
            return None
        primary = agreed_primary(found.values(), key_arn)
        rotates = any(ROTATION in n["settings"] for names in all_names for n in names.values())

        def complete(state: _State) -> ObservedKey | None:
            if state.metadata is None:
                return None
            key, client = observed_key(state.metadata, state.owners), readers[state.region]
            if questions[state.region].is_kept:
                with _shutting_out(state.region, shut_out):
                    key["policy"] = parsed_policy(client, key["arn"])
                with _shutting_out(state.region, shut_out):
                    key["tags"] = _tags(client, taggers.get(state.region), key["arn"])
            if rotates and state.region == primary:
                with _shutting_out(state.region, shut_out):
                    key["rotationPeriodInDays"] = _rotation(client, key["arn"])
            return key

        keys = [key for key in pool.map(complete, states) if key]
    others = _read_others(found.values(), questions, kms_for, shut_out)
    keys += [observed_key(metadata, {}) for metadata in others.values()]
    missing = {state.region: state.owners for state in states if not state.metadata}
    observed: ObservedSet = {
        "primaryRegion": primary,
        "keys": {key["region"]: key for key in keys},
        "aliases": missing,
    }
    return observed, (found | others).get(primary) or found[min(found)]


@contextmanager
def _shutting_out(region: str, shut_out: set[str] | None) -> Iterator[None]:
    try:
        yield
    except KmsAccessDenied:
        if shut_out is None:
            raise
        shut_out.add(region)


def agreed_primary(keys: Iterable[kms.Metadata], key_arn: str) -> str:
    """Return the Region that all these keys of a set name as their primary's.

    Raises
    ------
    PromotionUnderWay
        They name different ones, as they do for some seconds around a promotion.
    KmsKeyNotFound
        There are none.
    """
    named = {str(key["MultiRegionConfiguration"]["PrimaryKey"]["Region"]) for key in keys}
    if not named:
        raise KmsKeyNotFound(f"No Region of its key set has {key_arn}.")
    if len(named) > 1:
        raise PromotionUnderWay(
            f"The keys of {key_arn} name primary keys in {' and in '.join(sorted(named))}."
        )
    return named.pop()


def _questions(
    all_names: list[RegionNames], *, kept: list[str], key_arn: str
) -> dict[str, _Question]:
    aliases: dict[str, list[str]] = {}
    for names in all_names:  # The declared alias first: most keys are found by it.
        for region, of_region in names.items():
            aliases.setdefault(region, []).extend(of_region["aliases"])
    return {
        region: _Question(arn_in(region, key_arn), [*dict.fromkeys(found)], region in kept)
        for region, found in aliases.items()
    }


def _read_state(client: KMSClient, question: _Question, shut_out: set[str] | None = None) -> _State:
    """Describe the keys that aliases point to; the key itself where none of them points to it."""
    found = {alias: _look_up(client, alias) for alias in question.aliases}
    owners = {alias: one["Arn"] if one else None for alias, one in found.items()}
    ours = [one for one in found.values() if one and one["Arn"] == question.arn]
    metadata = ours[0] if ours else None
    if metadata is None or "KeyState" not in metadata:
        metadata = None
        with _shutting_out(region_of(question.arn), shut_out), suppress(KmsKeyNotFound):
            metadata = kms.describe_key(client, question.arn)
    return _State(region_of(question.arn), metadata, owners)


def _look_up(client: KMSClient, alias: str) -> kms.Metadata | None:
    """Describe the key that an alias points to; its ARN alone where it keeps the caller out."""
    try:
        return kms.describe_key(client, alias)
    except KmsKeyNotFound:
        return None
    except KmsAccessDenied:
        owner = kms.find_alias(client, alias)
        return {"Arn": owner, "KeyId": key_id_of(owner)} if owner else None


def observed_key(metadata: kms.Metadata, owners: dict[str, str | None]) -> ObservedKey:
    """Return a key as DescribeKey shows it, without policy, tags and rotation.

    Parameters
    ----------
    owners
        The ARN of the key that each alias points to, or None.
    """
    deletion = metadata.get("DeletionDate")
    key: ObservedKey = {
        "region": region_of(metadata["Arn"]),
        "arn": metadata["Arn"],
        "keyState": metadata["KeyState"],
        "description": metadata.get("Description", ""),
        "policy": None,
        "tags": {},
        "aliases": owners,
        "rotationPeriodInDays": None,
        "deletionDate": instant_text(deletion) if deletion else None,
    }
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
    if metadata.get("Origin") == "EXTERNAL":
        key["validTo"] = kms.expiry_of(metadata)
        if "ExpirationModel" not in metadata:
            key["lacksMaterial"] = True
    return key


def parsed_policy(client: KMSClient, key_arn: str) -> JsonObject | None:
    """Read the key policy of one Region's key; None where KMS's text is no JSON object.

    Raises
    ------
    KmsError
        KMS refused the call or did not answer.
    """
    try:
        policy = json.loads(kms.read_policy(client, key_arn))
    except ValueError:
        return None
    return policy if isinstance(policy, dict) else None


def _tags(client: KMSClient, tagger: TaggingClient | None, key_arn: str) -> Tags:
    if tagger is None:
        return kms.read_tags(client, key_arn)
    return find_tags(tagger, [key_arn]).get(key_arn, {})


def _rotation(client: KMSClient, key_arn: str) -> int | None:
    try:
        return kms.read_rotation_period(client, key_arn)
    except KeyStateConflict:  # Of a key that waits for its deletion.
        return None


def _read_others(
    found: Iterable[kms.Metadata],
    questions: dict[str, _Question],
    kms_for: Callable[[str], KMSClient],
    shut_out: set[str] | None,
) -> dict[str, kms.Metadata]:
    """Describe the keys of the set in Regions that nobody declared: somebody made them by hand."""
    roles = [metadata["MultiRegionConfiguration"] for metadata in found]
    listed = {
        key["Region"]: key["Arn"] for r in roles for key in (r["PrimaryKey"], *r["ReplicaKeys"])
    }
    states = [
        _read_state(kms_for(region), _Question(arn), shut_out)
        for region, arn in sorted(listed.items())
        if region not in questions
    ]
    return {state.region: state.metadata for state in states if state.metadata}
