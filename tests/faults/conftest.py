"""Every test here runs with the functions wired to an AWS in memory."""

from collections.abc import Iterator

import pytest

from tests.support.faults import enumeration, wiring


@pytest.fixture(scope="package", autouse=True)
def wired() -> Iterator[None]:
    with wiring.wired():
        yield
    enumeration.processes().shutdown()
