"""What a run is about to do and what it has seen, as text, as tables and as JSON."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mrk.verify.account import DELETION_WINDOW_DAYS
from mrk.verify.evidence import Evidence, Row, Verdict
from mrk.verify.proof import Report

_COLOURS = {Verdict.HOLDS: "green", Verdict.WRONG: "bold red", Verdict.NOT_ASKED: "yellow"}
_ABOUT = (
    "What `mrk verify` saw in an account. `steps` and `beliefs` are the printed tables, `rows` are "
    "KMS's answers in the form of tests/support/stack/kms_observed.json, with the account and "
    "Regions named as there. docs/verify.md says how they become rows of that table."
)
# https://aws.amazon.com/kms/pricing/: 1 USD a month for each key, prorated by the hour, and none
# while its deletion is scheduled. A month has 730 hours.
_USD_PER_KEY_HOUR = 1 / 730


def announcement(evidence: Evidence) -> str:
    """Say what will be created, what it costs and what is left."""
    account, key_sets = evidence.account, evidence.key_sets
    keys = key_sets.keys()
    lines = [f"Account {account.id}: {keys} multi-Region keys will be created by the stack:"]
    for name, request in key_sets.requests().items():
        regions = [request["primaryRegion"], *(r["region"] for r in request.get("replicas", []))]
        lines.append(f"  {request['requestId']}  {name}, in {', '.join(regions)}")
    lines += [
        "KMS charges 1 USD a month for each key, prorated by the hour, until its deletion is "
        f"scheduled: about {keys * _USD_PER_KEY_HOUR:.2f} USD for an hour.",
        "It takes two to twenty minutes. At the end, and when interrupted, every key is scheduled "
        f"for deletion; it waits {DELETION_WINDOW_DAYS} days, those that the stack rolls back as "
        "long as its DeletionWindowInDays says. Waiting keys cost nothing.",
    ]
    return "\n".join(lines)


def print_tables(report: Report, console: Console) -> None:
    """Print what was seen."""
    console.print(_table("Steps", "step", report.steps))
    console.print(_table("Beliefs about AWS", "belief", report.beliefs))
    for key in report.left:
        until = f" until {key['deletionDate']}" if key["deletionDate"] else ""
        console.print(f"{key['region']} {key['keyId']} {key['keyState']}{until}", markup=False)
    if report.not_removed:
        console.print(report.not_removed, markup=False, style="bold red")
    counts = [
        f"{sum(row.verdict == verdict for row in [*report.steps, *report.beliefs])} {verdict}"
        for verdict in Verdict
    ]
    console.print(f"{', '.join(counts)}; {report.seconds:.0f} s.", markup=False)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as verify.json has it."""
    return {
        "about": _ABOUT,
        "run": report.run,
        "region": report.stack_region,
        "startedAt": report.started_at.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 1),
        "proved": report.proved,
        "interrupted": report.interrupted,
        "notRemoved": report.not_removed,
        "steps": [row.as_json() for row in report.steps],
        "beliefs": [row.as_json() for row in report.beliefs],
        "rows": report.rows,
        "left": report.left,
    }


def _table(title: str, what: str, rows: Iterable[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(what, no_wrap=True)
    table.add_column("expected")
    table.add_column("seen", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        verdict = Text(row.verdict, style=_COLOURS[row.verdict])
        table.add_row(row.id, Text(row.expected), Text(row.seen), verdict)
    return table
