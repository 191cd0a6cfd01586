"""An emulated AWS account with the deployed stack in it, for as long as it is measured."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from local import server
from local.deploy import deploy
from local.settings import STATE
from local.stack import Stack

REGION = "us-east-1"
FOLDER = STATE / "bench"


@contextmanager
def new_account() -> Iterator[Stack]:
    """Give the stack in an emulator of its own, in which the workflow waits as long as in AWS."""
    port = server.free_port()
    folder = FOLDER / str(port)
    folder.mkdir(parents=True)
    emulator = server.start(port, REGION, folder, {"SFN_WAIT_SCALE": "1"})
    try:
        with Stack.listening(deploy(emulator)) as stack:
            yield stack
    finally:
        server.stop(emulator)
    # After a failure it stays: its log tells more.
    shutil.rmtree(folder)
