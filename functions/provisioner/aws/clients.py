"""The AWS clients: one for each service and Region, made once in a function's life."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from provisioner.settings import settings

CALLS_AT_ONCE = 20
"""How many calls may use one client side by side."""

_TIMEOUTS = {"connect_timeout": 3, "read_timeout": 8}
_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=CALLS_AT_ONCE,
    **_TIMEOUTS,
)
_IMPATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=3
)
_SEND_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, **_TIMEOUTS)


@cache
def client(service: str, region: str | None = None) -> Any:
    """Return the client of a service, in the function's own Region unless another is named."""
    if region is None:
        return client(service, settings().home_region)
    return boto3.client(service, region_name=region, config=_PATIENT)


def prepare(*services: str) -> None:
    """Make the clients of a function while Lambda initialises it, which has a whole CPU for that.

    What takes long is to read the service's model; clients of other Regions share it.
    """
    for service in services:
        client(service)


@cache
def impatient_kms(region: str) -> Any:
    """Return a KMS client that answers or fails within 10 seconds: somebody waits for it."""
    return boto3.client("kms", region_name=region, config=_IMPATIENT)


@cache
def send_once_kms(region: str) -> Any:
    """Return a KMS client that never sends a call twice: CreateKey has no client token.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
    """
    return boto3.client("kms", region_name=region, config=_SEND_ONCE)
