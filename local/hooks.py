"""Deliveries of webhooks as ticket systems sign them, with secrets made up for the local stack.

The samples in events/hooks/ are bodies as they are sent; entries.json beside them is what the
stack's secret says of their sources, with placeholders in the place of secrets.
"""

import base64
import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Any

from local.settings import ROOT

SAMPLES = ROOT / "events/hooks"
_PLACEHOLDERS = ("REPLACE-ME", base64.b64encode(b"REPLACE-ME").decode())


def sample_names() -> list[str]:
    """List the sources of which there is a sample."""
    return sorted(path.stem for path in SAMPLES.glob("*.json") if path.stem != "entries")


def sample_body(source: str) -> bytes:
    """Return the body of a source's sample."""
    return (SAMPLES / f"{source}.json").read_bytes()


def new_entries() -> dict[str, Any]:
    """Return the entries of all samples, each with a new secret."""
    entries: dict[str, Any] = json.loads((SAMPLES / "entries.json").read_text())
    for entry in entries.values():
        entry["secrets"] = [_filled_in(secret) for secret in entry["secrets"]]
    return entries


def _filled_in(secret: str) -> str:
    made_up = base64.b64encode(secrets.token_bytes(24)).decode()
    for placeholder in _PLACEHOLDERS:
        secret = secret.replace(placeholder, made_up)
    return secret


def proof(entry: dict[str, Any], body: bytes, *, at: datetime | None = None) -> dict[str, str]:
    """Return the headers by which a source proves a delivery, with the first secret of its entry.

    Parameters
    ----------
    at
        The time that is signed, where one is; now if it is not given.
    """
    secret = entry["secrets"][0]
    match entry["scheme"]:
        case "hmac-sha256-body":
            signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            return {entry["header"]: f"sha256={signature}"}
        case "token":
            return {entry["header"]: secret}
        case "basic":
            return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    identifier = f"msg_{secrets.token_hex(8)}"
    seconds = str(int((at or datetime.now(UTC)).timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{identifier}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identifier,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }
