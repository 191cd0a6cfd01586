"""The functions' environment, and AWS as moto plays it."""

import io
import json
import logging
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
from moto import mock_aws
from moto.backends import get_backend

from provisioner.aws import clients
from provisioner.aws.records import Records
from provisioner.settings import settings
from tests.support.answering import forget_answers
from tests.support.branch_monitor import measure_branches_by_monitoring
from tests.support.clock import USERS, Clock
from tests.support.environment import ENVIRONMENT
from tests.support.quick_moto import make_moto_quick
from tests.support.template import table_properties

# Handlers read their settings when they are imported, moto its account.
os.environ |= ENVIRONMENT | {"MOTO_ACCOUNT_ID": ENVIRONMENT["ACCOUNT_ID"]}
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)


measure_branches_by_monitoring()
hypothesis.settings.register_profile("unit", deadline=None, max_examples=50)
hypothesis.settings.load_profile("unit")

ACCOUNT, REGION = ENVIRONMENT["ACCOUNT_ID"], "us-east-1"
TABLES = {
    "idempotency": {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    },
    "requests": table_properties("RequestsTable"),
    "history": table_properties("HistoryTable"),
    "sweep": table_properties("SweepTable"),
}


# What takes longest, the longest first: by `--durations=60`.
_FIRST = (
    "test_generated_policies.py",
    "test_hostile_input.py",
    "test_records.py",
    "test_policy_evaluation.py",
    "test_cold_start.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long begin first, so that no worker is left with it in the end."""
    ranks = {name: rank for rank, name in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(_FIRST)))


@dataclass(frozen=True)
class FakeContext:
    """What Lambda tells a function about its invocation."""

    function_name: str = "function"
    function_version: str = "1"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:111122223333:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    milliseconds: int = 90_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@pytest.fixture
def context() -> Any:
    return FakeContext()


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test() -> Iterator[None]:
    yield
    forget_answers()
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    monkeypatch.setattr("provisioner.upkeep.sweep_region.sleep", lambda _: None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop the tracer that pytest-cov starts in a worker before the one that counts.

    It would go on tracing the tests that are marked `no_cover`.
    """
    plugin: Any = session.config.pluginmanager.getplugin("_cov")
    if plugin and plugin.cov_controller and hasattr(session.config, "workerinput"):
        plugin.cov_controller.pause()


@pytest.fixture(scope="session", autouse=True)
def _moto_is_quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_moto_quick(patch)
        yield


def _add_table(name: str, properties: dict[str, Any]) -> None:
    get_backend("dynamodb")[ACCOUNT][REGION].create_table(
        name,
        schema=properties["KeySchema"],
        attr=properties["AttributeDefinitions"],
        global_indexes=properties.get("GlobalSecondaryIndexes", []),
        indexes=[],
        billing_mode=properties["BillingMode"],
        throughput=None,
        warm_throughput=None,
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
    )


@pytest.fixture
def aws() -> Iterator[None]:
    """Return an AWS that has this stack's tables, event bus and state machines, and no keys.

    They are set up in moto's own stores: calls of its API would take five times as long.
    """
    with mock_aws():
        for name, properties in TABLES.items():
            _add_table(name, deepcopy(properties))
        get_backend("events")[ACCOUNT][REGION].create_event_bus("keys")
        for name in ("provision-key", "change-key-set"):
            get_backend("stepfunctions")[ACCOUNT][REGION].create_state_machine(
                name=name,
                definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
                roleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
            )
        yield


@pytest.fixture
def records(aws: None) -> Records:  # noqa: ARG001
    """Return the requests table, empty."""
    return Records(clients.client("dynamodb"), "requests")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that every module reads from now on."""
    clock = Clock()
    for module in USERS:
        monkeypatch.setattr(f"provisioner.{module}.now", clock.now)
    return clock


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return what the functions log, a JSON document a line."""
    (handler,) = logging.getLogger("mrk-provisioner").handlers
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    stdout = handler.setStream(written)
    yield written
    handler.setStream(stdout)
