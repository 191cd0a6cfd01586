"""`make up`: starts the emulator unless it runs, and deploys what changed."""

import os
import shlex
from typing import Any

import boto3
from rich.console import Console

from local.commands.invoke import write_environment
from local.errors import LocalStackError
from local.progress import Progress, ShowStep
from local.settings import HOST, PACE, ROOT_CREDENTIALS, STATE
from local.stack import server
from local.stack.build import locked
from local.stack.deploy import deploy

_MOST_PORTS = 65_535
_NAMES_OF_OUTPUTS = {
    "API_URL": "ApiUrl",
    "STATE_MACHINE_ARN": "StateMachineArn",
    "BATCH_STATE_MACHINE_ARN": "BatchStateMachineArn",
    "BATCHES_BUCKET": "BatchesBucketName",
}
"""The variables of the README's commands, and the stack's outputs that they hold."""


def up(console: Console) -> dict[str, Any]:
    """Start the emulator unless it runs, deploy what changed.

    Returns
    -------
    dict
        What `stack.json` holds.

    Raises
    ------
    LocalStackError
        A setting cannot be used or is not the running emulator's, or the deployment failed.
    """
    port, region = _port(), _region()
    STATE.mkdir(exist_ok=True)
    with Progress(console) as progress:
        emulator, described = _start_and_deploy(port, region, progress.step)
    console.print(
        f"The local stack is up at {emulator.endpoint_url}; see .local/stack.json. "
        "For aws and curl: source .local/env.sh"
    )
    return described


def _start_and_deploy(
    port: int, region: str, step: ShowStep
) -> tuple[server.Server, dict[str, Any]]:
    # Several commands may be started at once, and the first of them starts the emulator.
    with locked(STATE / "up.lock", step):
        emulator = server.running(STATE)
        if emulator:
            _refuse_other_settings(emulator, port, region)
        else:
            hosts = [HOST, *server.docker_bridge()]
            pace = {name: os.environ.get(name, value) for name, value in PACE.items()}
            with step("Start the emulator"):
                emulator = server.start(port, region, STATE, pace, hosts)
        described = deploy(emulator, step=step)
        write_environment(described)
        _write_shell_environment(described)
    return emulator, described


def _write_shell_environment(described: dict[str, Any]) -> None:
    """Write what the README's commands take from the environment."""
    outputs = described["outputs"]
    variables = {
        **ROOT_CREDENTIALS,
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": described["region"],
        "AWS_ENDPOINT_URL": described["endpointUrl"],
        **{name: outputs[output] for name, output in _NAMES_OF_OUTPUTS.items()},
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (STATE / "env.sh").write_text("".join(lines))


def _port() -> int:
    text = os.environ.get("PORT", "4566")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_PORTS):
        raise LocalStackError(f"PORT={text} is no port: it is a number from 1 to {_MOST_PORTS:,}.")
    return int(text)


def _region() -> str:
    region = os.environ.get("REGION", "us-east-1")
    known = boto3.session.Session().get_available_regions("kms")
    if region not in known:
        raise LocalStackError(f"REGION={region} is no Region of AWS. One is us-east-1.")
    return region


def _refuse_other_settings(emulator: server.Server, port: int, region: str) -> None:
    running = {"PORT": str(emulator.port), "REGION": emulator.region}
    wanted = {"PORT": str(port), "REGION": region}
    settings = emulator.process.environ()
    for name, value in PACE.items():
        running[name] = settings.get(name, value)
        wanted[name] = os.environ.get(name, running[name])
    if running != wanted:
        differing = " ".join(
            f"{name}={value}" for name, value in running.items() if wanted[name] != value
        )
        raise LocalStackError(
            f"The local stack already runs with {differing}. Use the same, or stop it first: "
            "make down"
        )
