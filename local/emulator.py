"""The AWS emulator, with what KMS does and the emulator alone does not.

The emulator (ministack) is an ASGI app. `Emulator` wraps it, so that every request to KMS passes
through one place, `Emulator._serve_kms`: there it is recorded, and there it can be delayed,
refused or lost. What KMS authorises beyond the emulator is in `local.kms_authorization`.

Run as `python -m local.emulator --port 4566`; `local.server` starts it so, with its environment.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from ministack.app import app as ministack
from ministack.core.iam_evaluator import caller_arn
from ministack.core.responses import get_region

from local import authorization
from local.checks import Request

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

KMS_CALLS_PATH = "/_local/kms-calls"

_KMS = "TrentService"


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


class Emulator:
    """The ASGI app that is served."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._kms_calls: list[KmsCall] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == KMS_CALLS_PATH:
            await self._list_kms_calls(scope, send)
            return
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode()
        service, _, operation = target.rpartition(".")
        if service not in authorization.TARGETS:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        request = Request(operation, _parsed(body))
        with authorization.of_request(request):
            if service == _KMS:
                await self._serve_kms(request, scope, _replayed(body, receive), send)
            else:
                await self._app(scope, _replayed(body, receive), send)

    async def _serve_kms(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        arrived = time.time()
        status = 0
        answer = bytearray()

        async def recording_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                answer.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, recording_send)
        finally:
            self._kms_calls.append(
                KmsCall(
                    index=len(self._kms_calls),
                    time=arrived,
                    region=get_region(),
                    operation=request.operation,
                    status=status,
                    error=None if status == HTTPStatus.OK else _parsed(bytes(answer)).get("__type"),
                    caller=caller_arn(),
                )
            )

    async def _list_kms_calls(self, scope: Scope, send: Send) -> None:
        since = int(parse_qs(scope["query_string"].decode()).get("since", ["0"])[0])
        body = json.dumps([asdict(call) for call in self._kms_calls[since:]]).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body.extend(message.get("body", b""))
        more = message.get("more_body", False)
    return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give a `receive` that hands out the body that was already read."""
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
    config = Config()
    config.bind = [f"{host}:{arguments.port}" for host in arguments.hosts]
    # Longer than the SDKs keep an idle connection, so that they never use one just closed.
    config.keep_alive_timeout = 75
    asyncio.run(serve(cast("ASGIFramework", Emulator(ministack)), config))


if __name__ == "__main__":
    main()
