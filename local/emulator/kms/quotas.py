"""Request quotas: how many calls of an operation an account may make in a Region each second.

https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html
https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html
"""

import time
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import get_account_id, get_region

from local.emulator.kms.refusal import KmsRefusedError
from local.emulator.kms.settings import current

# Calls per second where the settings ask for quotas; an operation that is not here has none.
_DEFAULT_RATES = {
    "CancelKeyDeletion": 5,
    "CreateAlias": 5,
    "CreateKey": 5,
    "DeleteAlias": 15,
    "DescribeKey": 2000,
    "DisableKey": 5,
    "DisableKeyRotation": 5,
    "EnableKey": 5,
    "EnableKeyRotation": 15,
    "GetKeyPolicy": 1000,
    "GetKeyRotationStatus": 1000,
    "GetParametersForImport": 1,
    "ImportKeyMaterial": 15,
    "ListAliases": 500,
    "ListKeys": 500,
    "ListResourceTags": 2000,
    "PutKeyPolicy": 15,
    "ReplicateKey": 5,
    "ScheduleKeyDeletion": 15,
    "TagResource": 10,
    "UntagResource": 5,
    "UpdateAlias": 5,
    "UpdateKeyDescription": 5,
    "UpdatePrimaryRegion": 5,
}

_CREATE_KEY_PER_REPLICA = 2

# A replica takes two at once, however low the rate is set.
_SMALLEST_BUCKET = 2


@dataclass
class _Bucket:
    """What is left of one quota: it fills at its rate, to one second's worth."""

    rate: float
    left: float
    at: float

    def fill(self, moment: float) -> None:
        self.left = min(_size(self.rate), self.left + (moment - self.at) * self.rate)
        self.at = moment


_buckets: dict[tuple[str, str, str], _Bucket] = {}


def take(operation: str, parameters: dict[str, Any]) -> None:
    """Debit a call; a call that is refused debits nothing.

    One ReplicateKey also takes two CreateKey in the replica's Region, and one UpdatePrimaryRegion
    takes one in each of its two Regions.

    Raises
    ------
    KmsRefusedError
        A quota is used up.
    """
    rates = current().quotas
    if rates is None:
        _buckets.clear()
        return
    debits = [(get_region(), operation, 1)]
    if operation == "ReplicateKey":
        region = str(parameters.get("ReplicaRegion"))
        debits.append((region, "CreateKey", _CREATE_KEY_PER_REPLICA))
    if operation == "UpdatePrimaryRegion":
        debits.append((str(parameters.get("PrimaryRegion")), operation, 1))
    moment, touched = time.monotonic(), []
    for region, debited, count in debits:
        rate = rates.get(debited, _DEFAULT_RATES.get(debited))
        if rate is not None:
            bucket = _bucket(region, debited, rate, moment)
            touched.append((bucket, count))
    if any(bucket.left < count for bucket, count in touched):
        raise KmsRefusedError(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. "
            "Reduce the frequency of your calls.",
        )
    for bucket, count in touched:
        bucket.left -= count


def _bucket(region: str, operation: str, rate: float, moment: float) -> _Bucket:
    name = (get_account_id(), region, operation)
    bucket = _buckets.get(name)
    if bucket is None or bucket.rate != rate:
        bucket = _buckets[name] = _Bucket(rate, _size(rate), moment)
    bucket.fill(moment)
    return bucket


def _size(rate: float) -> float:
    return max(rate, _SMALLEST_BUCKET)
