"""What AWS refuses for its size, in what is sent to a service.

| service | limit |
|---|---|
| Step Functions, StartExecution and SendTaskSuccess | 256 KiB of data, 80 characters of a name |
| EventBridge, PutEvents | 1 MiB for all entries |
| Lambda, invocation | 6 MB; 1 MiB for an asynchronous one |
| Lambda, environment | 4 KB for all variables as JSON |

DynamoDB's 400 KB for an item are the emulator's own. What a state may hold is in
`local.emulator.state_sizes`, what a rule's target takes in `local.emulator.dead_letters`.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb/
"""

import json
import re
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import eventbridge, lambda_svc, stepfunctions
from ministack.services.cloudformation import provisioners

MAX_DATA_BYTES = 256 * 1024
MAX_EVENT_BYTES = 1024 * 1024
_MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
_MAX_ENVIRONMENT_BYTES = 4 * 1024
_MAX_NAME = 80
_HALF_PAIRS = re.compile("[\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]""")

_emulator_start_execution = stepfunctions._start_execution
_emulator_nested_request = stepfunctions._nested_start_execution_request
_emulator_put_events = eventbridge._put_events
_emulator_invoke = lambda_svc._invoke
_emulator_create_function = lambda_svc._create_function
_emulator_update_config = lambda_svc._update_config
_emulator_lambda_create = provisioners._lambda_create


def install() -> None:
    """Put our functions in the place of the emulator's; after `local.emulator.task_callbacks`."""
    stepfunctions._start_execution = _start_execution
    stepfunctions._nested_start_execution_request = _nested_request
    respond = stepfunctions._send_task_success

    def send_task_success(parameters: dict[str, Any]) -> Any:
        return _too_long(parameters, "output") or respond(parameters)

    stepfunctions._send_task_success = send_task_success
    eventbridge._put_events = _put_events
    lambda_svc._invoke = _invoke
    lambda_svc._create_function = _create_function
    lambda_svc._update_config = _update_config
    provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]["create"] = _lambda_create


def text(value: Any) -> str:
    """Write a value as AWS's services hand it on: compact, in UTF-8 as far as that can say it."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _HALF_PAIRS.sub(lambda half: f"\\u{ord(half[0]):04x}", written)


def size(written: str) -> int:
    """Count the bytes of a text in UTF-8; half a surrogate pair counts as a character of three."""
    return len(written.encode(errors="surrogatepass"))


def _refused(field: str, most: int) -> Any:
    return error_response_json(
        "ValidationException",
        f"1 validation error detected: Value at '{field}' failed to satisfy constraint: "
        f"Member must have length less than or equal to {most}",
        400,
    )


def _too_long(parameters: dict[str, Any], field: str) -> Any:
    if size(parameters.get(field, "{}")) > MAX_DATA_BYTES:
        return _refused(field, MAX_DATA_BYTES)
    return None


def _start_execution(parameters: dict[str, Any]) -> Any:
    """Start an execution, or return the running one of that name and input.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    name = parameters.get("name")
    if name is not None and len(name) > _MAX_NAME:
        return _refused("name", _MAX_NAME)
    if name is not None and (not name or _NOT_IN_NAMES.search(name)):
        return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
    if refusal := _too_long(parameters, "input"):
        return refusal
    if not _is_json(parameters.get("input", "{}")):
        text_of_error = "Invalid State Machine Execution Input: not JSON"
        return error_response_json("InvalidExecutionInput", text_of_error, 400)
    running = _running(parameters)
    if running:
        return json_response({name: running[name] for name in ("executionArn", "startDate")})
    return _emulator_start_execution(parameters)


def _running(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Find the running execution that this very call has started before."""
    machine = stepfunctions._resolve_state_machine_arn(parameters.get("stateMachineArn", ""))
    if machine is None or "name" not in parameters:
        return None
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{parameters['name']}"
    found: dict[str, Any] | None = stepfunctions._executions.get(arn)
    if found and (found["status"], found["input"]) == ("RUNNING", parameters.get("input", "{}")):
        return found
    return None


def _is_json(written: str) -> bool:
    try:
        json.loads(written)
    except ValueError:
        return False
    return True


def _nested_request(arguments: dict[str, Any]) -> Any:
    """Return the input of an execution that a task starts in UTF-8."""
    request = _emulator_nested_request(arguments)
    if not isinstance(arguments.get("Input", arguments.get("input")), str):
        request["input"] = text(json.loads(request["input"]))
    return request


def _put_events(parameters: dict[str, Any], **options: Any) -> Any:
    """Put events.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
    """
    if sum(map(_entry_size, parameters.get("Entries", []))) > MAX_EVENT_BYTES:
        return error_response_json(
            "ValidationException",
            "Total size of the entries in the request is over the limit.",
            400,
        )
    return _emulator_put_events(parameters, **options)


def _entry_size(entry: dict[str, Any]) -> int:
    """Count an entry.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/events/CalculatePutEventsEntrySize.html
    """
    time = 14 if entry.get("Time") else 0
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")]
    return time + sum(map(size, [*texts, *entry.get("Resources", [])]))


async def _invoke(name: str, event: Any, headers: dict[str, str], *details: Any) -> Any:
    kind = headers.get("x-amz-invocation-type", "RequestResponse")
    most = MAX_EVENT_BYTES if kind == "Event" else _MAX_PAYLOAD_BYTES
    if (given := size(text(event))) > most:
        return error_response_json(
            "RequestTooLargeException",
            f"{given} byte payload is too large for the {kind} invocation type "
            f"(limit {most} bytes)",
            413,
        )
    return await _emulator_invoke(name, event, headers, *details)


def _create_function(parameters: dict[str, Any]) -> Any:
    return _environment_refusal(parameters) or _emulator_create_function(parameters)


def _update_config(name: str, parameters: dict[str, Any]) -> Any:
    return _environment_refusal(parameters) or _emulator_update_config(name, parameters)


def _lambda_create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
    """Create a function for CloudFormation, which does not come through Lambda's API here."""
    if refusal := _environment_refusal(properties):
        raise ValueError(f"AWS::Lambda::Function {logical_id} failed: {refusal[2]!r}")
    return _emulator_lambda_create(logical_id, properties, stack_name)


def _environment_refusal(parameters: dict[str, Any]) -> Any:
    variables = text((parameters.get("Environment") or {}).get("Variables", {}))
    if size(variables) <= _MAX_ENVIRONMENT_BYTES:
        return None
    return error_response_json(
        "InvalidParameterValueException",
        "Lambda was unable to configure your environment variables because the environment "
        f"variables you have provided exceeded the 4KB limit. String measured: {variables}",
        400,
    )
