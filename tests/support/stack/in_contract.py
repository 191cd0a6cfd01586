"""Lets every call of the API and every event that a test sees be held against the contracts."""

from typing import Any

import httpx
import pytest

from local.stack.stack import Stack
from tests.support.contracts import answer_problems, event_problems


def hold_against_contracts(patch: pytest.MonkeyPatch) -> None:
    """Fail the call that gets an answer, or hears an event, outside the contract."""
    call, deliver, receive = Stack.api, Stack.deliver, Stack._receive

    def checked_call(stack: Stack, method: str, path: str, *body: Any, **how: Any) -> Any:
        answer = call(stack, method, path, *body, **how)
        _check(answer, method, path)
        return answer

    def checked_delivery(stack: Stack, source: str, *delivery: Any) -> Any:
        answer = deliver(stack, source, *delivery)
        _check(answer, "POST", f"/hooks/{source}")
        return answer

    def checked_receive(stack: Stack) -> None:
        known = len(stack._events)
        receive(stack)
        for event in stack._events[known:]:
            assert event_problems(event) == [], event

    patch.setattr(Stack, "api", checked_call)
    patch.setattr(Stack, "deliver", checked_delivery)
    patch.setattr(Stack, "_receive", checked_receive)


def _check(answer: httpx.Response, method: str, path: str) -> None:
    body = answer.json() if answer.content else None
    assert answer_problems(method, path, answer.status_code, body) == [], answer.text
