"""IAM's patterns: `*` stands for any characters, also none, and `?` for exactly one.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""


def matches(text: str, pattern: str) -> bool:
    """Say whether a pattern describes the whole text; upper and lower case differ.

    Patterns come from callers too. A regular expression made of one can take years to say no; here
    each star is tried once, and no earlier star again, so the time is at most the product of the
    two lengths.
    """
    place = at = resume = 0
    star = -1
    while at < len(text):
        if pattern[place : place + 1] == "*":
            star, resume = place, at
            place += 1
        elif pattern[place : place + 1] in ("?", text[at]):
            place += 1
            at += 1
        elif star >= 0:
            # Let the latest star take one character more.
            resume += 1
            place, at = star + 1, resume
        else:
            return False
    return not pattern[place:].strip("*")
