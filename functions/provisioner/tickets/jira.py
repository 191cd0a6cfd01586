"""Jira Cloud: comments in its document format, and transitions by their names.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
"""

import re
from urllib.parse import quote

from provisioner import json_text
from provisioner.domain.ticket_comment import Note
from provisioner.errors import TicketNotUpdatable
from provisioner.json_text import JsonObject
from provisioner.tickets.http import TicketSystem, moving

_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,30}-[1-9][0-9]{0,9}", re.ASCII)
_NEWEST = 100


def update(system: TicketSystem, ticket_id: str, note: Note) -> None:
    """Comment on an issue, unless that was done, and move it where a transition is wanted.

    A transition that the issue's workflow does not offer now is said in the comment. One that asks
    for more than its name, such as a resolution, is refused after it.

    Raises
    ------
    TicketNotMoved
        The comment is there, and Jira refuses the transition.
    """
    if not _KEY.fullmatch(ticket_id):
        raise TicketNotUpdatable(f"{ticket_id[:80]!r} is no key of an issue, such as OPS-12.")
    issue = f"/rest/api/3/issue/{quote(ticket_id, safe='')}"
    offered = _offered(system, issue, note.transition)
    if not _is_there(system, issue, note.marker):
        if note.transition and offered is None:
            text = f"The transition {note.transition} is not offered from the issue's status."
            note = note.with_line(text)
        system.post(f"{issue}/comment", {"body": _document(note)})
    if offered is not None:
        with moving(ticket_id, note.transition):
            system.post(f"{issue}/transitions", {"transition": {"id": offered}})


def _offered(system: TicketSystem, issue: str, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    found = system.get(f"{issue}/transitions")["transitions"]
    return next((one["id"] for one in found if one["name"].casefold() == wanted.casefold()), None)


def _is_there(system: TicketSystem, issue: str, marker: str) -> bool:
    found = system.get(f"{issue}/comment?orderBy=-created&maxResults={_NEWEST}")
    return any(marker in json_text.text(one["body"]) for one in found["comments"])


def _document(note: Note) -> JsonObject:
    """Write a note as a document of paragraphs.

    https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
    """
    content = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}]}
        for line in [*note.lines, note.marker]
        if line
    ]
    return {"type": "doc", "version": 1, "content": content}
