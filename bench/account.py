"""An emulated AWS account with the deployed stack in it, for as long as it is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

from local.settings import STATE
from local.stack import server
from local.stack.deploy import deploy
from local.stack.stack import Stack

REGION = "us-east-1"
FOLDER = STATE / "bench"


@contextmanager
def new_account(**environment: str) -> Iterator[Stack]:
    """Return the stack in an emulator of its own, in which the workflow waits as long as in AWS.

    The emulator has these settings beside.
    """
    # After a failure its folder stays: its log tells more.
    with (
        server.temporary("bench", {"SFN_WAIT_SCALE": "1", **environment}) as emulator,
        Stack.listening(deploy(emulator)) as stack,
    ):
        yield stack
