"""Adapter of AWS Lambda: functions that call other functions of the stack."""

import json
from typing import Literal, TypedDict, Unpack

from botocore.exceptions import BotoCoreError, ClientError

from provisioner import json_text
from provisioner.aws.client_types import InvocationResponse, LambdaClient
from provisioner.errors import DependencyUnavailable


class _How(TypedDict, total=False):
    """In which way a function is run; Lambda's own way is to wait for it."""

    InvocationType: Literal["Event"]


def invoke(client: LambdaClient, function_name: str, payload: object) -> object:
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


def start(client: LambdaClient, function_name: str, payload: object) -> None:
    """Start a function without waiting for it.

    Raises
    ------
    DependencyUnavailable
        Lambda refused the call.
    """
    _send(client, function_name, payload, InvocationType="Event")


def _send(
    client: LambdaClient,
    function_name: str,
    payload: object,
    **how: Unpack[_How],
) -> InvocationResponse:
    text = json_text.text(payload).encode()
    try:
        return client.invoke(FunctionName=function_name, Payload=text, **how)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(f"Lambda did not run {function_name}: {error}.") from error
