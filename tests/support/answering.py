"""Real clients whose calls are watched, answered as AWS would, or lost on the way."""

import io
import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

from botocore.awsrequest import AWSResponse

from provisioner.aws import clients

_undo: list[Callable[[], None]] = []


def on(client: Any, event: str, handler: Callable[..., Any]) -> None:
    """Call this at one of botocore's events, before moto and until the test ends."""
    client.meta.events.register_first(event, handler)
    _undo.append(lambda: client.meta.events.unregister(event, handler))


def forget_answers() -> None:
    """Let every client go its ordinary way again."""
    while _undo:
        _undo.pop()()


def forget_clients() -> None:
    """Let the next client be a new one."""
    clients.patient_client.cache_clear()
    clients.impatient_kms.cache_clear()
    clients.send_once_kms.cache_clear()


def kms_for(region: str) -> Any:
    """Return KMS's ordinary client, which says what moto needs to hear and KMS does not.

    That is the one name that a policy can have, and a key's ID where KMS takes its ARN as well.
    """
    kms = clients.client("kms", region)

    def suit_moto(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        suited = dict(params)
        if model.name in ("GetKeyPolicy", "PutKeyPolicy"):
            suited["PolicyName"] = "default"
        if model.name in ("ScheduleKeyDeletion", "CancelKeyDeletion", "EnableKey"):
            suited["KeyId"] = suited["KeyId"].rsplit("/", 1)[-1]
        return suited

    on(kms, "provide-client-params.kms", suit_moto)
    return kms


def refusal(code: str, message: str = "", status: int = 400) -> dict[str, Any]:
    """Return an error as botocore parses it."""
    return {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }


def calls_of(client: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return a list that grows with every call: the operation's name and its parameters."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    on(client, "provide-client-params", note)
    return calls


def answer(client: Any, operation: str, *answers: dict[str, Any]) -> None:
    """Answer an operation with these, in turn; the last one again and again."""
    coming = _in_turn(answers)

    def give(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        parsed = next(coming)
        status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
        return _response(status, {}), {"ResponseMetadata": {"HTTPStatusCode": status}, **parsed}

    service = client.meta.service_model.service_id.hyphenize()
    on(client, f"before-call.{service}.{operation}", give)


def answer_on_the_wire(client: Any, status: int, body: Any = None) -> list[str]:
    """Answer every HTTP request with this; the list that is given grows with each one sent."""
    return _on_the_wire(client, lambda: _response(status, body or {}))


def lose_on_the_wire(client: Any, error: Exception) -> list[str]:
    """Fail every HTTP request with this; the list that is given grows with each one sent."""

    def fail() -> AWSResponse:
        raise error

    return _on_the_wire(client, fail)


def _on_the_wire(client: Any, give: Any) -> list[str]:
    sent: list[str] = []

    def on_send(request: Any, **_: Any) -> AWSResponse:
        target = request.headers.get("X-Amz-Target", b"")
        sent.append((target.decode() if isinstance(target, bytes) else target).rsplit(".", 1)[-1])
        response: AWSResponse = give()
        return response

    on(client, "before-send", on_send)
    # It has used up some of its retries, which it would miss in another test.
    _undo.append(forget_clients)
    return sent


def _in_turn(answers: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    # Calls may come side by side, and a generator runs in one thread at a time.
    return chain(answers[:-1], repeat(answers[-1]))


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


def _response(status: int, body: Any) -> AWSResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    headers: Any = {"Content-Type": "application/x-amz-json-1.1"}
    return AWSResponse("https://aws.invalid/", status, headers, _Raw(text.encode()))
