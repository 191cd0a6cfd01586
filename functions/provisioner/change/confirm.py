"""Reads back from KMS what a change did to the states and the roles of keys."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.records import Removed
from provisioner.change.observe import agreed_primary
from provisioner.clock import instant_text
from provisioner.creation.confirm import as_json
from provisioner.domain.key_specs import Origin
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.plan import (
    KeyFacts,
    KeySetRequest,
    arn_in,
    confirmed_words,
    is_decommissioned,
    is_enabled,
    names_by_region,
    regions,
    revision_of,
)
from provisioner.errors import ChangeRefused, KeySetIncomplete, KmsKeyNotFound
from provisioner.json_text import JsonObject


class Confirmed(TypedDict):
    """The key set after a change.

    `keys` are those of the declared Regions, `removed` those that wait for their deletion.
    """

    keys: list[KeyFacts]
    keyMetadata: JsonObject | None
    removed: dict[str, Removed]


def confirm_change(
    request: KeySetRequest,
    known: Confirmed,
    key_arn: str,
    to_read: list[str],
    *,
    kms_for: Callable[[str], KMSClient],
) -> Confirmed:
    """Read the keys of some Regions, side by side, and check that they are as declared.

    Parameters
    ----------
    known
        What was known before; it stays for the Regions that are not read.
    key_arn
        The ARN of any key of the set.
    to_read
        The Regions whose keys have changed their state or their role.

    Raises
    ------
    KeySetIncomplete
        A key does not have its state or its role (yet).
    ChangeRefused
        Somebody has changed a key meanwhile, and this revision has no word to undo that.
    PromotionUnderWay
        The keys do not agree yet on which of them is the primary key.
    KmsError
        A call failed.
    """
    found = _read(to_read, key_arn, kms_for)
    kept = [] if is_decommissioned(request) else regions(request)
    if lacking := [*_lacking_words(request, found, kept, key_arn)]:
        raise ChangeRefused(" ".join(lacking))
    if wrong := [*_faults(request, found, kept, to_read, key_arn)]:
        raise KeySetIncomplete(" ".join(wrong))
    primary = found.get(request["primaryRegion"])
    leaving = {region: _removed(request, key) for region, key in found.items() if _is_leaving(key)}
    return {
        "keys": _facts(request, known["keys"], found),
        "keyMetadata": as_json(primary) if primary else known["keyMetadata"],
        "removed": {**known["removed"], **leaving},
    }


def removed_key(request: KeySetRequest, arn: str, deletion_date: str | None) -> Removed:
    """Return what the record keeps of a key that this revision has removed."""
    return {"arn": arn, "notBefore": deletion_date, "revision": revision_of(request)}


def _read(
    to_read: list[str], key_arn: str, kms_for: Callable[[str], KMSClient]
) -> dict[str, kms.Metadata]:
    """Describe the keys of some Regions; one that is gone is left out."""
    # Made one by one, since boto3's session is not made for threads.
    clients = {region: kms_for(region) for region in to_read}

    def read(region: str) -> kms.Metadata | None:
        try:
            return kms.describe_key(clients[region], arn_in(region, key_arn))
        except KmsKeyNotFound:
            return None

    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        answers = zip(to_read, pool.map(read, to_read), strict=True)
        return {region: answer for region, answer in answers if answer}


def _faults(
    request: KeySetRequest,
    found: dict[str, kms.Metadata],
    kept: list[str],
    to_read: list[str],
    key_arn: str,
) -> Iterator[str]:
    stays = [region for region in to_read if region in kept]
    for region in stays:
        state = found[region]["KeyState"] if region in found else None
        wanted = ("Enabled", "PendingImport") if is_enabled(request, region) else ("Disabled",)
        if state not in wanted:
            yield f"The key in {region} is {state or 'not there'}, and is to be {wanted[0]}."
    for region, key in found.items():
        if region not in kept and not _is_leaving(key):
            yield f"The key in {region} is {key['KeyState']}, and is to wait for its deletion."
    if members := [found[region] for region in stays if region in found]:
        primary = agreed_primary(members, key_arn)
        listed = {key["Region"] for key in members[0]["MultiRegionConfiguration"]["ReplicaKeys"]}
        if primary != request["primaryRegion"]:
            yield f"The primary key is in {primary}, and is to be in {request['primaryRegion']}."
        if missing := {*stays} - listed - {primary}:
            yield f"{key_arn} has no replica keys in {', '.join(sorted(missing))}."


def _lacking_words(
    request: KeySetRequest, found: dict[str, kms.Metadata], kept: list[str], key_arn: str
) -> Iterator[str]:
    """Name the words without which this revision cannot undo what somebody did meanwhile.

    Sent again it would be refused for them. With its word, a key may be about to change.
    """
    words, home = confirmed_words(request), request["primaryRegion"]
    members = {region: key for region, key in found.items() if region in kept}
    for region, key in members.items():
        if _is_leaving(key) and f"RESTORE:{region}" not in words:
            yield (
                f"Somebody has scheduled the deletion of the key in {region}. Add RESTORE:{region} "
                "to keep it, or leave the Region out."
            )
        is_to_be_disabled = not is_enabled(request, region) and f"DISABLE:{region}" not in words
        if is_to_be_disabled and key["KeyState"] == "Enabled":
            yield (
                f"Somebody has enabled the key in {region}. Add DISABLE:{region} to disable it, or "
                "declare it enabled."
            )
    primary = agreed_primary(members.values(), key_arn) if members else home
    if primary != home and f"PROMOTE:{home}" not in words:
        yield (
            f"Somebody has moved the primary key to {primary}. To leave it there, declare "
            f"primaryRegion {primary} and {home} as a replica; to move it back, add PROMOTE:{home}."
        )


def _is_leaving(key: kms.Metadata) -> bool:
    return key["KeyState"] in PENDING_DELETION_STATES


def _removed(request: KeySetRequest, key: kms.Metadata) -> Removed:
    date = key.get("DeletionDate")
    return removed_key(request, key["Arn"], instant_text(date) if date else None)


def _facts(
    request: KeySetRequest, known: list[KeyFacts], found: dict[str, kms.Metadata]
) -> list[KeyFacts]:
    """Return the keys of the declared Regions, each with its alias, which it has by now."""
    before = {key["region"]: key for key in known}
    facts: list[KeyFacts] = []
    for region, names in names_by_region(request).items():
        alias = next(iter(names["aliases"]), None)
        if region in found:
            key = found[region]
            state = str(key["KeyState"])
            facts.append({"region": region, "arn": key["Arn"], "alias": alias, "keyState": state})
            if request["origin"] == Origin.EXTERNAL:
                facts[-1]["validTo"] = kms.expiry_of(key)
        elif region in before:
            facts.append({**before[region], "alias": alias})
    return facts
