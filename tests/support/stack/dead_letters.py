"""Messages in the dead-letter queues."""

from local.settings import STACK_NAME
from local.stack.stack import Stack


def queue_url(stack: Stack, logical_id: str) -> str:
    answer = stack.client("cloudformation").describe_stack_resource(
        StackName=STACK_NAME, LogicalResourceId=logical_id
    )
    url: str = answer["StackResourceDetail"]["PhysicalResourceId"]
    return url


def put_dead_letter(stack: Stack, queue: str, body: str) -> str:
    """Put a message where EventBridge and Lambda put what they cannot deliver."""
    sent = stack.client("sqs").send_message(QueueUrl=queue_url(stack, queue), MessageBody=body)
    message_id: str = sent["MessageId"]
    return message_id


def waiting(stack: Stack, queue: str) -> int:
    """Count the messages of a queue, hidden ones as well."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = stack.client("sqs").get_queue_attributes(
        QueueUrl=queue_url(stack, queue), AttributeNames=names
    )
    return sum(int(answer["Attributes"][name]) for name in names)
