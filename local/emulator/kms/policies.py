"""What KMS refuses in a key policy, and the refusal of a policy that nobody could change again.

https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session

from local.emulator import regions
from local.emulator.checks import Check
from local.emulator.kms import access as kms_access
from local.emulator.kms import principals as kms_principals
from local.emulator.kms.refusal import KmsRefusedError

_MAXIMUM_BYTES = 32 * 1024
_VERSIONS = ("2012-10-17", "2008-10-17")
_POLICY_ELEMENTS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_OPERATOR = re.compile(
    r"(foranyvalue:|forallvalues:)?"
    r"(string(not)?(equals|equalsignorecase|like)|arn(not)?(equals|like)|(not)?ipaddress"
    r"|(numeric|date)((not)?equals|(less|greater)than(equals)?)|bool|binaryequals)"
    r"(ifexists)?|null"
)

_ACCOUNT = re.compile(r"(?:arn:aws[\w-]*:iam::)?(?P<account>\d{12})(?::root)?")
_FEDERATED_USER = re.compile(r"arn:aws[\w-]*:sts::\d{12}:federated-user/[^/*?]+")
_SERVICE = re.compile(r"(?P<labels>[a-z0-9.-]+)\.amazonaws\.com(?:\.cn)?")

# Parts of service principals that are the name of no service or endpoint in botocore.
_OTHER_SERVICES = frozenset({"edgelambda", "vpc-flow-logs"})


def check(parameters: dict[str, Any], change: Check) -> None:
    """Check the policy that a request has, if it has one.

    Parameters
    ----------
    parameters
        Of CreateKey, ReplicateKey or PutKeyPolicy.
    change
        The permission to change the policy afterwards.

    Raises
    ------
    KmsRefusedError
        The policy is too long, is none, names principals that do not exist, or locks its author
        out.
    """
    text = parameters.get("Policy")
    if text is None:
        return
    if len(text.encode()) > _MAXIMUM_BYTES:
        raise KmsRefusedError(
            "LimitExceededException", f"The key policy is longer than {_MAXIMUM_BYTES} bytes."
        )
    policy = _parsed(text)
    for statement in _statements(policy):
        _check_statement(statement)
    if not parameters.get("BypassPolicyLockoutSafetyCheck"):
        _check_lockout(policy, change)


def _malformed(message: str) -> KmsRefusedError:
    return KmsRefusedError("MalformedPolicyDocumentException", message)


def _parsed(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(text)
    except ValueError as error:
        raise _malformed("The policy is not valid JSON.") from error
    if not isinstance(policy, dict) or not policy.keys() <= _POLICY_ELEMENTS:
        raise _malformed("The policy is no policy document.")
    if policy.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise _malformed("The policy has an unknown version.")
    return policy


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    given = policy.get("Statement")
    statements: list[Any] = given if isinstance(given, list) else [given]
    if not statements or not all(isinstance(statement, dict) for statement in statements):
        raise _malformed("The policy has no statement, or one that is none.")
    return statements


def _check_statement(statement: dict[str, Any]) -> None:
    """Check one statement.

    Since 2025-08-18 one without Action or NotAction, or without Resource, is refused; AWS's notice:
    https://github.com/ministryofjustice/analytical-platform/issues/7691
    """
    unknown = statement.keys() - _STATEMENT_ELEMENTS
    if unknown:
        raise _malformed(f"The policy has an unknown element: {min(unknown)}.")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed("The policy contains a statement with an invalid effect.")
    if not statement.keys() & {"Action", "NotAction"} or "Resource" not in statement:
        raise _malformed("The policy contains a statement without an action or a resource.")
    if not _is_condition(statement.get("Condition", {})):
        raise _malformed("The policy contains a statement with an invalid condition.")
    principals = list(_principals(statement))
    if not principals:
        raise _malformed("Policy contains a statement with no principal.")
    if not all(_exists(kind, principal) for kind, principal in principals):
        raise _malformed("Policy contains a statement with one or more invalid principals.")


def _is_condition(condition: Any) -> bool:
    return isinstance(condition, dict) and all(
        _OPERATOR.fullmatch(operator.lower())
        and isinstance(keys, dict)
        and all(map(_is_value, keys.values()))
        for operator, keys in condition.items()
    )


def _is_value(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, str | int | float) for one in values)


def _principals(statement: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    given = statement.get("Principal") or statement.get("NotPrincipal")
    if isinstance(given, str):
        yield "any", given
        return
    for kind, named in (given if isinstance(given, dict) else {}).items():
        for principal in named if isinstance(named, list) else [named]:
            yield kind, principal


def _exists(kind: str, principal: Any) -> bool:
    """Say whether a principal is there; a wildcard inside an ARN names none."""
    if not isinstance(principal, str):
        return False
    if kind != "AWS":
        return _is_known(kind, principal)
    return principal == "*" or _is_in_iam(principal)


def _is_known(kind: str, principal: str) -> bool:
    if kind == "Service":
        return _is_service(principal)
    return kind in ("Federated", "CanonicalUser") or (kind, principal) == ("any", "*")


def _is_service(principal: str) -> bool:
    """Say whether a service has this name, in a Region that is enabled if it names one.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    named = _SERVICE.fullmatch(principal)
    if not named:
        return False
    *labels, name = named["labels"].split(".")
    if labels and regions.partition(name):
        return regions.is_enabled(name) and labels[-1] in _services()
    return name in _services()


@cache
def _services() -> frozenset[str]:
    """List what names a service or its endpoints in botocore."""
    session = botocore.session.get_session()
    endpoints = {
        name
        for partition in session.get_data("endpoints")["partitions"]
        for name in partition["services"]
    }
    return _OTHER_SERVICES.union(session.get_available_services(), endpoints)


def _is_in_iam(principal: str) -> bool:
    if _ACCOUNT.fullmatch(principal) or _FEDERATED_USER.fullmatch(principal):
        return True
    return kms_principals.is_visible(principal)


def _check_lockout(policy: dict[str, Any], change: Check) -> None:
    """Check that the caller could change the policy: its own policies and the new one decide.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
    """
    if not kms_access.may_put_policy(policy, change):
        raise _malformed(
            "The new key policy will not allow you to update the key policy in the future."
        )
