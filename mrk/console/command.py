"""The command `mrk console`."""

import click
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from mrk.errors import MrkError
from mrk.stack import Stack, new_session


@click.command()
@click.option("--stack", "stack_name", help="Name of the stack, whose outputs say where it is.")
@click.option("--profile", help="Profile of the AWS CLI.")
@click.option("--region", help="Region of the stack.")
@click.option(
    "--api-url",
    envvar="MRK_API_URL",
    help="Address of the stack's API, instead of its output; MRK_API_URL says it, too.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Port of 127.0.0.1; any that is free where it is left out.",
)
def console(
    stack_name: str | None,
    profile: str | None,
    region: str | None,
    api_url: str | None,
    port: int,
) -> None:
    """Serve a page on this machine for making, changing and approving key sets.

    It prints the page's address and serves it until it is interrupted. See docs/console.md.
    """
    # A web server is nothing that the other commands should wait for.
    from mrk.console.server import serve  # noqa: PLC0415

    if not (stack_name or api_url):
        raise click.UsageError("Name the stack with --stack, or its API with MRK_API_URL.")
    try:
        session = new_session(profile, region)
        if session.region_name is None:
            raise click.UsageError("Name the stack's Region with --region.")
        serve(Stack.find(session, name=stack_name, api_url=api_url), port, _show)
    except ProfileNotFound as error:
        raise click.UsageError(f"{error}.") from error
    except (MrkError, BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error


def _show(address: str) -> None:
    click.echo(f"The console is at {address}")
    click.echo("Open this address in a browser of this machine. To stop: Ctrl-C", err=True)
