"""The one place where the functions are given the clock, the randomness and the AWS of a test."""

import datetime as real_datetime
import importlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock

from aws_lambda_powertools.utilities.idempotency import base as idempotency
from aws_lambda_powertools.utilities.idempotency.persistence import base, datarecord, dynamodb

from provisioner import clock, settings
from provisioner.aws import clients, records
from provisioner.change import confirm, observe, promotion
from provisioner.creation import primary_key
from provisioner.telemetry import logger, metrics
from provisioner.upkeep import sweep_region
from tests.support.environment import ENVIRONMENT
from tests.support.faults import workflow
from tests.support.faults.aws import HOME, STATE_MACHINE, Aws, Client, SideBySide
from tests.support.faults.kms import ACCOUNT

QUIET_SECONDS = 900

_ENVIRONMENT = ENVIRONMENT | {
    "AWS_REGION": HOME,
    "AWS_DEFAULT_REGION": HOME,
    "STACK_NAME": "mrk",
    "ACCOUNT_ID": ACCOUNT,
    "QUIET_PERIOD_SECONDS": str(QUIET_SECONDS),
    "EVENT_BUS": "mrk-keys",
    "STATE_MACHINE_ARN": STATE_MACHINE,
}
_MODULES_WITH_A_STORE = ("publish_outcome.app", "keys_api.starting")

_current: list[Aws] = []


class _Datetime(real_datetime.datetime):
    """Shows the time of the AWS in use."""

    @classmethod
    def now(cls, tz: real_datetime.tzinfo | None = None) -> Any:
        return real_datetime.datetime.fromtimestamp(current().time, tz)


def current() -> Aws:
    """Return the AWS that clients talk to."""
    return _current[-1]


def use(aws: Aws) -> None:
    """Make every client talk to this AWS from now on."""
    _current[:] = [aws]
    aws.publish = partial(_publish, aws)


def _publish(aws: Aws, outcome: Any) -> dict[str, Any]:
    """Answer as Lambda does for the function that publishes outcomes."""
    name = "PublishOutcomeFunction"
    try:
        detail = workflow.functions()[name].invoke(aws, name, outcome)
    except workflow.StateFailed:
        return {"FunctionError": "Unhandled"}
    return {"Payload": io.BytesIO(json.dumps(detail).encode())}


def _client(service: str, *, region_name: str | None = None, config: Any) -> Client:
    sends = config.retries["total_max_attempts"]
    return Client(current, service, region_name or HOME, sends)


@contextmanager
def wired() -> Iterator[None]:
    """Wire the functions to whatever AWS is in use, and put everything back at the end."""
    powertools_time = SimpleNamespace(datetime=_Datetime, timedelta=real_datetime.timedelta)
    level = logger.log_level
    with (
        mock.patch.dict(os.environ, _ENVIRONMENT),
        mock.patch.object(clients, "boto3", SimpleNamespace(client=_client)),
        mock.patch.object(clock, "datetime", _Datetime),
        mock.patch.object(uuid, "uuid4", _uuid4),
        mock.patch.object(idempotency, "dt", powertools_time),
        mock.patch.object(base, "dt", powertools_time),
        mock.patch.object(datarecord, "dt", powertools_time),
        mock.patch.object(dynamodb, "dt", powertools_time),
        mock.patch.object(records, "SHARDS", 2),
        mock.patch.object(sweep_region, "ThreadPoolExecutor", _OneByOne),
        mock.patch.object(primary_key, "ThreadPoolExecutor", _AsOneCall),
        mock.patch.object(observe, "ThreadPoolExecutor", _OneByOne),
        mock.patch.object(promotion, "ThreadPoolExecutor", _OneByOne),
        mock.patch.object(confirm, "ThreadPoolExecutor", _OneByOne),
        mock.patch.object(sweep_region, "sleep", _nothing),
        # Thousands of schedules would print a million lines.
        mock.patch.object(metrics.provider, "add_metric", _nothing),
        mock.patch.object(metrics.provider, "add_dimension", _nothing),
        mock.patch.object(metrics.provider, "flush_metrics", _nothing),
    ):
        _forget()
        logger.setLevel("CRITICAL")
        modules: list[Any] = [importlib.import_module(name) for name in _MODULES_WITH_A_STORE]
        stores = [(module._store, dict(vars(module._store))) for module in modules]
        for store, _ in stores:
            store.client, store.table_name = clients.client("dynamodb"), "idempotency"
        try:
            yield
        finally:
            for store, before in stores:
                vars(store).update(before)
            logger.setLevel(level)
            _forget()


def _uuid4() -> uuid.UUID:
    return uuid.UUID(int=current().new_uuid(), version=4)


class _OneByOne:
    """Does what a pool of threads does, in the thread that asks for it: only one may run here."""

    def __init__(self, _threads: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, work: Callable[[Any], Any], given: Iterable[Any]) -> list[Any]:
        return [work(one) for one in given]


class _AsOneCall(_OneByOne):
    """The same, for calls of which one fault meets all."""

    def map(self, work: Callable[[Any], Any], given: Iterable[Any]) -> list[Any]:
        aws, around = current(), current().side_by_side
        aws.side_by_side = SideBySide()
        try:
            return super().map(work, given)
        finally:
            aws.side_by_side = around


def _nothing(*_arguments: Any, **_more: Any) -> None:
    """Stand in for the metrics, which are no part of the proof."""


def _forget() -> None:
    adapters = (clients.patient_client, clients.impatient_kms, clients.send_once_kms)
    for cached in (*adapters, settings.settings, settings.approval_settings):
        cached.cache_clear()
