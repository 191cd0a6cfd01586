"""How a delivery proves that it comes from who holds a secret.

All comparisons are of bytes and take the same time wherever they differ, every secret is tried
whether or not one before it fits, and nothing of the body is read but its bytes.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

WINDOW_SECONDS = 300
"""How far a signed time may be from ours, either way: what Standard Webhooks' libraries allow."""

_MAX_SIGNATURES = 16
_SECONDS = re.compile(rb"[0-9]{1,12}")


@dataclass(frozen=True)
class Delivery:
    """One call of a webhook.

    Attributes
    ----------
    headers
        The values of each header, by its name in lower case.
    """

    headers: Mapping[str, Sequence[bytes]]
    body: bytes
    received_at: datetime

    def header(self, name: str) -> bytes:
        """Return the value of a header; nothing where it is absent, or there several times."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else b""


def _hmac_of_the_body(delivery: Delivery, header: str, secrets: Iterable[bytes]) -> bool:
    """Check a signature of the body, in hexadecimal digits or base64, after `sha256=` or alone."""
    given = delivery.header(header).removeprefix(b"sha256=")
    digests = [hmac.digest(secret, delivery.body, "sha256") for secret in secrets]
    forms = [form for digest in digests for form in (digest.hex().encode(), _base64(digest))]
    return _is_one_of(given, forms)


def _standard_webhooks(delivery: Delivery, _header: str, secrets: Iterable[bytes]) -> bool:
    """Check a signature of identifier, time and body.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    identifier, sent = delivery.header("webhook-id"), delivery.header("webhook-timestamp")
    signed = b".".join((identifier, sent, delivery.body))
    forms = [b"v1," + _base64(hmac.digest(secret, signed, "sha256")) for secret in secrets]
    given = delivery.header("webhook-signature").split(b" ")[:_MAX_SIGNATURES]
    fits = [_is_one_of(signature, forms) for signature in given]
    return any(fits) and bool(identifier) and _is_recent(sent, delivery.received_at)


def _token(delivery: Delivery, header: str, secrets: Iterable[bytes]) -> bool:
    """Check a header that is the secret itself."""
    return _is_one_of(delivery.header(header), secrets)


def _basic(delivery: Delivery, _header: str, secrets: Iterable[bytes]) -> bool:
    """Check a user and a password.

    https://www.rfc-editor.org/rfc/rfc7617
    """
    scheme, _, given = delivery.header("authorization").partition(b" ")
    fits = _is_one_of(given.strip(b" "), [_base64(secret) for secret in secrets])
    return fits and scheme.lower() == b"basic"


SCHEMES: Mapping[str, Callable[[Delivery, str, Iterable[bytes]], bool]] = {
    "hmac-sha256-body": _hmac_of_the_body,
    "standard-webhooks": _standard_webhooks,
    "token": _token,
    "basic": _basic,
}
"""By the name that an entry of the secret has for it; each takes a delivery, a header, secrets."""


def _is_one_of(given: bytes, expected: Iterable[bytes]) -> bool:
    """Compare hashes, so that not even a length shows in the time it takes."""
    given_hash = hashlib.sha256(given).digest()
    fits = [hmac.compare_digest(given_hash, hashlib.sha256(one).digest()) for one in expected]
    return any(fits)


def _is_recent(sent: bytes, received_at: datetime) -> bool:
    if not _SECONDS.fullmatch(sent):
        return False
    return abs(received_at.timestamp() - int(sent)) <= WINDOW_SECONDS


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data)
