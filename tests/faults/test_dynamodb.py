"""The stand-in for DynamoDB answers the code's own expressions as another implementation does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from provisioner.aws.records import Records, Status
from provisioner.errors import PrimaryKeyUnconfirmed, ProvisionerError
from tests.support.faults import wiring
from tests.support.faults.aws import Aws
from tests.support.faults.dynamodb import condition
from tests.support.faults.scenario import REQUEST_ID
from tests.support.faults.workflow import functions


@pytest.fixture
def moto_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    wiring.use(Aws())  # the SDK asks for identifiers, too
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="requests",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "requestId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "requestId", "KeyType": "HASH"}],
        )
        yield client


def _request(aws: Aws, description: str = "") -> Any:
    document = {"requestId": REQUEST_ID, "alias": "alias/cards", "description": description}
    name = "ValidateRequestFunction"
    return functions()[name].invoke(aws, name, document)["request"]


def _correct(request: Any, **wrongly_seen: Any) -> Callable[[Records], Any]:
    def act(records: Records) -> bool:
        seen = records.get(REQUEST_ID)
        assert seen
        seen = replace(seen, **wrongly_seen)
        return records.correct(request, "e1", seen=seen, superseded={})

    return act


def _steps(aws: Aws) -> list[Callable[[Records], Any]]:
    """Return a history of one request in which every condition holds once and fails once."""
    request, other = _request(aws), _request(aws, "something else")

    key: Any = {"keyId": "k"}

    def finish(status: Status, execution: str) -> Callable[[Records], Any]:
        return lambda records: records.finish(
            request, execution_arn=execution, status=status, key=key, errors=[]
        )

    def close(attempt: int, arn: str | None) -> Callable[[Records], Any]:
        return lambda records: records.close_attempt(REQUEST_ID, attempt, arn)

    def claim(
        execution: str, dead: str | None = None, *, renewing: bool = False
    ) -> Callable[[Records], Any]:
        return lambda records: records.claim(
            request, execution, dead_execution=dead, renewing=renewing
        )

    def announce(execution: str, attempt: int, token: str) -> Callable[[Records], Any]:
        return lambda records: records.announce_attempt(REQUEST_ID, execution, attempt, token)

    def ask(execution: str, token: str) -> Callable[[Records], Any]:
        asked: dict[str, Any] = {
            "key": {"keyId": "k"},
            "materials": [{"region": "r"}],
            "errors": [],
        }
        return lambda records: records.await_material(REQUEST_ID, execution, token, **asked)

    def note(token: str) -> Callable[[Records], Any]:
        return lambda records: records.note_answer(REQUEST_ID, token, "hash of the answer")

    def refuse(records: Records) -> None:
        records.note_refusal(REQUEST_ID, "e0", None, [])

    return [
        lambda records: records.get(REQUEST_ID),
        refuse,
        lambda records: records.claim(other, "e0"),
        refuse,
        lambda records: records.claim(request, "e1"),
        finish(Status.FAILED, "e2"),
        finish(Status.FAILED, "e0"),
        lambda records: records.mark_published(REQUEST_ID, "e0"),
        lambda records: records.claim(other, "e1"),
        _correct(other, attempt=7),
        _correct(other),
        finish(Status.FAILED, "e1"),
        lambda records: records.mark_published(REQUEST_ID, "e1"),
        claim("e2"),
        announce("e1", 1, "t0"),
        announce("e0", 1, "t1"),
        announce("e0", 1, "t1"),
        announce("e0", 1, "t2"),
        close(2, None),
        close(1, None),
        announce("e0", 2, "t3"),
        claim("e3", "e0"),
        announce("e3", 3, "t4"),
        close(2, "arn:1"),
        close(2, "arn:1"),
        close(2, "arn:2"),
        lambda records: records.mark_published(REQUEST_ID, "e3"),
        ask("e2", "task-1"),
        ask("e3", "task-2"),
        ask("e3", "task-3"),
        lambda records: records.mark_published(REQUEST_ID, "e3"),
        claim("e5", "e3"),
        ask("e5", "task-4"),
        note("task-3"),
        note("task-4"),
        note("task-4"),
        lambda records: records.get(REQUEST_ID),
        claim("e3", "e5"),
        finish(Status.CREATED, "e3"),
        claim("e4"),
        claim("e4", renewing=True),
        lambda records: records.mark_published(REQUEST_ID, "e3"),
        claim("e3"),
        claim("e4", "e3"),
        ask("e3", "task-5"),
        claim("e4", renewing=True),
        ask("e4", "task-6"),
        finish(Status.FAILED, "e4"),
        finish(Status.CREATED, "e3"),
        note("task-6"),
        lambda records: records.get(REQUEST_ID),
    ]


def _outcome(step: Callable[[Records], Any], records: Records) -> Any:
    try:
        return step(records)
    except ProvisionerError as error:
        return repr(error)


def _client(aws: Aws) -> Any:
    return aws.dynamodb


def test_a_history_is_the_same_as_on_moto(moto_client: Any) -> None:
    aws = Aws()
    wiring.use(aws)
    ours, theirs = Records(_client(aws), "requests"), Records(moto_client, "requests")

    for number, step in enumerate(_steps(aws)):
        assert _outcome(step, ours) == _outcome(step, theirs), number


def test_the_history_meets_both_a_record_that_is_held_and_a_place_that_is_taken() -> None:
    aws = Aws()
    wiring.use(aws)
    records = Records(_client(aws), "requests")

    outcomes = [repr(_outcome(step, records)) for step in _steps(aws)]

    assert any(PrimaryKeyUnconfirmed.__name__ in text for text in outcomes)
    assert any(text.startswith("(False, Record(") for text in outcomes)


@pytest.mark.parametrize(
    "expression", ["size(a) > :b", "NOT a = :b", "a BETWEEN :b AND :c", "a =", "request = :b"]
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        condition(expression)
