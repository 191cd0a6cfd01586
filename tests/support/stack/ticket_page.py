"""The part of docs/tickets.md that shows what was seen to be written into a ticket."""

import json
import re

from local.settings import ROOT

PAGE = ROOT / "docs" / "tickets.md"
_BEGIN, _END = "<!-- comments: begin -->", "<!-- comments: end -->"

# What is another one in each run; the last are the suffixes of the stack's roles and functions.
_REPLACED = (
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)", "<time>"),
    (r"\bmrk-[0-9a-f]{32}\b", "mrk-…"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…"),
    (r"\b[0-9a-f]{64}\b", "…"),
    (r"(?<=-)[0-9A-F]{12}\b", "…"),
)


def text_of(jira_comment: str) -> str:
    """Return a comment of Jira's, which is a document of paragraphs, as people see it."""
    paragraphs = json.loads(jira_comment)["content"]
    lines = ["".join(part["text"] for part in one["content"]) for one in paragraphs]
    text = "\n".join(lines)
    for pattern, instead in _REPLACED:
        text = re.sub(pattern, instead, text)
    return text


def section(comments: dict[str, str]) -> str:
    """Write the part of the page: each comment under a title."""
    parts = [f"**{title}**\n\n```text\n{text}\n```\n" for title, text in comments.items()]
    return "\n".join(parts)


def shown() -> str:
    """Return what the page shows now."""
    return PAGE.read_text().partition(f"{_BEGIN}\n")[2].partition(_END)[0]


def renew(written: str) -> None:
    """Write the part between the page's two markers."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n{written}{_END}{rest.partition(_END)[2]}")
