"""The AWS emulator, with what KMS does and the emulator alone does not.

The emulator (ministack) is an ASGI app. `Emulator` wraps it, so that every request to KMS,
DynamoDB, EventBridge and Step Functions passes through one place, `Emulator._serve`: there it
meets the faults of `faults`, and if it is KMS's, it takes its time and is recorded. What KMS
authorises beyond the emulator is in `kms.authorization`, what it answers in `kms.service`.

| path | does |
|---|---|
| `GET /_local/kms-calls?since=0` | lists the calls of KMS, as `KmsCall` |
| `GET /_local/permissions?since=0` | lists what IAM was asked: `permissions.Permission` |
| `GET`, `PUT`, `DELETE /_local/faults` | lists, sets, removes faults: `faults.Fault` |
| `GET`, `PUT /_local/kms-settings` | lists, changes settings: `kms.settings` |
| `GET`, `PUT /_local/history-events` | returns, changes the most events: `state_sizes` |
| `POST /_local/existing-keys` | makes keys that were there before: `kms.existing_keys` |

Run as `python -m local.emulator --port 4566`; `local.stack.server` starts it so, with its
environment.
"""

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from ministack.app import app as ministack
from ministack.core.iam_evaluator import request_caller_arn
from ministack.core.router import extract_region

from local.emulator import (
    authorization,
    branches,
    bus_policies,
    bus_targets,
    dead_letters,
    distributed_maps,
    event_chain,
    faults,
    function_processes,
    gateway_responses,
    lambda_turns,
    map_items,
    nested_stacks,
    permissions,
    regions,
    runtime_api,
    service_roles,
    sizes,
    state_sizes,
    tagging_pages,
    task_callbacks,
)
from local.emulator.asgi import Answer, App, Message, Receive, Scope, Send, headers_of, send_json
from local.emulator.checks import Request
from local.emulator.fault_effects import meet
from local.emulator.faults import TARGETS, Faults, Service
from local.emulator.kms import events as kms_events
from local.emulator.kms import existing_keys
from local.emulator.kms import service as kms_service
from local.emulator.kms import settings as kms_settings
from local.emulator.kms import states as kms_states
from local.stack import cloudformation_names

_LOCAL = "/_local/"


@dataclass(frozen=True)
class KmsCall:
    """One call of KMS and its answer."""

    index: int
    time: float
    """When the call arrived, in seconds since the epoch."""
    region: str
    operation: str
    status: int
    """HTTP status of the answer; 0 if the caller got none."""
    error: str | None
    """The exception's name as boto3 reports it, or None."""
    caller: str
    """ARN of the principal."""
    seconds: float
    """How long the answer took."""
    subjects: list[str]
    """What the call is about: the key, by ID or ARN, the alias, the request in the tags."""


