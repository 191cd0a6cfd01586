"""The query of a list of requests."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TypedDict

from provisioner.errors import RequestRejected, new_problem

LIMITS = range(1, 101)
DEFAULT_LIMIT = 50
_KEY = re.compile(r"(approval/)?[A-Za-z0-9_-]{1,80}", re.ASCII)


class Listing(TypedDict):
    """What is asked for: a status or None for all, how many, and after which item."""

    status: str | None
    limit: int
    after: str | None


def parse_listing(query: Mapping[str, str], statuses: list[str]) -> Listing:
    """Read the parameters `status`, `limit` and `next`.

    Raises
    ------
    RequestRejected
        One of them is not valid; carries every problem.
    """
    status, limit, page = query.get("status"), query.get("limit"), query.get("next")
    problems = []
    if status is not None and status not in statuses:
        text = f"There is no status {status[:80]}; there are {', '.join(statuses)}."
        problems.append(new_problem("status", "NOT_ONE_OF", text))
    number = int(limit) if limit and limit.isascii() and limit.isdigit() else 0
    if limit is not None and number not in LIMITS:
        text = f"limit is a number from {LIMITS[0]} to {LIMITS[-1]}."
        problems.append(new_problem("limit", "OUT_OF_RANGE", text))
    after = _key_of(page) if page else None
    if page is not None and after is None:
        text = "next is no page of this list. Leave it out to begin at the first page."
        problems.append(new_problem("next", "NO_SUCH_PAGE", text))
    if problems:
        raise RequestRejected(problems)
    return {"status": status, "limit": number or DEFAULT_LIMIT, "after": after}


def page_after(key: str | None) -> str | None:
    """Return what asks for the page that begins after an item; None where there is none."""
    return base64.urlsafe_b64encode(key.encode()).decode() if key else None


def _key_of(page: str) -> str | None:
    try:
        key = base64.b64decode(page.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return key if _KEY.fullmatch(key) else None
