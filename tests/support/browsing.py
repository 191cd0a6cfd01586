"""A browser without a screen: it reads the console's pages and submits their forms."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.support.samples import ADMIN, USER

TWELVE_STEPS = {
    "requestId": "CHG0031337",
    "primaryRegion": "us-east-1",
    "keySpec": "SYMMETRIC_DEFAULT",
    "origin": "AWS_KMS",
    "alias": "alias/payments/cards",
    "description": "Card data",
    "tags[0].key": "team",
    "tags[0].value": "payments",
    "policy:choice": "roles",
    "policy.administrators": ADMIN,
    "policy.users": f"{USER}\n",
}
"""What a person fills in, a step of the guide after the other."""


class Page(HTMLParser):
    """What a browser would make of a page: its form's fields, its IDs, what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.fields: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: list[dict[str, str | None]] = []
        self._select: str | None = None
        self._area: str | None = None
        self._options: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag says."""
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag in ("script", "img", "link"):
            self.loaded.append(str(found.get("src") or found.get("href")))
        if tag == "label" and found.get("for"):
            self.labelled.add(str(found["for"]))
        if tag in ("input", "select", "textarea"):
            self.inputs.append({"tag": tag, **found})
        self._fill(tag, found)

    def _fill(self, tag: str, found: dict[str, str | None]) -> None:
        name, value = found.get("name"), found.get("value") or ""
        if tag == "input" and name:
            if found.get("type") not in ("radio", "checkbox") or "checked" in found:
                self.fields.append((name, value))
        elif tag == "select":
            self._select, self._options = name, []
        elif tag == "textarea":
            self._area = name
        elif tag == "option":
            self._options.append((value, "selected" in found))

    def handle_endtag(self, tag: str) -> None:
        """Note what was chosen."""
        if tag == "select" and self._select:
            chosen = [value for value, selected in self._options if selected]
            self.fields.append((self._select, (chosen or [self._options[0][0]])[0]))
            self._select = None
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        """Note what a text field holds."""
        if self._area:
            # A line break right behind the tag is none of the text.
            self.fields.append((self._area, data.removeprefix("\n")))
            self._area = None


def page_of(answer: httpx.Response, status: int = 200) -> Page:
    """Read a page that was answered with a status."""
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def submit(
    browser: httpx.Client, address: str, page: Page, action: str, **fields: Any
) -> httpx.Response:
    """Submit the form of a page after some of its fields were filled in."""
    sent = [(name, value) for name, value in page.fields if name not in fields]
    for name, value in fields.items():
        sent += [(name, one) for one in (value if isinstance(value, list) else [value])]
    return post(browser, address, urlencode([*sent, ("action", action)]))


def post(browser: httpx.Client, address: str, content: str, **headers: str) -> httpx.Response:
    """Send the fields of a form as the console's own page does, or with other headers."""
    type_of = {"Content-Type": "application/x-www-form-urlencoded"}
    usual = {
        **type_of,
        "Origin": f"http://{browser.base_url.netloc.decode()}",
        "Sec-Fetch-Site": "same-origin",
    }
    sent = {name: value for name, value in {**usual, **headers}.items() if value}
    return browser.post(address, content=content, headers=sent)
