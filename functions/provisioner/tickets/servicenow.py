"""ServiceNow: a work note and a state, in one call of the Table API.

https://www.servicenow.com/docs/r/api-reference/rest-apis/c_TableAPI.html
"""

import re

from provisioner.domain.ticket_comment import Note
from provisioner.errors import TicketNotUpdatable
from provisioner.tickets.http import TicketSystem

_NUMBER = re.compile(r"[A-Z]{2,10}[0-9]{3,20}", re.ASCII)
_SYS_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def update(system: TicketSystem, table: str, ticket_id: str, note: Note) -> None:
    """Add a work note to a record, unless it is there, and set its state where one is wanted.

    A state that the record does not take, as a rule of its table may have it, is said in the note.
    """
    sys_id = _sys_id(system, table, ticket_id)
    if _is_there(system, sys_id, note.marker):
        return
    record = f"/api/now/table/{table}/{sys_id}"
    if note.transition is not None:
        try:
            system.patch(record, {"work_notes": _journal(note), "state": note.transition})
        except TicketNotUpdatable:
            note = note.with_line(f"The state {note.transition} is not taken.")
        else:
            return
    system.patch(record, {"work_notes": _journal(note)})


def _journal(note: Note) -> str:
    """Return a note as a journal field shows it: what stands between `[code]` would be HTML.

    https://www.servicenow.com/docs/bundle/zurich-platform-administration/page/administer/field-administration/concept/c_JournalFieldType.html
    """
    return re.sub(r"\[(?=/?code\])", "[ ", note.text("\n"), flags=re.IGNORECASE)


def _sys_id(system: TicketSystem, table: str, ticket_id: str) -> str:
    if _SYS_ID.fullmatch(ticket_id):
        return ticket_id
    if not _NUMBER.fullmatch(ticket_id):
        raise TicketNotUpdatable(f"{ticket_id[:80]!r} is no number, such as CHG0031337.")
    query = f"sysparm_query=number={ticket_id}&sysparm_fields=sys_id&sysparm_limit=1"
    found = system.get(f"/api/now/table/{table}?{query}")["result"]
    if not found or not _SYS_ID.fullmatch(found[0]["sys_id"]):
        raise TicketNotUpdatable(f"{table} has no {ticket_id}.")
    return str(found[0]["sys_id"])


def _is_there(system: TicketSystem, sys_id: str, marker: str) -> bool:
    query = f"element_id={sys_id}^element=work_notes^valueLIKE{marker}"
    found = system.get(
        f"/api/now/table/sys_journal_field?sysparm_query={query}&sysparm_fields=sys_id"
        "&sysparm_limit=1"
    )
    return bool(found["result"])
