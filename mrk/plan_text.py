"""A plan, written for people: a diff by Region."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from mrk.errors import Problem, phrased

type Row = dict[str, Any]
"""One of a plan's `changes`."""

_MARKS = {"+": "green", "-": "red", "~": "yellow"}
_LONGEST = 60
"""Characters of a value; the whole of it is in the JSON."""
_USUAL = "by the next revision"
"""How nearly every change can be taken back, which is not worth a word."""
_OWN = "mrk:"
"""What the provisioner's own tags begin with."""


def print_plan(console: Console, planned: dict[str, Any], refusals: Sequence[Problem]) -> None:
    """Print what one declaration would change, or why it is refused."""
    name = planned["requestId"] or "A declaration without requestId"
    if "errors" in planned:
        console.print(
            Text.assemble((name, "bold"), f" ({planned['source']}): ", ("refused", "red"))
        )
        print_problems(console, refusals, "red")
        console.print()
        return
    plan = planned["plan"]
    request = plan["request"]
    what = _summary(plan)
    title = f" revision {request.get('revision') or 1}, {request['alias']}: "
    console.print(Text.assemble((name, "bold"), title, (what, "bold")))
    rows = plan["changes"] if "changes" in plan else [*_new_rows(plan)]
    _print_by_region(console, rows, request["primaryRegion"])
    warnings = [one for one in plan.get("warnings", []) if one not in refusals]
    print_problems(console, warnings, "yellow", "Warning: ")
    print_problems(console, refusals, "red", "Would be refused: ")
    if plan.get("planId") and rows:
        console.print(f"  Plan {plan['planId']}")
    console.print()


def print_approval(console: Console, approval: dict[str, Any]) -> None:
    """Print what a request waits for approval with, as its status has it."""
    _print_by_region(console, approval["plan"])
    for name, value in (
        ("asked by", approval.get("requester") or "somebody unknown: two approvers are needed"),
        ("until", approval["until"]),
        ("content hash", approval["contentHash"]),
    ):
        console.print(f"  {name:<13} {value}")


def print_adoption(console: Console, plan: dict[str, Any]) -> None:
    """Print what stands against an adoption, and the declaration that the key set amounts to."""
    console.print(Text(f"{plan['keyArn']}", "bold"))
    console.print(json.dumps(plan["declaration"], indent=2, ensure_ascii=False))
    rows = [
        {"region": one["region"], "property": one["property"], "from": one["kms"]}
        | {"to": one["declared"], "call": one["path"]}
        for one in plan["differences"]
    ]
    if rows:
        console.print("KMS has → the declaration says, at the field:")
        _print_by_region(console, rows)
    print_problems(console, plan["warnings"], "yellow", "Warning: ")
    print_problems(console, plan["errors"], "red", "Would be refused: ")
    if plan["unmanaged"]:
        console.print(f"  Not managed: {', '.join(plan['unmanaged'])}")
    if not (rows or plan["errors"]):
        console.print("  It can be adopted as it is declared.")


def print_summary(console: Console, planned: Sequence[dict[str, Any]]) -> None:
    """Print what several plans come to."""
    if len(planned) == 1:
        return
    refused = sum("errors" in one for one in planned)
    plans = [one["plan"] for one in planned if "plan" in one]
    new = sum("changes" not in plan for plan in plans)
    changed = sum(bool(plan.get("changes")) for plan in plans)
    same = len(plans) - new - changed
    console.print(
        f"{len(planned)} declarations: {new} new, {changed} to change, {same} as they are, "
        f"{refused} refused."
    )


def print_problems(
    console: Console, problems: Sequence[Problem], style: str, before: str = ""
) -> None:
    """Print problems, or warnings of the same form, a line each."""
    for one in problems:
        console.print(Text(f"  {before}{phrased(one)}", style))


def _print_by_region(console: Console, rows: Sequence[Row], primary: str | None = None) -> None:
    regions = dict.fromkeys(row["region"] for row in rows)
    for region in sorted(regions, key=lambda one: one != primary):
        role = " (primary)" if region == primary else ""
        console.print(Text(f"  {region}{role}", "bold cyan"))
        _print_rows(console, [row for row in rows if row["region"] == region])


def _summary(plan: dict[str, Any]) -> str:
    if "changes" not in plan:
        count = len(plan["keys"])
        return f"a new key set in {count} Region{'s' if count > 1 else ''}"
    count = len(plan["changes"])
    return f"{count} change{'s' if count > 1 else ''}" if count else "nothing to change"


