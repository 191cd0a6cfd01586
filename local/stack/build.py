"""Builds the application with the SAM CLI, as the emulator can run it."""

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from local.errors import LocalStackError
from local.progress import ShowStep
from local.settings import ROOT, STATE
from local.stack.bytecode import compile_functions

SAM = STATE / "bin" / "sam"
_BUILD = STATE / "build"
PACKAGE = _BUILD / "functions"
"""What every function is deployed with."""
_ARCHIVE = _BUILD / "functions.zip"
_BUILT_TEMPLATE = _BUILD / "template.yaml"
_BUILT_OBSERVABILITY = _BUILD / "Observability" / "template.yaml"
_FINGERPRINT = _BUILD / "fingerprint"

# The emulator runs a `python*` function in a way of its own, which hides the exception's class
# from the state machine's Retry and Catch. A `provided` one it runs through Lambda's Runtime API,
# so the built copy runs on AWS's own runtime client.
_RUNTIME = "Runtime: python3.13"
_EMULATED_RUNTIME = "Runtime: provided.al2023"
# The functions run on this machine, whatever AWS runs them on: pydantic's core is machine code.
_ARCHITECTURE = "Architectures: [arm64]"
_MACHINES = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64"}
_PATH = re.compile(r"(?P<property>CodeUri|DefinitionUri|Location): (?P<path>\S+)$", re.MULTILINE)
# The emulator keeps no saved queries of CloudWatch Logs, and has no TLS, which the policy of the
# bucket demands. Nothing refers to either.
_NOT_EMULATED = {"AWS::Logs::QueryDefinition", "AWS::S3::BucketPolicy"}
_BOOTSTRAP = """\
#!/bin/sh
cd "$(dirname "$0")"
exec {python} -I -S {bootstrap}
"""
_FUNCTION_BOOTSTRAP = ROOT / "local" / "emulator" / "function_bootstrap.py"


def built_template(step: ShowStep = nullcontext) -> tuple[Path, str]:
    """Build what changed since the last build.

    Parameters
    ----------
    step
        Shows what is being done.

    Returns
    -------
    tuple[Path, str]
        The built template, and a fingerprint of everything it was built from.

    Raises
    ------
    LocalStackError
        The build failed.
    """
    STATE.mkdir(exist_ok=True)
    # The tests and `make up` may build at the same time.
    with locked(STATE / "build.lock", step):
        fingerprint = _fingerprint()
        if not _FINGERPRINT.exists() or _FINGERPRINT.read_text() != fingerprint:
            with step("Build the functions"):
                _build()
            _FINGERPRINT.write_text(fingerprint)
    return _BUILT_TEMPLATE, fingerprint


def template_for_this_machine() -> Path:
    """Write a copy of the template whose functions are built for the machine that this runs on.

    Returns
    -------
    Path
        The copy, which names the sources by absolute paths.

    Raises
    ------
    LocalStackError
        The template is not as expected, or Lambda has no such machine.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise LocalStackError(f"Lambda has no machine of this kind: {machine}.")
    text = _replaced(
        (ROOT / "template.yaml").read_text(),
        _ARCHITECTURE,
        f"Architectures: [{_MACHINES[machine]}]",
    )
    copy = STATE / "template.yaml"
    copy.write_text(_PATH.sub(lambda at: f"{at['property']}: {ROOT / at['path']}", text))
    return copy


def run_sam(arguments: list[str], environment: dict[str, str]) -> None:
    """Run the SAM CLI and show its output only if it fails.

    Raises
    ------
    LocalStackError
        It failed; the message holds its output.
    """
    if not SAM.exists():
        raise LocalStackError(f"{SAM} is missing. Have it installed: make {SAM.relative_to(ROOT)}")
    done = subprocess.run(
        [str(SAM), *arguments],
        cwd=ROOT,
        env=sam_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalStackError(f"sam {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def sam_environment(environment: dict[str, str]) -> dict[str, str]:
    """Make the first python3.13 on PATH that has pip the one that the SAM CLI builds with."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, "SAM_CLI_TELEMETRY": "0"}


def _build() -> None:
    shutil.rmtree(_BUILD, ignore_errors=True)
    run_sam(
        [
            "build",
            *("--template-file", str(template_for_this_machine())),
            *("--build-dir", str(_BUILD)),
            *("--cache-dir", str(STATE / "build-cache")),
            "--cached",
        ],
        dict(os.environ),
    )
    template = _replaced(_BUILT_TEMPLATE.read_text(), _RUNTIME, _EMULATED_RUNTIME)
    _write(_BUILT_TEMPLATE, _with_one_package(_as_emulated(yaml.safe_load(template))))
    observability = yaml.safe_load(_BUILT_OBSERVABILITY.read_text())
    _write(_BUILT_OBSERVABILITY, _as_emulated(observability))
    compile_functions(_BUILD)
    bootstrap = PACKAGE / "bootstrap"
    paths = {"python": sys.executable, "bootstrap": str(_FUNCTION_BOOTSTRAP)}
    bootstrap.write_text(
        _BOOTSTRAP.format(**{name: shlex.quote(path) for name, path in paths.items()})
    )
    bootstrap.chmod(0o755)
    shutil.make_archive(str(_ARCHIVE.with_suffix("")), "zip", PACKAGE)


def _write(path: Path, template: dict[str, Any]) -> None:
    # JSON is YAML too, and SAM, which parses a template ten times to deploy it, reads it faster.
    path.write_text(json.dumps(template))


def _replaced(template: str, expected: str, emulated: str) -> str:
    if expected not in template:
        raise LocalStackError(
            f"The template has no '{expected}'. If that was changed, change it in "
            "local/stack/build.py too; the version of Python also in .python-version and in "
            "pyproject.toml."
        )
    return template.replace(expected, emulated)


def _with_one_package(template: dict[str, Any]) -> dict[str, Any]:
    """Let all functions share one archive: SAM builds a copy for each, and would pack each."""
    functions = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    (_BUILD / min(functions)).rename(PACKAGE)
    for name, function in functions.items():
        function["Properties"]["CodeUri"] = _ARCHIVE.name
        shutil.rmtree(_BUILD / name, ignore_errors=True)
    return template


def _as_emulated(template: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the emulator's CloudFormation refuses, and nothing else.

    It refuses alarms on a sum of metrics. The first metric stands for the sum, since the dashboard
    refers to every alarm.
    """
    resources = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] not in _NOT_EMULATED
    }
    for resource in resources.values():
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            metrics = resource["Properties"].pop("Metrics")
            first = next(query["MetricStat"] for query in metrics if "MetricStat" in query)
            resource["Properties"] |= {
                **first["Metric"],
                "Period": first["Period"],
                "Statistic": first["Stat"],
            }
    return {**template, "Resources": resources}


def _fingerprint() -> str:
    sources = [ROOT / "template.yaml", ROOT / "observability.yaml"]
    sources += [Path(__file__), Path(__file__).with_name("bytecode.py")]
    for folder in ("functions", "statemachine"):
        sources += sorted(
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@contextmanager
def locked(path: Path, step: ShowStep = nullcontext) -> Iterator[None]:
    """Let one process at a time run the block."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("Wait for another command"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
