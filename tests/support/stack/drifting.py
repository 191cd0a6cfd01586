"""The deployed stack with its further Regions, and what it publishes about drift."""

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


def drifts(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    """Return what was published of a key set, oldest first."""
    events = stack.events(request_id)
    return [event["detail"] for event in events if event["detail-type"] == DETAIL_TYPE]


def wait_for_drift(stack: Stack, request_id: str, count: int) -> dict[str, Any]:
    """Wait until so many differences were published, and return the last."""

    def enough() -> dict[str, Any] | None:
        found = drifts(stack, request_id)
        return found[count - 1] if len(found) >= count else None

    found: dict[str, Any] = wait_for(enough, f"difference {count} of {request_id}", timeout=60)
    return found
