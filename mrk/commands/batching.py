"""`mrk batch`: sends a file of requests and shows how far it is."""

import json
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mrk.commands.caller import Caller, calls_the_stack, new_console, on_interrupt, say
from mrk.errors import MrkError
from mrk.json_value import JsonObject

if TYPE_CHECKING:
    from rich.progress import Progress

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.5, 10.0, 1.2


@click.command("batch")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--execution", help="ARN of a batch that was started before, to watch it.")
@click.option("--follow", is_flag=True, help="Watch until every line has its outcome.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where each line's outcome goes, in the form of FILE; standard output by default.",
)
@calls_the_stack
def batch_command(
    caller: Caller,
    file: Path | None,
    *,
    execution: str | None,
    follow: bool,
    results: Path | None,
) -> None:
    """Send FILE, whose lines are requests (JSON Lines or CSV), as one batch.

    Ends with exit code 0 where every line's key set is there. Needs --stack or MRK_STACK, and
    permissions of its own: see docs/command-line.md.
    """
    if (file is None) == (execution is None):
        raise click.UsageError("Name a file to send, or with --execution a batch to watch.")
    batch = _Batch(caller)
    arn = execution or batch.start(file or Path())
    again = caller.repeat(f"batch --follow --execution {arn}")
    if not (follow or execution):
        caller.answer({"executionArn": arn}, lambda _: click.echo(f"Started. To watch it: {again}"))
        return
    on_interrupt(f"Interrupted. The batch goes on. To watch on: {again}")
    progress = _watch(batch, arn)
    table = batch.read(progress["results"])
    if results:
        results.write_text(table)
        say(f"Written to {results}.")
    summary = progress | {"executionArn": arn}
    caller.answer(summary, lambda _: click.echo("" if results else table, nl=False))
    if progress["done"] != progress["lines"]:
        raise SystemExit(1)


class _Batch:
    """The bucket and the state machine of a stack's batches."""

    def __init__(self, caller: Caller) -> None:
        from mrk.api import stack_outputs  # noqa: PLC0415 - see mrk.cli

        if not caller.stack_name:
            raise click.UsageError("Name the stack with --stack: a batch does not go by its API.")
        outputs = stack_outputs(caller.session, caller.stack_name)
        try:
            self._bucket = outputs["BatchesBucketName"]
            self._machine = outputs["BatchStateMachineArn"]
        except KeyError as error:
            raise MrkError(f"Stack {caller.stack_name} has no output {error.args[0]}.") from error
        # Their methods are made of the services' models.
        self._s3: Any = caller.session.create_client("s3")
        self._states: Any = caller.session.create_client("stepfunctions")

    def start(self, file: Path) -> str:
        """Put a file into the bucket and start a batch with it; return the execution's ARN."""
        key = f"requests/{uuid.uuid4()}/{file.name}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=file.read_bytes())
        given = json.dumps({"file": key})
        answer = self._states.start_execution(stateMachineArn=self._machine, input=given)
        arn: str = answer["executionArn"]
        return arn

    def progress(self, arn: str) -> JsonObject | None:
        """Read how far a batch is; None until that is written."""
        try:
            text = self.read(f"batches/{arn.rsplit(':', 1)[-1]}/progress.json")
        except self._s3.exceptions.NoSuchKey:
            return None
        found: JsonObject = json.loads(text)
        return found

    def read(self, key: str) -> str:
        """Read an object of the bucket."""
        text: str = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        return text

    def ended(self, arn: str) -> bool:
        """Say whether a batch has ended. Raise MrkError where it failed as a whole."""
        described = self._states.describe_execution(executionArn=arn)
        if described["status"] in ("RUNNING", "SUCCEEDED"):
            return bool(described["status"] == "SUCCEEDED")
        reason = described.get("cause") or described.get("error") or "no reason is known"
        raise MrkError(f"The batch as a whole {described['status']}: {reason}")


def _watch(batch: _Batch, arn: str) -> JsonObject:
    """Show how far a batch is until it has ended; return its last progress."""
    pause = _FIRST_PAUSE
    with _shown() as show:
        while True:
            ended = batch.ended(arn)  # Read first: what is written then is the last of it.
            progress = batch.progress(arn)
            if progress:
                show(progress)
            if ended and progress:
                return progress
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)


class _Bar:
    """A bar on a terminal; anywhere else, a line when something has changed."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task = bar.add_task("Reading the file", total=None)
        self._said = ""

    def __enter__(self) -> Callable[[JsonObject], None]:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, progress: JsonObject) -> None:
        text = progress_text(progress)
        done = progress["lines"] - progress["waiting"]
        self._bar.update(self._task, description=text, total=progress["lines"], completed=done)
        if self._bar.disable and text != self._said:
            say(text)
        self._said = text


def _shown() -> AbstractContextManager[Callable[[JsonObject], None]]:
    from rich.progress import (  # noqa: PLC0415 - see mrk.cli
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = new_console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    counts = (MofNCompleteColumn(), TimeElapsedColumn())
    watched = console.is_interactive and not console.is_dumb_terminal
    return _Bar(Progress(*columns, *counts, console=console, disable=not watched))


def progress_text(progress: JsonObject) -> str:
    """Write in words how far a batch is, from its `progress.json`."""
    counts = ", ".join(f"{progress[name]} {name}" for name in ("refused", "failed", "waiting"))
    asked = progress.get("waitingForApproval")
    approval = f", {asked} waiting for approval" if asked else ""
    end = f", expected end {progress['expectedEnd']}" if progress["waiting"] else ""
    return f"{progress['done']} of {progress['lines']} done, {counts}{approval}{end}"
