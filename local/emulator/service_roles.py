"""What AWS services do with a role that was given to them, authorised as AWS does.

The emulator's services act on each other without asking IAM. `install` puts functions that ask
first in the place of those that act: a state machine invokes functions and starts others with its
role, a rule starts executions with its target's, and a function's failed event is sent to its
dead-letter queue with the function's. That queue gets the event as it was, where the emulator
writes what a destination gets.
"""

import hashlib
import json
import logging
from typing import Any

from ministack.core.arn import parse_arn
from ministack.services import eventbridge, lambda_svc, sqs, stepfunctions

from local.emulator import authorization, task_callbacks

_logger = logging.getLogger(__name__)

_emulator_call_lambda = stepfunctions._call_lambda
_emulator_start_execution = stepfunctions._invoke_nested_start_execution
_emulator_invoke_target = eventbridge._invoke_target
_emulator_route_async_failure = lambda_svc._route_async_failure


def install() -> None:
    """Put our functions in the place of the emulator's."""
    stepfunctions._call_lambda = _call_lambda
    stepfunctions._invoke_nested_start_execution = _start_execution
    eventbridge._invoke_target = _invoke_target
    lambda_svc._route_async_failure = _route_async_failure


def require(state_machine_arn: str, action: str, resource: str, error: str) -> None:
    """Check that the role of a state machine has a permission.

    Raises
    ------
    stepfunctions._ExecutionError
        It has not; the error's name is the given one.
    """
    role = stepfunctions._state_machines[state_machine_arn]["roleArn"]
    if not authorization.role_may(role, action, resource):
        raise stepfunctions._ExecutionError(
            error, f"{role} is not authorized to perform: {action} on resource: {resource}"
        )


def _call_lambda(function: str, event: Any) -> Any:
    """Invoke a function for a task.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
    """
    _, config, _ = lambda_svc._get_func_record_for_ref(function)
    if config:
        machine, error = task_callbacks.current_state_machine(), "Lambda.AWSLambdaException"
        require(machine, "lambda:InvokeFunction", config["FunctionArn"], error)
    return _emulator_call_lambda(function, event)


def _start_execution(resource: str, arguments: dict[str, Any]) -> Any:
    """Start another state machine for a task.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
    """
    machine, error = task_callbacks.current_state_machine(), "StepFunctions.AccessDeniedException"
    require(machine, "states:StartExecution", arguments["StateMachineArn"], error)
    try:
        return _emulator_start_execution(resource, arguments)
    except stepfunctions._ExecutionError as refusal:
        name = refusal.error.removesuffix("Exception")
        raise stepfunctions._ExecutionError(
            f"StepFunctions.{name}Exception", refusal.cause
        ) from refusal


def _invoke_target(target: dict[str, Any], *details: Any) -> None:
    """Deliver an event to a rule's target.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-identity-based.html
    """
    arn, role = target["Arn"], target.get("RoleArn")
    starts_execution = arn.startswith("arn:aws:states:")
    if role and starts_execution and not authorization.role_may(role, "states:StartExecution", arn):
        _logger.warning("EventBridge: %s may not start %s", role, arn)
        return
    _emulator_invoke_target(target, *details)


def _route_async_failure(
    target_arn: str, function: str, event: Any, result: dict[str, Any]
) -> None:
    """Send a failed event to the function's dead-letter queue.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    config = lambda_svc._functions[function]["config"]
    role = config["Role"]
    action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}.get(parse_arn(target_arn).service)
    if action and not authorization.role_may(role, action, target_arn):
        _logger.warning("Lambda: %s may not send to %s", role, target_arn)
        return
    _emulator_route_async_failure(target_arn, function, event, result)
    queue = sqs._queue_by_arn(target_arn)
    if queue and target_arn == (config.get("DeadLetterConfig") or {}).get("TargetArn"):
        body = json.dumps(event)
        md5 = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        queue["messages"][-1] |= {"body": body, "md5_body": md5}
