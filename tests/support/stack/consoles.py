"""Consoles of a deployed stack, each a process of its own, as a person starts it."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from local.commands import console
from local.settings import ACCOUNT_ID
from local.stack.endpoint import ROOT_USER, Credentials
from local.stack.stack import Stack

_LONGEST_STOP = 10


@contextmanager
def serving(stack: Stack, who: Credentials = ROOT_USER) -> Iterator[str]:
    """Serve somebody's console; return the address that it prints."""
    described = {
        "endpointUrl": stack.url,
        "region": stack.region,
        "accountId": ACCOUNT_ID,
        "outputs": stack.outputs,
    }
    with console.start(described, who=who, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
            assert found, line
            yield found[0]
        finally:
            process.terminate()
            try:
                process.wait(_LONGEST_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
