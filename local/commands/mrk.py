"""`make mrk`: runs the command `mrk` against the local stack, as the account's root."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from local.commands.verify import environment
from local.settings import ROOT
from local.stack.endpoint import ROOT_USER


def mrk(described: dict[str, Any], arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code.

    Parameters
    ----------
    described
        What `stack.json` holds.
    """
    command = [sys.executable, "-m", "mrk", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment(described, ROOT_USER)) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal interrupts the command as well, which says what goes on.
                continue
