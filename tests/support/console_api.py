"""The stack's API as the console meets it, without a network: it plans as the real one does."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.session import Session

from mrk.errors import MrkError
from mrk.stack import Reply
from provisioner.domain.plan import plan_key, regions
from provisioner.errors import RequestRejected, new_problem
from provisioner.intake.request import parse_request, policy_warnings
from tests.support.samples import SETTINGS


def _session() -> Session:
    session = Session()
    session.set_config_variable("region", "us-east-1")
    return session


@dataclass
class ConsoleApi:
    """Answers as the stack's API does, and keeps what it was sent."""

    region: str = "us-east-1"
    session: Session = field(default_factory=_session)
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of every call."""
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[dict[str, Any]] | None = None
    """What a plan finds to change; None for a request that is not known."""
    refusals: dict[str, Reply] = field(default_factory=dict)
    """What is answered instead, by method and path without the query."""
    down: bool = False

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Answer a call."""
        self.sent.append((method, path, json.loads(json.dumps(body))))
        if self.down:
            raise MrkError(f"{method} {path}: no answer (ConnectError), 6 times. Try again later.")
        address = urlsplit(path)
        query = parse_qs(address.query)
        if method == "POST" and address.path == "/keys" and query.get("plan") == ["true"]:
            return self._plan(body)
        if refusal := self.refusals.get(f"{method} {address.path}"):
            return refusal
        return self._read(address.path) if method == "GET" else Reply(202, _accepted(body))

    def posted(self, path: str) -> list[Any]:
        """List the bodies that were sent to a path."""
        return [body for method, one, body in self.sent if (method, one) == ("POST", path)]

    def _plan(self, document: Any) -> Reply:
        try:
            request = parse_request(document, SETTINGS)
        except RequestRejected as rejection:
            return Reply(400, {"errors": rejection.problems})
        keys = [vars(plan_key(request, region, SETTINGS)) for region in regions(request)]
        shown = {"request": request, "keys": keys, "warnings": policy_warnings(request, SETTINGS)}
        if self.changes is not None:
            shown |= {"planId": "plan-1", "changes": self.changes}
        return Reply(200, json.loads(json.dumps(shown)))

    def _read(self, path: str) -> Reply:
        if path == "/keys":
            listed = [
                {
                    "requestId": name,
                    "status": status["status"],
                    "revision": status["revision"],
                    "alias": status["request"]["alias"],
                    "primaryRegion": status["request"]["primaryRegion"],
                    "regions": ["us-east-1", "eu-west-1"],
                    "updatedAt": status["updatedAt"],
                }
                for name, status in self.statuses.items()
            ]
            return Reply(200, {"requests": listed, "next": None})
        _, _, name, *rest = path.split("/")
        if name not in self.statuses:
            text = f"There is no request {name}."
            return Reply(404, {"errors": [new_problem("requestId", "NOT_FOUND", text)]})
        return Reply(200, {"outcomes": [OUTCOME]} if rest else self.statuses[name])


OUTCOME = {
    "outcomeId": "1",
    "revision": 1,
    "status": "CREATED",
    "at": "2026-11-27T06:00:00Z",
    "executionArn": None,
    "requester": "arn:aws:sts::111122223333:assumed-role/Dev/alice",
    "via": None,
    "approvals": [],
    "errors": [],
}


def _accepted(body: Any) -> dict[str, Any]:
    name = body.get("requestId", "CHG1") if isinstance(body, dict) else "CHG1"
    return {"requestId": name, "executionArn": "arn", "status": "IN_PROGRESS"}


def status_of(name: str, **fields: Any) -> dict[str, Any]:
    """Return the status of a finished key set in two Regions, with these fields in it."""
    request = parse_request(
        {
            "requestId": name,
            "alias": "alias/cards",
            "tags": {"team": "payments"},
            "replicas": [{"region": "eu-west-1", "alias": "alias/cards-eu"}],
        },
        SETTINGS,
    )
    keys = [
        {
            "region": region,
            "arn": f"arn:aws:kms:{region}:111122223333:key/mrk-1",
            "alias": "alias/cards",
            "keyState": "Enabled",
        }
        for region in ("us-east-1", "eu-west-1")
    ]
    return {
        "requestId": name,
        "revision": 1,
        "status": "CREATED",
        "startedAt": "2026-11-27T06:00:00+00:00",
        "updatedAt": "2026-11-27T06:00:05+00:00",
        "request": json.loads(json.dumps(request)),
        "key": {"keyId": "mrk-1", "primary": keys[0], "replicas": keys[1:]},
        "errors": [],
        "warnings": [],
        "ticket": None,
        "executionArn": "arn",
        **fields,
    }
