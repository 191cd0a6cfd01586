"""Sweeps of the deployed stack, whose workers go on after whoever started them is answered."""

import json
from datetime import UTC, datetime
from typing import Any

from local.polling import wait_for
from local.stack.stack import Stack


def sweep_to_its_end(stack: Stack) -> None:
    """Sweep once the workers of earlier sweeps are done, and wait for the worker of every Region.

    A worker that goes on would call KMS in the middle of what a test does next.
    """
    wait_for(lambda: _are_idle(stack), "the workers of earlier sweeps", timeout=60)
    began = datetime.now(UTC).isoformat()
    assert stack.invoke("SweepFunction", {})["failed"] == 0
    wait_for(lambda: _have_ended(stack, began), "the sweep to end", timeout=60)


def _are_idle(stack: Stack) -> bool | None:
    return not any("leasedUntil" in position for position in _positions(stack)) or None


def _have_ended(stack: Stack, began: str) -> bool | None:
    listings = [json.loads(one["listing"]["S"]) for one in _positions(stack) if "listing" in one]
    return all(began < one["begun_at"] <= one["ended_at"] for one in listings) or None


def sweep_items(stack: Stack) -> list[dict[str, Any]]:
    """Read the sweep's table: how far it is in each Region, and the open findings."""
    table = stack.resources("AWS::DynamoDB::Table")["SweepTable"]
    items: list[dict[str, Any]] = stack.client("dynamodb").scan(TableName=table)["Items"]
    return items


def _positions(stack: Stack) -> list[dict[str, Any]]:
    return [item for item in sweep_items(stack) if item["subject"]["S"] == "position"]
