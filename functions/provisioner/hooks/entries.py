"""The entries of the secret: for each source, how it proves itself and where its request is.

What is wrong with an entry is said without a word of it that could be secret: names of fields only.
"""

import base64
import binascii
import re
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from provisioner import json_text
from provisioner.hooks.schemes import SCHEMES
from provisioner.json_text import Json

MIN_SECRET_BYTES = 16
"""Of what nobody can guess by trying; Standard Webhooks asks for 24 and more."""
MAX_SECRETS = 8

_SOURCE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SYSTEM = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HEADER = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
# https://www.rfc-editor.org/rfc/rfc6901#section-3
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
_WITH_A_HEADER = ("hmac-sha256-body", "token")
_FIELDS = {"scheme", "header", "secrets", "request", "when", "actor", "ticket"}


class TicketPlace(NamedTuple):
    """Whose ticket a request comes from, and where its ID stands."""

    system: str
    id: str


@dataclass(frozen=True)
class Entry:
    """One source. `request`, `actor`, the names in `when` and the ticket's ID are JSON pointers.

    An actor and a ticket are empty where the source names none.
    """

    scheme: str
    secrets: tuple[bytes, ...] = field(repr=False)
    request: str
    header: str = ""
    when: Mapping[str, object] = field(default_factory=dict)
    actor: str | None = None
    ticket: TicketPlace | None = None


class EntryBroken(Exception):
    """An entry cannot be used as it is; the message names the field, and no value."""


class Entries(NamedTuple):
    """What the secret says: the sources that can be used, and why others cannot."""

    usable: Mapping[str, Entry]
    broken: Mapping[str, str]


def new_dummy() -> Entry:
    """Make an entry that nothing fits, to check what comes from a source that has none."""
    return Entry("hmac-sha256-body", (randomness.token_bytes(32),), "", header="x-hub-signature")


def read_entries(text: str) -> Entries:
    """Read the secret. One broken entry does not close the door for others."""
    try:
        document = json_text.parse(text)
    except json_text.Unreadable:
        # The problem's own message may quote the secret.
        return Entries({}, {"": "the secret is not JSON, or has a name twice"})
    if not isinstance(document, dict):
        return Entries({}, {"": "the secret is not a JSON object"})
    usable, broken = {}, {}
    for source, given in document.items():
        try:
            usable[_source(source)] = _entry(given)
        except EntryBroken as error:
            # What is no name may be a secret in the wrong place.
            broken[source if _SOURCE.fullmatch(source) else ""] = str(error)
    return Entries(usable, broken)


def _source(name: str) -> str:
    if not _SOURCE.fullmatch(name):
        raise EntryBroken("a source has 1 to 64 letters, digits, _ and - for a name")
    return name


def _entry(given: Json) -> Entry:
    if not isinstance(given, dict):
        raise EntryBroken("it is not a JSON object")
    if not given.keys() <= _FIELDS:
        # A condition under a misspelt name would be none.
        raise EntryBroken(f"it has a field other than {', '.join(sorted(_FIELDS))}")
    scheme = given.get("scheme")
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise EntryBroken(f"scheme is not one of {', '.join(SCHEMES)}")
    return Entry(
        scheme=scheme,
        secrets=_secrets(given.get("secrets"), scheme),
        request=_pointer(given.get("request"), "request"),
        header=_header(given.get("header"), scheme),
        when=_conditions(given.get("when", {})),
        actor=_pointer(given["actor"], "actor") if "actor" in given else None,
        ticket=_ticket(given["ticket"]) if "ticket" in given else None,
    )


def _secrets(given: Json, scheme: str) -> tuple[bytes, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_SECRETS:
        raise EntryBroken(f"secrets is not a list of 1 to {MAX_SECRETS} texts")
    return tuple(_secret(one, scheme) for one in given)


def _secret(given: Json, scheme: str) -> bytes:
    if not isinstance(given, str):
        raise EntryBroken("a secret is not a text")
    try:
        value = given.encode()
    except UnicodeEncodeError as error:
        raise EntryBroken("a secret is not Unicode text") from error
    guessed = value
    if scheme == "standard-webhooks":
        try:
            value = guessed = base64.b64decode(given.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise EntryBroken("a secret is not whsec_ and base64") from error
    elif scheme == "basic":
        _, colon, password = given.partition(":")
        if not colon:
            raise EntryBroken("a secret is not user:password")
        guessed = password.encode()
    if len(guessed) < MIN_SECRET_BYTES:
        raise EntryBroken(f"a secret has fewer than {MIN_SECRET_BYTES} bytes")
    return value


def _header(given: Json, scheme: str) -> str:
    if scheme not in _WITH_A_HEADER:
        if given is not None:
            raise EntryBroken(f"header is of no use with scheme {scheme}")
        return ""
    if not isinstance(given, str) or not _HEADER.fullmatch(given.lower()):
        raise EntryBroken("header is not the name of a header")
    return given.lower()


def _conditions(given: Json) -> Mapping[str, object]:
    if not isinstance(given, dict):
        raise EntryBroken("when is not a JSON object")
    for pointer, value in given.items():
        _pointer(pointer, "a name in when")
        if isinstance(value, dict | list):
            raise EntryBroken("a value in when is an object or a list")
    return given


def _ticket(given: Json) -> TicketPlace:
    if not isinstance(given, dict) or given.keys() != {"system", "id"}:
        raise EntryBroken("ticket is not an object of system and id")
    system = given["system"]
    if not isinstance(system, str) or not _SYSTEM.fullmatch(system):
        raise EntryBroken("ticket.system is not a name of letters, digits, _, . and -")
    return TicketPlace(system, _pointer(given["id"], "ticket.id"))


def _pointer(given: Json, name: str) -> str:
    if not isinstance(given, str) or not _POINTER.fullmatch(given):
        raise EntryBroken(f"{name} is not a JSON pointer")
    return given
