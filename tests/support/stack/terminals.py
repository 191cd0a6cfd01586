"""The command `mrk` under a terminal, as a person starts it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.settings import ROOT

COLUMNS, LINES = 100, 40
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SOON = 60


class Terminal:
    """The command under a terminal of 100 columns."""

    def __init__(self, place: dict[str, str], *arguments: str, folder: Path = ROOT) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        settings = place | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        # CI sets a variable that turns colours off, and a shell those of its own terminal's size.
        hidden = ("CI", "NO_COLOR", "COLUMNS", "LINES")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mrk", *arguments],
            cwd=folder,
            env={name: value for name, value in settings.items() if name not in hidden},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        self.shown = ""

    def read_until(self, text: str | None) -> str:
        """Read what is shown until it holds this, or to the end."""
        deadline = time.monotonic() + _SOON
        while text is None or text not in self.plain:
            ready, _, _ = select.select([self._main], [], [], max(deadline - time.monotonic(), 0))
            try:
                data = os.read(self._main, 65_536) if ready else b""
            except OSError:  # What Linux says at the end of a terminal.
                data = b""
            if not data:
                assert text is None, self.plain
                return self.plain
            self.shown += data.decode(errors="replace")
        return self.plain

    @property
    def plain(self) -> str:
        """What is shown, without colours."""
        return _ESCAPES.sub("", self.shown)

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._main, text.encode())

    def close(self) -> None:
        """End the command."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._main)


@contextmanager
def terminal(place: dict[str, str], *arguments: str, folder: Path = ROOT) -> Iterator[Terminal]:
    """Start the command in a folder; end it with the block."""
    opened = Terminal(place, *arguments, folder=folder)
    try:
        yield opened
    finally:
        opened.close()
