"""Calls of ticket systems: no redirects, short times, and an error for each way they fail."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import urllib3

from provisioner.errors import (
    TicketNotMoved,
    TicketNotUpdatable,
    TicketSystemBusy,
    TicketSystemRefused,
)
from provisioner.json_text import Json, JsonObject, text

_TIMEOUT = urllib3.Timeout(connect=3, read=8)
_SHORTEST = 30
"""Seconds between two tries at least: a message is received a limited number of times."""
_LATER = (408, 425, 429)
_GONE = (400, 403, 404, 409, 410, 422, 423)
"""What is wrong with one ticket: gone, closed, locked, or not to be changed in that way."""
_POOL = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)


@contextmanager
def moving(ticket_id: str, transition: str | None) -> Iterator[None]:
    """Raise `TicketNotMoved` where a ticket that has its comment is not to be changed so."""
    try:
        yield
    except TicketNotUpdatable as error:
        text = f"{ticket_id} does not take the transition {transition!r}: {error.what_happened}"
        raise TicketNotMoved(text) from error


class TicketSystem:
    """One ticket system, at the address that the stack's secret has.

    Every call raises `TicketSystemBusy` where it may work later, `TicketNotUpdatable` where
    something is wrong with the ticket, and `TicketSystemRefused` with the entry of the secret.
    """

    def __init__(self, url: str, headers: Mapping[str, str], name: str) -> None:
        self._url = url
        self._headers = {"Accept": "application/json", "User-Agent": "mrk-provisioner", **headers}
        self._name = name

    def get(self, path: str) -> Json:
        """Return what is at a path, as JSON."""
        return self._call("GET", path, None)

    def post(self, path: str, body: JsonObject) -> Json:
        """Send JSON to a path; return the answer's JSON, None where it has none."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: JsonObject) -> Json:
        """Change what is at a path; return the answer's JSON, None where it has none."""
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: JsonObject | None) -> Json:
        content = None if body is None else text(body).encode()
        kind = {"Content-Type": "application/json"} if content else {}
        try:
            answer = _POOL.request(
                method,
                f"{self._url}{path}",
                body=content,
                headers={**self._headers, **kind},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            kind_of_error = type(error).__name__
            raise TicketSystemBusy(f"{self._name} did not answer ({kind_of_error}).") from error
        self._check(answer, method)
        if not answer.data.strip():
            return None
        try:
            return json.loads(answer.data)
        except ValueError as error:
            # A page to log in, or one that says that an instance sleeps.
            raise TicketSystemRefused(f"{self._name} answered {method} without JSON.") from error

    def _check(self, answer: urllib3.BaseHTTPResponse, method: str) -> None:
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        what = f"{self._name} answered {method} with {answer.status}."
        if _is_limited(answer) or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TicketSystemBusy(what, _seconds(answer.headers.get("Retry-After")))
        if answer.status in _GONE:
            raise TicketNotUpdatable(what)
        raise TicketSystemRefused(what)


def _is_limited(answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether an answer asks for fewer calls; GitHub says so with 403 as well.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    headers = answer.headers
    says_when = "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0"
    return answer.status in _LATER or (answer.status == HTTPStatus.FORBIDDEN and says_when)


def _seconds(retry_after: str | None) -> int | None:
    """Read Retry-After: seconds, or a date.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return max(_SHORTEST, int(retry_after[:6]))
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    # Without a zone where it is written as -0000.
    left = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(_SHORTEST, int(left.total_seconds()))
