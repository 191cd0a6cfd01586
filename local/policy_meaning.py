"""What a key policy means, whatever order and form KMS gives it back in."""

import json
from typing import Any


def meaning(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy in one form for all that mean the same, with its statements sorted."""
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    return {**policy, "Statement": _sorted([_form(statement) for statement in statements])}


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _form(one) for name, one in value.items()}
    if isinstance(value, list):
        values = _sorted([_form(one) for one in value])
        return values[0] if len(values) == 1 else values
    return value if isinstance(value, str) else json.dumps(value)


def _sorted(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))
