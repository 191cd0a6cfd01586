"""Adapter of Step Functions: start executions of this stack, answer them, ask which run."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.aws.client_types import SFNClient
from provisioner.errors import DependencyUnavailable, ProvisionerError


class Progress(StrEnum):
    """How far Step Functions is with an execution."""

    NOT_STARTED = "NOT_STARTED"
    RUNNING = "RUNNING"
    ENDED = "ENDED"


@contextmanager
def _named_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"Step Functions did not do {operation}: {error}.") from error


def new_execution_arn(state_machine_arn: str, request_id: str) -> str:
    """Choose the ARN of an execution before it exists, so that it can be recorded first."""
    return execution_arn(state_machine_arn, f"{request_id[:43]}-{uuid.uuid4()}")


def successor_arn(state_machine_arn: str, request_id: str, holder: str) -> str:
    """Return the ARN of the execution that follows one that died, the same whoever starts it."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"after {holder}")
    return execution_arn(state_machine_arn, f"{request_id[:43]}-{name}")


def execution_arn(state_machine_arn: str, name: str) -> str:
    """Return the ARN of the execution of that name."""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def machine_of(execution_arn: str) -> str:
    """Return the ARN of an execution's state machine."""
    return execution_arn.rsplit(":", 1)[0].replace(":execution:", ":stateMachine:")


def start(client: SFNClient, state_machine_arn: str, execution_arn: str, request: object) -> None:
    """Start the execution of that ARN; one that was started before stays.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not take it.
    """
    start_named(client, state_machine_arn, execution_arn.rsplit(":", 1)[1], json_text.text(request))


def start_named(client: SFNClient, state_machine_arn: str, name: str, document: str) -> None:
    """Start the execution of that name with a JSON text; one that was started before stays.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not take it.
    """
    with _named_errors("StartExecution"):
        try:
            client.start_execution(stateMachineArn=state_machine_arn, name=name, input=document)
        except client.exceptions.ExecutionAlreadyExists:
            return


def older_running(
    client: SFNClient, state_machine_arn: str, execution_arn: str, started_at: datetime
) -> str | None:
    """Find a running execution of a state machine that was started before this one.

    Returns
    -------
    str or None
        Its ARN. Step Functions lists an execution some seconds after its start.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not answer.
    """
    with _named_errors("ListExecutions"):
        pages = client.get_paginator("list_executions").paginate(
            stateMachineArn=state_machine_arn, statusFilter="RUNNING"
        )
        running = [
            (execution["startDate"], execution["executionArn"])
            for page in pages
            for execution in page["executions"]
        ]
    others = [one for one in running if one[1] != execution_arn]
    oldest = min(others, default=None)
    return oldest[1] if oldest and oldest < (started_at, execution_arn) else None


def answer_task(client: SFNClient, task_token: str, output: Mapping[str, object]) -> bool:
    """Hand its output to a task that waits for an answer; False where it does not wait any more.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html

    Raises
    ------
    DependencyUnavailable
        Step Functions did not take it.
    """
    over = client.exceptions
    with _named_errors("SendTaskSuccess"):
        try:
            client.send_task_success(taskToken=task_token, output=json_text.text(output))
        except (over.TaskDoesNotExist, over.TaskTimedOut, over.InvalidToken):
            return False
    return True


def fail_task(client: SFNClient, task_token: str, error: ProvisionerError) -> bool:
    """End a task that waits for an answer with an error; False where it does not wait any more.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html

    Raises
    ------
    DependencyUnavailable
        Step Functions did not take it.
    """
    over, name = client.exceptions, type(error).__name__
    # As Lambda writes it, which is how the state machine reads it.
    cause = json_text.text({"errorMessage": str(error), "errorType": name})
    with _named_errors("SendTaskFailure"):
        try:
            client.send_task_failure(taskToken=task_token, error=name, cause=cause)
        except (over.TaskDoesNotExist, over.TaskTimedOut, over.InvalidToken):
            return False
    return True


def progress(client: SFNClient, execution_arn: str) -> Progress:
    """Return whether that execution was started, runs, or has ended.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not answer.
    """
    with _named_errors("DescribeExecution"):
        try:
            status = client.describe_execution(executionArn=execution_arn)["status"]
        except client.exceptions.ExecutionDoesNotExist:
            return Progress.NOT_STARTED
    return Progress.RUNNING if status in ("RUNNING", "PENDING_REDRIVE") else Progress.ENDED
