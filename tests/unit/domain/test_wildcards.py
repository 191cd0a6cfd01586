import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.domain.wildcards import matches
from tests.support.timing import takes_less_than


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True),
        ("", "*", True),
        ("", "?", False),
        ("a", "", False),
        ("HMAC_256", "HMAC_*", True),
        ("HMAC_256", "HMAC_???", True),
        ("HMAC_256", "HMAC_??", False),
        ("HMAC_256", "hmac_*", False),
        ("HMAC_256", "*_2*6", True),
        ("HMAC_256", "MAC_*", False),
        ("HMAC_256", "HMAC", False),
        ("a\nb", "a*", True),
        ("a\nb", "a?b", True),
        ("abc", "[abc]*", False),
        ("[abc]", "[abc]", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("*", "\\*", False),
    ],
)
def test_star_is_any_characters_and_question_mark_is_one(
    text: str, pattern: str, *, expected: bool
) -> None:
    assert matches(text, pattern) is expected


@given(text=st.text("ab*?[", max_size=6), pattern=st.text("ab*?[", max_size=6))
def test_it_agrees_with_a_regular_expression(text: str, pattern: str) -> None:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")

    assert matches(text, pattern) is bool(re.fullmatch(expression, text))


@pytest.mark.parametrize("pattern", ["*" * 30_000 + "x", "*a" * 15_000 + "x", "*a?" * 9_000])
def test_no_pattern_takes_long(pattern: str) -> None:
    assert not matches("a" * 100, pattern)
    assert takes_less_than(1, lambda: matches("a" * 100, pattern))
