"""What a key policy allows a role of its own account: yes, no, or not known.

The answer is that of the whole document, with IAM policies that allow the role what is asked
wherever the key policy leaves it to the account. Not known is what depends on a condition whose
value nobody knows before the call, such as the caller's address. Truth values are therefore `True`,
`False` and `None`, and `None` is part of every calculation.
https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.domain import wildcards

type Statement = Mapping[str, Any]
type Truth = bool | None
type Value = str | tuple[str, ...] | None
"""Of a condition key in one call: a text, several, or None where the call has no such key."""
type Context = Mapping[str, tuple[Value, ...] | None]
"""Condition keys of a call, in lower case, each with every value that it may have.

A name that ends in `/` or `:` stands for all keys that begin so. What is None, or not in it, is not
known.
"""


@dataclass(frozen=True)
class Role:
    """A role of the key's account, which is the caller.

    `arn` is the role's, not a session's; `id` is its unique ID, `AROA…`.
    """

    arn: str
    id: str

    @property
    def account_id(self) -> str:
        """The account that the role is in."""
        return self.arn.split(":")[4]

    @property
    def sessions(self) -> str:
        """What the ARN of every session of the role begins with."""
        partition, name = self.arn.split(":")[1], self.arn.rsplit("/", 1)[1]
        return f"arn:{partition}:sts::{self.account_id}:assumed-role/{name}/"

    @property
    def account_names(self) -> set[str]:
        """How a policy names the role's account."""
        return {self.account_id, f"arn:{self.arn.split(':')[1]}:iam::{self.account_id}:root"}


@dataclass(frozen=True)
class Verdict:
    """Whether a role may do an action, and the statements that decide it.

    For no, they deny it, or there are none, since no statement allows it. For not known, it depends
    on their conditions. For yes, they are not named.
    """

    allowed: Truth
    statements: tuple[str, ...] = ()


class KeyPolicy:
    """A key policy that is sound in its form.

    Parameters
    ----------
    statements
        Its statements by the path that a reader finds them under.
    version
        Of the policy language; `2012-10-17` is the one that has variables.
    """

    def __init__(self, statements: Mapping[str, Statement], version: str) -> None:
        self._has_variables = version == "2012-10-17"
        self._statements = {
            path: statement for path, statement in statements.items() if _is_effective(statement)
        }
        self._keys = {
            key.lower()
            for statement in self._statements.values()
            for keys in statement.get("Condition", {}).values()
            for key in keys
        }
        self._actions: dict[str, list[str]] = {}
        self._principals: dict[tuple[Role, str], Truth] = {}
        self._conditions: dict[tuple[object, ...], Truth] = {}
        self._verdicts: dict[tuple[object, ...], Verdict] = {}

    def may(self, role: Role, action: str, context: Context) -> Verdict:
        """Say whether a role may do an action such as `kms:DescribeKey` in a call."""
        known = {key: values_of(context, key) for key in self._keys}
        asked = (role, action, *known.values())
        if asked not in self._verdicts:
            self._verdicts[asked] = self._verdict(role, action, known)
        return self._verdicts[asked]

    def _verdict(
        self, role: Role, action: str, context: dict[str, tuple[Value, ...] | None]
    ) -> Verdict:
        matching: dict[str, dict[Truth, list[str]]] = {
            effect: {True: [], False: [], None: []} for effect in ("Allow", "Deny")
        }
        for path in self._with_action(action):
            statement = self._statements[path]
            applies = self._names(path, role)
            if applies is not False:
                applies = _every((applies, self._holds(path, context)))
            matching[statement["Effect"]][applies].append(path)
        allows, denies = matching["Allow"], matching["Deny"]
        if denies[True] or not (allows[True] or allows[None]):
            return Verdict(False, tuple(denies[True]))
        if denies[None] or not allows[True]:
            return Verdict(None, tuple(denies[None] if allows[True] else allows[None]))
        return Verdict(True)

    def _with_action(self, action: str) -> list[str]:
        if action not in self._actions:
            self._actions[action] = [
                path
                for path, statement in self._statements.items()
                if _has_action(statement, _lower(action))
            ]
        return self._actions[action]

    def _names(self, path: str, role: Role) -> Truth:
        if (role, path) not in self._principals:
            self._principals[role, path] = _names(self._statements[path], role)
        return self._principals[role, path]

    def _holds(self, path: str, context: dict[str, tuple[Value, ...] | None]) -> Truth:
        return _every(
            self._test(path, name, key, wanted, context[key.lower()])
            for name, keys in self._statements[path].get("Condition", {}).items()
            for key, wanted in keys.items()
        )

    def _test(
        self, path: str, name: str, key: str, wanted: object, values: tuple[Value, ...] | None
    ) -> Truth:
        if values is None:
            return None
        answers = set()
        for value in values:
            place = (path, name, key, value)
            if place not in self._conditions:
                self._conditions[place] = self._compare(name, wanted, value)
            answers.add(self._conditions[place])
        return answers.pop() if len(answers) == 1 else None

    def _compare(self, name: str, wanted: object, value: Value) -> Truth:
        texts = [_text(one) for one in _listed(wanted)]
        if self._has_variables and any("${" in text for text in texts):
            return None
        return _compare(name, texts, value)


