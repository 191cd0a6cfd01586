"""Ten thousand generated requests: each is refused with its problems, or normalised for good."""

import json
import re
import time
from collections import Counter
from typing import Any

import pytest

from provisioner import json_text
from provisioner.domain.plan import plan_key, regions
from provisioner.errors import Problem
from provisioner.intake.documents import MAX_PROBLEMS_BYTES
from provisioner.intake.request import parse_request
from tests.support.hostile_requests import generated
from tests.support.samples import SETTINGS, problems_of

REQUESTS = 10_000
PARTS = 10


def parsed(body: str) -> Any:
    """Read a body as the API does: what is no JSON is no object either."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def check_problems(problems: list[Problem]) -> None:
    # The last one may say how many more there are.
    assert sum(json_text.size(problem) for problem in problems[:-1]) <= MAX_PROBLEMS_BYTES
    for problem in problems:
        assert problem.keys() == {"path", "code", "message"}
        assert len(problem["path"]) <= 256
        assert re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", problem["code"])
        assert re.fullmatch(r"\S+ [^\n]+[.]", problem["message"])


def check_normalised(document: Any) -> None:
    """Check that a request which is taken stays the same, and can be planned in every Region."""
    request = parse_request(document, SETTINGS)

    assert request["ticket"] == document.get("ticket")
    assert request["description"] == (document.get("description") or "")
    assert parse_request(json.loads(json.dumps(request, allow_nan=False)), SETTINGS) == request
    for region in regions(request):
        plan = vars(plan_key(request, region, SETTINGS))
        assert json.dumps(plan, ensure_ascii=False, allow_nan=False).encode()


def timed(body: str) -> tuple[float, Any, list[Any]]:
    """Return the seconds of the processor that reading and checking take, and what comes of it."""
    started = time.process_time()
    problems = problems_of(document := parsed(body))
    return time.process_time() - started, document, problems


@pytest.mark.no_cover  # Other tests take the same paths, and 10,000 requests are twice as slow.
@pytest.mark.parametrize("part", range(PARTS))
def test_a_generated_request_is_refused_with_its_problems_or_normalised_for_good(part: int) -> None:
    codes: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for request in generated(REQUESTS // PARTS, seed=part):
        seconds, document, problems = timed(request.body)
        if seconds >= 1:  # A busy machine only adds to it, so the quickest of three counts.
            seconds = min(timed(request.body)[0] for _ in range(2))
        assert seconds < 1, request.name
        check_problems(problems)
        if not problems:
            check_normalised(document)
        codes.update({problem["code"] for problem in problems})
        kinds[f"{request.kind}, {'refused' if problems else 'taken'}"] += 1

    assert kinds["sound, refused"] == 0
    assert kinds["nearly sound, refused"] >= 250
    assert kinds["hostile, refused"] >= 200
    assert len(codes) >= 25