class Emulator:
    """The ASGI app that is served."""

    def __init__(self, app: App) -> None:
        self._app = regions.refusing_disabled(app)
        self._kms_calls: list[KmsCall] = []
        self._faults = Faults()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(_LOCAL):
            await self._control(scope, receive, send)
            return
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode()
        prefix, _, operation = target.rpartition(".")
        if prefix not in TARGETS:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        request = Request(operation, _parsed(body))
        serve = self._serve_kms if TARGETS[prefix] == "kms" else self._serve
        with authorization.of_request(request):
            await serve(TARGETS[prefix], request, scope, _replayed(body, receive), send)

    async def _serve_kms(
        self, service: Service, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a call of KMS as any other, but take its time and record it."""
        arrived = time.time()
        answer = Answer()
        await asyncio.sleep(kms_settings.current().latency_seconds)
        try:
            await self._serve(service, request, scope, receive, answer.recorded(send))
        finally:
            error = None
            if answer.status not in (0, HTTPStatus.OK):
                error = _parsed(answer.body).get("__type")
            self._kms_calls.append(
                KmsCall(
                    index=len(self._kms_calls),
                    time=arrived,
                    region=_region(scope),
                    operation=request.operation,
                    status=answer.status,
                    error=error,
                    caller=_caller(scope),
                    seconds=time.time() - arrived,
                    subjects=_subjects(request.parameters, _parsed(answer.body)),
                )
            )

    async def _serve(
        self, service: Service, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        fault = self._faults.next(service, request.operation, _region(scope))
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await meet(fault, self._app, scope, receive, send)

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what tests and the commands of the local stack ask of the emulator itself."""
        body = await _read(receive)
        status = HTTPStatus.OK
        try:
            answer = self._answer(scope, body)
        except ValueError as error:
            status, answer = HTTPStatus.BAD_REQUEST, {"message": str(error)}
        except LookupError as error:
            status, answer = HTTPStatus.NOT_FOUND, {"message": str(error)}
        await send_json(send, status, answer)

    def _answer(self, scope: Scope, body: bytes) -> Any:
        """Answer a request about the emulator itself.

        Raises
        ------
        ValueError
            The request's body is not as it must be.
        LookupError
            There is no such path.
        """
        match (scope["method"], scope["path"].removeprefix(_LOCAL)):
            case ("GET", "kms-calls"):
                answer: Any = [asdict(call) for call in self._kms_calls[_since(scope) :]]
            case ("GET", "permissions"):
                answer = permissions.as_json(_since(scope))
            case ("GET" | "PUT" | "DELETE" as method, "faults"):
                answer = self._answer_about_faults(method, body)
            case (method, "kms-settings" | "history-events" | "lambda-limit" as setting):
                answer = _answer_about_setting(method, setting, body)
            case ("POST", "existing-keys"):
                answer = existing_keys.add(json.loads(body))
            case _:
                raise LookupError("There is no such path.")
        return answer

    def _answer_about_faults(self, method: str, body: bytes) -> Any:
        if method == "PUT":
            self._faults.put(faults.parse(json.loads(body)))
        elif method == "DELETE":
            self._faults.clear()
        return self._faults.as_json()


def _answer_about_setting(method: str, setting: str, body: bytes) -> Any:
    match (method, setting):
        case ("GET" | "PUT", "kms-settings"):
            if method == "PUT":
                kms_settings.change(json.loads(body))
                kms_states.pass_time()
                kms_events.keep_time(kms_states.pass_time)
            answer: Any = kms_settings.current().as_json()
        case ("GET" | "PUT", "history-events"):
            if method == "PUT":
                state_sizes.change_most_events(json.loads(body))
            answer = state_sizes.most_events()
        case ("PUT" | "DELETE", "lambda-limit"):
            answer = lambda_turns.limit(json.loads(body) if method == "PUT" else None)
        case _:
            raise LookupError("There is no such path.")
    return answer


def _subjects(parameters: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    tags = parameters.get("Tags", [])
    named = [
        *(parameters.get(name) for name in ("KeyId", "TargetKeyId", "AliasName")),
        *(answer.get(name, {}).get("Arn") for name in ("KeyMetadata", "ReplicaKeyMetadata")),
        *(tag["TagValue"] for tag in tags if tag.get("TagKey") == "mrk:request-id"),
    ]
    return [name for name in named if isinstance(name, str)]


def _since(scope: Scope) -> int:
    return int(parse_qs(scope["query_string"].decode()).get("since", ["0"])[0])


def _region(scope: Scope) -> str:
    region: str = extract_region(headers_of(scope))
    return region


def _caller(scope: Scope) -> str:
    caller: str = request_caller_arn(headers_of(scope))
    return caller


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body.extend(message.get("body", b""))
        more = message.get("more_body", False)
    return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands out the body that was already read."""
    unread = [body]

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replay


def _parsed(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; what is none is left for the emulator to refuse."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def main() -> None:
    """Serve the emulator until it is terminated."""
    parser = argparse.ArgumentParser(description="Serve the AWS emulator.")
    parser.add_argument("--port", type=int, required=True)
    # Not used here: it says in the list of processes which Region this emulator is at home in.
    parser.add_argument("--region")
    parser.add_argument("--hosts", nargs="+", default=["127.0.0.1"])
    arguments = parser.parse_args()
    authorization.install()
    branches.install()
    bus_policies.install()
    cloudformation_names.install()
    nested_stacks.install()
    distributed_maps.install()
    function_processes.install()
    kms_service.install()
    lambda_turns.install()
    runtime_api.install()
    service_roles.install()
    dead_letters.install()
    gateway_responses.install()
    bus_targets.install()
    tagging_pages.install()
    task_callbacks.install()
    event_chain.install()
    sizes.install()
    state_sizes.install()
    map_items.install()
    config = Config()
    config.bind = [f"{host}:{arguments.port}" for host in arguments.hosts]
    # Longer than the SDKs keep an idle connection, so that they never use one just closed.
    config.keep_alive_timeout = 75
    try:
        asyncio.run(serve(cast("ASGIFramework", Emulator(ministack)), config))
    finally:
        task_callbacks.end_waits()


if __name__ == "__main__":
    main()
