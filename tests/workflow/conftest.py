"""A local stack for the tests, beside one that `make up` started."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import server
from local.deploy import deploy
from local.endpoint import Endpoint
from local.server import Server
from local.settings import STATE
from local.stack import Stack

# Waits and retry delays of the workflow pass fifty times as fast, and replicas are soon Enabled.
SETTINGS = {"SFN_WAIT_SCALE": "0.02", "KMS_CREATING_SECONDS": "0.1"}


@pytest.fixture(scope="session")
def emulator_server() -> Iterator[Server]:
    """Give an emulator of the tests' own."""
    port = server.free_port()
    folder = STATE / f"test-{port}"
    folder.mkdir(parents=True)
    started = server.start(port, "us-east-1", folder, SETTINGS)
    try:
        yield started
    finally:
        server.stop(started)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def emulator_log(emulator_server: Server) -> Path:
    """Give the file with what the emulator and the functions in it write."""
    return emulator_server.folder / "emulator.log"


@pytest.fixture(scope="session")
def emulator(emulator_server: Server) -> Endpoint:
    """Give an emulator without the stack in it."""
    return Endpoint(emulator_server.endpoint_url, emulator_server.region)


@pytest.fixture(scope="session")
def stack(emulator_server: Server) -> Iterator[Stack]:
    """Give the deployed stack."""
    with Stack.listening(deploy(emulator_server)) as deployed:
        yield deployed
