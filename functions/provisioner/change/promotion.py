"""Makes the replica key of a Region the primary key of its set, once.

UpdatePrimaryRegion works for some seconds after it answers, and has no client token. A second one
would move a primary key that somebody has moved back, and the word that confirms a promotion
confirms one. Therefore it is announced in the record before it is sent, it is sent once in a
revision, and after that it is only looked for. Another revision waits until it can no longer take
effect: a call is taken for five minutes after it was signed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.aws.clients import CALLS_AT_ONCE
from provisioner.aws.new_keys import may_be_new
from provisioner.aws.records import Record, Records, refuse_if_cancelled
from provisioner.change.claim import held_record
from provisioner.change.observe import agreed_primary
from provisioner.clock import instant_text, now
from provisioner.domain.key_states import MOVING_STATES
from provisioner.domain.plan import KeySetRequest, arn_in
from provisioner.errors import (
    ChangeRefused,
    KeyStateConflict,
    KmsError,
    PromotionNotDone,
    PromotionUnderWay,
)

MAY_TAKE_EFFECT_FOR = timedelta(minutes=6)
"""How long after its announcement a call can still arrive: five minutes, and one for the clocks."""


def promote_replica_key(
    request: KeySetRequest,
    execution_arn: str,
    target: str,
    in_regions: list[str],
    *,
    expected: str,
    records: Records,
    kms_for: Callable[[str], KMSClient],
    send_once: Callable[[str], KMSClient],
) -> str:
    """Make sure that the primary key is in the target Region, as every Region shows.

    Parameters
    ----------
    target
        The Region of the key that is to be the primary key.
    in_regions
        The Regions that have a key of the set.
    expected
        The Region of the primary key when the change was planned and confirmed.
    send_once
        Returns the KMS client of a Region that sends every call once.

    Returns
    -------
    str
        The ARN of the primary key.

    Raises
    ------
    PromotionUnderWay
        It is not done yet, or may still take effect: call again later.
    KeyStateConflict
        One of the two keys is not Enabled, so that KMS cannot change their roles.
    ChangeRefused
        The primary key is in a third Region meanwhile.
    PromotionNotDone
        This revision has promoted before, and the primary key is not in the target Region: it was
        moved back, or the call was never sent or never carried out.
    RequestTakenOver
        Another execution holds the request.
    Cancelled
        The request was cancelled before anything was sent.
    KmsError, DependencyUnavailable
        A call failed.
    """
    record = held_record(records, request, execution_arn)
    key_arn = arn_in(target, str(record.key_arn))
    keys = _read(in_regions, key_arn, kms_for)
    source = agreed_primary(keys.values(), key_arn)
    if moving := [region for region, key in keys.items() if key["KeyState"] in MOVING_STATES]:
        raise PromotionUnderWay(f"Keys of {key_arn} are not settled: in {', '.join(moving)}.")
    _settle_announced(records, record, source)
    if source == target:
        return key_arn
    if source != expected:
        raise ChangeRefused(
            f"The primary key of {key_arn} is in {source}, and was in {expected} when the change "
            "was planned."
        )
    refuse_if_cancelled(record)
    _refuse_second(record, source, target)
    for region in (source, target):
        if keys[region]["KeyState"] != "Enabled":
            raise KeyStateConflict(
                f"The key in {region} is {keys[region]['KeyState']}, and KMS moves the primary "
                f"key from {source} to {target} only while both keys are Enabled."
            )
    token = str(uuid.uuid4())
    if not records.announce_promotion(
        request, execution_arn, source=source, target=target, token=token
    ):
        raise PromotionUnderWay(f"Another promotion of {key_arn} is announced.")
    try:
        with may_be_new(kms_for(target), key_arn):
            kms.update_primary_region(send_once(source), keys[source]["Arn"], target)
    except KmsError:
        _withdraw(records, record.request_id, token)
        raise
    raise PromotionUnderWay(f"UpdatePrimaryRegion from {source} to {target} is sent.")


def _withdraw(records: Records, request_id: str, token: str) -> None:
    """Take back the announcement of a call that had no effect."""
    record = records.get(request_id)
    if record and record.promotion and record.promotion["token"] == token:
        records.withdraw_promotion(request_id, record.promotion)


def _settle_announced(records: Records, record: Record, source: str) -> None:
    """Close an announcement whose call has taken effect, or cannot any more.

    Raises
    ------
    PromotionUnderWay
        It may still take effect.
    """
    promotion = record.promotion
    if promotion is None:
        return
    is_done = promotion["to"] == source
    if not is_done and _may_take_effect(datetime.fromisoformat(promotion["sentAt"])):
        raise PromotionUnderWay(
            f"UpdatePrimaryRegion from {promotion['from']} to {promotion['to']} was sent, and KMS "
            "does not show it yet."
        )
    key_arn = arn_in(source, str(record.key_arn)) if is_done else None
    records.close_promotion(record.request_id, promotion, key_arn)


def _refuse_second(record: Record, source: str, target: str) -> None:
    """Refuse another promotion of a revision that has announced one.

    Raises
    ------
    PromotionUnderWay
        That one was so short a time ago that KMS may not show it everywhere.
    PromotionNotDone
        It had no effect that lasts.
    """
    if record.promoted_at is None or record.promoted_by != record.revision:
        return
    if _may_take_effect(record.promoted_at):
        raise PromotionUnderWay(
            f"UpdatePrimaryRegion to {target} was sent, and KMS shows the primary key in {source}."
        )
    raise PromotionNotDone(
        f"Revision {record.revision} announced UpdatePrimaryRegion from {source} to {target} at "
        f"{instant_text(record.promoted_at)}, and the primary key of {record.key_arn} is in "
        f"{source}. Somebody has moved it back since, which CloudTrail shows as another "
        "UpdatePrimaryRegion, or the call was never sent or carried out."
    )


def _may_take_effect(sent_at: datetime) -> bool:
    return now() - sent_at <= MAY_TAKE_EFFECT_FOR


def _read(
    in_regions: list[str], key_arn: str, kms_for: Callable[[str], KMSClient]
) -> dict[str, kms.Metadata]:
    """Describe the keys of the set side by side."""
    # Made one by one, since boto3's session is not made for threads.
    clients = {region: kms_for(region) for region in in_regions}

    def read(region: str) -> kms.Metadata:
        return kms.describe_key(clients[region], arn_in(region, key_arn))

    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        return dict(zip(in_regions, pool.map(read, in_regions), strict=True))
