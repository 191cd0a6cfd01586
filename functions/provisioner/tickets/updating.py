"""Writes an event of this stack into the ticket that its request names, once."""

import base64
import uuid
from typing import TypedDict

from provisioner.domain.plan import fingerprint
from provisioner.domain.ticket_comment import Note, lines_of
from provisioner.errors import TicketSystemRefused
from provisioner.intake.ticket_systems import GitHub, Jira, ServiceNow, Systems
from provisioner.json_text import JsonObject
from provisioner.telemetry import logger
from provisioner.tickets import github, jira, servicenow
from provisioner.tickets.http import TicketSystem

BusEvent = TypedDict("BusEvent", {"detail-type": str, "detail": JsonObject})
"""What is read of an event as EventBridge delivers it."""


def marker_of(event: BusEvent) -> str:
    """Return what a comment is known by again, the same however often the event comes."""
    detail = event["detail"]
    known = detail.get("outcomeId") or uuid.uuid5(uuid.NAMESPACE_OID, fingerprint(detail))
    return f"({known})"


def update_ticket(event: BusEvent, systems: Systems, *, insecure: bool) -> bool:
    """Write an event into its ticket.

    Parameters
    ----------
    insecure
        Whether addresses without TLS are taken, as a local stack needs it.

    Returns
    -------
    bool
        False where no entry says how to write to the ticket's system, or it names no ticket.

    Raises
    ------
    TicketSystemBusy
        It may work later.
    TicketNotUpdatable
        Something is wrong with this ticket.
    TicketNotMoved
        The ticket has its comment, and does not take the transition.
    TicketSystemRefused
        Something is wrong with the entry of the secret.
    """
    ticket = event["detail"].get("ticket") or {}
    name, ticket_id = ticket.get("system"), ticket.get("id")
    entry = systems.entries.get(name) if isinstance(name, str) else None
    if entry is None or not isinstance(ticket_id, str | int):
        logger.info("no ticket to write to", system=str(name)[:64], broken=systems.broken)
        return False
    if not entry.url.startswith("https://") and not insecure:
        raise TicketSystemRefused(f"The address of {name} is without TLS.")
    transition = entry.transitions.get(event["detail"].get("status", ""))
    note = Note(lines_of(event["detail-type"], event["detail"]), marker_of(event), transition)
    try:
        _update(entry, str(name), str(ticket_id), note)
    except (KeyError, TypeError) as error:
        raise TicketSystemRefused(f"{name} answered in another form: {error!r}.") from error
    return True


def _update(entry: Jira | ServiceNow | GitHub, name: str, ticket_id: str, note: Note) -> None:
    if isinstance(entry, GitHub):
        headers = {"Authorization": f"Bearer {entry.token}", "X-GitHub-Api-Version": "2022-11-28"}
        github.update(TicketSystem(entry.url, headers, name), entry.repository, ticket_id, note)
        return
    user = base64.b64encode(f"{entry.user}:{entry.token}".encode()).decode()
    system = TicketSystem(entry.url, {"Authorization": f"Basic {user}"}, name)
    if isinstance(entry, Jira):
        jira.update(system, ticket_id, note)
    else:
        servicenow.update(system, entry.table, ticket_id, note)
