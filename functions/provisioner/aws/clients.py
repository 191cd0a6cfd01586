"""The AWS clients: one for each service and Region, made once in a function's life."""

from functools import cache
from typing import Literal, overload

import boto3
from botocore.config import Config

from provisioner.aws.client_types import (
    Client,
    DynamoDBClient,
    EC2Client,
    EventBridgeClient,
    KMSClient,
    LambdaClient,
    S3Client,
    SecretsManagerClient,
    Service,
    SFNClient,
    SQSClient,
    TaggingClient,
)
from provisioner.settings import settings

CALLS_AT_ONCE = 20
"""How many calls may use one client side by side."""

_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=3,
    read_timeout=8,
    max_pool_connections=CALLS_AT_ONCE,
)
_IMPATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=1, read_timeout=3
)
_SEND_ONCE = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=3, read_timeout=8
)


@overload
def client(service: Literal["dynamodb"], region: str | None = None) -> DynamoDBClient: ...
@overload
def client(service: Literal["ec2"], region: str | None = None) -> EC2Client: ...
@overload
def client(service: Literal["events"], region: str | None = None) -> EventBridgeClient: ...
@overload
def client(service: Literal["kms"], region: str | None = None) -> KMSClient: ...
@overload
def client(service: Literal["lambda"], region: str | None = None) -> LambdaClient: ...
@overload
def client(
    service: Literal["resourcegroupstaggingapi"], region: str | None = None
) -> TaggingClient: ...
@overload
def client(service: Literal["s3"], region: str | None = None) -> S3Client: ...
@overload
def client(
    service: Literal["secretsmanager"], region: str | None = None
) -> SecretsManagerClient: ...
@overload
def client(service: Literal["sqs"], region: str | None = None) -> SQSClient: ...
@overload
def client(service: Literal["stepfunctions"], region: str | None = None) -> SFNClient: ...
@overload
def client(service: Service, region: str | None = None) -> Client: ...
def client(service: Service, region: str | None = None) -> Client:
    """Return the client of a service, in the function's own Region unless another is named."""
    return patient_client(service, region or settings().home_region)


@cache
def patient_client(service: Service, region: str) -> Client:
    """Return a client that waits as long as a step of the workflow can."""
    return boto3.client(service, region_name=region, config=_PATIENT)


def prepare(*services: Service) -> None:
    """Make the clients of a function while Lambda initialises it, which has a whole CPU for that.

    What takes long is to read the service's model; clients of other Regions share it.
    """
    for service in services:
        client(service)


@cache
def impatient_kms(region: str) -> KMSClient:
    """Return a KMS client that answers or fails within 10 seconds: somebody waits for it."""
    return boto3.client("kms", region_name=region, config=_IMPATIENT)


@cache
def send_once_kms(region: str) -> KMSClient:
    """Return a KMS client that never sends a call twice: CreateKey has no client token.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
    """
    return boto3.client("kms", region_name=region, config=_SEND_ONCE)
