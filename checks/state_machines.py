"""Draw the state machines from their definitions into docs/state-machines.md.

    python -m checks.state_machines [--write]

Exit codes: 0 the page shows the definitions, 1 it does not.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.definition import FOLDER

PAGE = Path("docs/state-machines.md")
_BEGIN, _END = "<!-- machines: begin -->", "<!-- machines: end -->"
# Mermaid's shapes, before and after a name.
_SHAPES = {
    "Task": ("[", "]"),
    "Pass": ("[", "]"),
    "Choice": ("{", "}"),
    "Wait": ("[/", "/]"),
    "Succeed": ("([", "])"),
    "Fail": ("{{", "}}"),
}
_WAITING = ".waitForTaskToken"
_ESCAPED = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
_WIDTH = 36
_ANY = "States.ALL"
_ANY_ERROR = "any error"
_MOST_NAMES = 3
_SIDE_BY_SIDE = 8
_FUNCTION = re.compile(r"\$\{(\w+)Arn\}")

type State = dict[str, Any]


def render() -> str:
    """Return what the page has between its markers."""
    return "\n".join(
        _section(path.name.partition(".")[0], json.loads(path.read_text()))
        for path in sorted(FOLDER.glob("*.asl.json"), reverse=True)
    )


def _section(name: str, machine: State) -> str:
    title = name.replace("_", " ").capitalize()
    rows = "\n".join(_rows(machine, ""))
    usual = _usual_end(machine)
    lines = "\n".join(_drawn(machine, "", "    ", usual))
    return (
        f"## {title}\n\n{machine['Comment']}\n\n"
        f"Where a state has ✕, any other error that is not retried leads to {usual}.\n\n"
        f"```mermaid\nflowchart {_direction(machine)}\n    accTitle: {title}\n"
        f"    start((start)) --> {machine['StartAt']}\n{lines}\n```\n\n"
        f"| state | is | |\n|---|---|---|\n{rows}\n"
    )


def _inner(state: State) -> list[State]:
    """List the machines in a Map or a Parallel."""
    processor = state.get("ItemProcessor")
    return [processor] if processor else state.get("Branches", [])


def _usual_end(machine: State) -> str:
    """Return where most errors lead: arrows of their own would hide the others."""
    targets = [
        target
        for state in machine["States"].values()
        for target, label in _caught(state).items()
        if label == _ANY_ERROR
    ]
    return max(targets, key=targets.count)


def _direction(machine: State) -> str:
    """Return the way that the arrows go: to the right where many would lie side by side."""
    widest = max(len(_followed(state)) for state in machine["States"].values())
    return "LR" if widest > _SIDE_BY_SIDE else "TD"


def _drawn(machine: State, path: str, indent: str, usual: str) -> Iterator[str]:
    """Draw a machine's states, then their edges; `path` makes the IDs of inner states unique."""
    for name, state in machine["States"].items():
        label = _label(name, state, usual)
        if inner := _inner(state):
            yield f'{indent}subgraph {path}{name}["{label}"]'
            for one in inner:
                yield from _drawn(one, f"{path}{name}_", f"{indent}    ", usual)
            yield f"{indent}end"
        else:
            before, after = _shape(state)
            yield f'{indent}{path}{name}{before}"{label}"{after}'
    for name, state in machine["States"].items():
        for target, label in _followed(state).items():
            yield f"{indent}{path}{name} -->{_on_edge(label)} {path}{target}"
        for target, label in _caught(state).items():
            if (target, label) != (usual, _ANY_ERROR):
                yield f"{indent}{path}{name} -.->{_on_edge(label)} {path}{target}"


def _shape(state: State) -> tuple[str, str]:
    waits = state.get("Resource", "").endswith(_WAITING)
    return _SHAPES["Wait" if waits else state["Type"]]


def _label(name: str, state: State, usual: str) -> str:
    retried = " ↻" if "Retry" in state else ""
    return f"{name}{retried}{' ✕' if _caught(state).get(usual) == _ANY_ERROR else ''}"


def _on_edge(label: str) -> str:
    escaped = "".join(_ESCAPED.get(sign, sign) for sign in label).replace("\n", "<br>")
    return f'|"{escaped}"|' if label else ""


def _followed(state: State) -> dict[str, str]:
    """Return what follows a state, and when."""
    found: dict[str, str] = {}
    for choice in state.get("Choices", []):
        known = found.get(choice["Next"])
        condition = _condition(choice["Condition"])
        found[choice["Next"]] = f"{known}\nor {condition}" if known else condition
    if "Default" in state:
        known = found.get(state["Default"])
        found[state["Default"]] = f"{known}\nor else" if known else "else"
    if "Next" in state:
        found[state["Next"]] = ""
    return found


def _condition(text: str) -> str:
    """Write a condition without what every one of them has."""
    short = text.removeprefix("{%").removesuffix("%}").strip().replace("$states.input.", "")
    return "\n".join(textwrap.wrap(short, _WIDTH, break_long_words=False))


def _caught(state: State) -> dict[str, str]:
    """Return where errors lead that are not retried, or not any more, and which."""
    names: dict[str, list[str]] = {}
    for catcher in state.get("Catch", []):
        names.setdefault(catcher["Next"], []).extend(catcher["ErrorEquals"])
    return {target: _errors(found) for target, found in names.items()}


def _errors(names: list[str]) -> str:
    if _ANY in names:
        return _ANY_ERROR
    more = len(names) - _MOST_NAMES
    shown = names if more <= 0 else [*names[:_MOST_NAMES], f"{more} more"]
    return "\n".join(shown)


def _rows(machine: State, path: str) -> Iterator[str]:
    for name, state in machine["States"].items():
        comment = state.get("Comment", "")
        if comment or state["Type"] == "Task":
            yield f"| {path}{name} | {_kind(state)} | {comment.replace('|', '\\|')} |"
        for one in _inner(state):
            yield from _rows(one, f"{path}{name} / ")


def _kind(state: State) -> str:
    function = _FUNCTION.search(str(state.get("Arguments", {})))
    if state["Type"] == "Task" and function:
        return f"Task: {function[1]}"
    most = state.get("MaxConcurrency")
    return f"Map, {most} at once" if most else str(state["Type"])


def shown(page: str) -> str:
    """Return what a page shows between its markers."""
    return page.partition(f"{_BEGIN}\n")[2].partition(_END)[0]


def main(arguments: list[str]) -> int:
    """Write the page, or say that it differs; return the exit code."""
    page, rendered = PAGE.read_text(), render()
    if "--write" in arguments:
        before, after = page.partition(_BEGIN)[0], page.partition(_END)[2]
        PAGE.write_text(f"{before}{_BEGIN}\n{rendered}{_END}{after}")
    elif shown(page) != rendered:
        print(f"{PAGE} does not show the definitions: run 'make definition'.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
