"""What of the contracts others rely on, one promise a line, so that none is broken unseen.

A promise is an operation's answer, a field, a field that is always there, a field that may be left
out of what is sent, or a value. More may be promised; what was released stays until the first
number of the version is raised.
"""

from collections.abc import Iterator
from typing import Any

from checks.contracts.schemas import PLACE, REQUESTS, Schema


def promises(openapi: Schema, asyncapi: Schema) -> list[str]:
    """List the promises of both documents, sorted."""
    found = {*_of_operations(openapi), *_of_events(asyncapi)}
    for document in (openapi, asyncapi):
        schemas = document["components"]["schemas"]
        sent = {*_reachable(REQUESTS, schemas)}
        for name, schema in schemas.items():
            found |= {*_of_schema(name, schema, sent=name in sent)}
    return sorted(found)


def _of_operations(openapi: Schema) -> Iterator[str]:
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                yield f"{name} takes {parameter['in']} {parameter['name']}"
            if body := operation.get("requestBody"):
                for one in _named(body["content"]["application/json"]["schema"]):
                    yield f"{name} takes {one}"
            for status, answer in operation["responses"].items():
                yield f"{name} answers {status}"
                for one in _named(answer.get("content", {})):
                    yield f"{name} answers {status} {one}"


def _of_events(asyncapi: Schema) -> Iterator[str]:
    for message in asyncapi["components"]["messages"].values():
        for one in _named(message["payload"]["properties"]["detail"]):
            yield f"event {message['name']} has {one}"


def _of_schema(name: str, schema: Schema, *, sent: bool) -> Iterator[str]:
    for value in schema.get("enum", []):
        yield f"{name} can be {value}"
    always = schema.get("required", [])
    for field, described in schema.get("properties", {}).items():
        yield f"{name}.{field}"
        for value in described.get("enum", []):
            yield f"{name}.{field} can be {value}"
        if sent and field not in always:
            yield f"{name}.{field} may be left out"
        if not sent and field in always:
            yield f"{name}.{field} is always there"


def _reachable(names: Any, schemas: Schema) -> Iterator[str]:
    missing, seen = [name for name in names if name in schemas], set[str]()
    while missing:
        name = missing.pop()
        if name not in seen:
            seen.add(name)
            missing += _named(schemas[name])
    yield from seen


def _named(node: Any) -> list[str]:
    """Name the schemas that a node refers to."""
    if isinstance(node, list):
        return [name for one in node for name in _named(one)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].removeprefix(PLACE)] if isinstance(node.get("$ref"), str) else []
    return own + [name for key, one in node.items() if key != "$ref" for name in _named(one)]
