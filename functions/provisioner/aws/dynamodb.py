"""What the adapters of DynamoDB's tables share: names of failures, and reading many items."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import batched

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import AttributeValue, DynamoDBClient, KeysToRead
from provisioner.errors import DependencyUnavailable

IDS_PER_CALL = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 0)
"""Seconds before the keys that DynamoDB left out for their number are asked for again."""


@contextmanager
def named_errors(operation: str) -> Iterator[None]:
    """Raise `DependencyUnavailable` with the operation's name where DynamoDB fails."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"DynamoDB did not do {operation}: {error}.") from error


def read_many(
    client: DynamoDBClient, table: str, keys: Iterable[str], *, consistently: bool
) -> Iterator[Mapping[str, AttributeValue]]:
    """Read many items of the requests table, a hundred a call; those that exist, in any order.

    Unless they are read consistently, what was written in the last second may be missing.

    Raises
    ------
    DependencyUnavailable
        DynamoDB fails, or leaves items out for good.
    """
    for some in batched(keys, IDS_PER_CALL, strict=False):
        left: Mapping[str, KeysToRead] = {
            table: {
                "Keys": [{"requestId": {"S": key}} for key in some],
                "ConsistentRead": consistently,
            }
        }
        for pause in _PAUSES:
            with named_errors("BatchGetItem"):
                answer = client.batch_get_item(RequestItems=left)
            yield from answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys") or {}
            if not left:
                break
            time.sleep(pause)
        else:
            raise DependencyUnavailable("DynamoDB returned only some of the items asked for.")
