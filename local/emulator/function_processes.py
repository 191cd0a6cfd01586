"""Starts the processes of functions by forking one that has imported what all of them import.

Each environment of a function is a process. Python, the runtime's client, boto3 and Powertools take
longer to import than most functions need for their work, and a test run starts a thousand of them.
What a function itself imports, and its clients, it makes after the fork, in an environment and a
folder of its own. How long a cold start takes in AWS is measured by bench/cold_start.py.

A bootstrap runs `function_bootstrap.py`, which hands over its output and its environment, and ends
as the function's process ends. Where it is killed, so is that process.
"""

import json
import os
import runpy
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SOCKET = "FUNCTION_PROCESSES"
"""Names the variable with the socket's path; without it, a bootstrap starts Python anew."""

# Not the runtime's client, which reads the environment as it is imported.
_MODULES = (
    "boto3",
    "simplejson",
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.utilities.data_classes",
    "aws_lambda_powertools.utilities.idempotency",
    "pydantic",
)
_SERVICES = ("dynamodb", "events", "kms", "resourcegroupstaggingapi", "stepfunctions")
_LONGEST_REQUEST = 1 << 20


def install() -> None:
    """Start the process that is forked, and let bootstraps find it."""
    path = Path(tempfile.mkdtemp()) / "functions"
    subprocess.Popen([sys.executable, "-m", __name__, str(path)])
    os.environ[SOCKET] = str(path)


class _Server(socketserver.ForkingUnixStreamServer):
    """Handles each connection in a process of its own, until the emulator is gone."""

    request_queue_size = 64
    # The emulator says how many functions run at once; those that wait for work are more.
    max_children = 10_000
    block_on_close = False

    def __init__(self, name: str) -> None:
        self._emulator = os.getppid()
        super().__init__(name, _Function)

    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != self._emulator:
            raise SystemExit


class _Function(socketserver.BaseRequestHandler):
    """One environment of a function, from its start to its end."""

    request: socket.socket

    def handle(self) -> None:
        """Run the function, and answer how its process ended."""
        text, outputs, *_ = socket.recv_fds(self.request, _LONGEST_REQUEST, 2)
        process = os.fork()
        if not process:
            self._run(json.loads(text), outputs)
        for output in outputs:
            os.close(output)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        self.request.sendall(f"{code}".encode())

    def _run(self, start: dict[str, Any], outputs: list[int]) -> NoReturn:
        """Be what `python -m awslambdaric` would be."""
        for place, output in enumerate(outputs, start=1):
            os.dup2(output, place)
            os.close(output)
        threading.Thread(target=self._end_with_bootstrap, daemon=True).start()
        os.environ.clear()
        os.environ.update(start["environment"])
        os.chdir(start["folder"])
        sys.path[0] = start["folder"]
        sys.argv = ["awslambdaric", os.environ["_HANDLER"]]
        code: Any = 1
        try:
            runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # noqa: BLE001 - as Python itself would print it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)

    def _end_with_bootstrap(self) -> None:
        self.request.recv(1)
        os.kill(os.getpid(), signal.SIGKILL)


def main(path: Path) -> None:
    """Import what functions import, and fork for each connection to the socket at a path."""
    for module in _MODULES:
        import_module(module)
    boto3, loaders = import_module("boto3"), import_module("botocore.loaders")
    # What a client is made from follows from its service; every process reads it once.
    loaders.JSONFileLoader.load_file = _kept(loaders.JSONFileLoader().load_file)
    session = boto3.Session("none", "none", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)
    # Its path may be longer than that of a socket can be.
    os.chdir(path.parent)
    with _Server(path.name) as server:
        server.serve_forever()


def _kept(load: Callable[[str], Any]) -> Callable[[Any, str], Any]:
    load_once = cache(load)
    return lambda _loader, path: load_once(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
