"""Key policies in which KMS shows that a principal is gone: what of them is left as it is.

KMS shows the unique ID of a user or role that was deleted in the place of its ARN. Whoever has that
name now is somebody else. To write the ARN again lets them in, or is refused while nobody has it.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
"""

import json
import re
from collections.abc import Iterator

from provisioner.domain.policy_meaning import canonical, gone_principals

_KINDS = {"AROA": "role", "AIDA": "user"}
"""What an ARN names whose unique ID begins so, as far as key policies can have it."""
_UNIQUE_ID = re.compile(rf"({'|'.join(_KINDS)})[A-Z0-9]{{12,}}")
_ARN = re.compile(r"arn:[^:]+:iam::[0-9]{12}:(role|user)/.+")


def differs_in_gone_principals_only(found: object, declared: object, *, partition: str) -> bool:
    """Say whether KMS's policy is the declared one, but for principals that are gone.

    In each statement that allows, as many roles and users have to lack as KMS shows IDs of them.
    One that denies has to be the same: its gone principal may be let in under its old name. In
    doubt the policies differ.

    Parameters
    ----------
    found
        The policy as KMS returns it.
    declared
        The policy that was put there; for another one the answer means nothing.
    """
    if not gone_principals(found):
        return False
    one, other = _taken_apart(found, partition), _taken_apart(declared, partition)
    return (
        one is not None
        and other is not None
        and one.keys() == other.keys()
        and all(_only_lacks(one[rest], other[rest]) for rest in one)
    )


def lost_principals(found: object, put: object, declared: object) -> list[str]:
    """List the ARNs of a declared policy that were put before and that KMS does not show any more.

    Empty where KMS shows no principal that is gone: then somebody has taken them out.
    """
    if not gone_principals(found):
        return []
    return sorted((_named(put) & _named(declared)) - _named(found))


def _only_lacks(found: frozenset[str], declared: frozenset[str]) -> bool:
    gone = [_UNIQUE_ID.fullmatch(name) for name in found - declared]
    lacking = [_ARN.fullmatch(name) for name in declared - found]
    return sorted(_KINDS[one[1]] if one else "" for one in gone) == sorted(
        one[1] if one else "none" for one in lacking
    )


def _taken_apart(policy: object, partition: str) -> dict[str, frozenset[str]] | None:
    """Map what is left of each statement without its AWS principals to these; None in doubt."""
    try:
        form = json.loads(canonical(policy, partition=partition))
    except RecursionError:
        return None
    listed = form.pop("Statement", None) if isinstance(form, dict) else None
    if not isinstance(listed, list):
        return None
    parts = {"": frozenset({json.dumps(form, sort_keys=True)})}
    for statement in listed:
        names: frozenset[str] = frozenset()
        if isinstance(statement, dict) and statement.get("Effect") == "Allow":
            names = frozenset(_principals({"Statement": {"Principal": statement.get("Principal")}}))
            if names:
                statement["Principal"].pop("AWS")
        rest = json.dumps(statement, sort_keys=True)
        if rest in parts:
            return None
        parts[rest] = names
    return parts


def _named(policy: object) -> set[str]:
    """Return the ARNs of roles and users that a policy names as principals."""
    return {name for name in _principals(policy) if _ARN.fullmatch(name)}


def _principals(policy: object) -> Iterator[str]:
    listed = policy.get("Statement") if isinstance(policy, dict) else None
    for statement in listed if isinstance(listed, list) else [listed]:
        for element in ("Principal", "NotPrincipal"):
            principal = statement.get(element) if isinstance(statement, dict) else None
            named = principal.get("AWS") if isinstance(principal, dict) else None
            names = named if isinstance(named, list) else [named]
            yield from (name for name in names if isinstance(name, str))
