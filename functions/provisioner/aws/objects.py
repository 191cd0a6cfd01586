"""Adapter of S3: read and write whole objects of the stack's bucket."""

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import S3Client
from provisioner.errors import BatchUnreadable, DependencyUnavailable

MAX_BYTES = 128 * 1024 * 1024
"""What a function holds in its memory besides what it makes of it."""


def read(client: S3Client, bucket: str, key: str) -> bytes:
    """Read an object.

    Raises
    ------
    BatchUnreadable
        There is none of that name, or it is larger than `MAX_BYTES`.
    DependencyUnavailable
        S3 did not answer.
    """
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > MAX_BYTES:
            raise BatchUnreadable(f"{key} has {answer['ContentLength']} bytes, over {MAX_BYTES}.")
        content = answer["Body"].read()
    except client.exceptions.NoSuchKey as error:
        raise BatchUnreadable(f"There is no object {key} in the bucket {bucket}.") from error
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"S3 did not return {key}: {error}.") from error
    return content


def read_part(client: S3Client, bucket: str, key: str, first: int, last: int) -> bytes:
    """Read the bytes of an object from `first` to `last`, this one included.

    Raises
    ------
    DependencyUnavailable
        S3 did not return them.
    """
    try:
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
        content: bytes = answer["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"S3 did not return a part of {key}: {error}.") from error
    return content


def write(client: S3Client, bucket: str, key: str, content: str) -> None:
    """Write an object, or overwrite it.

    Raises
    ------
    DependencyUnavailable
        S3 did not take it.
    """
    try:
        client.put_object(Bucket=bucket, Key=key, Body=content.encode())
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"S3 did not take {key}: {error}.") from error
