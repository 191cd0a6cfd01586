"""docs/beliefs.md and what `mrk verify` asks, held together both ways, and the answers."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from mrk.errors import MrkError
from mrk.verify.beliefs import BELIEFS
from mrk.verify.evidence import Answer, Evidence, NotAsked, Question, Verdict, answer
from mrk.verify.steps import STEPS

PAGE = Path("docs/beliefs.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| *`?[a-z0-9-]+`? *\|(?!-)", line)
]
NOT_ASKED = "Cannot be asked from outside: "
PACKAGE = sorted(Path("mrk").rglob("*.py"))


def test_every_belief_is_asked_about_and_every_question_is_about_a_belief() -> None:
    named = [cells[0].strip("`") for cells in ROWS]

    assert sorted(named) == sorted(question.id for question in BELIEFS)


@pytest.mark.parametrize("cells", ROWS, ids=[cells[0] for cells in ROWS])
def test_every_row_is_complete(cells: list[str]) -> None:
    assert re.fullmatch(r"`[a-z0-9]+(-[a-z0-9]+)+`", cells[0])
    assert all(cells)
    assert len(cells) == PAGE.splitlines()[6].count("|") - 1


def test_what_cannot_be_asked_says_so_on_the_page_and_in_the_table() -> None:
    on_the_page = {cells[0].strip("`") for cells in ROWS if cells[4].startswith(NOT_ASKED)}
    never_asked = {question.id for question in BELIEFS if question.ask.__name__ == "never"}

    assert on_the_page == never_asked


def test_no_two_questions_have_the_same_name() -> None:
    names = [question.id for question in [*STEPS, *BELIEFS]]

    assert len(set(names)) == len(names)


def test_the_command_runs_where_nothing_else_of_the_project_is_installed() -> None:
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    needed = {re.split(r"\W", name)[0] for name in settings["project"]["dependencies"]}
    imported = {
        name.partition(".")[0]
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _modules(node)
    }

    needed = needed - {"pyyaml"} | {"yaml"}

    assert {"boto3", "click"} <= needed
    assert imported & {"provisioner", "local", "tools", "tests", "checks", "bench"} == set()
    # boto3 brings botocore, by the same version.
    assert needed <= imported <= needed | {"botocore", "mrk"} | sys.stdlib_module_names


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return []


def test_the_command_compares_policies_as_the_stack_does() -> None:
    ours, theirs = (
        Path(room, "policy_meaning.py").read_text()
        for room in ("functions/provisioner/domain", "mrk/verify")
    )

    # It cannot import it: copy the file.
    assert theirs == ours


def ask_of(found: Answer | Exception) -> Question:
    def ask(_: Evidence) -> Answer:
        if isinstance(found, Exception):
            raise found
        return found

    return Question("a-belief", "something", ask)


@pytest.mark.parametrize(
    ("found", "verdict", "seen"),
    [
        (Answer("this", holds=True), Verdict.HOLDS, "this"),
        (Answer("that", holds=False), Verdict.WRONG, "that"),
        (NotAsked("Nobody is asked."), Verdict.NOT_ASKED, "Nobody is asked."),
        (MrkError("It failed."), Verdict.WRONG, "It failed."),
    ],
)
def test_every_way_a_question_ends_is_a_verdict(
    found: Answer | Exception, verdict: Verdict, seen: str
) -> None:
    evidence: Evidence = object()  # type: ignore[assignment]

    row = answer(ask_of(found), evidence)

    assert (row.verdict, row.seen) == (verdict, seen)
