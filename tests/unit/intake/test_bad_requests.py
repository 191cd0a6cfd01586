import json
import re
from collections import Counter

import pytest

from tests.support.bad_requests import BAD_REQUESTS, BadRequest
from tests.support.samples import pairs_of, problems_of


@pytest.mark.parametrize("case", BAD_REQUESTS, ids=lambda case: case.name)
def test_a_bad_request_is_refused_for_exactly_its_problems(case: BadRequest) -> None:
    assert pairs_of(case.document) == case.problems


@pytest.mark.parametrize("case", BAD_REQUESTS, ids=lambda case: case.name)
def test_every_problem_says_in_a_sentence_what_is_wrong(case: BadRequest) -> None:
    for problem in problems_of(case.document):
        assert re.fullmatch(r"\S+ [^\n]+[.]", problem["message"])
        assert re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", problem["code"])
        assert len(problem["message"]) < 1000


def test_the_table_can_be_sent_as_events() -> None:
    dicts = [case.document for case in BAD_REQUESTS if isinstance(case.document, dict)]
    names = Counter(case.name for case in BAD_REQUESTS)

    assert len(dicts) >= 65
    assert names.most_common(1)[0][1] == 1
    assert all(len(json.dumps(d, ensure_ascii=False).encode()) < 200_000 for d in dicts)
