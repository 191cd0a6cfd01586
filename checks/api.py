"""Lets schemathesis call the deployed API in every way that its contract allows, and in others.

    python -m checks.api SCHEMATHESIS…

The arguments are the command that runs it, with more of its options. It calls a local stack of this
check's own, each call signed; whatever is answered has to be in the contract, with no field that
the contract does not name. Its exit status is this check's.
"""

import json
import subprocess
import sys
from pathlib import Path

from checks.contracts.openapi import openapi
from checks.contracts.schemas import closed
from local.settings import STATE, aws_environment
from local.stack import server
from local.stack.deploy import deploy

_HOOKS = Path(__file__).resolve().parent / "schemathesis"
_FOLDER = STATE / "check-api"
_ANSWERS = _FOLDER / "answers.json"
_SETTINGS = {"SFN_WAIT_SCALE": "0.02", "KMS_CREATING_SECONDS": "0.1"}
_REPORT = ("--report", "json", "--report-json-path", str(_FOLDER / "report.json"))


def main(command: list[str]) -> int:
    """Run the check; return the exit status."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    contract = _FOLDER / "openapi.json"
    contract.write_text(json.dumps(closed(openapi())))
    with server.temporary("contracts", _SETTINGS) as emulator:
        described = deploy(emulator)
        environment = aws_environment(described["endpointUrl"], described["region"])
        finished = subprocess.run(
            [*command, contract, "--url", described["outputs"]["ApiUrl"], *_REPORT],
            env=environment
            | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(_HOOKS), "ANSWERS": str(_ANSWERS)},
            check=False,
        )
    _print_answers()
    return finished.returncode


def _print_answers() -> None:
    """Say how often each operation answered what, so that it shows how far the calls came."""
    answers: dict[str, int] = json.loads(_ANSWERS.read_text())
    print(f"{sum(answers.values())} answers:")
    for name, count in sorted(answers.items()):
        print(f"{count:6} {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
