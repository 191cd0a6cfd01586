"""`make batch`: sends a file of requests, shows its progress and what became of each line."""

import json
import uuid
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from local.errors import LocalStackError
from local.polling import wait_for
from local.progress import is_in_place
from local.stack.stack import Stack

_TIMEOUT = 24 * 3600


def batch(stack: Stack, file: Path, console: Console) -> int:
    """Put the file into the stack's bucket, start a batch with it and follow it to the end.

    Returns
    -------
    int
        The exit code: 0 if every line's key set is there, else 1.

    Raises
    ------
    LocalStackError
        The file cannot be read, or the batch as a whole failed.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise LocalStackError(f"FILE={file} cannot be read: {error.strerror}.") from error
    execution = start(stack, file.name, content)
    described = _follow(stack, execution, console)
    if described["status"] != "SUCCEEDED":
        raise LocalStackError(f"The batch {described['status']}: {described.get('cause')}")
    progress = json.loads(described["output"])
    console.print(read_object(stack, progress["results"]), markup=False, end="")
    console.print(f"s3://{stack.outputs['BatchesBucketName']}/{progress['results']}")
    return 0 if progress["done"] == progress["lines"] else 1


def _follow(stack: Stack, execution: str, console: Console) -> dict[str, Any]:
    """Show how far a batch is until it ends; return the answer of DescribeExecution."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    in_place = is_in_place(console)
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not in_place) as shown:
        task = shown.add_task(said := "Reading the file", total=None)

        def ended() -> dict[str, Any] | None:
            nonlocal said
            described = stack.describe_execution(execution)
            progress = read_progress(stack, execution)
            if progress and said != (said := progress_text(progress)):
                done = progress["lines"] - progress["waiting"]
                shown.update(task, description=said, total=progress["lines"], completed=done)
                if not in_place:
                    console.print(said, markup=False)
            return described if described["status"] != "RUNNING" else None

        return wait_for(ended, f"batch {execution}", timeout=_TIMEOUT, interval=0.5)


def progress_text(progress: dict[str, Any]) -> str:
    """Write in words how far a batch is, from its `progress.json`."""
    counts = ", ".join(f"{progress[name]} {name}" for name in ("refused", "failed", "waiting"))
    asked = progress["waitingForApproval"]
    approval = f", {asked} waiting for approval" if asked else ""
    end = f", expected end {progress['expectedEnd']}" if progress["waiting"] else ""
    return f"{progress['done']} of {progress['lines']} done, {counts}{approval}{end}"


def start(stack: Stack, name: str, content: bytes) -> str:
    """Put a file into the bucket and start a batch with it; return the execution's ARN."""
    key = f"requests/{uuid.uuid4()}/{name}"
    bucket = stack.outputs["BatchesBucketName"]
    stack.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    return stack.start_batch(key)


def read_progress(stack: Stack, execution: str) -> dict[str, Any] | None:
    """Read how far a batch is, once that is written."""
    s3 = stack.client("s3")
    key = f"batches/{execution.rsplit(':', 1)[1]}/progress.json"
    try:
        answer = s3.get_object(Bucket=stack.outputs["BatchesBucketName"], Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    progress: dict[str, Any] = json.loads(answer["Body"].read())
    return progress


def read_object(stack: Stack, key: str) -> str:
    """Read an object of the stack's bucket."""
    answer = stack.client("s3").get_object(Bucket=stack.outputs["BatchesBucketName"], Key=key)
    text: str = answer["Body"].read().decode()
    return text
