"""The person who holds key material: makes it, hears what is asked, wraps it and answers."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from local.polling import wait_for
from local.stack.stack import Stack
from mrk.key_material import wrap_key_material

REQUIRED = "Multi-Region Key Material Required"
PROVIDED = "Multi-Region Key Material Provided"
REFUSED = "Multi-Region Key Material Refused"

_HMAC_BYTES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
_CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}


@dataclass(frozen=True)
class Material:
    """Key material as the tool takes it; `public_key` is DER, for asymmetric keys only."""

    secret: bytes = field(repr=False)
    public_key: bytes | None = None


def new_material(key_spec: str) -> Material:
    """Make key material for a key spec."""
    if key_spec == "SYMMETRIC_DEFAULT":
        return Material(os.urandom(32))
    if key_spec in _HMAC_BYTES:
        return Material(os.urandom(_HMAC_BYTES[key_spec]))
    if key_spec == "ECC_NIST_EDWARDS25519":
        return _asymmetric(ed25519.Ed25519PrivateKey.generate())
    if key_spec in _CURVES:
        return _asymmetric(ec.generate_private_key(_CURVES[key_spec]))
    bits = int(key_spec.removeprefix("RSA_"))
    return _asymmetric(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def _asymmetric(key: Any) -> Material:
    return Material(
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def questions(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    """List what was asked so far for a request, as the events say it."""
    events = stack.events(request_id)
    return [event["detail"] for event in events if event["detail-type"] == REQUIRED]


def wait_for_question(stack: Stack, request_id: str, number: int = 1) -> dict[str, Any]:
    """Return a request's question of that number, once it is asked."""

    def asked() -> dict[str, Any] | None:
        found = questions(stack, request_id)
        return found[number - 1] if len(found) >= number else None

    return wait_for(asked, f"question {number} of request {request_id}", timeout=60)


def wrapped(question: dict[str, Any], secret: bytes, *regions: str) -> dict[str, Any]:
    """Wrap material for every Region that is asked for, or for some; give the answer document."""
    answer = wrap_key_material(question, secret, now=datetime.now(UTC))
    if regions:
        answer["materials"] = [m for m in answer["materials"] if m["region"] in regions]
    return answer


def provide(stack: Stack, request_id: str, secret: bytes, number: int = 1) -> dict[str, Any]:
    """Wait for a question and answer it over the bus; give the answer."""
    answer = wrapped(wait_for_question(stack, request_id, number), secret)
    stack.send(answer, PROVIDED)
    return answer
