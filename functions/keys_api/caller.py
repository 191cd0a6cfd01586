"""What the caller sends, and who it is."""

import base64
import binascii

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from provisioner import json_text
from provisioner.errors import RequestRejected, new_problem
from provisioner.json_text import JsonObject


def identity(event: APIGatewayProxyEvent) -> JsonObject:
    """Return the caller as IAM shows it: `userArn`, `sourceIp` and more; empty for nobody."""
    return event.request_context.raw_event.get("identity") or {}


def read_body(event: APIGatewayProxyEvent) -> object:
    """Read the JSON of the body; None where there is no body. Raise json_text.Unreadable."""
    if not event.body or not event.is_base64_encoded:
        return json_text.parse(event.body) if event.body else None
    try:
        data = base64.b64decode(event.body, validate=True)
    except (binascii.Error, ValueError) as error:
        text = "Not JSON: the body is marked as base64 and is not base64."
        raise json_text.Unreadable([new_problem("", "NOT_JSON", text)]) from error
    return json_text.parse(data)


def read_document(event: APIGatewayProxyEvent) -> object:
    """Read the JSON of the body. Raise RequestRejected where it is none."""
    try:
        return read_body(event)
    except json_text.Unreadable as unreadable:
        raise RequestRejected(unreadable.problems) from unreadable
