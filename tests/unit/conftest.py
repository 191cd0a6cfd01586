"""The functions' environment, and AWS as moto plays it."""

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import hypothesis
import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from provisioner.aws import clients
from provisioner.aws.records import Records
from provisioner.settings import settings
from tests.support.answering import forget_answers
from tests.support.clock import USERS, Clock
from tests.support.environment import ENVIRONMENT
from tests.support.template import table_properties

# Handlers read their settings when they are imported, moto its account.
os.environ |= ENVIRONMENT | {"MOTO_ACCOUNT_ID": ENVIRONMENT["ACCOUNT_ID"]}
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_SESSION_TOKEN"):
    os.environ.pop(name, None)


hypothesis.settings.register_profile("unit", deadline=None, max_examples=50)
hypothesis.settings.load_profile("unit")

REQUESTS_TABLE, SWEEP_TABLE = table_properties("RequestsTable"), table_properties("SweepTable")


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


@cache
def _builder(service: str) -> Any:
    """Return a client that only sets things up; one that is made anew takes a tenth of a second."""
    new_client: Callable[..., Any] = boto3.client
    return new_client(service, region_name="us-east-1")


def _untraced(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let coverage see nothing of what runs in here; it is not ours, and runs faster so."""

    def run(*arguments: Any, **more: Any) -> Any:
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return work(*arguments, **more)
        finally:
            sys.settrace(trace)

    return run


@pytest.fixture(scope="session", autouse=True)
def _moto_is_not_traced() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BotocoreStubber, "__call__", _untraced(BotocoreStubber.__call__))
        yield


@pytest.fixture
def aws() -> Iterator[None]:
    """Return an AWS that has this stack's tables, event bus and state machines, and no keys."""
    with mock_aws():
        _builder("dynamodb").create_table(
            TableName="idempotency",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        _builder("dynamodb").create_table(TableName="requests", **REQUESTS_TABLE)
        _builder("dynamodb").create_table(TableName="sweep", **SWEEP_TABLE)
        _builder("events").create_event_bus(Name="keys")
        for name in ("provision-key", "change-key-set"):
            _builder("stepfunctions").create_state_machine(
                name=name,
                definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
                roleArn=f"arn:aws:iam::111122223333:role/{name}",
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
