"""Sends the requests of a run to the stack and follows them to their end."""

import base64
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mrk.errors import MrkError
from mrk.stack import Reply, Stack
from mrk.verify.evidence import Evidence
from mrk.waiting import wait_for

IN_PROGRESS, WAITING_FOR_MATERIAL = "IN_PROGRESS", "WAITING_FOR_MATERIAL"
CREATED, FAILED = "CREATED", "FAILED"
_UNDER_WAY = (IN_PROGRESS, WAITING_FOR_MATERIAL)
_EVENT_ARRIVES_WITHIN = 60


def plan(stack: Stack, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask what a request would create.

    Raises
    ------
    MrkError
        The stack refuses it.
    """
    reply = stack.call("POST", "/keys?plan=true", request)
    if reply.status != HTTPStatus.OK:
        raise MrkError(f"The stack refuses request {request['requestId']}: {problems(reply)}")
    keys: list[dict[str, Any]] = reply.body["keys"]
    return keys


def send(evidence: Evidence, name: str, request: dict[str, Any]) -> None:
    """Send a request through the API.

    Raises
    ------
    MrkError
        The stack does not take it.
    """
    if name not in evidence.sent:
        # Before it is sent: an interruption must find whatever may have arrived.
        evidence.sent.append(name)
    reply = evidence.stack.call("POST", "/keys", request)
    if reply.status != HTTPStatus.ACCEPTED:
        raise MrkError(f"The stack refuses request {request['requestId']}: {problems(reply)}")


def follow(
    evidence: Evidence,
    name: str,
    *,
    until: tuple[str, ...] = (CREATED, FAILED, "REJECTED"),
    watch: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Wait until a request has one of the statuses, calling `watch` at each look; return it."""

    def ended() -> dict[str, Any] | None:
        watch()
        status = read(evidence.stack, evidence.key_sets.request_id(name))
        if status is None:
            return None
        evidence.statuses[name] = status
        return status if status["status"] in until else None

    request_id = evidence.key_sets.request_id(name)
    what = f"request {request_id} to be {' or '.join(until)}"
    return wait_for(ended, what, timeout=evidence.timeout)


def arrived(stack: Stack, request_id: str) -> bool:
    """Say whether a request reaches the stack within the time that an event takes."""
    try:
        wait_for(
            lambda: read(stack, request_id), f"request {request_id}", timeout=_EVENT_ARRIVES_WITHIN
        )
    except MrkError:
        return False
    return True


def read(stack: Stack, request_id: str) -> dict[str, Any] | None:
    """Read the status of a request; None if nobody sent it."""
    reply = stack.call("GET", f"/keys/{request_id}")
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    if reply.status != HTTPStatus.OK:
        raise MrkError(f"The status of request {request_id} was not read: {problems(reply)}")
    status: dict[str, Any] = reply.body
    return status


def provide_material(evidence: Evidence, status: dict[str, Any], material: bytes) -> None:
    """Wrap key material for every Region that asks for it, and answer.

    Raises
    ------
    MrkError
        The stack does not take the answer.
    """
    wrapped = [
        {
            "region": asked["region"],
            "importToken": asked["importToken"],
            "encryptedKeyMaterial": _wrapped(material, asked["publicKey"]),
        }
        for asked in status["materials"]
    ]
    body = {"requestId": status["requestId"], "materials": wrapped}
    reply = evidence.stack.call("POST", f"/keys/{status['requestId']}/material", body)
    if reply.status != HTTPStatus.ACCEPTED:
        raise MrkError(f"The stack does not take the key material: {problems(reply)}")


def settle(stack: Stack, request_id: str, timeout: float) -> dict[str, Any] | None:
    """Wait until a request makes no more keys; return its status, None if it never arrived.

    One that waits for key material makes none; it ends by itself at its deadline.
    """
    if not arrived(stack, request_id):
        return None

    def settled() -> dict[str, Any] | None:
        status = read(stack, request_id)
        return status if status and status["status"] != IN_PROGRESS else None

    return wait_for(settled, f"request {request_id} to end", timeout=timeout)


def problems(reply: Reply) -> str:
    """Return what the API says is wrong, in one line."""
    errors = reply.body.get("errors") if isinstance(reply.body, dict) else None
    listed = [f"{error['path']}: {error['code']}: {error['message']}" for error in errors or []]
    return " ".join([f"status {reply.status}.", *listed])


def failure(status: dict[str, Any]) -> str:
    """Return how a request ended, in one line."""
    codes = ", ".join(error["code"] for error in status["errors"] or [])
    return f"{status['status']} {codes}".strip()


def _wrapped(material: bytes, public_key: str) -> str:
    key = load_der_public_key(base64.b64decode(public_key))
    if not isinstance(key, RSAPublicKey):
        raise MrkError("The wrapping key is no RSA key.")
    oaep = OAEP(MGF1(SHA256()), SHA256(), label=None)
    return base64.b64encode(key.encrypt(material, oaep)).decode()
