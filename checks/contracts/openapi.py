"""The OpenAPI document of the REST API.

https://spec.openapis.org/oas/v3.1.0
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.contracts.schemas import PLACE, Schema, schemas_for
from provisioner.aws.records import Status
from provisioner.domain.plan import REQUEST_ID_PATTERN
from provisioner.intake.listing import DEFAULT_LIMIT, LIMITS

VERSION = "1.0.0"
"""Of both contracts. What is added raises the second number, what is taken away the first."""

_INFO = {
    "title": "Multi-Region key sets",
    "version": VERSION,
    "summary": "Request multi-Region key sets of AWS KMS, change them, and follow their lives.",
    "description": (
        "Every call but a webhook's is signed with Signature Version 4 for the service "
        "execute-api. Every error has the same form: all problems at once, each with the path of "
        "its field, a code and a sentence. Rules across fields are the stack's own: a request "
        "that has this form may still be refused, with the reasons."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authtype.html
_SIGNED = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "AWS Signature Version 4, service execute-api.",
    "x-amazon-apigateway-authtype": "awsSigv4",
}
_SERVER = {
    "url": "{ApiUrl}",
    "variables": {
        "ApiUrl": {
            "default": "https://example.execute-api.us-east-1.amazonaws.com/v1",
            "description": "The stack's output of this name.",
        }
    },
}
_BY_ID = [
    {
        "name": "requestId",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{REQUEST_ID_PATTERN}$"},
    }
]
_ERRORS = {
    "400": "What was sent is not valid; nothing was done. All problems are named.",
    "401": "The delivery is not authenticated.",
    "403": "The signature is missing or wrong, or IAM does not allow this call.",
    "404": "There is no such request.",
    "409": "It does not fit what there is: the codes say how.",
    "413": "The body is too large.",
    "429": "Calls come faster than the stack takes them; try again in a moment.",
    "500": "The stack has a fault; what was asked may be asked again.",
    "502": "The stack has a fault; what was asked may be asked again.",
    "503": "An AWS service that the API needs does not answer; try again in a moment.",
    "504": "The answer took too long; what was asked may be asked again.",
}
_OF_ALL = ("429", "500", "502", "503", "504")


@dataclass(frozen=True)
class Operation:
    """One operation of the API. `answers` has a schema by status, None for no body.

    `errors` are statuses beside those that any call can be answered.
    """

    name: str
    summary: str
    answers: dict[str, Schema | None]
    errors: tuple[str, ...] = ("403",)
    parameters: list[Schema] = field(default_factory=list)
    body: Schema | None = None
    examples: dict[str, Any] = field(default_factory=dict)
    more: Schema = field(default_factory=dict)


def _of(*names: str) -> Schema:
    references = [{"$ref": f"{PLACE}{name}"} for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _query(name: str, description: str, **schema: Any) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _sample(name: str) -> Any:
    return json.loads((Path("events") / name).read_text())


def _body(name: str) -> Any:
    return json.loads(_sample(name)["body"])


_FOLLOW = {
    "status": {
        "operationId": "getKeySet",
        "parameters": {"requestId": "$response.body#/requestId"},
    },
    "history": {
        "operationId": "getHistory",
        "parameters": {"requestId": "$response.body#/requestId"},
    },
}

_ANY_OBJECT = {"type": "object"}

OPERATIONS = {
    ("GET", "/keys"): Operation(
        "listKeySets",
        "List requests, a page at a time.",
        {"200": _of("Listed")},
        ("400", "403"),
        parameters=[
            _query("status", "Of those that are listed.", type="string", enum=[*Status]),
            _query(
                "limit",
                "How many are listed at most.",
                type="integer",
                minimum=LIMITS[0],
                maximum=LIMITS[-1],
                default=DEFAULT_LIMIT,
            ),
            _query("next", "The `next` of the page before.", type="string"),
        ],
    ),
    ("POST", "/keys"): Operation(
        "postKeySet",
        "Request a key set, change it, plan that, or adopt a key set that exists.",
        {"200": _of("RequestPlan", "AdoptionPlan"), "202": _of("AcceptedOperation", "Accepted")},
        ("400", "403", "409", "413"),
        parameters=[
            _query("plan", "Say what would be done, and do nothing.", type="boolean"),
            _query("planId", "Carry out a change only as it was planned.", type="string"),
            _query("adopt", "Take over a key set that exists.", type="boolean"),
        ],
        body=_of("Request", "AdoptionRequest"),
        examples={
            "whole": {"value": _sample("key-requested.json")["detail"]},
            "least": {"value": _body("api-post-keys.json")},
        },
    ),
    ("GET", "/keys/{requestId}"): Operation(
        "getKeySet",
        "Show where a request stands, and its key set as far as it exists.",
        {"200": _of("KeySetStatus")},
        ("400", "403", "404"),
        parameters=_BY_ID,
    ),
    ("DELETE", "/keys/{requestId}"): Operation(
        "deleteKeySet",
        "Cancel a request that is under way; a key set that is finished stays.",
        {"202": _of("Accepted")},
        ("400", "403", "404", "409"),
        parameters=_BY_ID,
    ),
    ("GET", "/keys/{requestId}/history"): Operation(
        "getHistory",
        "List what became of a request so far, oldest first.",
        {"200": _of("PastOutcomes")},
        ("400", "403", "404"),
        parameters=_BY_ID,
    ),
    ("POST", "/keys/{requestId}/approval"): Operation(
        "postApproval",
        "Approve what a request waits with, or refuse it.",
        {"202": _of("Accepted")},
        ("400", "403", "404", "409", "413"),
        parameters=_BY_ID,
        body=_of("Decision"),
        examples={"approval": {"value": _body("api-post-approval.json")}},
    ),
    ("POST", "/keys/{requestId}/material"): Operation(
        "postMaterial",
        "Hand over the wrapped key material that a request waits for.",
        {"202": _of("Accepted")},
        ("400", "403", "404", "409", "413"),
        parameters=_BY_ID,
        body=_of("MaterialOfRequest"),
        examples={"answer": {"value": _body("api-post-material.json")}},
    ),
    ("POST", "/keys/{requestId}/operations"): Operation(
        "postOperation",
        "Repair a finished key set, rotate its key material, or stop managing it.",
        {"202": _of("AcceptedOperation")},
        ("400", "403", "404", "409", "413"),
        parameters=_BY_ID,
        body=_of("OperationRequest"),
        examples={"repair": {"value": _body("api-post-operation.json")}},
    ),
    ("POST", "/hooks/{source}"): Operation(
        "postHook",
        "Take the delivery of a ticket system's webhook, in that system's own form.",
        {"202": _of("HandedOn"), "204": None},
        ("400", "401", "413"),
        parameters=[
            {
                "name": "source",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
        ],
        body=_ANY_OBJECT,
        more={"security": []},
    ),
    ("GET", "/schema"): Operation(
        "getSchema", "Return the JSON schema of a request.", {"200": _ANY_OBJECT}, ("400", "403")
    ),
    ("GET", "/openapi.json"): Operation(
        "getOpenApi", "Return this document.", {"200": _ANY_OBJECT}, ("400", "403")
    ),
    ("GET", "/asyncapi.json"): Operation(
        "getAsyncApi",
        "Return the AsyncAPI document of the events on the stack's bus.",
        {"200": _ANY_OBJECT},
        ("400", "403"),
    ),
}


def openapi() -> Schema:
    """Return the document."""
    paths: dict[str, Schema] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _written(operation)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [_SERVER],
        "security": [{"sigv4": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"sigv4": _SIGNED},
            "schemas": schemas_for([paths, _of("Errors")]),
        },
    }


def _written(operation: Operation) -> Schema:
    written: Schema = {"operationId": operation.name, "summary": operation.summary}
    if operation.parameters:
        written["parameters"] = operation.parameters
    if operation.body:
        content: Schema = {"schema": operation.body}
        if operation.examples:
            content["examples"] = operation.examples
        written["requestBody"] = {"required": True, "content": {"application/json": content}}
    answers = {status: _answer(status, schema) for status, schema in operation.answers.items()}
    errors = {one: _error(one) for one in sorted({*operation.errors, *_OF_ALL})}
    return {**written, "responses": {**answers, **errors}, **operation.more}


def _answer(status: str, schema: Schema | None) -> Schema:
    if schema is None:
        return {"description": "Nothing is asked for."}
    described = {"200": "What was asked for.", "202": "It is accepted and goes on."}[status]
    answer: Schema = {
        "description": described,
        "content": {"application/json": {"schema": schema}},
    }
    if schema == _of("AcceptedOperation", "Accepted"):
        answer["links"] = _FOLLOW
    return answer


def _error(status: str) -> Schema:
    return {
        "description": _ERRORS[status],
        "content": {"application/json": {"schema": _of("Errors")}},
    }
