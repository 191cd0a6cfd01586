"""docs/command-line.md as a list of commands to run, and what they print in it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local.settings import ROOT

PAGE = ROOT / "docs" / "command-line.md"
_FENCED = re.compile(r"(?:<!-- (\w+)(?:: ([^>]*))? -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)
_PROMPT = "$ "
_TYPED = " <<< "

# What is another one in each run.
_REPLACED = (
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)?", "<time>"),
    (r"\bmrk-[0-9a-f]{32}\b", "mrk-…"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "…"),
    (r"\b[0-9a-f]{64}\b", "…"),
)


@dataclass(frozen=True)
class Commands:
    """A block of commands as the page shows it; `before` names what has to be so first."""

    shown: str
    before: str | None
    varies: bool

    def run(self, folder: Path, environment: dict[str, str]) -> str:
        """Run them in a folder; return the block as it should be."""
        lines = [line for line in self.shown.splitlines() if line.startswith(_PROMPT)]
        return "".join(_run(line, folder, environment, all_said=self.varies) for line in lines)


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
    for pattern, instead in _REPLACED:
        printed = re.sub(pattern, instead, printed)
    code = f"[exit code {ran.returncode}]\n" if ran.returncode else ""
    return f"{line}\n{printed}\n{code}"


def blocks(folder: Path) -> Iterator[Commands]:
    """Yield the page's blocks of commands in turn, each after the files above it are written."""
    for note, value, form, text in _FENCED.findall(PAGE.read_text()):
        if note == "file":
            path = folder / value
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif form == "console" and text.startswith(_PROMPT):
            yield Commands(text, value if note == "before" else None, note == "varies")


def renew(written: Callable[[str], str]) -> None:
    """Write each block of the page as `written` returns it for the one that is there."""
    page = PAGE.read_text()
    for *_, text in _FENCED.findall(page):
        page = page.replace(text, written(text))
    PAGE.write_text(page)
