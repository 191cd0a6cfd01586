"""docs/command-line.md as a list of commands to run, with what they print or how it looks."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local.settings import ROOT
from tests.support.stack.terminal_pictures import Frame, draw, frames
from tests.support.stack.terminals import terminal

PAGE = ROOT / "docs" / "command-line.md"
PICTURES = ROOT / "docs" / "terminal"
_FENCED = re.compile(r"(?:<!-- (\w+)(?:: ([^>]*))? -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)
_PROMPT = "$ "
_TYPED = " <<< "

# What is another one in each run.
_REPLACED = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?", "2027-01-15T09:30:00"),
    (r"\bmrk-[0-9a-f]{32}\b", "mrk-…"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…"),
    (r"\b[0-9a-f]{64}\b", "…"),
)


@dataclass(frozen=True)
class Commands:
    """A block of commands as the page shows it, with the note in front of it.

    `before` names what has to be so first. `picture` names the file that shows what the commands
    print, which the block does not repeat.
    """

    shown: str
    before: str | None = None
    picture: str | None = None
    varies: bool = False

    @property
    def _lines(self) -> list[str]:
        return [line for line in self.shown.splitlines() if line.startswith(_PROMPT)]

    def run(self, folder: Path, environment: dict[str, str]) -> str:
        """Run them in a folder; return the block as it should be."""
        return "".join(
            _run(line, folder, environment, all_said=self.varies) for line in self._lines
        )

    def record(self, folder: Path, environment: dict[str, str]) -> list[Frame]:
        """Run the only command of the block under a terminal; return what that showed."""
        (line,) = self._lines
        _, *arguments = shlex.split(line.removeprefix(_PROMPT))
        with terminal(environment, *arguments, folder=folder) as opened:
            opened.read_until(None)
            return frames(_replaced(opened.shown))

    def draw(self, shown: list[Frame]) -> str:
        """Draw what a terminal showed."""
        return draw(self._lines[0].removeprefix(_PROMPT), shown)


def _run(line: str, folder: Path, environment: dict[str, str], *, all_said: bool) -> str:
    command, _, typed = line.removeprefix(_PROMPT).partition(_TYPED)
    program, *arguments = shlex.split(command)
    assert program == "mrk", line
    # How requests go on, seen now and then, is another text in each run.
    quiet = "--follow" in arguments and not all_said
    ran = subprocess.run(
        [sys.executable, "-m", "mrk", *arguments],
        cwd=folder,
        # argparse and click fold lines at a terminal's width.
        env=environment | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    printed = "\n".join(part.rstrip() for part in ran.stdout.strip("\n").splitlines())
    code = f"[exit code {ran.returncode}]\n" if ran.returncode else ""
    return f"{line}\n{_replaced(printed)}\n{code}"


def _replaced(text: str) -> str:
    for pattern, instead in _REPLACED:
        text = re.sub(pattern, instead, text)
    return text


def blocks(folder: Path) -> Iterator[Commands]:
    """Yield the page's blocks of commands in turn, each after the files above it are written."""
    for note, value, form, text in _FENCED.findall(PAGE.read_text()):
        if note == "file":
            path = folder / value
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif form == "console" and text.startswith(_PROMPT):
            name, _, varies = value.partition(", ")
            yield Commands(
                text,
                before=value if note == "before" else None,
                picture=name if note == "picture" else None,
                varies="varies" in (note, varies),
            )


def renew(written: Callable[[str], str]) -> None:
    """Write each block of the page as `written` returns it for the one that is there."""
    page = PAGE.read_text()
    for *_, text in _FENCED.findall(page):
        page = page.replace(f"\n{text}```\n", f"\n{written(text)}```\n")
    PAGE.write_text(page)
