"""Lets a secret of the deployed stack hold entries for a while."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.stack.stack import Stack


@contextmanager
def holding(stack: Stack, output: str, function: str, entries: Any) -> Iterator[None]:
    """Let a secret have these entries, and the function that reads it know of that at once."""
    secret, manager = stack.outputs[output], stack.client("secretsmanager")
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps(entries))
    try:
        # Whatever changes in its environment makes the function start anew.
        with stack.changed_environment(function, STARTED=uuid.uuid4().hex):
            yield
    finally:
        manager.put_secret_value(SecretId=secret, SecretString=before)
