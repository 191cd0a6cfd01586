"""What people read in their ticket about an outcome, or about what their request waits for."""

import re
from typing import NamedTuple

from provisioner.json_text import JsonObject

MAX_LINES = 60
"""Of errors, keys and plans together; the status of the request has all of it."""
MAX_LINE = 1_500

APPROVAL_REQUIRED = "Multi-Region Key Approval Required"
MATERIAL_REQUIRED = "Multi-Region Key Material Required"


class Note(NamedTuple):
    """What is written into a ticket.

    `marker` is what the note is known by again. `transition` is what the ticket's entry wants for
    the status that the event is about, if anything.
    """

    lines: list[str]
    marker: str
    transition: str | None

    def with_line(self, line: str) -> "Note":
        """Return the note with one more line."""
        return self._replace(lines=[*self.lines, line])

    def text(self, between: str) -> str:
        """Return the note as one text, its lines divided by `between`, the marker last."""
        return between.join([*self.lines, self.marker])


def lines_of(detail_type: str, detail: JsonObject) -> list[str]:
    """Return a comment as lines of plain text, for an event of this stack."""
    if detail_type == APPROVAL_REQUIRED:
        lines = _approval(detail)
    elif detail_type == MATERIAL_REQUIRED:
        lines = _material(detail)
    else:
        lines = _outcome(detail_type, detail)
    if len(lines) > MAX_LINES:
        name = detail["requestId"]
        lines = [*lines[:MAX_LINES], f"And more: GET /keys/{name} has all of it."]
    return [_plain(line)[:MAX_LINE] for line in lines]


_NOT_PLAIN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def _plain(line: str) -> str:
    """Return a line as one line of visible text: names in a request may hold anything."""
    return _NOT_PLAIN.sub(" ", line).strip()


def _outcome(detail_type: str, detail: JsonObject) -> list[str]:
    revision = detail.get("revision") or 1
    lines = [f"{detail_type}: request {detail['requestId']}, revision {revision}."]
    if key := detail.get("key"):
        lines += [_key(one) for one in (key["primary"], *key["replicas"]) if one]
    for removed in detail.get("removed") or []:
        until = removed["notBefore"] or "its replica keys are gone"
        lines.append(f"{removed['region']}: {removed['arn']} is to be deleted, not before {until}.")
    for problem in [*detail.get("errors", []), *detail.get("warnings", [])]:
        place = f"{problem['path']}: " if problem["path"] else ""
        lines.append(f"{place}{problem['code']}: {problem['message']}")
    if asked := _asked(detail):
        lines.append(asked)
    return lines


def _key(one: JsonObject) -> str:
    state = f", {one['keyState']}" if one.get("keyState") else ""
    alias = f" ({one['alias']}{state})" if one.get("alias") else ""
    return f"{one['region']}: {one['arn']}{alias}"


def _asked(detail: JsonObject) -> str:
    decided = [f"{one['decision']} by {one['approver']}" for one in detail.get("approvals") or []]
    asked = f"Asked for by {detail['requester']}." if detail.get("requester") else ""
    return f"{asked} Approvals: {'; '.join(decided)}.".strip() if decided else asked


def _approval(detail: JsonObject) -> list[str]:
    name = detail["requestId"]
    who = detail["requester"] or "somebody whom IAM does not show, so two people have to approve"
    plan = [_planned(row) for row in detail["plan"]]
    return [
        f"Request {name}, revision {detail['revision']}, waits for approval until "
        f"{detail['until']}.",
        f"Asked for by {who}.",
        *plan,
        f"To decide: POST /keys/{name}/approval with decision APPROVE or REFUSE and contentHash "
        f"{detail['contentHash']}.",
    ]


def _planned(row: JsonObject) -> str:
    word = f" (confirmed by {row['confirm']})" if row.get("confirm") else ""
    return f"{row['region']}: {row['call']}, {row['property']}{word}"


def _material(detail: JsonObject) -> list[str]:
    name = detail["requestId"]
    asked = [f"{one['region']}: {one['keyArn']}" for one in detail["materials"]]
    refused = [f"{one['path']}: {one['code']}: {one['message']}" for one in detail["errors"]]
    return [
        f"Request {name} waits for key material until {detail['deadline']}, for:",
        *asked,
        *refused,
        f"GET /keys/{name} shows the public key and import token of each Region; answer with POST "
        f"/keys/{name}/material.",
    ]
