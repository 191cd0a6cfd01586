"""The stack's API, played in memory for the tests of the command `mrk`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

type Answer = tuple[int, Any] | httpx.Response | Exception
"""A status with a body, a whole response, or what the transport raises."""


@dataclass
class PlayedApi:
    """Answers calls as a test asks it to, and keeps what it was sent.

    An answer of several is for one call each; the last is for every further one.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None

    def on(self, call: str, *answers: Answer) -> None:
        """Answer a call such as `POST /keys?plan=true`."""
        self.answers[call] = [*answers]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        call = f"{request.method} {request.url.raw_path.decode().removeprefix('/v1')}"
        self.sent.append((call, json.loads(request.content) if request.content else None))
        self.before(call)
        coming = self.answers.get(call) or [(404, _no_such_request(call))]
        answer = coming.pop(0) if len(coming) > 1 else coming[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(answer[0], json=answer[1])

    def calls(self) -> list[str]:
        """List what was called."""
        return [call for call, _ in self.sent]

    def body_of(self, call: str) -> Any:
        """Return what was sent by the last such call."""
        return [body for one, body in self.sent if one == call][-1]


def _no_such_request(call: str) -> dict[str, Any]:
    problem = {"path": "requestId", "code": "NOT_FOUND", "message": f"There is nothing at {call}."}
    return {"errors": [problem]}


def refusal(*problems: tuple[str, str, str]) -> dict[str, Any]:
    """Return the body of a refusal."""
    return {
        "errors": [dict(zip(("path", "code", "message"), one, strict=True)) for one in problems]
    }


def status(request_id: str, word: str, **more: Any) -> dict[str, Any]:
    """Return the body of a status of a key set in two Regions."""
    arn = "arn:aws:kms:{}:111122223333:key/mrk-1"
    members = [
        {"region": region, "arn": arn.format(region), "alias": "alias/a", "keyState": "Enabled"}
        for region in ("us-east-1", "eu-west-1")
    ]
    key = {
        "keyId": "mrk-1",
        "keySpec": "SYMMETRIC_DEFAULT",
        "keyUsage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "primary": members[0],
        "replicas": members[1:],
    }
    shown = {"requestId": request_id, "revision": 1, "status": word, "key": key, "errors": []}
    return shown | {"warnings": [], "ticket": None, "executionArn": "arn:e"} | more


def outcome(word: str, outcome_id: str = "o1", **more: Any) -> dict[str, Any]:
    """Return an outcome as a history has it."""
    shown = {"outcomeId": outcome_id, "revision": 1, "status": word, "at": "2026-11-27T06:00:00Z"}
    named: dict[str, Any] = {
        "executionArn": "arn:e",
        "requester": "arn:r",
        "via": None,
        "approvals": [],
    }
    return shown | named | {"errors": []} | more