def _new_rows(plan: dict[str, Any]) -> Iterator[Row]:
    """Write a new key set as changes from nothing."""
    request = plan["request"]
    for key in plan["keys"]:
        spec = f"{request['keySpec']} {request['keyUsage']} {request['origin']}"
        is_primary = key["region"] == request["primaryRegion"]
        call = "CreateKey" if is_primary else "ReplicateKey"
        yield _new(key["region"], "key", spec, call)
        for name in ("alias", "description", "rotation", "expiry"):
            if key.get(name):
                yield _new(key["region"], name, key[name])
        for name, value in key["tags"].items():
            if not name.startswith(_OWN):
                yield _new(key["region"], f"tags.{name}", value)
        yield _new(key["region"], "policy", key["policy"])


def _new(region: str, name: str, value: object, call: str = "") -> Row:
    return {"region": region, "property": name, "from": None, "to": value, "call": call}


def _print_rows(console: Console, rows: list[Row]) -> None:
    width = max(len(row["property"]) for row in rows)
    for row in rows:
        before, after = row["from"], row["to"]
        mark = "+" if before is None else "-" if after is None else "~"
        line = Text.assemble("    ", (mark, _MARKS[mark]), f" {row['property']:<{width}}")
        policies = [one for one in (before, after) if _is_policy(one)]
        if not policies:
            _append_values(line, mark, before, after)
        _append_facts(line, row)
        console.print(line)
        if policies:
            _print_policies(console, before, after)


def _append_values(line: Text, mark: str, before: object, after: object) -> None:
    line.append("  ")
    if before is not None:
        line.append(_value(before), "red")
    if mark == "~":
        line.append(" → ")
    if after is not None:
        line.append(_value(after), "green")


def _append_facts(line: Text, row: Row) -> None:
    reversible = row.get("reversible", _USUAL)
    facts = (
        (row.get("call"), "dim"),
        (f"takes the word {row['confirm']}" if row.get("confirm") else "", "bold magenta"),
        ("" if reversible == _USUAL else f"reversible {reversible}", "bold red"),
        (_last_use(row), "magenta"),
    )
    for text, style in facts:
        if text:
            line.append(f"  {text}", style)


def _last_use(row: Row) -> str:
    if row.get("lastUsedAt"):
        return f"last used {row['lastUsedAt']} for {row['lastUsedFor']}"
    since = row.get("usageTrackedSince")
    return f"not used since {since}" if since else ""


def _value(value: object) -> str:
    if isinstance(value, str) and value != "" and value.isprintable():
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_policy(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("Statement"), list)


def _print_policies(console: Console, before: object, after: object) -> None:
    """Print what of a key policy comes and goes, a line each."""
    old, new = (_policy_lines(one) for one in (before, after))
    for mark, lines in (("-", [one for one in old if one not in new]), ("+", new)):
        for line in lines:
            if mark == "-" or line not in old:
                console.print(Text(f"        {mark} {line}", _MARKS[mark]))


def _policy_lines(policy: object) -> list[str]:
    """Write a policy as lines that say one thing each, so that two can be compared."""
    if not isinstance(policy, dict) or not _is_policy(policy):
        return [] if policy is None else [_value(policy)]
    return [
        f"{one.get('Sid') or f'Statement {number}'}: {one.get('Effect')} {text}"
        for number, one in enumerate(policy["Statement"], start=1)
        for text in _statement_lines(one)
    ]


def _statement_lines(statement: dict[str, Any]) -> Iterator[str]:
    actions = ", ".join(_listed(statement.get("Action", statement.get("NotAction"))))
    beside = {
        name: value
        for name, value in statement.items()
        if name not in ("Sid", "Effect", "Principal", "Action")
        and (name, value) != ("Resource", "*")
    }
    also = f" {json.dumps(beside, ensure_ascii=False, sort_keys=True)}" if beside else ""
    principals = statement.get("Principal", "")
    named = principals if isinstance(principals, dict) else {"": principals}
    for kind, members in sorted(named.items()):
        for member in _listed(members):
            who = member if kind in ("", "AWS") else f"{kind} {member}"
            yield f"{who}: {actions}{also}"


def _listed(value: object) -> list[str]:
    return sorted(map(str, value)) if isinstance(value, list) else [str(value)]
