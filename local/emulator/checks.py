"""A request, and the permissions that it needs."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request to an AWS service."""

    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One permission that a request needs."""

    action: str
    region: str
    resource: str = "*"
    context: dict[str, Any] = field(default_factory=dict)
    anywhere: bool = False
    """Whether an Allow for any resource will do: there is no resource to check."""
