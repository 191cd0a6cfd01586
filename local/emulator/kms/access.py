"""Whether a caller may do something with a key: its own policies and the key's, together.

https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html
https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html

A Deny in either denies. A key policy allows directly whom it names. What it allows to the account
it leaves to the caller's policies, that action and under that condition alone; without such a
statement they allow nothing. The account's root user needs the key policy as everybody does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import kms

from local.emulator import permissions
from local.emulator.checks import Check
from local.emulator.kms import principals as kms_principals
from local.emulator.kms.keys import Key

type _Statement = dict[str, Any]


@dataclass(frozen=True)
class KeyPolicy:
    """A key's policy, or one that a key is to have."""

    document: dict[str, Any]
    unique_ids: dict[str, str]
    """The IDs that the principals had when the policy was put, by their ARNs."""

    @classmethod
    def of(cls, key: Key) -> "KeyPolicy":
        """Return the policy that a key has."""
        return cls(_document(key["Policy"]), key.get("_unique_ids", {}))

    def statements(self, effect: str) -> Iterator[_Statement]:
        """List the statements with an effect; a Resource other than the key itself makes it none.

        https://github.com/ministryofjustice/analytical-platform/issues/7691 has AWS's notice that
        no other Resource than `*` counts.
        """
        given = self.document["Statement"]
        for statement in given if isinstance(given, list) else [given]:
            if statement["Effect"] == effect and "*" in _listed(statement.get("Resource")):
                yield statement

    def names(self, statement: _Statement, *arns: str) -> bool:
        """Say whether a statement is about one of these principals."""
        if "NotPrincipal" in statement:
            named = set(self._principals(statement["NotPrincipal"]))
            # A Deny spares a session only if its account and its role are named beside it.
            # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
            if statement["Effect"] == "Deny":
                return not named.issuperset(arns)
            return named.isdisjoint(arns)
        return not {"*", *arns}.isdisjoint(self._principals(statement.get("Principal")))

    def _principals(self, given: Any) -> Iterator[str]:
        for principal in _listed(given.get("AWS") if isinstance(given, dict) else given):
            arn = kms_principals.as_arn(principal)
            if self.unique_ids.get(arn, "") in ("", kms_principals.unique_id(arn)):
                yield arn


@dataclass(frozen=True)
class _Caller:
    """Who calls, under the names that a policy can have for it."""

    principal: iam_evaluator.PrincipalInfo

    @cached_property
    def own(self) -> set[str]:
        """The ARNs of the user, or of the role and its session."""
        arn = self.principal.arn
        return {arn, kms_principals.arn_of_role(arn)} - {self.account}

    @cached_property
    def account(self) -> str:
        """The ARN that stands for the account, and is its root user's."""
        return f"arn:aws:iam::{self.principal.account}:root"


def denial(access_key_id: str, check: Check) -> Any:
    """Return why a caller may not do something: the emulator's error or result; None if it may."""
    if iam_evaluator._anonymous.get():
        message = iam_actions.anonymous_denial_message("kms", check.action, check.resource)
        return iam_evaluator.AuthError("MissingAuthenticationToken", message)
    failure = iam_evaluator.check_credentials(access_key_id, "kms")
    if failure:
        return failure
    principal = iam_evaluator.resolve_principal(access_key_id, get_account_id())
    key = _key(check.resource)
    result = _decide(principal, check, key, KeyPolicy.of(key) if key else None)
    return None if result.decision == "Allow" else result


def may_put_policy(document: dict[str, Any], check: Check) -> bool:
    """Say whether the caller of the request being served could change a policy if it were put.

    Parameters
    ----------
    check
        kms:PutKeyPolicy on the key, as it would be asked for afterwards.
    """
    access_key_id = iam_evaluator._verified_key.get()
    principal = iam_evaluator.resolve_principal(access_key_id, get_account_id())
    decided = _decide(principal, check, _key(check.resource), KeyPolicy(document, {}))
    allowed = bool(decided.decision == "Allow")
    permissions.record(principal.arn, check, allowed=allowed)
    return allowed


@lru_cache(maxsize=256)
def _document(text: str) -> dict[str, Any]:
    """Parse a key policy, which nobody changes in place."""
    document: dict[str, Any] = json.loads(text)
    return document


def _key(arn: str) -> Key | None:
    _, _, _, region, account, resource = f"{arn}:::::".split(":")[:6]
    key: Key | None = kms._keys.get_scoped(account, region, resource.removeprefix("key/"))
    return key


def _decide(principal: Any, check: Check, key: Key | None, policy: KeyPolicy | None) -> Any:
    asked = _asked(principal, check)
    by_caller = _result("Allow", asked)
    if principal.policies is not None:
        by_caller = iam_evaluator.evaluate(asked, principal.policies, *principal.limits)
    if policy is None or by_caller.decision == "Deny":
        return by_caller
    caller = _Caller(principal)
    everyone = (caller.account, *caller.own)
    denying = policy.statements("Deny")
    if any(policy.names(s, *everyone) and _applies(s, asked) for s in denying):
        return _result("Deny", asked, check.resource)
    allowing = [s for s in policy.statements("Allow") if _applies(s, asked)]
    if any(policy.names(s, principal.arn) and _is_direct(s, principal.arn) for s in allowing):
        return _result("Allow", asked)
    directly = any(policy.names(s, *caller.own) for s in allowing)
    if (directly or _is_granted(key, caller, check)) and _within_limits(principal, asked):
        return _result("Allow", asked)
    if any(policy.names(s, caller.account) for s in allowing):
        return by_caller
    return _result("ImplicitDeny", asked, check.resource)


def _asked(principal: Any, check: Check) -> iam_evaluator.EvalContext:
    return iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=check.action,
        resource_arn=check.resource,
        region=check.region,
        # A request that names no tags has no aws:TagKeys.
        service_context={"aws:tagkeys": None}
        | {name.lower(): value for name, value in check.context.items()},
        principal_keys=principal.keys,
    )


def _applies(statement: _Statement, asked: iam_evaluator.EvalContext) -> bool:
    parsed = iam_evaluator.parse_policy_document({"Statement": [statement]})
    return iam_evaluator._first_match(asked, parsed, statement["Effect"]) is not None


def _is_direct(statement: _Statement, arn: str) -> bool:
    """Say whether a statement names a user or session itself, which no limit of it narrows.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
    """
    principal = statement.get("Principal")
    return isinstance(principal, dict) and arn in _listed(principal.get("AWS"))


def _within_limits(principal: Any, asked: iam_evaluator.EvalContext) -> bool:
    """Say whether a permissions boundary and session policies leave room for something."""
    layers = ([one for statements in limit for one in statements] for limit in principal.limits)
    return all(iam_evaluator._first_match(asked, layer, "Allow") for layer in layers)


def _is_granted(key: Key | None, caller: _Caller, check: Check) -> bool:
    """Say whether a grant allows the caller the operation.

    https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
    """
    if key is None:
        return False
    operation = check.action.removeprefix("kms:")
    return any(
        grant["KeyId"] == key["Arn"]
        and operation in grant["Operations"]
        and grant["GranteePrincipal"] in (caller.account, *caller.own)
        # The emulator's own operations know encryption contexts, its authorisation does not.
        and not grant["Constraints"]
        for grant in kms._grants.values()
    )


def _result(decision: str, asked: Any, denied_by: str = "") -> iam_evaluator.EvalResult:
    return iam_evaluator.EvalResult(
        decision, principal_arn=asked.principal_arn, resource_policy_arn=denied_by
    )


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]
