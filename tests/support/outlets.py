"""Where outcomes go in unit tests."""

from provisioner.aws.approvals import Approvals
from provisioner.aws.clients import client
from provisioner.aws.history import History
from provisioner.aws.records import Records
from provisioner.outcomes.outcome import Outlets


def outlets(records: Records) -> Outlets:
    """Return the table of a test, its history and its bus."""
    return Outlets(
        records=records,
        approvals=Approvals(client("dynamodb"), "requests"),
        history=History(client("dynamodb"), "history"),
        events=client("events"),
        bus="keys",
    )
