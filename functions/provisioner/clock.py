"""The time, in one place, so that tests can move it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def instant_text(instant: datetime) -> str:
    """Write an instant as ISO 8601, in UTC and whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_text(instant: datetime) -> str:
    """Write an instant as ISO 8601, in UTC and milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sleep(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)
