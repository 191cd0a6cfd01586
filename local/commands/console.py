"""`make console`: serves `mrk console` for the local stack."""

import subprocess
import sys
from contextlib import suppress
from typing import Any

from local.settings import ROOT, aws_environment
from local.stack.endpoint import ROOT_USER, Credentials


def console(described: dict[str, Any], *options: str) -> int:
    """Serve the console until it is interrupted; return its exit code."""
    with start(described, *options) as process:
        # The terminal interrupts the console as well.
        with suppress(KeyboardInterrupt):
            process.wait()
        return process.wait()


def start(
    described: dict[str, Any], *options: str, who: Credentials = ROOT_USER, **streams: Any
) -> subprocess.Popen[str]:
    """Start the console of a local stack.

    Parameters
    ----------
    described
        What `stack.json` holds.
    options
        More options of the command.
    who
        Signs the calls of the API: the account's root, or somebody else.
    streams
        Where its output goes, as `subprocess.Popen` takes it.
    """
    environment = aws_environment(described["endpointUrl"], described["region"]) | {
        "AWS_ACCESS_KEY_ID": who.access_key,
        "AWS_SECRET_ACCESS_KEY": who.secret_key,
        # The emulator serves the API under another address than the stack's output has.
        "MRK_API_URL": described["outputs"]["ApiUrl"],
        "PYTHONUNBUFFERED": "1",
    }
    if who.token:
        environment["AWS_SESSION_TOKEN"] = who.token
    command = [sys.executable, "-m", "mrk", "console", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **streams)
