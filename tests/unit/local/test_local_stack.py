"""What the local stack reads back of its executions."""

from typing import Any

import pytest

from local.stack.stack import Stack


class _States:
    def __init__(self, given: str) -> None:
        self._given = given

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"executions": [{"executionArn": "arn"}]}]

    def describe_execution(self, **_: str) -> dict[str, str]:
        return {"input": self._given}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ('{"requestId": "XB-2"}', ["arn"]),
        ('"XB-2"', []),
        ("XB-2", []),
        ("", []),
        ("null", []),
        ("[]", []),
        ('{"requestId": {"a": 1}}', []),
    ],
)
def test_an_execution_of_any_input_leaves_the_others_to_be_found(
    monkeypatch: pytest.MonkeyPatch, given: str, found: list[str]
) -> None:
    monkeypatch.setattr(Stack, "client", lambda *_: _States(given))
    stack = Stack("http://127.0.0.1", "us-east-1", "mrk", {"StateMachineArn": "machine"})

    assert stack.executions("XB-2") == found
