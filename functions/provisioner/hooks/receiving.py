"""What becomes of a delivery: whether it is proved, what it asks for, what is handed on of it."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from provisioner import json_text
from provisioner.clock import now
from provisioner.domain.plan import is_request_id
from provisioner.domain.provenance import Via
from provisioner.errors import Problem, RequestRejected, new_problem
from provisioner.hooks import reading
from provisioner.hooks.entries import Entries, Entry, new_dummy
from provisioner.hooks.schemes import SCHEMES, Delivery
from provisioner.intake.envelope import wrap
from provisioner.intake.request import parse_request
from provisioner.intake.ticket_texts import from_ticket
from provisioner.json_text import Json, JsonObject
from provisioner.settings import Settings

MAX_BODY_BYTES = 256 * 1024
"""Twice what a request may have: the ticket around it is sent as well."""

_DUMMY = new_dummy()
_TEXTS: tuple[Literal["path", "code", "message"], ...] = ("path", "code", "message")


class TooLarge(Exception):
    """The body has more than `MAX_BODY_BYTES`."""


class NotProved(Exception):
    """A delivery does not come from a source, or nothing shows that it does.

    The message is for the log alone, and has nothing that was sent.
    """


@dataclass(frozen=True)
class Taken:
    """A delivery that asks for something.

    `detail` is what is handed on, `problems` are those for which it will be refused, and
    `request_id` is the request's where it is usable.
    """

    detail: JsonObject
    problems: list[Problem]
    request_id: str | None


class HandedOn(TypedDict):
    """What a webhook's caller is answered; `requestId` is null where the request's is unusable."""

    requestId: str | None


def delivery_of(event: Mapping[str, Json]) -> Delivery:
    """Return what API Gateway hands on of a call, its body as the bytes that were sent.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html

    Raises
    ------
    TooLarge
    """
    text = event.get("body") or ""
    if len(text) > (2 * MAX_BODY_BYTES if event.get("isBase64Encoded") else MAX_BODY_BYTES):
        raise TooLarge
    body = text.encode("utf-8", "surrogatepass")
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            body = b""
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge
    headers: dict[str, list[bytes]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        sent = [value.encode("utf-8", "surrogatepass") for value in values or ()]
        headers.setdefault(name.lower(), []).extend(sent)
    return Delivery(headers, body, now())


def proved(entries: Entries, source: str, delivery: Delivery) -> Entry:
    """Return the entry of a source whose proof a delivery has.

    What comes from no source is checked like all else, so that the time it takes names none.

    Raises
    ------
    NotProved
    """
    entry = entries.usable.get(source, _DUMMY)
    fits = SCHEMES[entry.scheme](delivery, entry.header, entry.secrets)
    if source in entries.broken or "" in entries.broken:
        raise NotProved("its entry in the secret is broken")
    if entry is _DUMMY:
        raise NotProved("no entry of the secret has its name")
    if not fits:
        raise NotProved("its proof is missing or wrong, or its time is too far from now")
    return entry


def take(entry: Entry, source: str, body: bytes, settings: Settings) -> Taken | None:
    """Read a proved delivery; None where its ticket is not as `when` asks for.

    Raises
    ------
    RequestRejected
        The body is not JSON that means one thing: then nothing says what it is about.
    """
    try:
        payload = json_text.parse(body)
    except json_text.Unreadable as unreadable:
        raise RequestRejected(_as_unicode(unreadable.problems)) from unreadable
    if not reading.holds(entry, payload):
        return None
    via: Via = {"hook": source, "actor": reading.actor_in(entry, payload)}
    try:
        document = from_ticket(reading.request_in(entry, payload))
    except RequestRejected as rejection:
        return _refused(_rest_of({}, entry, payload, body), via, rejection.problems)
    document = _with_ticket(document, entry, payload)
    try:
        parse_request(document, settings)
    except RequestRejected as rejection:
        if all(problem["path"] for problem in rejection.problems):
            return Taken(wrap(document, via), rejection.problems, _id_of(document))
        # As a whole it cannot be read, or is too large to be handed on.
        place = entry.request or "request"
        problems = [
            new_problem(problem["path"] or place, problem["code"], problem["message"])
            for problem in rejection.problems
        ]
        return _refused(_rest_of(document, entry, payload, body), via, problems)
    return Taken(wrap(document, via), [], _id_of(document))


def _refused(rest: JsonObject, via: Via, problems: list[Problem]) -> Taken:
    problems = _as_unicode(problems)
    return Taken(wrap(rest, via, problems), problems, _id_of(rest))


def _as_unicode(problems: list[Problem]) -> list[Problem]:
    """Write a name that holds half a surrogate pair with a question mark, as it cannot be sent."""
    return [
        new_problem(*(one[key].encode(errors="replace").decode() for key in _TEXTS))
        for one in problems
    ]


def _rest_of(document: JsonObject, entry: Entry, payload: object, body: bytes) -> JsonObject:
    """Return what names a request that cannot be read; `delivered` sets two such ones apart."""
    rest = {"delivered": hashlib.sha256(body).hexdigest()}
    if request_id := _id_of(document):
        rest["requestId"] = request_id
    return _with_ticket(rest, entry, payload)


def _with_ticket(document: JsonObject, entry: Entry, payload: object) -> JsonObject:
    """Name the ticket that was delivered, whatever ticket its text names."""
    if entry.ticket is None:
        return document
    ticket = reading.ticket_in(entry, payload)
    others = {name: value for name, value in document.items() if name != "ticket"}
    return {**others, "ticket": ticket} if ticket else others


def _id_of(document: JsonObject) -> str | None:
    request_id = document.get("requestId")
    return request_id if is_request_id(request_id) else None
