"""Sends what could not be delivered on its way again, and answers what never can be.

A message is deleted only after it was taken, so that none is lost; one that was taken twice does no
harm, since a request's ID is its identity and an answer counts once.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.aws import executions, lambda_, sqs
from provisioner.aws.client_types import LambdaClient, SFNClient, SQSClient
from provisioner.aws.records import Status
from provisioner.errors import DependencyUnavailable, Problem
from provisioner.outcomes.refusal import given_back
from provisioner.telemetry import logger


@dataclass
class Redriven:
    """How many messages of a queue were taken, and the IDs of those that stay in it."""

    taken: int
    left: list[str]


def redrive(client: SQSClient, queue_url: str, deliver: Callable[[str, object], bool]) -> Redriven:
    """Deliver every message of a queue again.

    Parameters
    ----------
    deliver
        Takes a message's ID and its document; returns whether it took the message.

    Raises
    ------
    DependencyUnavailable
        SQS failed. What was taken is gone from the queue or is harmless to take again.
    """
    redriven = Redriven(0, [])
    while messages := sqs.receive(client, queue_url):
        for message in messages:
            message_id = message["MessageId"]
            try:
                taken = deliver(message_id, _document(message["Body"]))
            except (DependencyUnavailable, ValueError):
                logger.exception("dead letter stays", message_id=message_id)
                taken = False
            if not taken:
                redriven.left.append(message_id)
                continue
            sqs.delete(client, queue_url, message["ReceiptHandle"])
            redriven.taken += 1
    return redriven


def deliver_request(
    step_functions: SFNClient, state_machine_arn: str, message_id: str, document: object
) -> None:
    """Start the workflow; once for each message, however often it is delivered.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not take it.
    """
    arn = executions.execution_arn(state_machine_arn, f"redriven-{message_id}")
    executions.start(step_functions, state_machine_arn, arn, document)


def deliver_answer(functions: LambdaClient, function_name: str, document: object) -> None:
    """Hand an answer with key material to the function that takes those.

    Raises
    ------
    DependencyUnavailable
        Lambda refused the call, or the function failed.
    """
    lambda_.invoke(functions, function_name, document)


def refuse_request(
    functions: LambdaClient, function_name: str, message_id: str, document: object, problem: Problem
) -> None:
    """Let the function that publishes outcomes refuse a request; once for each message.

    Raises
    ------
    DependencyUnavailable
        Lambda refused the call, or the function failed.
    """
    refusal = {
        "status": Status.REJECTED,
        "request": given_back(document, [problem]),
        "executionArn": None,
        "letter": message_id,
        "problems": [problem],
        "provenance": None,
    }
    lambda_.invoke(functions, function_name, refusal)


def _document(body: str) -> object:
    """Read what the target was to get: an event's detail, or the message as it is."""
    message = json.loads(body)
    is_event = isinstance(message, dict) and {"detail-type", "detail"} <= message.keys()
    return message["detail"] if is_event else message
