"""How the adapters of DynamoDB's tables name a call that failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.errors import DependencyUnavailable


@contextmanager
def named_errors(operation: str) -> Iterator[None]:
    """Raise `DependencyUnavailable` with the operation's name where DynamoDB fails."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"DynamoDB did not do {operation}: {error}.") from error
