"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

USERS = ("outcome", "reconcile", "records", "sweep")
"""The modules of the package that ask for the time."""


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        """Give the time, in UTC."""
        return self.time

    def move(self, *, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)
