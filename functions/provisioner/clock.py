"""The time, in one place, so that tests can move it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Give the current time in UTC."""
    return datetime.now(UTC)
