"""`mrk verify`: proves a deployed stack in its account."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound
from rich.console import Console

from mrk.api import new_session
from mrk.errors import MrkError
from mrk.stack import Stack
from mrk.verify import proof, report
from mrk.verify.account import Account
from mrk.verify.clean_up import leftovers, remove
from mrk.verify.evidence import Evidence
from mrk.verify.key_sets import KeySets, new_run

_TIMEOUT = 900
_WIDTH = 120
"""Of the tables where no terminal says how wide it is."""


@click.command("verify")
@click.option("--stack", "stack_name", help="Name of the stack, whose outputs say where it is.")
@click.option("--profile", help="Profile of the AWS CLI.")
@click.option("--region", help="Region of the stack.")
@click.option(
    "--api-url",
    envvar="MRK_API_URL",
    help="Address of the stack's API, instead of its output; MRK_API_URL says it, too.",
)
@click.option("--replica-region", help="Region of the replica.")
@click.option("--not-enabled-region", help="A Region that the account has not enabled.")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=_TIMEOUT,
    show_default=True,
    help="Seconds that a request may take.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("verify.json"),
    show_default=True,
    help="File for what was seen.",
)
@click.option("--clean-up", is_flag=True, help="Only remove what earlier runs have left.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(  # noqa: PLR0913, PLR0917 - the command's options
    stack_name: str | None,
    profile: str | None,
    region: str | None,
    api_url: str | None,
    replica_region: str | None,
    not_enabled_region: str | None,
    timeout: int,
    output: Path,
    *,
    clean_up: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Prove a deployed stack in its account: make key sets, compare AWS, remove them.

    Keys are left that wait for their deletion, nothing else. See docs/verify.md for the
    permissions that this takes and for how to read what it prints.
    """
    if not (stack_name or api_url):
        raise click.UsageError("Name the stack with --stack, or its API with MRK_API_URL.")
    with _reported():
        stack = _stack(stack_name, profile, region, api_url)
        account = Account.of(stack.session, replica_region)
        if clean_up:
            _clean_up(stack, account, timeout, yes=yes, as_json=as_json)
            return
        key_sets = KeySets.of(new_run(), account, not_enabled_region)
        evidence = Evidence(stack, account, key_sets, timeout)
        proof.plan(evidence)
        _say(report.announcement(evidence))
        _confirm("Create them?", yes=yes)
        seen = proof.prove(evidence, say=_say)
        document = report.as_json(seen)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(document, indent=2) + "\n")
        if as_json:
            click.echo(json.dumps(document, indent=2))
        else:
            console = Console(highlight=False, soft_wrap=True)
            if not console.is_terminal:
                console.width = _WIDTH
            report.print_tables(seen, console)
            click.echo(f"Written to {output}.")
    if not seen.proved:
        raise SystemExit(1)


def _stack(name: str | None, profile: str | None, region: str | None, api_url: str | None) -> Stack:
    try:
        session = new_session(profile, region)
        home = session.get_config_variable("region")
    except ProfileNotFound as error:
        raise click.UsageError(f"{error}.") from error
    if home is None:
        raise click.UsageError("Name the stack's Region with --region.")
    return Stack.find(session, name=name, api_url=api_url)


def _clean_up(stack: Stack, account: Account, timeout: float, *, yes: bool, as_json: bool) -> None:
    found = leftovers(account)
    for arn, request_id in found.items():
        _say(f"{arn} of request {request_id}")
    left: list[dict[str, Any]] = []
    if found:
        _confirm(f"Schedule the deletion of these {len(found)} keys?", yes=yes)
        ids = sorted(set(found.values()))
        left = remove(stack, account, ids, found, timeout=timeout, say=_say)
    else:
        _say("Nothing is left by an earlier run.")
    if as_json:
        click.echo(json.dumps({"left": left}, indent=2))


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _say(text: str) -> None:
    """Show people what goes on; standard output is for the result."""
    click.echo(text, err=True)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn an error that people can do something about into a message and exit code 1."""
    try:
        yield
    except (MrkError, BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException(
            "Interrupted before everything was removed. Run mrk verify --clean-up."
        ) from error
