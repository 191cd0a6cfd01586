"""What a ticket system sent, once it is proved: where the request in it is, and from whom.

There is no language for mapping fields: a pointer finds the request, whole.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner import json_text
from provisioner.errors import RequestRejected, new_problem
from provisioner.hooks.entries import Entry
from provisioner.json_text import Json, JsonObject

_MAX_TEXT = 256
_MISSING = object()
# Zero or a number without leading zeros.
# https://www.rfc-editor.org/rfc/rfc6901#section-4
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
# Jira's editor writes a code block so in the text that its webhooks carry.
_JIRA_MARK = re.compile(r"\{(code|noformat)(?::[^{}\n]{0,200})?\}")


@dataclass(frozen=True)
class Block:
    """A block of code in a text, and where in the text it begins."""

    text: str
    start: int
    is_json: bool


def holds(entry: Entry, payload: object) -> bool:
    """Whether everything is so that `when` asks for; what is not there is not so."""
    return all(_same(_at(payload, pointer), value) for pointer, value in entry.when.items())


def actor_in(entry: Entry, payload: object) -> str | None:
    """Return who acted in the ticket system, as that names people, or None."""
    return None if entry.actor is None else _short_text(_at(payload, entry.actor))


def ticket_in(entry: Entry, payload: object) -> JsonObject | None:
    """Return the ticket that the delivery is about, or None where the source names none."""
    if entry.ticket is None:
        return None
    ticket_id = _short_text(_at(payload, entry.ticket.id))
    return None if ticket_id is None else {"system": entry.ticket.system, "id": ticket_id}


def request_in(entry: Entry, payload: object) -> JsonObject:
    """Return the request in a delivery: an object, or one that stands in a text as JSON.

    Raises
    ------
    RequestRejected
        There is none; the problems name the place where it should be.
    """
    found, place = _at(payload, entry.request), entry.request or "request"
    if isinstance(found, str) and found.strip():
        found = _from_text(found, place)
    if isinstance(found, dict):
        return found
    if found is _MISSING or found is None or isinstance(found, str):
        text = f"There is no request at {place}. Write it there as JSON and deliver it again."
        raise RequestRejected([new_problem(place, "NO_REQUEST", text)])
    text = f"What stands at {place} is neither a JSON object nor a text that holds one."
    raise RequestRejected([new_problem(place, "NOT_AN_OBJECT", text)])


def _from_text(text: str, place: str) -> Json:
    block = _only_block(text.replace("\r\n", "\n"), place)
    inner = block.text.lstrip()
    first_line = 1 + text.count("\n", 0, block.start) + block.text.count("\n", 0, -len(inner))
    try:
        return json_text.parse(inner.rstrip(), path=place, first_line=first_line)
    except json_text.Unreadable as unreadable:
        raise RequestRejected(unreadable.problems) from unreadable


def _only_block(text: str, place: str) -> Block:
    """Return the block that holds the request: those marked `json` go before the others."""
    start = text.lstrip("\ufeff \t\r\n")
    is_json = start.startswith("{") and not _JIRA_MARK.match(start)
    blocks = [] if is_json else [*_fenced_blocks(text), *_jira_blocks(text)]
    blocks = [block for block in blocks if block.is_json] or blocks
    if not blocks:
        return Block(text, 0, is_json=False)
    if len(blocks) == 1:
        return blocks[0]
    several = f"The text at {place} holds {len(blocks)} blocks of code, and one is a request. "
    problem = new_problem(place, "SEVERAL_REQUESTS", f"{several}Leave one, or mark it json.")
    raise RequestRejected([problem])


def _fenced_blocks(text: str) -> Iterator[Block]:
    """Find the blocks between lines of ``` or ~~~; one that is not closed ends with the text.

    https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    """
    fence, is_json, start, offset = "", False, 0, 0
    for line in text.split("\n"):
        after = offset + len(line) + 1
        if not fence:
            fence, info = _opening(line)
            is_json, start = info.lower() == "json", after
        elif _closes(line, fence):
            yield Block(text[start:offset], start, is_json)
            fence = ""
        offset = after
    if fence:
        yield Block(text[start:], start, is_json)


def _opening(line: str) -> tuple[str, str]:
    """Return the fence that a line opens and the language after it; no fence where it does not."""
    stripped = line.lstrip(" ")
    mark = stripped[:1]
    after = stripped.lstrip(mark) if mark in ("`", "~") else stripped
    fence, info = stripped[: len(stripped) - len(after)], after.strip()
    is_code = line.startswith(" " * 4)
    is_fence = fence.startswith(("```", "~~~")) and not is_code and "`" not in info
    return (fence, info) if is_fence else ("", "")


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _jira_blocks(text: str) -> Iterator[Block]:
    opening: re.Match[str] | None = None
    for mark in _JIRA_MARK.finditer(text):
        if opening is None:
            opening = mark
        elif mark[1] == opening[1]:
            is_json = "json" in opening[0].lower()
            yield Block(text[opening.end() : mark.start()], opening.end(), is_json)
            opening = None


def _at(payload: object, pointer: str) -> Json:
    """Follow a JSON pointer; return `_MISSING` where it leads nowhere."""
    found: Json = payload
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name, _MISSING)
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return _MISSING
    return found


def _same(found: object, value: object) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(found, bool) == isinstance(value, bool) and found == value


def _short_text(found: object) -> str | None:
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or len(found) > _MAX_TEXT or not found.isprintable():
        return None
    return found.strip() or None
