"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

USERS = (
    "approval.decision",
    "approval.gate",
    "aws.approvals",
    "aws.new_keys",
    "aws.records",
    "aws.history",
    "aws.sweep_table",
    "batch.planning",
    "batch.report",
    "batch.turns",
    "creation.reconcile",
    "hooks.receiving",
    "intake.request",
    "outcomes.outcome",
    "aws.drift_table",
    "upkeep.key_checks",
    "upkeep.looking",
    "upkeep.owners",
    "upkeep.sweep",
    "upkeep.sweep_region",
)
"""The modules of the package that ask for the time."""


class Clock:
    """Shows the time that it was set to."""

    def __init__(self) -> None:
        # A little ahead, so that a key that moto makes during the test is never from the future.
        self.time = datetime.now(UTC) + timedelta(minutes=1)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self.time

    def move(self, *, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)
