"""`make console`: serves `mrk console` for the local stack."""

import subprocess
import sys
from typing import Any

from local.settings import ROOT, STACK_NAME, aws_environment


def console(described: dict[str, Any], *options: str) -> int:
    """Serve the console until it is interrupted; return its exit code."""
    with start(described, *options) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has interrupted the console as well.
            return process.wait()


def start(described: dict[str, Any], *options: str, **streams: Any) -> subprocess.Popen[str]:
    """Start the console of a local stack, as its account's root.

    Parameters
    ----------
    described
        What `stack.json` holds.
    options
        More options of the command.
    streams
        Where its output goes, as `subprocess.Popen` takes it.
    """
    environment = aws_environment(described["endpointUrl"], described["region"]) | {
        # The emulator serves the API under another address than the stack's output has.
        "MRK_API_URL": described["outputs"]["ApiUrl"],
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "mrk", "console", "--stack", STACK_NAME, *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **streams)
