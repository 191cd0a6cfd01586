"""Adapter of AWS Lambda: functions that call other functions of the stack."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.errors import DependencyUnavailable


def invoke(client: Any, function_name: str, payload: Any) -> Any:
    """Run a function and return what it answers.

    Raises
    ------
    DependencyUnavailable
        Lambda refused the call, or the function failed.
    """
    answer = _send(client, function_name, payload)
    if "FunctionError" in answer:
        raise DependencyUnavailable(f"{function_name} failed; its log says why.")
    return json.loads(answer["Payload"].read())


def start(client: Any, function_name: str, payload: Any) -> None:
    """Start a function without waiting for it.

    Raises
    ------
    DependencyUnavailable
        Lambda refused the call.
    """
    _send(client, function_name, payload, InvocationType="Event")


def _send(client: Any, function_name: str, payload: Any, **how: str) -> dict[str, Any]:
    text = json_text.text(payload).encode()
    try:
        answer: dict[str, Any] = client.invoke(FunctionName=function_name, Payload=text, **how)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"Lambda did not run {function_name}: {error}.") from error
    return answer
