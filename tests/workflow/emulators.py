"""Emulators of the tests' own, beside one that `make up` started."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from local import server
from local.server import Server
from local.settings import STATE

# Waits and retry delays of the workflow pass fifty times as fast, and replicas are soon Enabled.
SETTINGS = {"SFN_WAIT_SCALE": "0.02", "KMS_CREATING_SECONDS": "0.1"}


@contextmanager
def new_emulator() -> Iterator[Server]:
    """Run an emulator for as long as the block runs; after a failure its folder stays."""
    port = server.free_port()
    folder = STATE / f"test-{port}"
    folder.mkdir(parents=True)
    started = server.start(port, "us-east-1", folder, SETTINGS)
    try:
        yield started
    finally:
        server.stop(started)
    shutil.rmtree(folder)
