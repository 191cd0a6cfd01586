"""The local stack's KMS in this process, called by roles with the policies of template.yaml."""

import json
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import iam, kms, sts

from checks.template import statements
from local.emulator.checks import Check, Request
from local.emulator.kms import authorization as kms_authorization
from local.emulator.kms import principals as kms_principals
from local.emulator.kms import service as kms_service
from local.emulator.kms.access import denial
from local.emulator.kms.settings import KmsSettings
from tests.support.template import expanded_template

SESSION = "function"
"""What the session of every role is called."""

_CREATED = "2026-01-01T00:00:00Z"
# Finding the principal takes longer than all the rest of a call, and roles stay as they are.
_principal_of = cache(iam_evaluator.resolve_principal)
_emulator_condition_key = iam_evaluator._resolve_condition_key


class RefusedByKms(Exception):
    """KMS refuses a call; the text has the operation, the caller and KMS's reason."""


class LocalKms:
    """KMS of one account, with IAM enforced and nothing delayed.

    Parameters
    ----------
    roles
        The name and the unique ID of each role, by the function that has it.
    others
        Names of further roles that there are.
    users
        ARNs of users that there are.
    """

    def __init__(
        self,
        account: str,
        roles: dict[str, tuple[str, str]],
        others: list[str],
        users: list[str],
    ) -> None:
        self._account = account
        self._condition_keys: dict[str, str | None] = {}
        policies: dict[str, dict[str, Any]] = {}
        for place, one in enumerate(statements(expanded_template())):
            policies.setdefault(one["role"], {})[str(place)] = one["policy"]
        with request_scope(account, "us-east-1"):
            for function, (name, id_) in roles.items():
                self._add_role(name, id_, policies[f"{function}FunctionRole"])
                self._add_session(function, name, id_)
            for name in others:
                self._add_role(name, f"AROA{name.upper():0<17}", {})
            for place, arn in enumerate(users):
                name = arn.rsplit("/", 1)[1]
                made = {"UserId": f"AIDA{place:017}", "CreateDate": _CREATED}
                iam._users[name] = {"UserName": name, "Arn": arn, **made}

    def _add_role(self, name: str, id_: str, policies: dict[str, Any]) -> None:
        iam._roles[name] = {
            "RoleName": name,
            "RoleId": id_,
            "Arn": f"arn:aws:iam::{self._account}:role/{name}",
            "CreateDate": _CREATED,
            "InlinePolicies": {place: json.dumps(policy) for place, policy in policies.items()},
        }

    def _add_session(self, function: str, name: str, id_: str) -> None:
        session = {
            "Arn": f"arn:aws:sts::{self._account}:assumed-role/{name}/{SESSION}",
            "PrincipalType": "AssumedRole",
            "UserId": f"{id_}:{SESSION}",
            "SecretAccessKey": SESSION,
            "SessionToken": SESSION,
            "Expiration": time.time() + 3600,
        }
        sts.register_session(self._access_key(function), session)

    def _access_key(self, function: str) -> str:
        return f"ASIA{function}"

    @contextmanager
    def empty(self, **condition_keys: str | None) -> Iterator[None]:
        """Begin without keys, and let calls have these condition keys while the block runs.

        `_` stands for the colon in the name of a condition key.
        """
        self._condition_keys = {name.replace("_", ":"): v for name, v in condition_keys.items()}
        kms.reset()
        with (
            patch.object(iam_evaluator, "_resolve_condition_key", self._condition_key),
            patch.object(iam_evaluator, "resolve_principal", _principal_of),
            patch("local.emulator.kms.settings._current", KmsSettings(creating_seconds=0)),
            patch("local.emulator.permissions._asked", []),
            # Importing material would take a new key pair for each key.
            patch("local.emulator.kms.material.place", lambda _: True),
        ):
            yield
        kms.reset()

    def _condition_key(self, name: str, asked: Any) -> Any:
        """Return the value of a condition key.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
        """
        match name.lower():
            case own if own in self._condition_keys:
                return self._condition_keys[own]
            case "aws:principalarn":
                return kms_principals.arn_of_role(asked.principal_arn)
            case "aws:securetransport":
                return "true"
        return _emulator_condition_key(name, asked)

    def call(self, function: str, region: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call KMS with the role of a function, and return its answer.

        Raises
        ------
        RefusedByKms
            KMS refused the call.
        """
        body = json.dumps(parameters).encode()
        self.ask(function, region, operation, **parameters)
        with request_scope(self._account, region), self._called_by(function):
            headers = {"x-amz-target": f"TrentService.{operation}"}
            status, _, answer = _at_once(
                kms_service._handle_request("POST", "/", headers, body, {})
            )
        parsed: dict[str, Any] = json.loads(answer or b"{}")
        if status != HTTPStatus.OK:
            raise RefusedByKms(f"{operation} by {function} in {region}: {parsed}")
        return parsed

    def ask(self, function: str, region: str, operation: str, **parameters: Any) -> None:
        """Ask whether a call is authorised, and leave it at that.

        Raises
        ------
        RefusedByKms
            KMS denies the call.
        """
        action, body = f"kms:{operation}", json.dumps(parameters).encode()
        tags = iam_actions.request_tag_context("kms", action, body, {})
        with request_scope(self._account, region), self._called_by(function):
            request = Request(operation, parameters)
            for check in kms_authorization.checks(request, Check(action, region, context=tags)):
                if denied := denial(self._access_key(function), check):
                    raise RefusedByKms(f"{operation} by {function} in {region}: {check} {denied}")

    def import_material(self, region: str, key_id: str) -> None:
        """Let a key be as it is once its material is imported."""
        key = kms._keys.get_scoped(self._account, region, key_id)
        key |= {"KeyState": "Enabled", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}

    @contextmanager
    def _called_by(self, function: str) -> Iterator[None]:
        token = iam_evaluator._verified_key.set(self._access_key(function))
        try:
            yield
        finally:
            iam_evaluator._verified_key.reset(token)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits; an event loop of its own would take longer than it does."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("KMS waits for something.")
