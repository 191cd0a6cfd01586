"""Bad requests: one refusal each, all problems in it, and nothing called in KMS."""

from collections import Counter
from typing import Any

from local.stack.stack import Stack
from tests.support.bad_requests import BAD_REQUESTS
from tests.support.stack.reading import calls_since


def _signature(errors: list[dict[str, Any]]) -> frozenset[tuple[str, str]]:
    return frozenset((error["path"], error["code"]) for error in errors)


def test_every_bad_request_gets_one_refusal_and_no_kms_call(stack: Stack) -> None:
    calls = len(stack.kms_calls())
    seen = len(stack.all_outcomes())
    bad = [case for case in BAD_REQUESTS if isinstance(case.document, dict)]
    assert len(bad) >= 60

    for case in bad:
        stack.send(case.document)

    expected = Counter(frozenset(case.problems) for case in bad)
    refusals = stack.wait_for_all_outcomes(seen + len(bad))[seen:]
    assert {event["detail-type"] for event in refusals} == {"Multi-Region Key Request Rejected"}
    assert Counter(_signature(event["detail"]["errors"]) for event in refusals) == expected
    assert all(event["detail"]["key"] is None for event in refusals)
    assert calls_since(stack, calls) == []
