"""Statuses, lists and histories of requests, written for people."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from mrk.errors import phrased

_GOOD = ("CREATED", "UPDATED", "FINISHED", "DECOMMISSIONED", "Enabled")
_BAD = ("FAILED", "UPDATE_FAILED", "REJECTED", "Disabled", "Unavailable")


def style_of(word: str | None) -> str:
    """Return the colour of a status or of a key's state."""
    if word in _GOOD:
        return "green"
    return "red" if word in _BAD or (word or "").startswith("Pending") else "yellow"


def print_status(console: Console, status: dict[str, Any]) -> None:
    """Print what `GET /keys/{requestId}` answers."""
    title = (status["requestId"], "bold"), f" revision {status['revision']}: "
    console.print(Text.assemble(*title, (status["status"], f"bold {style_of(status['status'])}")))
    key = status.get("key")
    if key:
        console.print(f"  {key['keyId']}  {key['keySpec']}  {key['keyUsage']}  {key['origin']}")
        for one in (key["primary"], *key["replicas"]):
            _print_key(console, one, "primary" if one is key["primary"] else "replica")
    _print_facts(console, status)
    for name, style in (("errors", "red"), ("warnings", "yellow")):
        for problem in status.get(name) or []:
            console.print(Text(f"  {phrased(problem)}", style))


def print_ended(console: Console, followed: Sequence[dict[str, Any]]) -> None:
    """Print the statuses of what was followed to its end, and that end where it says more."""
    for ended in followed:
        _print_end(console, ended)


def _print_end(console: Console, ended: dict[str, Any]) -> None:
    outcome = ended["outcome"]
    if "status" in ended:
        print_status(console, ended)
    if outcome["status"] != ended.get("status"):
        what = outcome.get("operation") or f"Revision {outcome.get('revision')}"
        name = outcome.get("operationId", ended["requestId"])
        status = (outcome["status"], f"bold {style_of(outcome['status'])}")
        console.print(Text.assemble((what, "bold"), f" {name}: ", status))
        for problem in outcome.get("errors") or []:
            console.print(Text(f"  {phrased(problem)}", "red"))


def _print_key(console: Console, key: dict[str, Any], role: str) -> None:
    state = key.get("keyState")
    console.print(
        Text.assemble(
            f"  {key['region']:<15} {role:<8} ",
            (f"{state or 'not read':<12}", style_of(state)),
            f" {key.get('alias') or ''}",
        )
    )
    console.print(Text(f"    {key['arn']}", "dim"))


def _print_facts(console: Console, status: dict[str, Any]) -> None:
    operation, last = status.get("operation"), status.get("lastOperation")
    approval = status.get("approval") or {}
    facts = {
        "started": status.get("startedAt"),
        "updated": status.get("updatedAt"),
        "deadline": status.get("deadline"),
        "released": status.get("releasedAt"),
        "operation": f"{operation['operation']} {operation['operationId']}" if operation else None,
        "last operation": _last(last) if last else None,
        "approval until": approval.get("until"),
        "content hash": approval.get("contentHash"),
        "key materials": len(status.get("rotations") or []) or None,
        "execution": status.get("executionArn"),
    }
    for name, value in facts.items():
        if value is not None:
            console.print(f"  {name:<15} {value}")
    for one in status.get("materials") or []:
        until = f"until {one['validUntil']}"
        console.print(
            f"  key material for {one['region']} is awaited, {until}: see mrk wrap --help"
        )


def _last(operation: dict[str, Any]) -> str:
    return f"{operation['operation']} {operation['operationId']}: {operation.get('status')}"


def print_list(console: Console, requests: Sequence[dict[str, Any]]) -> None:
    """Print a page of requests, a line each."""
    if not requests:
        console.print("There are no such requests.")
        return
    rows = [
        (
            one["requestId"],
            one["status"],
            f"{one['revision']}",
            one["alias"] or "",
            " ".join(one["regions"] or []),
            (one["updatedAt"] or "")[:19],
        )
        for one in requests
    ]
    _print_columns(console, ("request", "status", "rev.", "alias", "Regions", "updated"), rows, 1)


def print_history(console: Console, outcomes: Sequence[dict[str, Any]]) -> None:
    """Print the outcomes of a request, the oldest first."""
    if not outcomes:
        console.print("Nothing has ended yet.")
        return
    rows = [
        (
            one["at"][:19],
            one["status"],
            f"{one['revision'] or ''}",
            one.get("operation") or "",
            one["requester"] or "somebody unknown",
            ", ".join(each["approver"] for each in one.get("approvals") or []),
        )
        for one in outcomes
    ]
    columns = ("at", "status", "rev.", "operation", "asked by", "decided by")
    _print_columns(console, columns, rows, 1)
    for one in outcomes:
        for problem in one.get("errors") or []:
            console.print(Text(f"{one['at'][:19]}  {phrased(problem)}", "red"))


def _print_columns(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[str]], coloured: int
) -> None:
    """Print rows under names, each column as wide as what stands in it."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    header = "  ".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True))
    console.print(Text(header.rstrip(), "bold"))
    for row in rows:
        cells = [f"{value:<{width}}" for value, width in zip(row, widths, strict=True)]
        line = Text("  ".join(cells).rstrip())
        begin = sum(widths[:coloured]) + 2 * coloured
        line.stylize(style_of(row[coloured]), begin, begin + len(row[coloured]))
        console.print(line)
