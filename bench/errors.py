"""What can go wrong with a measurement."""


class BenchError(Exception):
    """Something could not be measured; the message says what and why."""
