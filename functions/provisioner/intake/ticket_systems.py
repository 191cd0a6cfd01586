"""The entries of the secret that says where outcomes are written back."""

import json
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from provisioner.intake.documents import Fields

_SLUG = r"[A-Za-z0-9_.-]{1,100}"


class System(Fields):
    """What every ticket system's entry has. `transitions` names what an outcome's status sets."""

    url: str
    token: str = Field(min_length=1, repr=False)
    transitions: dict[str, str] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query:
            raise ValueError("url is an address such as https://example.atlassian.net")
        return url.rstrip("/")


class Jira(System):
    """Jira Cloud: `token` is an API token of `user`; a transition is named as its workflow does."""

    kind: Literal["jira"]
    user: str


class ServiceNow(System):
    """ServiceNow: `token` is the password of `user`; a transition is a value of `state`."""

    kind: Literal["servicenow"]
    user: str
    table: str = Field(default="change_request", pattern=r"^[a-z0-9_]{1,80}$")


class GitHub(System):
    """GitHub: a transition is `open` or `closed`. A ticket is `owner/repository#number`.

    With a `repository`, a ticket may be its number alone, and is of that repository only.
    """

    kind: Literal["github"]
    url: str = "https://api.github.com"
    repository: str | None = Field(default=None, pattern=f"^{_SLUG}/{_SLUG}$")


type Entry = Annotated[Jira | ServiceNow | GitHub, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Jira | ServiceNow | GitHub] = TypeAdapter(Entry)


class Systems:
    """The ticket systems by the name that a ticket has as its `system`.

    `broken` names the entries that cannot be used, and which field of theirs is wrong; no value.
    """

    def __init__(self, text: str) -> None:
        self.entries: dict[str, Jira | ServiceNow | GitHub] = {}
        self.broken: list[str] = []
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            self.broken.append("The secret is no JSON object.")
            return
        for name, entry in document.items():
            try:
                self.entries[name] = _ENTRY.validate_python(entry)
            except ValidationError as error:
                fields = [".".join(map(str, one["loc"])) or "it" for one in error.errors()]
                self.broken.append(f"{name[:64]}: {', '.join(sorted(set(fields)))}")
