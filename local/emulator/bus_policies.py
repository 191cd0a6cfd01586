"""The policies of event buses, which the emulator neither takes whole nor asks.

`install` lets CloudFormation keep a bus's policy, and PutPermission take one; `authorization` asks
`denial` after the caller's own policies have allowed an entry, and `bus_targets` asks `denies_role`
after those of a target's role have.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
"""

import json
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, json_response
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

from local.emulator.checks import Check, Request
from local.emulator.kms import principals as kms_principals

_BUS = "AWS::Events::EventBus"
_emulator_handlers = dict(provisioners._RESOURCE_HANDLERS[_BUS])
_emulator_put_permission = eventbridge._put_permission


def install() -> None:
    """Put our provisioning of buses in the place of the emulator's."""
    provisioners._RESOURCE_HANDLERS[_BUS] = {
        **_emulator_handlers,
        "create": _create,
        "update": _update,
    }
    eventbridge._put_permission = _put_permission


def checks(request: Request, asked: Check) -> list[Check]:
    """List what PutEvents asks IAM for: each entry by itself, on the bus that it names.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    """
    buses = asked.resource.rpartition("/")[0]
    return [
        Check(
            asked.action,
            asked.region,
            f"{buses}/{_name(entry.get('EventBusName') or 'default')}",
            {
                **asked.context,
                "events:source": entry.get("Source"),
                "events:detail-type": entry.get("DetailType"),
            },
        )
        for entry in request.parameters.get("Entries") or [{}]
    ]


def denial(access_key_id: str, check: Check) -> Any:
    """Say whether the bus's own policy denies an entry that the caller's policies allow.

    A Deny there holds for everyone, the account's root included. In the bus's own account nothing
    has to allow it beside the caller's policies.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html

    Returns
    -------
    EvalResult or None
        The denial in the emulator's form, or None.
    """
    caller = iam_evaluator.resolve_principal(access_key_id, get_account_id())
    if isinstance(caller, iam_evaluator.AuthError):
        return None
    result = _decide(caller, kms_principals.arn_of_role(caller.arn), check)
    if result.decision != "Deny":
        return None
    result.principal_arn, result.resource_policy_arn = caller.arn, check.resource
    return result


def denies_role(role_arn: str, check: Check) -> bool:
    """Say whether the bus's own policy denies an entry to a role that EventBridge has assumed."""
    role = iam_evaluator.PrincipalInfo(role_arn, "AssumedRole", get_account_id(), [])
    return bool(_decide(role, role_arn, check).decision == "Deny")


def _decide(caller: Any, arn: str, check: Check) -> Any:
    asked = iam_evaluator.EvalContext(
        arn,
        caller.type,
        caller.account,
        check.action,
        check.resource,
        check.region,
        service_context=check.context,
        principal_keys=caller.keys,
    )
    policy = eventbridge._event_bus_policies.get(_name(check.resource))
    return iam_evaluator.evaluate_resource_policy(policy, asked)


def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
    created = _emulator_handlers["create"](logical_id, properties, stack_name)
    _keep(created[0], properties)
    return created


def _update(name: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
    updated = _emulator_handlers["update"](name, old, new, stack_name)
    _keep(updated[0], new)
    return updated


def _put_permission(parameters: dict[str, Any]) -> Any:
    """Serve PutPermission: a whole policy, or one statement of it.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
    """
    if "Policy" not in parameters:
        return _emulator_put_permission(parameters)
    bus = _name(parameters.get("EventBusName", "default"))
    eventbridge._event_bus_policies[bus] = json.loads(parameters["Policy"])
    return json_response({})


def _keep(name: str, properties: dict[str, Any]) -> None:
    if "Policy" in properties:
        eventbridge._event_bus_policies[name] = properties["Policy"]
    else:
        eventbridge._event_bus_policies.pop(name, None)


def _name(bus: str) -> str:
    return bus.rpartition("/")[2]
