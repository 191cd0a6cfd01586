"""docs/state-machines.md, held against the definitions that it draws."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from checks import state_machines
from checks.definition import FOLDER
from checks.state_machines import PAGE, main, render, shown

ASK = {
    "Type": "Task",
    "Comment": "Asks | waits.",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Arguments": {"FunctionName": "${AskFunctionArn}"},
    "Retry": [{"ErrorEquals": ["Busy"]}],
    "Catch": [
        {"ErrorEquals": ["States.Timeout"], "Next": "Each"},
        {"ErrorEquals": ["States.ALL"], "Next": "Failed"},
    ],
    "Next": "Is",
}
MACHINE = {
    "Comment": "An example.",
    "StartAt": "Ask",
    "States": {
        "Ask": ASK,
        "Is": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.a < 1 %}", "Next": "Each"},
                {"Condition": '{% $b = "x" %}', "Next": "Each"},
            ],
            "Default": "Failed",
        },
        "Each": {
            "Type": "Map",
            "MaxConcurrency": 10,
            "ItemProcessor": {"StartAt": "Do", "States": {"Do": {"Type": "Pass", "End": True}}},
            "End": True,
        },
        "Failed": {"Type": "Fail"},
    },
}


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(state_machines, "FOLDER", tmp_path)
    (tmp_path / "an_example.asl.json").write_text(json.dumps(MACHINE))
    return render()


def test_the_page_shows_the_definitions_that_are_deployed() -> None:
    assert shown(PAGE.read_text()) == render(), "make definition renews the page."


def names_in(machine: Any) -> list[str]:
    """List the names of a machine's states, at every depth."""
    if isinstance(machine, list):
        return [name for one in machine for name in names_in(one)]
    if not isinstance(machine, dict):
        return []
    below = [name for one in machine.values() for name in names_in(one)]
    return [*machine.get("States", {}), *below]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.asl.json")), ids=lambda path: path.stem)
def test_every_state_is_drawn_once(path: Path) -> None:
    title = path.name.partition(".")[0].replace("_", " ").capitalize()
    section = shown(PAGE.read_text()).partition(f"## {title}\n")[2].partition("\n## ")[0]
    labels = re.findall(r'^ *(?:subgraph )?\w+[\[({/]+"(\w+)[^"]*"[\])}/]+$', section, re.MULTILINE)

    assert sorted(labels) == sorted(names_in(json.loads(path.read_text())))


def test_each_arrow_says_when_it_is_taken(drawn: str) -> None:
    assert '    Ask[/"Ask ↻ ✕"/]\n' in drawn
    assert "    Ask --> Is\n" in drawn
    assert '    Ask -.->|"States.Timeout"| Each\n' in drawn
    assert '    Is -->|"a #lt; 1<br>or $b = #quot;x#quot;"| Each\n' in drawn
    assert '    Is -->|"else"| Failed\n' in drawn


def test_errors_that_end_where_most_do_have_a_sign_and_no_arrow(drawn: str) -> None:
    assert "Where a state has ✕, any other error that is not retried leads to Failed." in drawn
    assert "any error" not in drawn


def test_a_state_has_its_comment_and_what_it_runs(drawn: str) -> None:
    assert "| Ask | Task: AskFunction | Asks \\| waits. |" in drawn


def test_a_page_that_was_not_drawn_again_is_named_and_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- machines: begin -->\nold\n<!-- machines: end -->\nAfter\n")
    monkeypatch.setattr(state_machines, "PAGE", page)

    assert main([]) == 1
    assert "run 'make definition'" in capsys.readouterr().err
    assert (main(["--write"]), main([])) == (0, 0)
    assert page.read_text().startswith("Before\n")
    assert page.read_text().endswith("\nAfter\n")
