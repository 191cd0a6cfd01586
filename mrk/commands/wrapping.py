"""`mrk wrap`: wraps imported key material, offline."""

import click

from mrk import key_material


@click.command(
    "wrap",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def wrap_command(arguments: tuple[str, ...]) -> None:
    """Wrap imported key material for every Region that asks for it."""
    # Its own arguments: click would repeat one that it does not know, and that might be the
    # material. The module runs without click, too, on a machine that has nothing else.
    raise SystemExit(key_material.main([*arguments], "mrk wrap"))
