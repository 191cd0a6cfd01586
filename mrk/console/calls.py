"""What the console asks the stack's API for, and how it says that something is wrong."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from mrk.api import Api, Reply
from mrk.console.form import Declaration, Problem
from mrk.errors import MrkError


class Refused(Exception):
    """The API has refused something; `problems` has every reason, each with its field's path."""

    def __init__(self, status: int, problems: list[Problem]) -> None:
        super().__init__(" ".join(problem["message"] for problem in problems))
        self.status = status
        self.problems = problems


def plan(api: Api, document: Declaration) -> dict[str, Any]:
    """Return what a declaration would do: `request`, `keys`, `warnings`; of a change `changes`.

    Raises
    ------
    Refused
        The stack would not take it.
    """
    return _read(api.call("POST", "/keys?plan=true", document))


def send(api: Api, document: Declaration, plan_id: str | None) -> dict[str, Any]:
    """Send a declaration; a change only as it was planned."""
    query = f"?{urlencode({'planId': plan_id})}" if plan_id else ""
    return _read(api.call("POST", f"/keys{query}", document))


def listed(api: Api, status: str | None, page: str | None) -> dict[str, Any]:
    """Return a page of the list: `requests` and `next`."""
    asked = {"status": status, "limit": "50", "next": page}
    query = urlencode({name: value for name, value in asked.items() if value})
    return _read(api.call("GET", f"/keys?{query}"))


def status_of(api: Api, request_id: str) -> dict[str, Any]:
    """Return the status of a request."""
    return _read(api.call("GET", _path(request_id)))


def history_of(api: Api, request_id: str) -> list[dict[str, Any]]:
    """Return the outcomes of a request, the newest first."""
    outcomes: list[dict[str, Any]] = _read(api.call("GET", _path(request_id, "/history")))[
        "outcomes"
    ]
    return outcomes[::-1]


def decide(api: Api, request_id: str, decision: dict[str, Any]) -> None:
    """Approve or refuse what waits for approval."""
    _read(api.call("POST", _path(request_id, "/approval"), decision))


def operate(api: Api, request_id: str, operation: dict[str, Any]) -> None:
    """Ask for an operation."""
    _read(api.call("POST", _path(request_id, "/operations"), operation))


def cancel(api: Api, request_id: str) -> None:
    """Cancel a request that is under way."""
    _read(api.call("DELETE", _path(request_id)))


def _path(request_id: str, rest: str = "") -> str:
    return f"/keys/{quote(request_id, safe='')}{rest}"


def _read(reply: Reply) -> dict[str, Any]:
    body = reply.body if isinstance(reply.body, dict) else {}
    if reply.status < HTTPStatus.BAD_REQUEST:
        return body
    problems = body.get("errors")
    if not problems:
        raise MrkError(
            f"The API answered {reply.status}: {body.get('message') or 'without a reason'}. "
            "Is this the stack's API?"
        )
    raise Refused(reply.status, problems)
