"""ASGI: its types, and answers that are kept or written."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Answer:
    """An answer as it is sent."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The HTTP status; 0 if nothing was sent."""
        return next((m["status"] for m in self.messages if "status" in m), 0)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(message.get("body", b"") for message in self.messages)

    async def keep(self, message: Message) -> None:
        """Take a message and send it nowhere."""
        self.messages.append(message)

    def recorded(self, send: Send) -> Send:
        """Return a `send` that keeps each message and passes it on."""

        async def recording(message: Message) -> None:
            self.messages.append(message)
            await send(message)

        return recording


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request, as the emulator takes them."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def send_json(send: Send, status: int, body: Any, **headers: str) -> None:
    """Answer a request with JSON; `error_type` stands for the header error-type."""
    names = [(b"content-type", b"application/json")]
    names += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": names})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
