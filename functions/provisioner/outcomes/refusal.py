"""What a refusal repeats of the request that it refuses."""

from typing import TypedDict

from provisioner import json_text
from provisioner.domain.plan import REVISIONS, fingerprint, is_request_id
from provisioner.errors import Problem
from provisioner.intake.envelope import unwrap
from provisioner.json_text import JsonObject

_MAX_ECHO = 1024


class GivenBack(TypedDict):
    """What is given back of a refused request; `requestId` as it was sent, where it is small."""

    requestId: object
    revision: int | None
    ticket: JsonObject | None
    digest: str


def given_back(document: object, problems: list[Problem]) -> GivenBack:
    """Take `requestId`, `revision` and `ticket` from a refused request, null where not sound.

    `digest` is the fingerprint of all of it, by which the same refusal is known again.
    Small whatever the request was, so that a refusal always fits where the request did.
    """
    document, _ = unwrap(document)
    given = document if isinstance(document, dict) else {}
    request_id, ticket = given.get("requestId"), given.get("ticket")
    revision = given.get("revision", 1 if given else None)
    wrong = {problem["path"] for problem in problems}
    sound = isinstance(ticket, dict) and wrong.isdisjoint({"", "ticket"})
    return {
        "requestId": request_id if is_request_id(request_id) or _is_small(request_id) else None,
        "revision": revision if type(revision) is int and revision in REVISIONS else None,
        "ticket": ticket if sound else None,
        "digest": fingerprint(document),
    }


def _is_small(given: object) -> bool:
    """Whether what was given for a requestId can be given back; not all that is sent is JSON."""
    try:
        return json_text.size(given) <= _MAX_ECHO
    except (ValueError, RecursionError):
        return False
