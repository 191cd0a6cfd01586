"""Removes what a run has made: every key of it waits for its deletion afterwards."""

from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mrk.errors import MrkError
from mrk.stack import Stack
from mrk.verify import requests
from mrk.verify.account import REQUEST_ID_TAG, WAITS_FOR_DELETION, Account, region_of
from mrk.verify.key_sets import REQUEST_ID_PREFIX

type Say = Callable[[str], None]


def leftovers(account: Account, run: str | None = None) -> dict[str, str]:
    """Map each key of a run, or of any, that does not wait for its deletion to its request's ID.

    Found by tag; a key whose request's ID is not one of ours is somebody else's.
    """
    found = {
        arn: tags[REQUEST_ID_TAG]
        for region in (account.home, account.other)
        for arn, tags in account.tagged(region, run).items()
        if tags.get(REQUEST_ID_TAG, "").startswith(REQUEST_ID_PREFIX)
    }
    return {arn: request_id for arn, request_id in found.items() if _is_left(account, arn)}


def remove(
    stack: Stack,
    account: Account,
    request_ids: Iterable[str],
    found: Iterable[str],
    *,
    timeout: float,
    say: Say,
) -> list[dict[str, Any]]:
    """Let the requests end, then schedule the deletion of their keys and of those found.

    One key that cannot be removed keeps no other from it.

    Returns
    -------
    list of dict
        Each key with region, keyId, keyState and deletionDate.

    Raises
    ------
    MrkError
        Something could not be removed; names it.
    """
    arns, failed = dict.fromkeys(found), []
    for request_id in request_ids:
        try:
            status = requests.settle(stack, request_id, timeout)
        except MrkError as error:
            failed.append(str(error))
            continue
        if status and status["key"]:
            arns[status["key"]["primary"]["arn"]] = None
            arns |= dict.fromkeys(replica["arn"] for replica in status["key"]["replicas"])
    for arn in _replicas_first(account, arns, failed):
        try:
            account.remove(arn)
            say(f"{arn} waits for its deletion.")
        except (MrkError, ClientError, BotoCoreError) as error:
            failed.append(f"{arn}: {error}")
    if failed:
        raise MrkError(
            "Not everything was removed: " + " ".join(failed) + " Run mrk verify --clean-up."
        )
    return [_left(account, arn) for arn in arns]


def _replicas_first(account: Account, arns: dict[str, None], failed: list[str]) -> list[str]:
    """List the keys and all others of their key sets, the replicas first."""
    members: dict[str, None] = {}
    for arn in arns:
        try:
            members |= dict.fromkeys(account.members(arn))
        except (ClientError, BotoCoreError) as error:
            failed.append(f"{arn}: {error}")
    arns |= members
    return list(members)


def _is_left(account: Account, key_arn: str) -> bool:
    try:
        return account.describe(key_arn)["KeyState"] not in WAITS_FOR_DELETION
    except ClientError as error:
        # The tagging API shows a key for a while after it is gone.
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        return False


def _left(account: Account, key_arn: str) -> dict[str, Any]:
    metadata = account.describe(key_arn)
    date = metadata.get("DeletionDate")
    return {
        "region": region_of(key_arn),
        "keyId": metadata["KeyId"],
        "keyState": metadata["KeyState"],
        "deletionDate": date.isoformat() if date else None,
    }
