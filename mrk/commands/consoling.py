"""`mrk console`: a page on loopback."""

import click

from mrk.commands.caller import Caller, calls_the_stack


@click.command("console")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Port of 127.0.0.1; any that is free where it is left out.",
)
@calls_the_stack
def console_command(caller: Caller, port: int) -> None:
    """Serve a page on this machine for making, changing and approving key sets.

    It prints the page's address and serves it until it is interrupted. See docs/console.md.
    """
    # A web server is nothing that the help of this command should wait for.
    from mrk.console.server import serve  # noqa: PLC0415

    serve(caller.api, port, _show)


def _show(address: str) -> None:
    click.echo(f"The console is at {address}")
    click.echo("Open this address in a browser of this machine. To stop: Ctrl-C", err=True)
