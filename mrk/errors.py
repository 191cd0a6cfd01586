"""What the command reports when it cannot go on."""


class MrkError(Exception):
    """The command cannot go on; the message says what happened and what to do next."""
