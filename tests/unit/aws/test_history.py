from collections.abc import Callable
from typing import Any

import pytest

from provisioner.aws.clients import client
from provisioner.aws.history import MAX_ERRORS, History
from provisioner.domain.provenance import UNKNOWN, Provenance
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, refusal
from tests.support.clock import Clock
from tests.support.samples import EXECUTION

pytestmark = pytest.mark.usefixtures("aws")

ASKED: Provenance = {
    "requester": "arn:aws:sts::111122223333:assumed-role/Platform/alice",
    "via": None,
    "approvals": [
        {
            "approver": "arn:aws:sts::111122223333:assumed-role/Platform/bob",
            "decision": "APPROVE",
            "at": "2026-11-26T12:00:00+00:00",
            "comment": "As agreed",
            "sourceIp": "192.0.2.1",
        }
    ],
}
ERROR = {"path": "alias", "code": "REQUIRED", "message": "Missing."}


@pytest.fixture
def history() -> History:
    return History(client("dynamodb"), "history")


def detail_of(outcome: str, **fields: Any) -> dict[str, Any]:
    detail = {"requestId": "CHG1", "outcomeId": outcome, "revision": 1, "status": "CREATED"}
    return {**detail, "executionArn": EXECUTION, "errors": [], **fields}


def test_outcomes_are_read_oldest_first_with_who_asked_and_approved(
    history: History, clock: Clock
) -> None:
    history.keep(detail_of("z", status="REJECTED", errors=[ERROR]), UNKNOWN)
    clock.move(seconds=60)
    history.keep(detail_of("a"), ASKED)
    history.keep(detail_of("b", requestId="CHG2"), UNKNOWN)

    first, second = history.of("CHG1")

    assert (first["outcomeId"], first["status"], first["errors"]) == ("z", "REJECTED", [ERROR])
    assert (second["outcomeId"], second["requester"]) == ("a", ASKED["requester"])
    assert (second["approvals"], second["executionArn"]) == (ASKED["approvals"], EXECUTION)
    assert first["at"] < second["at"]


def test_an_outcome_that_is_kept_again_stays_as_it_was(history: History, clock: Clock) -> None:
    history.keep(detail_of("a"), ASKED)
    before = history.of("CHG1")
    clock.move(seconds=60)

    history.keep(detail_of("a", status="FAILED"), UNKNOWN)

    assert history.of("CHG1") == before


def test_of_many_errors_the_first_ones_are_kept(history: History) -> None:
    history.keep(detail_of("a", errors=[ERROR] * (MAX_ERRORS + 1)), UNKNOWN)

    assert len(history.of("CHG1")[0]["errors"]) == MAX_ERRORS


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("UpdateItem", lambda history: history.keep(detail_of("a"), UNKNOWN)),
        ("Query", lambda history: history.of("CHG1")),
    ],
)
def test_a_table_that_does_not_answer_is_named(
    operation: str, call: Callable[[History], object]
) -> None:
    dynamodb = client("dynamodb")
    answer(dynamodb, operation, refusal("ProvisionedThroughputExceededException"))

    with pytest.raises(DependencyUnavailable, match=operation):
        call(History(dynamodb, "history"))
