"""What every command that calls the stack shares: its options, how it prints, how it connects."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import click

from mrk.errors import Refused

if TYPE_CHECKING:
    from botocore.session import Session
    from rich.console import Console

    from mrk.api import Api

_OPTIONS = (
    click.option(
        "--stack",
        "stack_name",
        envvar="MRK_STACK",
        help="Name of the stack, whose outputs say where its API is; or MRK_STACK.",
    ),
    click.option("--profile", help="Profile of the AWS CLI."),
    click.option("--region", help="Region of the stack."),
    click.option(
        "--api-url",
        envvar="MRK_API_URL",
        help="Address of the API, instead of the stack's output; or MRK_API_URL.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


type Option = Any
"""The value of an option, of the type that click makes of it."""


@dataclass(frozen=True)
class Caller:
    """Who calls which stack, and how the answer is to be printed."""

    stack_name: str | None
    profile: str | None
    region: str | None
    api_url: str | None
    as_json: bool

    @cached_property
    def api(self) -> "Api":
        """The stack's API. Raise click.UsageError where the options name none."""
        from mrk.api import Api  # noqa: PLC0415 - see mrk.cli

        if not (self.stack_name or self.api_url):
            raise click.UsageError("Name the stack with --stack, or its API with MRK_API_URL.")
        return Api.find(self.session, name=self.stack_name, url=self.api_url, say=say)

    @cached_property
    def session(self) -> "Session":
        """The caller's credentials and Region. Raise click.UsageError where there is no Region."""
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415

        from mrk.api import new_session  # noqa: PLC0415

        try:
            session = new_session(self.profile, self.region)
            region = session.get_config_variable("region")
        except ProfileNotFound as error:
            raise click.UsageError(f"{error}.") from error
        if region is None:
            raise click.UsageError("Name the stack's Region with --region.")
        return session

    @cached_property
    def console(self) -> "Console":
        """Standard output, for people."""
        return new_console()

    def answer(self, document: object, show: Callable[["Console"], object]) -> None:
        """Print an answer: as JSON where that is asked for, else as `show` writes it."""
        if self.as_json:
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            show(self.console)

    def repeat(self, command: str) -> str:
        """Write a command as this caller would type it, with the options that name the stack."""
        named = (
            ("--stack", self.stack_name),
            ("--profile", self.profile),
            ("--region", self.region),
        )
        options = [f" {option} {value}" for option, value in named if value]
        return f"mrk {command}{''.join(options)}"


def with_options(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Any]:
    """Return what adds several of click's options and arguments to a command."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for option in options:
            command = option(command)
        return command

    return decorated


def calls_the_stack(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which stack is called; pass a Caller as the first argument."""

    @wraps(command)
    def called(
        *,
        stack_name: str | None,
        profile: str | None,
        region: str | None,
        api_url: str | None,
        as_json: bool,
        **options: Option,
    ) -> None:
        caller = Caller(stack_name, profile, region, api_url, as_json)
        try:
            command(caller, **options)
        except Refused as refused:
            if as_json:
                click.echo(json.dumps({"errors": refused.problems}, indent=2, ensure_ascii=False))
            raise

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


def new_console(*, stderr: bool = False) -> "Console":
    """Make a console whose lines are wrapped by the terminal alone."""
    from rich.console import Console  # noqa: PLC0415 - see mrk.cli

    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(text: str) -> None:
    """Show people what goes on; standard output is for the result."""
    click.echo(text, err=True)


def on_interrupt(text: str) -> None:
    """Say what is to be said where the command is interrupted from now on."""
    click.get_current_context().meta["mrk.interrupted"] = text


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person, unless they have said yes beforehand; what is not confirmed is not done."""
    if not yes:
        click.confirm(question, abort=True, err=True)
