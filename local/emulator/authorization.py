"""What IAM is asked in AWS, where the emulator's own authorisation asks less.

The emulator looks its `enforce` and `access_denied_response` up at each request. `install` puts
ours in their place; they ask the emulator's own evaluator, but about every permission that AWS
checks for the request and with the condition keys that AWS gives it. What was asked is noted in
`local.emulator.permissions`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region

from local.emulator import bus_policies, permissions, task_callbacks
from local.emulator.checks import Check, Request
from local.emulator.kms import access as kms_access
from local.emulator.kms import authorization as kms_authorization
from local.emulator.kms import principals as kms_principals

_request: ContextVar[Request | None] = ContextVar("request", default=None)
_denied: ContextVar[Check | None] = ContextVar("denied", default=None)

_emulator_enforce = iam_evaluator.enforce
_emulator_condition_key = iam_evaluator._resolve_condition_key
_emulator_access_denied_response = iam_actions.access_denied_response
_emulator_parse = iam_evaluator.parse_policy_document
# The policies of a role are parsed for each call that it makes, and nobody changes them in place.
_parse_once = lru_cache(maxsize=512)(_emulator_parse)


@contextmanager
def of_request(request: Request) -> Iterator[None]:
    """Let what is authorised inside the block be authorised as this request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def install() -> None:
    """Put our checks in the place of the emulator's."""
    iam_evaluator.enforce = _enforce
    iam_evaluator.parse_policy_document = _parse
    iam_evaluator._resolve_condition_key = _condition_key
    iam_actions.access_denied_response = _access_denied_response


def role_may(role_arn: str, action: str, resource: str) -> bool:
    """Say whether a role that a service has assumed may do something."""
    return role_passes(role_arn, Check(action, get_region(), resource))


def role_passes(role_arn: str, check: Check) -> bool:
    """Say whether the policies of a role that a service has assumed allow what is checked."""
    account, name = get_account_id(), role_arn.rsplit("/", 1)[1]
    session = f"arn:aws:sts::{account}:assumed-role/{name}/service"
    asked = iam_evaluator.EvalContext(
        session,
        "AssumedRole",
        account,
        check.action,
        check.resource,
        check.region,
        service_context=check.context,
    )
    policies = iam_evaluator._gather_role_policies(name, account)
    allowed: bool = iam_evaluator.evaluate(asked, policies).decision == "Allow"
    permissions.record(session, check, allowed=allowed)
    return allowed


def _condition_key(name: str, asked: Any) -> Any:
    """Stand in for the emulator's own: return the value of a global condition key.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    match name.lower():
        case "aws:principalarn":
            return kms_principals.arn_of_role(asked.principal_arn)
        case "aws:securetransport":
            # Calls come over HTTP here, and over HTTPS wherever such a condition matters.
            return "true"
    return _emulator_condition_key(name, asked)


def _parse(document: str | dict[str, Any]) -> Any:
    """Stand in for the emulator's own: parse a policy's text once."""
    return _parse_once(document) if isinstance(document, str) else _emulator_parse(document)


def _enforce(  # noqa: PLR0917 - the emulator's own signature
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:
    """Stand in for `ministack.core.iam_evaluator.enforce`: return None if all is allowed."""
    request = _request.get()
    asked = Check(iam_action, region, resource_arn, service_context or {})
    caller = iam_evaluator.resolve_caller_identity(access_key_id)
    for check in _checks(service, request, asked):
        denied = _denial(access_key_id, service, check)
        if caller and not isinstance(denied, iam_evaluator.AuthError):
            permissions.record(caller["userArn"], check, allowed=not denied)
        if denied:
            _denied.set(check)
            return denied
    return None


def _checks(service: str, request: Request | None, asked: Check) -> list[Check]:
    if request is None:
        return [asked]
    if service == "kms":
        return kms_authorization.checks(request, asked)
    if asked.action == "events:PutEvents":
        return bus_policies.checks(request, asked)
    if asked.action.startswith("states:SendTask"):
        return [_task_response_check(request, asked)]
    if service == "dynamodb":
        return [_item_check(request, asked)]
    return [asked]


_PARTITION_KEYS = ("requestId", "place", "id")


def _item_check(request: Request, asked: Check) -> Check:
    """Check a call about one item with that item's partition key, as DynamoDB does.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    """
    item = request.parameters.get("Key") or request.parameters.get("Item") or {}
    leading = [item[name]["S"] for name in _PARTITION_KEYS if name in item][:1]
    context = asked.context | ({"dynamodb:LeadingKeys": leading} if leading else {})
    return Check(asked.action, asked.region, asked.resource, context)


def _task_response_check(request: Request, asked: Check) -> Check:
    """Check an answer to a task on the state machine that the task is of.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    """
    state_machine = task_callbacks.state_machine_of(request.parameters.get("taskToken"))
    if state_machine is None:
        return Check(asked.action, asked.region, asked.resource, asked.context, anywhere=True)
    return Check(asked.action, asked.region, state_machine, asked.context)


def _denial(access_key_id: str, service: str, check: Check) -> Any:
    if check.anywhere and _allows_anywhere(access_key_id, check.action):
        return iam_evaluator.check_credentials(access_key_id, service)
    if service == "kms":
        return kms_access.denial(access_key_id, check)
    denied = _emulator_enforce(
        access_key_id,
        check.action,
        service,
        check.region,
        resource_arn=check.resource,
        service_context=check.context,
    )
    if not denied and check.action == "events:PutEvents":
        denied = bus_policies.denial(access_key_id, check)
    return denied


def _allows_anywhere(access_key_id: str, action: str) -> bool:
    principal = iam_evaluator.resolve_principal(access_key_id, get_account_id())
    if isinstance(principal, iam_evaluator.AuthError):
        return False
    if principal.policies is None:  # the account root
        return True
    return any(
        statement.effect == "Allow"
        and any(iam_evaluator.fnmatch_iam(action, pattern) for pattern in statement.actions)
        for policy in principal.policies
        for statement in policy
    )


def _access_denied_response(
    service: str, action: str, principal_arn: str, request_id: str, **details: Any
) -> Any:
    """Stand in for the emulator's own: name the permission that is missing, as KMS does."""
    denied = _denied.get()
    if service != "kms" or denied is None or details.get("error_code"):
        return _emulator_access_denied_response(
            service, action, principal_arn, request_id, **details
        )
    explicit = details.get("explicit_deny", False)
    details["message"] = iam_actions.identity_denial_message(
        denied.action, principal_arn, denied.resource, explicit
    )
    if details.get("resource_policy_arn"):
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
        details["message"] = details["message"].replace(
            "an identity-based" if explicit else "identity-based",
            "a resource-based" if explicit else "resource-based",
        )
    _, headers, body = _emulator_access_denied_response(
        service, denied.action, principal_arn, request_id, **details
    )
    return 400, headers, body
