"""Adapter of SQS: the dead-letter queues, and the one of ticket updates."""

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import Message, SQSClient
from provisioner.errors import DependencyUnavailable

_HIDDEN_SECONDS = 60
"""How long a message that is not taken stays out of sight, so that one redrive meets it once."""

_LONGEST = 43_200 - 900
"""Seconds: twelve hours from the time it was received, less the longest that a function runs."""


def receive(client: SQSClient, queue_url: str) -> list[Message]:
    """Receive up to ten messages, each with its MessageId, Body and ReceiptHandle.

    Raises
    ------
    DependencyUnavailable
        SQS failed.
    """
    try:
        answer = client.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,
        )
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"SQS did not do ReceiveMessage: {error}.") from error
    return answer.get("Messages", [])


def delete(client: SQSClient, queue_url: str, receipt: str) -> None:
    """Delete a message that was received.

    Raises
    ------
    DependencyUnavailable
        SQS failed.
    """
    try:
        client.delete_message(QueueUrl=queue_url, ReceiptHandle=receipt)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"SQS did not do DeleteMessage: {error}.") from error


def hide(client: SQSClient, queue_url: str, receipt: str, seconds: int) -> None:
    """Keep a message that was received out of sight for some time, at most what SQS takes.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html

    Raises
    ------
    DependencyUnavailable
        SQS failed; the message comes again when its time is over.
    """
    try:
        client.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=min(seconds, _LONGEST)
        )
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"SQS did not do ChangeMessageVisibility: {error}.") from error


def send(client: SQSClient, queue_url: str, body: str, delay: int = 0) -> None:
    """Send a message, which nobody receives for some seconds, 900 at most.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html

    Raises
    ------
    DependencyUnavailable
        SQS failed.
    """
    try:
        client.send_message(QueueUrl=queue_url, MessageBody=body, DelaySeconds=delay)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"SQS did not do SendMessage: {error}.") from error
