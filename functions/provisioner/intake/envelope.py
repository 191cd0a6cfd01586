"""How a request arrives that came through a webhook: with a note of that around it.

Whoever starts an execution or sends an event may put that note around a request. It only ever adds
a demand for approval, or problems for which the request is refused, so nobody gains by a forged
one.
"""

import re
from typing import TypeGuard

from provisioner.domain.operation import Operation
from provisioner.domain.provenance import Via
from provisioner.errors import Problem, RequestRejected

_HOOK = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MAX_ACTOR = 256
_KEYS = {"request", "via"}


def wrap(
    document: object, via: Via | None, problems: list[Problem] | None = None
) -> dict[str, object]:
    """Return a document as it travels from a webhook to the workflow.

    With problems it is refused for these: then the document is what is left of one that nobody
    could read, so that the refusal has its ID and its ticket.
    """
    return {"request": document, "via": via, **({"problems": problems} if problems else {})}


def resumed(request: object, via: Via | None, operation: Operation | None = None) -> object:
    """Return the input of an execution that goes on with a request, or an operation on it."""
    if operation:
        return {**wrap(request, via), "operation": operation}
    return wrap(request, via) if via else request


def unwrap(document: object) -> tuple[object, Via | None]:
    """Return the request in a document, and the webhook through which it came, if it did.

    A document that is no sound envelope is returned as it is, and refused as a request.
    """
    if not isinstance(document, dict) or document.keys() - {"problems"} != _KEYS:
        return document, None
    if "problems" in document and not _are_problems(document["problems"]):
        return document, None
    via = document["via"]
    if via is None:
        return document["request"], None
    if not isinstance(via, dict) or via.keys() != {"hook", "actor"}:
        return document, None
    hook, actor = via["hook"], via["actor"]
    is_sound = actor is None or (isinstance(actor, str) and len(actor) <= _MAX_ACTOR)
    if not is_sound or not isinstance(hook, str) or not _HOOK.fullmatch(hook):
        return document, None
    return document["request"], {"hook": hook, "actor": actor}


def refuse_if_marked(document: object) -> None:
    """Refuse a document that arrived with the problems for which it is to be refused.

    Raises
    ------
    RequestRejected
        With these problems.
    """
    inner, _ = unwrap(document)
    if isinstance(document, dict) and inner is not document and document.get("problems"):
        raise RequestRejected(document["problems"])


def _are_problems(given: object) -> TypeGuard[list[Problem]]:
    return isinstance(given, list) and all(
        isinstance(one, dict)
        and one.keys() == {"path", "code", "message"}
        and all(isinstance(text, str) for text in one.values())
        for one in given
    )
