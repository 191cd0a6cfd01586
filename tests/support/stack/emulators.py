"""Emulators of the tests' own, beside one that `make up` started."""

from contextlib import AbstractContextManager

from local.stack import server
from local.stack.server import Server

# Waits and retry delays of the workflow pass fifty times as fast, and replicas are soon Enabled.
SETTINGS = {"SFN_WAIT_SCALE": "0.02", "KMS_CREATING_SECONDS": "0.1"}


def new_emulator() -> AbstractContextManager[Server]:
    """Run an emulator for as long as the block runs; after a failure its folder stays."""
    return server.temporary("test", SETTINGS)
