"""A local stack for the tests, beside one that `make up` started."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack.deploy import deploy
from local.stack.endpoint import Endpoint
from local.stack.server import Server
from local.stack.stack import Stack
from tests.support.stack.emulators import new_emulator
from tests.support.stack.in_contract import hold_against_contracts

LONGEST_FIRST = (
    "test_exactly_one_key",
    "test_least_privilege",
    "test_alarms",
    "test_imported_material",
    "test_creating",
    "test_guardrails",
    "test_batch",
    "test_hostile_input",
    "test_verify",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the modules that take longest begin first, so that both processes end about together."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def emulator_server() -> Iterator[Server]:
    """Return an emulator of the tests' own."""
    with new_emulator() as started:
        yield started


@pytest.fixture(scope="session")
def emulator_log(emulator_server: Server) -> Path:
    """Return the file with what the emulator and the functions in it write."""
    return emulator_server.folder / "emulator.log"


@pytest.fixture(scope="session")
def emulator(emulator_server: Server) -> Endpoint:
    """Return an emulator without the stack in it."""
    return Endpoint(emulator_server.endpoint_url, emulator_server.region)


@pytest.fixture(scope="session", autouse=True)
def _everything_is_in_its_contract() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        hold_against_contracts(patch)
        yield


@pytest.fixture
def kms(emulator: Endpoint) -> Any:
    """Return KMS in the home Region, as the account's root sees it."""
    return emulator.client("kms")


@pytest.fixture
def primary(kms: Any) -> str:
    """Return the ID of a new primary key."""
    key_id: str = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    return key_id


@pytest.fixture(scope="session")
def stack(emulator_server: Server) -> Iterator[Stack]:
    """Return the deployed stack."""
    with Stack.listening(deploy(emulator_server)) as deployed:
        yield deployed
