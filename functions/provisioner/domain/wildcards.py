"""IAM's patterns: `*` stands for any characters, also none, and `?` for exactly one.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""

import re

_WILDCARD = re.compile(r"[*?]")


def matches(text: str, pattern: str) -> bool:
    """Say whether a pattern describes the whole text; upper and lower case differ."""
    first = _WILDCARD.search(pattern)
    if first is None:
        return text == pattern
    if not text.startswith(pattern[: first.start()]):
        return False
    text, pattern = text[first.start() :], pattern[first.start() :]
    return pattern == "*" or _reaches_end(text, pattern)


def _reaches_end(text: str, pattern: str) -> bool:
    """Say whether a pattern describes the whole text.

    Patterns come from callers too. A regular expression made of one can take years to say no; here
    each character of the pattern moves all places that can be reached in the text at once, as bits
    of one number, so the time grows with the length of the pattern alone.
    """
    places: dict[str, int] = {}
    for place, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << place
    everywhere = (2 << len(text)) - 1
    reached = 1
    for char in pattern:
        if char == "*":
            first = reached & -reached
            reached = everywhere & -first
        elif char == "?":
            reached = reached << 1 & everywhere
        else:
            reached = (reached & places.get(char, 0)) << 1
        if not reached:
            return False
    return bool(reached >> len(text))
