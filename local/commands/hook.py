"""`make hook`: delivers a sample as the ticket system does, signed with a secret made up here."""

import json
from http import HTTPStatus

import httpx
from rich.console import Console

from local.errors import LocalStackError
from local.hooks import new_entries, proof, sample_body, sample_names
from local.polling import wait_for
from local.stack.stack import Stack

_UNTIL_A_SECRET_COUNTS = 90
"""Seconds; the function reads its secret anew each minute."""


def hook(stack: Stack, source: str, console: Console) -> int:
    """Put the samples' entries into the stack's secret, if it has none, and deliver one sample.

    Returns
    -------
    int
        The exit code: 0 where the delivery was taken, else 1.

    Raises
    ------
    LocalStackError
        There is no such sample, or the secret's entries are others.
    """
    if source not in (known := sample_names()):
        raise LocalStackError(f"SOURCE={source} is none of {', '.join(known)}.")
    secret, manager = stack.outputs["HooksSecretArn"], stack.client("secretsmanager")
    entries = json.loads(manager.get_secret_value(SecretId=secret)["SecretString"])
    if not entries:
        entries = new_entries()
        manager.put_secret_value(SecretId=secret, SecretString=json.dumps(entries))
    if source not in entries:
        raise LocalStackError(f"The stack's secret has no entry {source}: {secret}.")
    body = sample_body(source)

    def delivered() -> httpx.Response | None:
        answer = stack.deliver(source, body, proof(entries[source], body))
        return None if answer.status_code == HTTPStatus.UNAUTHORIZED else answer

    answer = wait_for(delivered, "the secret to count", timeout=_UNTIL_A_SECRET_COUNTS)
    console.print(f"{answer.status_code} {answer.text}", markup=False)
    return 0 if answer.is_success else 1
