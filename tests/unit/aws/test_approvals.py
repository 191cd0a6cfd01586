"""The items of requests that wait for approval."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.clients import client
from provisioner.clock import now
from provisioner.domain.approval import content_of
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, lose_on_the_wire, refusal
from tests.support.samples import EXECUTION, request_of

pytestmark = pytest.mark.usefixtures("records")

OTHER = f"{EXECUTION}-other"


def pending_of(request_id: str = "CHG1", execution: str = EXECUTION) -> Pending:
    request, asked = request_of(requestId=request_id), now()
    return Pending(
        request_id=request_id,
        request=request,
        content=content_of(request),
        execution_arn=execution,
        requester=None,
        via={"hook": "jira", "actor": None},
        plan=[],
        asked_at=asked.isoformat(),
        until=(asked + timedelta(days=7)).isoformat(),
        approvals=[],
        state=State.WAITING,
    )


@pytest.fixture
def approvals() -> Approvals:
    return Approvals(client("dynamodb"), "requests")


def test_an_approval_is_read_as_it_was_written(approvals: Approvals) -> None:
    first, second = pending_of(), pending_of("CHG2")

    assert approvals.ask(first, seen=None)
    assert approvals.ask(second, seen=None)

    assert approvals.get("CHG1") == first
    found = sorted(approvals.get_many(["CHG1", "CHG2", "CHG3"]), key=lambda one: one.request_id)
    assert found == [first, second]
    assert [*approvals.get_many([])] == []
    assert {one.request_id for one in approvals.unfinished()} == {"CHG1", "CHG2"}


def test_an_approval_is_forgotten_by_the_execution_that_it_is_for(approvals: Approvals) -> None:
    approvals.ask(pending_of(), seen=None)

    approvals.forget("CHG1", OTHER)
    assert approvals.get("CHG1")

    for _ in range(2):
        approvals.forget("CHG1", EXECUTION)
        assert approvals.get("CHG1") is None


def test_an_item_is_replaced_only_as_it_was_seen(approvals: Approvals) -> None:
    seen = pending_of()
    approvals.ask(seen, seen=None)
    later = pending_of(execution=OTHER)
    assert approvals.cancel(seen)

    assert not approvals.ask(later, seen=seen)

    cancelled = approvals.get("CHG1")
    assert cancelled
    assert (cancelled.execution_arn, cancelled.state) == (EXECUTION, State.CANCELLED)
    assert approvals.ask(later, seen=cancelled)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("GetItem", lambda approvals: approvals.get("CHG1")),
        ("PutItem", lambda approvals: approvals.ask(pending_of(), seen=None)),
        ("UpdateItem", lambda approvals: approvals.cancel(pending_of())),
        ("DeleteItem", lambda approvals: approvals.forget("CHG1", EXECUTION)),
        ("Query", lambda approvals: [*approvals.unfinished()]),
    ],
)
def test_what_dynamodb_does_not_do_is_a_dependency_that_fails(
    approvals: Approvals,
    operation: str,
    call: Callable[[Approvals], Any],
    *,
    is_lost: bool,
) -> None:
    if is_lost:
        lost = EndpointConnectionError(endpoint_url="https://dynamodb")
        lose_on_the_wire(client("dynamodb"), lost)
    else:
        answer(client("dynamodb"), operation, refusal("InternalServerError", status=500))

    said = "did not answer" if is_lost else "refused"
    with pytest.raises(DependencyUnavailable, match=f"{said} {operation}"):
        call(approvals)
