"""The whole workflow in memory: what an operation does shows in the steps together."""

from collections.abc import Iterator

import pytest

from keys_api import tables
from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.history import History
from provisioner.aws.operations import Operations
from provisioner.aws.records import Records
from tests.support.faults import wiring


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wire the functions to an AWS in memory, also where they were imported with another one."""
    with wiring.wired():
        for name, kind in (
            ("records", Records),
            ("approvals", Approvals),
            ("operations", Operations),
        ):
            monkeypatch.setattr(tables, name, kind(client("dynamodb"), "requests"))
        monkeypatch.setattr(tables, "history", History(client("dynamodb"), "history"))
        yield
