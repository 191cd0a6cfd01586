"""Holds what the API answers and what the bus carries against the published contracts.

The published schemas take fields that they do not name, so that one can be added. Here none may be
there: what the stack has today, its contracts say.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from checks.contracts.asyncapi import asyncapi
from checks.contracts.openapi import OPERATIONS, openapi
from checks.contracts.schemas import closed

OWN_SOURCE = "mrk.provisioner"


def answer_problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """Say in which way an answer of the API is outside its contract.

    Parameters
    ----------
    path
        As it was called, a query included.
    body
        The JSON of the answer, None where it has no body.
    """
    place = path.partition("?")[0]
    route = next((one for one in _routes() if one[0] == method and one[1].fullmatch(place)), None)
    if route is None:
        # API Gateway's own answer where there is no such route.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
        return _problems(_errors(), body) if status in (403, 404) else [f"{status} of no route"]
    answers = openapi_document()["paths"][route[2]][method.lower()]["responses"]
    if str(status) not in answers:
        return [f"{method} {route[2]} does not answer {status}"]
    content = answers[str(status)].get("content")
    if content is None:
        return [] if body is None else [f"{method} {route[2]} has no body with {status}"]
    return _problems(_validator(method, route[2], str(status)), body)


def event_problems(event: Mapping[str, Any]) -> list[str]:
    """Say in which way an event of the stack's is outside its contract."""
    message = _messages().get(event["detail-type"])
    if message is None:
        return [f"There is no event {event['detail-type']}"]
    return _problems(message, dict(event))


@cache
def openapi_document() -> Any:
    """Return the OpenAPI document, its schemas closed."""
    return closed(openapi())


@cache
def _routes() -> list[tuple[str, re.Pattern[str], str]]:
    return [
        (method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path)
        for method, path in OPERATIONS
    ]


@cache
def _validator(method: str, path: str, status: str) -> Draft202012Validator:
    document = openapi_document()
    answer = document["paths"][path][method.lower()]["responses"][status]
    schema = answer["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


@cache
def _errors() -> Draft202012Validator:
    return _validator("GET", "/keys", "403")


@cache
def _messages() -> dict[str, Draft202012Validator]:
    components = asyncapi()["components"]
    schemas = {"components": {"schemas": closed(components["schemas"])}}
    return {
        one["name"]: Draft202012Validator({**one["payload"], **schemas})
        for one in components["messages"].values()
    }


def _problems(validator: Draft202012Validator, value: Any) -> list[str]:
    return [
        f"{'.'.join(map(str, one.absolute_path))}: {one.message[:400]}"
        for one in validator.iter_errors(value)
    ]
