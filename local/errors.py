"""What the local stack tells its user when it cannot go on."""


class LocalStackError(Exception):
    """The local stack cannot go on; the message says why and what to do next."""
