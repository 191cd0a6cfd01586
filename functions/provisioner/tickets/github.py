"""GitHub: a comment on an issue, and whether it is open or closed.

https://docs.github.com/en/rest/issues/comments
https://docs.github.com/en/rest/issues/issues#update-an-issue
"""

import re

from provisioner.domain.ticket_comment import Note
from provisioner.errors import TicketNotUpdatable
from provisioner.tickets.http import TicketSystem, moving

_ISSUE = re.compile(
    r"(?:([A-Za-z0-9-]{1,39}/[A-Za-z0-9_.-]{1,100})#|#)?([1-9][0-9]{0,9})", re.ASCII
)
_PAGE, _PAGES = 100, 10


def update(system: TicketSystem, repository: str | None, ticket_id: str, note: Note) -> None:
    """Comment on an issue, unless that was done, and open or close it where that is wanted.

    Raises
    ------
    TicketNotMoved
        The comment is there, and GitHub refuses the state.
    """
    issue = _path_of(repository, ticket_id)
    state = system.get(issue)["state"]
    if not _is_there(system, issue, note.marker):
        system.post(f"{issue}/comments", {"body": _fenced(note.text("\n"))})
    if note.transition in ("open", "closed") and note.transition != state:
        with moving(ticket_id, note.transition):
            system.patch(issue, {"state": note.transition})


def _fenced(text: str) -> str:
    """Put a text into a block of code, in which nothing is a mention, a link or an image.

    https://github.github.com/gfm/#fenced-code-blocks
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _path_of(repository: str | None, ticket_id: str) -> str:
    found = _ISSUE.fullmatch(ticket_id)
    named = found[1] if found else None
    if found is None or not (named or repository):
        raise TicketNotUpdatable(f"{ticket_id[:80]!r} is no issue, such as owner/repository#12.")
    if repository and named and named.casefold() != repository.casefold():
        raise TicketNotUpdatable(f"{ticket_id[:80]!r} is not of {repository}.")
    place = str(repository or named)
    if place.rsplit("/", 1)[-1] in (".", ".."):
        raise TicketNotUpdatable(f"{place[:80]!r} is no repository.")
    return f"/repos/{place}/issues/{found[2]}"


def _is_there(system: TicketSystem, issue: str, marker: str) -> bool:
    for page in range(1, _PAGES + 1):
        found = system.get(f"{issue}/comments?per_page={_PAGE}&page={page}")
        if any(marker in (one["body"] or "") for one in found):
            return True
        if len(found) < _PAGE:
            return False
    return False
