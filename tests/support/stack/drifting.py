"""The deployed stack with its further Regions, and what it publishes about drift."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.polling import wait_for
from local.settings import ROOT, STACK_NAME
from local.stack.stack import Stack

DETAIL_TYPE = "Multi-Region Key Drift Detected"


def deploy_further_regions(stack: Stack, *regions: str) -> None:
    """Deploy template-region.yaml into Regions."""
    bus = stack.outputs["EventBusArn"]
    body = Path(ROOT / "template-region.yaml").read_text()
    for region in regions:
        client = stack.client("cloudformation", region)
        client.create_stack(
            StackName="key-events",
            TemplateBody=body,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": "StackName", "ParameterValue": STACK_NAME},
                {"ParameterKey": "EventBusArn", "ParameterValue": bus},
            ],
        )

        def deployed(client: Any = client) -> bool | None:
            [found] = client.describe_stacks(StackName="key-events")["Stacks"]
            assert "FAILED" not in found["StackStatus"], found
            assert "ROLLBACK" not in found["StackStatus"], found
            return True if found["StackStatus"] == "CREATE_COMPLETE" else None

        wait_for(deployed, f"the stack in {region}", timeout=30)


@contextmanager
def one_batch_of_events(stack: Stack, count: int) -> Iterator[None]:
    """Hand over the events of what the block does, so many at least, in one batch.

    In AWS the event source mapping does that, with its window and batches of 1,000. The emulator's
    has no window and batches of ten, and a look at what was changed before its event has come
    cannot say by whom.
    """
    functions, sqs = stack.client("lambda"), stack.client("sqs")
    mapping = stack.resources("AWS::Lambda::EventSourceMapping")["TakeKeyEvents"]
    queue = stack.resources("AWS::SQS::Queue")["KeyEvents"]
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        yield
        messages = _receive(sqs, queue, count)
        assert stack.invoke("LookAtKeysFunction", {"Records": messages}) == {
            "batchItemFailures": []
        }
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["receiptHandle"])
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def _receive(sqs: Any, queue: str, count: int) -> list[dict[str, Any]]:
    """Receive so many messages at least, and what else is there."""
    messages: list[dict[str, Any]] = []

    def received() -> bool | None:
        some = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        messages.extend(
            {
                "messageId": one["MessageId"],
                "receiptHandle": one["ReceiptHandle"],
                "body": one["Body"],
            }
            for one in some
        )
        return True if not some and len(messages) >= count else None

    wait_for(received, f"{count} events about keys", timeout=30, interval=0.01)
    return messages


def drifts(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    """Return what was published of a key set, oldest first."""
    events = stack.events(request_id)
    return [event["detail"] for event in events if event["detail-type"] == DETAIL_TYPE]


def wait_for_drift(
    stack: Stack, request_id: str, region: str, what: str, count: int = 1
) -> dict[str, Any]:
    """Wait until a difference of a property was published so often, and return the last."""

    def enough() -> dict[str, Any] | None:
        published = drifts(stack, request_id)
        found = [one for one in published if (one["region"], one["property"]) == (region, what)]
        return found[count - 1] if len(found) >= count else None

    title = f"difference {count} of {what} of {request_id} in {region}"
    found: dict[str, Any] = wait_for(enough, title, timeout=60)
    return found
