"""Writes docs/least-privilege.md from what the deployed stack was seen to grant and use."""

from dataclasses import dataclass

from tests.support.stack.privileges import Grant, Privileges

_HEAD = """\
# Least privilege, measured

`make least-privilege` writes this page, and `tests/workflow/test_least_privilege.py` fails where it
does not hold any more. The test deploys the stack, goes every path of the workflow with IAM
enforced, and compares what each role is granted with what it was seen to use.

## Roles

| role | granted | used | difference |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Reasons:
    """Why something is granted that looks like too much."""

    not_used: dict[tuple[str, str], str]
    """By the names of role and action."""
    without_resource: dict[str, str]
    """By action: its resource is `*`."""
    with_wildcard: dict[str, str]
    """By resource."""
    managed: dict[str, str]
    """By the name of AWS's managed policy."""


def page(
    privileges: Privileges,
    unused: list[Grant],
    reasons: Reasons,
    denied: dict[str, int],
    possible: list[tuple[str, str, str]],
) -> str:
    """Write the page.

    Parameters
    ----------
    unused
        What no path used.
    denied
        For each kind of attempt that must not work, how many IAM denied.
    possible
        What IAM cannot deny: role, action, and what that means.
    """
    grants = privileges.grants()
    lines = [_HEAD.rstrip("\n")]
    for role in privileges.roles_by_name():
        own = [grant for grant in grants if grant.role == role]
        left = [grant for grant in unused if grant.role == role]
        difference = f"{len(left)}, see below" if left else "none"
        lines.append(f"| {role} | {len(own)} | {len(own) - len(left)} | {difference} |")
    lines += ["", "What a path does not use, and why it is granted all the same:", ""]
    lines += _by_reason(
        {f"{g.role} `{g.action}`": reasons.not_used[g.role, g.action] for g in unused}
    )
    lines += ["", "Beside its own policy a role has of AWS's managed ones:", ""]
    lines += [f"- `{name}`: {why}" for name, why in reasons.managed.items()]
    lines += ["", "## Wildcards", "", "No action has one. A resource is `*` only for:", ""]
    lines += _by_reason({f"`{action}`": why for action, why in reasons.without_resource.items()})
    lines += ["", "It has a `*` in it for:", ""]
    lines += [f"- `{resource}`: {why}" for resource, why in reasons.with_wildcard.items()]
    lines += ["", "## Every permission", "", "| role | action | on | used |", "|---|---|---|---|"]
    for grant in grants:
        is_used = "see above" if grant in unused else "yes"
        resource = privileges.readable(grant.resource)
        lines.append(f"| {grant.role} | `{grant.action}` | `{resource}` | {is_used} |")
    lines += ["", "## What IAM was seen to deny", ""]
    lines += [
        "Each attempt was made with credentials of the role, past all of our code; for a role that",
        "only a service may assume, with those of a copy that has the same policies.",
        "",
        "| attempts of every role | denied |",
        "|---|---|",
    ]
    lines += [f"| {kind} | {number} |" for kind, number in denied.items()]
    lines += [f"| **all** | **{sum(denied.values())}** |"]
    lines += ["", "## What IAM cannot deny", "", "| role | action | what that means |"]
    lines += ["|---|---|---|"]
    lines += [f"| {role} | `{action}` | {meaning} |" for role, action, meaning in possible]
    return "\n".join(lines) + "\n"


def _by_reason(reasons: dict[str, str]) -> list[str]:
    """Write a line for each reason, with all that it is the reason of."""
    return [
        f"- {', '.join(name for name, other in reasons.items() if other == why)}: {why}"
        for why in dict.fromkeys(reasons.values())
    ]
