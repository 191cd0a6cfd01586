"""The command `mrk`. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

Each command's module is imported when it is called, and no other: whoever reads one status does
not wait for what `mrk verify` needs.
"""

from importlib import import_module

import click

from mrk.errors import MrkError

_COMMANDS = {
    "plan": ("planning", "Show what declarations would change; change nothing."),
    "apply": ("applying", "Make key sets as they are declared."),
    "get": ("reading", "Show one request and its key set."),
    "list": ("reading", "List requests."),
    "follow": ("reading", "Watch a request until it has ended."),
    "history": ("reading", "Show what became of a request so far."),
    "approve": ("deciding", "Approve what a request waits with."),
    "refuse": ("deciding", "Refuse what a request waits with."),
    "cancel": ("deciding", "Cancel a request that is under way."),
    "rotate": ("operating", "Rotate a key set's material on demand, once."),
    "repair": ("operating", "Make KMS as it is declared again."),
    "release": ("operating", "Stop managing a key set; its keys stay."),
    "adopt": ("adopting", "Manage a key set that exists."),
    "batch": ("batching", "Send a file of requests, and show how far it is."),
    "wrap": ("wrapping", "Wrap imported key material, offline."),
    "verify": ("verifying", "Prove a deployed stack in its account."),
    "console": ("consoling", "Serve a page on this machine for all of this."),
}
"""Each command's module, and what `mrk --help` says about it without importing that."""


class _Commands(click.Group):
    """The commands, imported when they are called; turns their errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"mrk.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            self._refuse(ctx, args[0])
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: click.Context, name: str) -> None:
        from difflib import get_close_matches  # noqa: PLC0415 - for a slip of the fingers alone

        near = get_close_matches(name, _COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"There is no command {name}.{hint}", ctx)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MrkError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt as error:
            said = ctx.meta.get("mrk.interrupted") or "Interrupted; nothing was sent."
            raise click.ClickException(said) from error
        except Exception as error:
            raise click.ClickException(_of_aws(error)) from error


def _of_aws(error: Exception) -> str:
    """Phrase an error of botocore's; raise every other again."""
    if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort):
        raise error
    from mrk.aws_errors import phrased  # noqa: PLC0415 - imports botocore

    return phrased(error)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage. See docs/command-line.md.",
)
@click.version_option(package_name="mrk-provisioner", prog_name="mrk")
def main() -> None:
    """Use a deployed multi-Region key provisioner."""
