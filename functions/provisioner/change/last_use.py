"""Asks KMS when the keys that a change would stop were last used, for whoever decides on it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.domain.change import Change, ObservedSet
from provisioner.domain.last_use import LastUse, stopped_regions
from provisioner.errors import KmsError, Problem, new_problem

_NOT_IN_THE_SDK = "The SDK of the Lambda runtime has no GetKeyLastUsage yet."


@dataclass(frozen=True)
class LastUses:
    """What KMS says of each Region's key, and of the others why it is not known."""

    known: dict[str, LastUse]
    unknown: dict[str, str]


def read_last_uses(
    changes: list[Change], observed: ObservedSet, kms_for: Callable[[str], KMSClient]
) -> LastUses:
    """Read the last use of every key that is to be disabled or deleted; nothing is raised.

    It takes one call a key, side by side, and no change depends on it. KMS allows five a second in
    a Region.
    https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
    """
    arns = {
        region: observed["keys"][region]["arn"]
        for region in stopped_regions(changes)
        if region in observed["keys"]
    }
    if not arns:
        return LastUses({}, {})
    # Made one by one, since boto3's session is not made for threads.
    clients = {region: kms_for(region) for region in arns}
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:

        def read(region: str) -> LastUse | str:
            return _read(clients[region], arns[region])

        found = dict(zip(arns, pool.map(read, arns), strict=True))
    return LastUses(
        known={region: use for region, use in found.items() if not isinstance(use, str)},
        unknown={region: why for region, why in found.items() if isinstance(why, str)},
    )


def unknown_use_warnings(uses: LastUses) -> list[Problem]:
    """Say of which keys it is not known whether they are in use."""
    return [
        new_problem(
            "",
            "LAST_USE_NOT_KNOWN",
            f"When the key in {region} was last used is not known: {why} CloudTrail in {region} "
            "has who used it. Disable a key before you remove it, and see what breaks.",
        )
        for region, why in uses.unknown.items()
    ]


def _read(client: KMSClient, key_arn: str) -> LastUse | str:
    try:
        return kms.read_last_use(client, key_arn) or _NOT_IN_THE_SDK
    except KmsError as error:
        return error.what_happened
