"""Deliveries as API Gateway hands them to the function, sound ones and forged or damaged ones."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from local.hooks import new_entries, proof, sample_body

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ENTRIES = new_entries()
SOURCES = sorted(ENTRIES)


@dataclass(frozen=True)
class Sent:
    """One delivery, before API Gateway has it."""

    source: str
    body: bytes
    headers: dict[str, str]
    is_base64: bool = False

    def event(self) -> dict[str, Any]:
        """Return it as the Lambda proxy integration hands it on."""
        body = self.body.decode("utf-8", "replace")
        if self.is_base64:
            body = base64.b64encode(self.body).decode()
        return {
            "resource": "/hooks/{source}",
            "path": f"/hooks/{self.source}",
            "httpMethod": "POST",
            "pathParameters": {"source": self.source},
            "headers": self.headers,
            "multiValueHeaders": {name: [value] for name, value in self.headers.items()},
            "body": body,
            "isBase64Encoded": self.is_base64,
        }


def sound(source: str, body: bytes | None = None, *, at: datetime = NOW) -> Sent:
    """Return a delivery that is proved: the source's sample, or another body."""
    body = sample_body(source) if body is None else body
    return Sent(source, body, proof(ENTRIES[source], body, at=at))


HOSTILE_BODIES = {
    "one MB": b'{"a": "' + b"a" * (1024 * 1024) + b'"}',
    "deep nesting": b"[" * 5_000 + b"]" * 5_000,
    "NaN": b'{"requestId": NaN}',
    "duplicate keys": b'{"requestId": "A", "requestId": "B"}',
    "no UTF-8": b"\xff\xfe{}",
    "empty": b"",
}


def forged(count: int, seed: int = 16) -> Iterator[tuple[str, Sent]]:
    """Make deliveries that prove nothing, each with the name of what is wrong with it."""
    chance = random.Random(seed)  # noqa: S311 - not to be secret but the same in every run
    for number in range(count):
        source = SOURCES[number % len(SOURCES)]
        yield _FORGERIES[number // len(SOURCES) % len(_FORGERIES)](source, chance)


def _signs_the_body(source: str) -> bool:
    return ENTRIES[source]["scheme"] in ("hmac-sha256-body", "standard-webhooks")


def _altered(source: str, chance: random.Random) -> tuple[str, Sent]:
    sent = sound(source)
    if not _signs_the_body(source):
        return _other_byte_of_the_proof(source, chance)
    place = chance.randrange(len(sent.body))
    other = bytes([sent.body[place] ^ (1 << chance.randrange(7))])
    return "altered byte", replace(sent, body=sent.body[:place] + other + sent.body[place + 1 :])


def _truncated(source: str, chance: random.Random) -> tuple[str, Sent]:
    sent = sound(source)
    if not _signs_the_body(source):
        return "truncated proof", _with_headers(sent, lambda value: value[: chance.randrange(20)])
    return "truncated", replace(sent, body=sent.body[: chance.randrange(len(sent.body))])


def _other_byte_of_the_proof(source: str, chance: random.Random) -> tuple[str, Sent]:
    def altered(value: str) -> str:
        place = chance.randrange(len(value))
        return value[:place] + ("x" if value[place] != "x" else "y") + value[place + 1 :]

    return "altered proof", _with_headers(sound(source), altered)


def _other_secret(source: str, chance: random.Random) -> tuple[str, Sent]:
    entry = ENTRIES[source]
    key = base64.b64encode(chance.randbytes(24)).decode()
    secret = {"standard-webhooks": f"whsec_{key}", "basic": f"servicenow:{key}"}
    other = {**entry, "secrets": [secret.get(entry["scheme"], key)]}
    body = sample_body(source)
    return "other secret", Sent(source, body, proof(other, body, at=NOW))


def _other_scheme(source: str, chance: random.Random) -> tuple[str, Sent]:
    others = [one for one in SOURCES if ENTRIES[one]["scheme"] != ENTRIES[source]["scheme"]]
    return "other scheme", replace(sound(chance.choice(others)), source=source)


def _old(source: str, chance: random.Random) -> tuple[str, Sent]:
    if ENTRIES[source]["scheme"] != "standard-webhooks":
        return _other_secret(source, chance)
    away = timedelta(seconds=chance.randint(301, 10_000_000) * chance.choice((1, -1)))
    return "old time", sound(source, at=NOW + away)


def _replayed(source: str, chance: random.Random) -> tuple[str, Sent]:
    sent = sound(source)
    if ENTRIES[source]["scheme"] != "standard-webhooks":
        return "unknown source", replace(sent, source=f"{source}-{chance.randrange(100)}")
    return "replay with another ID", replace(
        sent, headers={**sent.headers, "webhook-id": f"msg_{chance.randrange(10**9)}"}
    )


def _not_ascii(source: str, chance: random.Random) -> tuple[str, Sent]:
    letter = chance.choice("é€\ud83d\udd11\u0000\ud800")
    return "non-ASCII header", _with_headers(sound(source), lambda value: value + letter)


def _hostile_body(source: str, chance: random.Random) -> tuple[str, Sent]:
    name = chance.choice([name for name in HOSTILE_BODIES if name != "one MB"])
    _, sent = _other_secret(source, chance)
    return name, replace(sent, body=HOSTILE_BODIES[name], is_base64=chance.random() < 0.5)


def _bare(source: str, chance: random.Random) -> tuple[str, Sent]:
    del chance
    return "no headers", replace(sound(source), headers={})


def _with_headers(sent: Sent, change: Any) -> Sent:
    """Change the one header that proves a delivery."""
    names = [name for name in sent.headers if name not in ("webhook-id", "webhook-timestamp")]
    changed = {name: change(sent.headers[name]) for name in names}
    return replace(sent, headers={**sent.headers, **changed})


_FORGERIES = (
    _altered,
    _truncated,
    _other_byte_of_the_proof,
    _other_secret,
    _other_scheme,
    _old,
    _replayed,
    _not_ascii,
    _hostile_body,
    _bare,
)


def with_request(source: str, request: Any) -> bytes:
    """Return the body of a source's sample with another request in it."""
    document = json.loads(sample_body(source))
    if ENTRIES[source]["request"] == "":
        return json.dumps(request).encode()
    *above, last = ENTRIES[source]["request"].split("/")[1:]
    holder = document
    for name in above:
        holder = holder[name]
    holder[last] = request if isinstance(holder[last], dict) else json.dumps(request)
    return json.dumps(document).encode()
