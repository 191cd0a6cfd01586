"""What the command reports when it cannot go on."""

from collections.abc import Sequence
from typing import TypedDict


class Problem(TypedDict):
    """One thing that is wrong, as the API reports it; `path` is empty where no field is meant."""

    path: str
    code: str
    message: str


class MrkError(Exception):
    """The command cannot go on; the message says what happened and what to do next."""


class Refused(MrkError):
    """The stack, or the command itself, refuses what was asked.

    Attributes
    ----------
    problems
        Every one that was found.
    """

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join([what, *(f"- {phrased(one)}" for one in problems)]))
        self.problems = list(problems)


def phrased(problem: Problem) -> str:
    """Write a problem in one line: where it is, its code, and the sentence."""
    where = f"{problem['path']}: " if problem["path"] else ""
    return f"{where}{problem['code']}: {problem['message']}"
