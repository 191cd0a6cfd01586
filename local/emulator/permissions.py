"""Every permission that IAM was asked for, in the order in which it was asked.

What the account's root does is not listed: nothing limits it.
"""

from dataclasses import asdict, dataclass
from typing import Any

from local.emulator.checks import Check


@dataclass(frozen=True)
class Permission:
    """One permission that a principal needed, and whether it had it."""

    principal: str
    """ARN of the caller: of a user, or of a role's session."""
    action: str
    resource: str
    """ARN, or `*` where the action has no resource or nothing is there by that name."""
    region: str
    context: dict[str, Any]
    """The condition keys that the request had."""
    allowed: bool


_asked: list[Permission] = []


def record(principal: str, check: Check, *, allowed: bool) -> None:
    """Note that a principal needed a permission."""
    if principal.endswith(":root"):
        return
    resource = "*" if check.anywhere else check.resource
    context = {name: value for name, value in check.context.items() if value is not None}
    _asked.append(
        Permission(principal, check.action, resource, check.region, context, allowed=allowed)
    )


def as_json(since: int = 0) -> list[dict[str, Any]]:
    """List what was asked, from the permission of that number on."""
    return [asdict(permission) for permission in _asked[since:]]
