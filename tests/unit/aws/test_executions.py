import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws import executions
from provisioner.aws.clients import client
from provisioner.aws.executions import Progress
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, calls_of, lose_on_the_wire, refusal
from tests.support.samples import EXECUTION, SETTINGS, request_of

MACHINE = SETTINGS.state_machine_arn


@pytest.mark.parametrize("request_id", ["CHG1", "r" * 80])
def test_an_execution_is_named_after_its_request(request_id: str) -> None:
    first, second = (executions.new_execution_arn(MACHINE, request_id) for _ in range(2))

    name = first.rsplit(":", 1)[1]
    assert first == f"arn:aws:states:us-east-1:111122223333:execution:provision-key:{name}"
    assert name.startswith(request_id[:43])
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)
    assert first != second


@pytest.mark.usefixtures("aws")
def test_an_execution_starts_under_the_arn_that_was_chosen() -> None:
    arn = executions.new_execution_arn(MACHINE, "CHG1")

    executions.start(client("stepfunctions"), MACHINE, arn, request_of())

    found = client("stepfunctions").describe_execution(executionArn=arn)
    assert json.loads(found["input"]) == request_of()
    assert executions.progress(client("stepfunctions"), arn) == Progress.RUNNING


def test_an_execution_that_was_started_before_is_as_good() -> None:
    answer(client("stepfunctions"), "StartExecution", refusal("ExecutionAlreadyExists"))

    executions.start(client("stepfunctions"), MACHINE, EXECUTION, request_of())


def test_an_execution_that_is_not_taken_makes_step_functions_unavailable() -> None:
    answer(client("stepfunctions"), "StartExecution", refusal("StateMachineDeleting", "Going."))

    with pytest.raises(DependencyUnavailable, match=r"did not do StartExecution.*Going"):
        executions.start(client("stepfunctions"), MACHINE, EXECUTION, request_of())


def test_a_task_that_waits_gets_its_answer() -> None:
    calls = calls_of(client("stepfunctions"))
    answer(client("stepfunctions"), "SendTaskSuccess", {})

    assert executions.answer_task(client("stepfunctions"), "token", {"materials": [{"n": "é"}]})

    ((name, parameters),) = calls
    assert (name, parameters["taskToken"]) == ("SendTaskSuccess", "token")
    assert json.loads(parameters["output"]) == {"materials": [{"n": "é"}]}


@pytest.mark.parametrize("code", ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"])
def test_a_task_that_does_not_wait_any_more_takes_no_answer(code: str) -> None:
    answer(client("stepfunctions"), "SendTaskSuccess", refusal(code))

    assert not executions.answer_task(client("stepfunctions"), "token", {})


@pytest.mark.parametrize(
    "code", ["InvalidOutput", "AccessDeniedException", "KmsThrottlingException"]
)
def test_an_answer_that_is_not_taken_makes_step_functions_unavailable(code: str) -> None:
    answer(client("stepfunctions"), "SendTaskSuccess", refusal(code, "No."))

    with pytest.raises(DependencyUnavailable, match=r"did not do SendTaskSuccess.*No\."):
        executions.answer_task(client("stepfunctions"), "token", {})


def test_an_answer_that_is_lost_makes_step_functions_unavailable() -> None:
    lose_on_the_wire(
        client("stepfunctions"), ReadTimeoutError(endpoint_url="https://states.invalid")
    )

    with pytest.raises(DependencyUnavailable, match="did not do SendTaskSuccess"):
        executions.answer_task(client("stepfunctions"), "token", {})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("RUNNING", Progress.RUNNING),
        ("PENDING_REDRIVE", Progress.RUNNING),
        ("SUCCEEDED", Progress.ENDED),
        ("FAILED", Progress.ENDED),
        ("TIMED_OUT", Progress.ENDED),
        ("ABORTED", Progress.ENDED),
    ],
)
def test_the_progress_of_an_execution_is_read(status: str, expected: Progress) -> None:
    answer(client("stepfunctions"), "DescribeExecution", {"status": status})

    assert executions.progress(client("stepfunctions"), EXECUTION) == expected


def test_an_execution_that_nobody_knows_was_not_started() -> None:
    answer(client("stepfunctions"), "DescribeExecution", refusal("ExecutionDoesNotExist"))

    assert executions.progress(client("stepfunctions"), EXECUTION) == Progress.NOT_STARTED


def test_no_answer_about_an_execution_is_no_progress() -> None:
    lost = ReadTimeoutError(endpoint_url="https://states.invalid")
    lose_on_the_wire(client("stepfunctions"), lost)

    with pytest.raises(DependencyUnavailable, match="did not do DescribeExecution"):
        executions.progress(client("stepfunctions"), EXECUTION)


MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)


def running(*started: tuple[str, datetime]) -> dict[str, object]:
    return {"executions": [{"executionArn": arn, "startDate": at} for arn, at in started]}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], None),
        ([("later", MONDAY + timedelta(seconds=1))], None),
        ([("earlier", MONDAY - timedelta(days=1)), ("before", MONDAY)], "earlier"),
        # Which of two of the same moment goes first is the same for both.
        ([("a", MONDAY)], "a"),
        ([("z", MONDAY)], None),
    ],
)
def test_the_oldest_running_execution_goes_first(
    others: list[tuple[str, datetime]], expected: str | None
) -> None:
    calls = calls_of(client("stepfunctions"))
    answer(client("stepfunctions"), "ListExecutions", running(("me", MONDAY), *others))

    assert executions.older_running(client("stepfunctions"), MACHINE, "me", MONDAY) == expected
    assert [parameters["statusFilter"] for _, parameters in calls] == ["RUNNING"]


def test_no_list_of_executions_makes_step_functions_unavailable() -> None:
    answer(client("stepfunctions"), "ListExecutions", refusal("AccessDeniedException", "No."))

    with pytest.raises(DependencyUnavailable, match=r"did not do ListExecutions.*No\."):
        executions.older_running(client("stepfunctions"), MACHINE, "me", MONDAY)
