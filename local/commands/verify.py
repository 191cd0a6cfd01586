"""`make verify`: runs `mrk verify` against the local stack, as a role that may do nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.settings import ROOT, STACK_NAME, VERIFY_ROLE, aws_environment
from local.stack.endpoint import Credentials, Endpoint

PAGE = ROOT / "docs" / "verify.md"

_POLICY = re.compile(r"```json\n(\{.*?\n\})\n```", re.DOTALL)
_API_ID = re.compile(r"/_aws/execute-api/([^/]+)/")


def verify(described: dict[str, Any], output: Path, *options: str) -> int:
    """Run the command and return its exit code."""
    return start(described, output, *options).wait()


def start(
    described: dict[str, Any], output: Path, *options: str, **streams: Any
) -> subprocess.Popen[str]:
    """Start the command as a person would who has the policy of docs/verify.md.

    Parameters
    ----------
    described
        What `stack.json` holds.
    output
        Where the command writes what it saw.
    options
        More options of the command.
    streams
        Where its output goes, as `subprocess.Popen` takes it.
    """
    endpoint = Endpoint(described["endpointUrl"], described["region"])
    endpoint.create_role(VERIFY_ROLE, policy=policy_of_page(described))
    command = [sys.executable, "-m", "mrk", "verify", "--stack", STACK_NAME, "--yes"]
    return subprocess.Popen(
        [*command, "--output", str(output), *options],
        cwd=ROOT,
        env=environment(described, endpoint.credentials_of(VERIFY_ROLE)),
        text=True,
        **streams,
    )


def environment(described: dict[str, Any], credentials: Credentials) -> dict[str, str]:
    """Return the environment in which the command finds the local stack, and nothing else."""
    return aws_environment(described["endpointUrl"], described["region"]) | {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",
        # The emulator serves the API under another address than the stack's output has.
        "MRK_API_URL": described["outputs"]["ApiUrl"],
    }


def policy_of_page(described: dict[str, Any]) -> dict[str, Any]:
    """Read the policy in docs/verify.md, filled in for a stack."""
    (text,) = _POLICY.findall(PAGE.read_text())
    (api_id,) = _API_ID.findall(described["outputs"]["ApiUrl"])
    for name, value in (
        ("ACCOUNT", described["accountId"]),
        ("REGION", described["region"]),
        ("STACK", STACK_NAME),
        ("API_ID", api_id),
        ("BUS", described["outputs"]["EventBusName"]),
    ):
        text = text.replace(f"<{name}>", value)
    policy: dict[str, Any] = json.loads(text)
    return policy
