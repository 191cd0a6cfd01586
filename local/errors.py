"""What the local stack reports to its user when it cannot go on."""


class LocalStackError(Exception):
    """The local stack cannot go on; the message says why and what to do next."""