def values_of(context: Context, key: str) -> tuple[Value, ...] | None:
    """Return the values that a condition key may have, or None where they are not known."""
    key = key.lower()
    if key in context:
        return context[key]
    families = (name for name in context if name[-1] in "/:" and key.startswith(name))
    return next((context[name] for name in families), None)


def _is_effective(statement: Statement) -> bool:
    """Whether a statement is about the key: the only Resource of a key policy is `*`.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html#key-policy-elements
    """
    return "*" in _listed(statement.get("Resource"))


def _has_action(statement: Statement, action: str) -> bool:
    """Whether the action, given in lower case, is among those of the statement."""
    name = "NotAction" if "NotAction" in statement else "Action"
    listed = any(wildcards.matches(action, _lower(p)) for p in _listed(statement.get(name, [])))
    return listed is (name == "Action")


def _lower(text: str) -> str:
    """Lower A to Z alone: a Kelvin sign is no K."""
    return text.lower() if text.isascii() else text


def _names(statement: Statement, role: Role) -> Truth:
    """Whether a statement is about the role."""
    if "NotPrincipal" in statement:
        # With Allow, NotPrincipal is not supported.
        return _is_not_spared(statement, role) if statement["Effect"] == "Deny" else None
    named = _aws_principals(statement.get("Principal"))
    if named & {"*", role.arn, *role.account_names}:
        return True
    # Which session is to call is Lambda's to choose.
    return None if any(name.startswith(role.sessions) for name in named) else False


def _is_not_spared(statement: Statement, role: Role) -> Truth:
    """Whether a Deny with NotPrincipal is about the role.

    In AWS's own example nobody is spared of an account but who is named beside it. For a role its
    session may have to be named as well, and Lambda chooses that.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
    """
    spared = _aws_principals(statement["NotPrincipal"])
    if "*" in spared:
        return False
    named = role.arn in spared or any(name.startswith(role.sessions) for name in spared)
    return None if named else True


def _aws_principals(principal: object) -> set[str]:
    if principal == "*":
        return {"*"}
    return {*_listed(principal.get("AWS", []))} if isinstance(principal, Mapping) else set()


def _listed(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _every(truths: Iterable[Truth]) -> Truth:
    known = True
    for truth in truths:
        if truth is False:
            return False
        known &= truth is not None
    return True if known else None


def _some(truths: Iterable[Truth]) -> Truth:
    return _opposite(_every(_opposite(truth) for truth in truths))


def _opposite(truth: Truth) -> Truth:
    return None if truth is None else not truth


_SETS = re.compile(r"for(?P<which>all|any)values?:")
_ARN_PARTS = 6


def _compare(name: str, wanted: list[str], actual: Value) -> Truth:
    """Evaluate one condition operator for one key.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    """
    name = name.lower()
    if name == "null":
        return any((value.lower() == "true") is (actual is None) for value in wanted)
    prefix = _SETS.match(name)
    which = prefix["which"] if prefix else ""
    name = name[prefix.end() if prefix else 0 :]
    kind = name.removesuffix("ifexists")
    negated = "not" in kind
    if actual is None:
        return kind != name or which == "all" or (negated and which != "any")
    matches = _OPERATORS[kind.replace("not", "")]

    def holds(one: str) -> Truth:
        matched = _some(matches(one, value) for value in wanted)
        return _opposite(matched) if negated else matched

    held = map(holds, (actual,) if isinstance(actual, str) else actual)
    return _every(held) if which == "all" else _some(held)


def _is_arn_like(actual: str, pattern: str) -> Truth:
    """Compare two ARNs part by part; ArnEquals and ArnLike are the same."""
    parts, patterns = actual.split(":", 5), pattern.split(":", 5)
    if not len(parts) == len(patterns) == _ARN_PARTS:
        return None
    return all(map(wildcards.matches, parts, patterns))


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[str, str], Truth]:
    def matches(actual: str, wanted: str) -> Truth:
        try:
            return compare(float(actual), float(wanted))
        except ValueError:
            return None

    return matches


def _unknown(_actual: str, _wanted: str) -> Truth:
    """Compare what is known of no call beforehand: an address, or the time."""
    return None


_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "equals": operator.eq,
    "lessthan": operator.lt,
    "lessthanequals": operator.le,
    "greaterthan": operator.gt,
    "greaterthanequals": operator.ge,
}
_OPERATORS: dict[str, Callable[[str, str], Truth]] = {
    "stringequals": operator.eq,
    "stringequalsignorecase": lambda actual, wanted: actual.lower() == wanted.lower(),
    "stringlike": wildcards.matches,
    "bool": lambda actual, wanted: actual.lower() == wanted.lower(),
    "arnequals": _is_arn_like,
    "arnlike": _is_arn_like,
    "ipaddress": _unknown,
    "binaryequals": _unknown,
    **{f"numeric{name}": _ordered(compare) for name, compare in _ORDERS.items()},
    **{f"date{name}": _unknown for name in _ORDERS},
}
